"""`genkit evaluate --paired`: each image against its original."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from genkit.rows.files import open_path
from genkit.verbs.evaluation_files import name_of, target_of, with_name
from genkit.verbs.partial import refuse_partial

if TYPE_CHECKING:
    from genkit.evaluation import Evaluation


def compare_pairs(
    samples: Path | str, originals: Path | str, *, out: Path | None = None, **options: Any
) -> Evaluation:
    """PSNR, SSIM and LPIPS of each image against its original, written beside the samples.

    Args:
        samples: Folder of images, .npz, .tar or .zip.
        originals: The same, as many images of the same names.
        out: The JSON file; by default <samples>-pairs.json.
        options: Those of `genkit.evaluation.evaluate_pairs`.
    """
    from genkit.evaluation import evaluate_pairs

    made, real = with_name(samples), Path(originals)
    target = target_of(out, made.with_name(f"{name_of(made)}-pairs.json"), [made, real])
    for path in (made, real):
        refuse_partial(path)
    found = evaluate_pairs(open_path(made), open_path(real), **options)
    found.save(target)
    return found
