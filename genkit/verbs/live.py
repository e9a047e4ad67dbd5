"""Images straight from a model to the metrics, without files between."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genkit import launch, random
from genkit.errors import EvaluationError
from genkit.rows.base import Rows
from genkit.rows.batch import DataInfo
from genkit.rows.columns import Class, Image, Raw, Text
from genkit.rows.combine import with_class_names
from genkit.rows.drawn import Draw, DrawnRows
from genkit.rows.files import open_path
from genkit.rows.given import cycle
from genkit.verbs.partial import refuse_partial

COUNT = 10_000  # images drawn of a pipeline
BATCH_SIZE = 64


@dataclass(frozen=True)
class Drawing:
    """How a pipeline draws; None = as usual.

    Attributes:
        count: Images.
        seed: Of their noise.
        batch_size: Images at a time.
        prompts: One for each image, or fewer that are repeated in turn.
        options: Further arguments of the pipeline.
    """

    count: int | None = None
    seed: int = 0
    batch_size: int | None = None
    prompts: Sequence[str] | None = None
    options: Mapping[str, Any] | None = None


def opened(path: Path, device: Any) -> Any:
    """A set of images, or the pipeline of a run or export folder."""
    if any((path / name).exists() for name in ("model_index.json", "config.yaml")):
        from genkit.pipelines import load_pipeline

        return load_pipeline(path, device=str(device or launch.own_device()))
    refuse_partial(path)
    return with_class_names(open_path(path), _names_in_run(path.parent))


def _names_in_run(run: Path) -> tuple[str, ...]:
    """What the classes are called that a run was trained on, by number; none where none is known.

    Samples are numbered like these, and real images of some of the classes otherwise.
    """
    from genkit.run_folder import read_record

    try:
        label = DataInfo.from_tree(read_record(run)["data"]).columns["label"]
    except (LookupError, TypeError, ValueError, AttributeError):
        return ()
    return (label.names or ()) if isinstance(label, Class) else ()


def is_ours(given: Any) -> bool:
    """Whether it is a pipeline of genkit."""
    return hasattr(given, "stream")


def refuse_prompts(given: Any, how: Drawing) -> None:
    """Raise an `EvaluationError` where one of our pipelines is given prompts and paints none."""
    paints = "image" in given.gives and any("caption" in taken for taken in given.takes)
    if how.prompts is not None and not paints:
        raise EvaluationError(
            f"prompts: a {type(given).__name__} makes no pictures of texts; leave them out, or "
            'name its classes by options={"label": ...}'
        )


def samples_of(given: Any, how: Drawing) -> Rows:
    """A set of images as it is, or those that a plain pipeline of diffusers draws.

    Raises:
        EvaluationError: It is neither, or a set of images would have to be drawn.
    """
    if isinstance(given, Rows):
        drawing = {"count": how.count, "batch_size": how.batch_size, "prompts": how.prompts,
                   "options": how.options}  # fmt: skip
        if asked := [name for name, value in drawing.items() if value is not None]:
            raise EvaluationError(
                f"{asked[0]}: says how a pipeline draws, and {given.name} is a set of images; "
                "leave it out"
            )
        return given
    if not (callable(given) and hasattr(given, "components")):
        raise EvaluationError(
            f"samples: a {type(given).__name__}, expected rows, a path, or a pipeline of "
            "genkit or diffusers"
        )
    return _drawn(given, how)


def _drawn(pipeline: Any, how: Drawing) -> DrawnRows:
    from genkit.pipelines.samples import weights_sha256

    count = COUNT if how.count is None else how.count
    size = BATCH_SIZE if how.batch_size is None else how.batch_size
    options, prompts = dict(how.options or {}), how.prompts
    words = None if prompts is None else cycle(columns={"caption": Text()}, caption=list(prompts))
    identity = f"{weights_sha256(pipeline)} {how.seed} {size} {prompts} {options} {count}"
    return DrawnRows(
        f"{count:,} images of a {type(pipeline).__name__}",
        {"image": Image()},
        _of_diffusers(pipeline, how.seed, size, prompts, options),
        count,
        given=words,
        fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
    )


@contextmanager
def _quiet(pipeline: Any) -> Iterator[None]:
    """Without the bar that diffusers draws for each batch: the whole pass says how far it is."""
    if not hasattr(pipeline, "set_progress_bar_config"):
        yield
        return
    before = dict(getattr(pipeline, "_progress_bar_config", {}))
    pipeline.set_progress_bar_config(**before | {"disable": True})
    try:
        yield
    finally:
        pipeline.set_progress_bar_config(**before)


def _of_diffusers(
    pipeline: Any,
    seed: int,
    batch_size: int,
    prompts: Sequence[str] | None,
    options: dict[str, Any],
) -> Draw:
    """Images of a plain diffusers pipeline by position."""

    def call(places: Sequence[int]) -> Tensor:
        draws = [random.generator(seed, "sample", place) for place in places]
        asked = dict(options) | {"generator": draws, "output_type": "np"}
        if prompts is None:
            asked["batch_size"] = len(places)
        else:
            asked["prompt"] = [prompts[place % len(prompts)] for place in places]
        with _quiet(pipeline):
            found = torch.as_tensor(pipeline(**asked).images)  # (B, H, W, C) in [0, 1]
        if bad := int((~found.isfinite().flatten(1).all(1)).sum()):
            raise EvaluationError(
                f"{bad} of {len(found)} images of the {type(pipeline).__name__} are not finite "
                "numbers (NaN); load it with torch_dtype=torch.float32"
            )
        return (found * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2)

    def draw(places: list[int]) -> dict[str, Raw]:
        starts = range(0, len(places), batch_size)
        return {"image": torch.cat([call(places[i : i + batch_size]) for i in starts])}

    return draw
