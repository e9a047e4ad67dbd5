"""`genkit import`: weights of others' code as an export folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genkit.errors import PipelineError, shown


def import_cyclegan(
    file: Path,
    out: Path,
    *,
    back: Path | None = None,
    names: Sequence[str] = ("a", "b"),
    license: str | None = None,
) -> Path:
    """A generator of CycleGAN's authors, or one for each way, as an export; returns the folder.

    Args:
        file: The weights of the one way, such as latest_net_G_A.pth; nothing in it is executed.
        out: The export folder.
        back: Those of the way back; None = there is none.
        names: What the two kinds of pictures are called.
        license: What the model card states, by its name on the Hub, such as "mit".

    Raises:
        WeightsError: A file can't be read, or is no such generator.
        PipelineError: `out` holds something other than an export; or the two ways don't fit.
    """
    from genkit.nn.pretrained.cyclegan import read_generator
    from genkit.nn.pretrained.weights import sha256_of
    from genkit.pipelines.export import check_export_folder, save_export
    from genkit.pipelines.translation import TranslationPipeline

    check_export_folder(out)
    files = [file] if back is None else [file, back]
    networks = [read_generator(path) for path in files]
    _check_ways(networks, files)
    there, again = networks[0], networks[1] if back is not None else None
    pipeline = TranslationPipeline(there, again, list(names))
    origin = ", ".join(f"{path.name} (SHA-256 {sha256_of(path)})" for path in files)
    counts = {
        way: sum(parameter.numel() for parameter in network.parameters())
        for way, network in zip(("a_to_b", "b_to_a"), networks, strict=False)
    }
    provenance = {
        "family": "cyclegan",
        "data": {"name": f"what {origin} was trained on"},
        "parameters": counts,
    }
    config = "# Imported: how it was trained is not recorded in its file.\n"
    return save_export(pipeline, out, provenance=provenance, config_yaml=config, license=license)


def _check_ways(networks: Sequence[Any], files: Sequence[Path]) -> None:
    """Raise unless what comes out of the one way is what goes into the other."""
    if len(networks) < 2:
        return
    there, back = (network.config for network in networks)
    if (there["out_channels"], there["in_channels"]) != (back["in_channels"], back["out_channels"]):
        raise PipelineError(
            f"{shown(files[0])} takes {there['in_channels']} channels and gives "
            f"{there['out_channels']}, {shown(files[1])} takes {back['in_channels']} and gives "
            f"{back['out_channels']}: one is not the way back of the other; give the other file"
        )
