"""`genkit lora`: what an adapter holds, in other names, and as part of its model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit.errors import PipelineError, shown


@dataclass(frozen=True)
class Held:
    """What one network of a model gets by an adapter.

    Attributes:
        part: The network, such as "unet".
        ranks: Those that occur.
        weights: How many numbers.
        changes: How much is added to each layer: the Frobenius norm of B A.
    """

    part: str
    ranks: list[int]
    weights: int
    changes: Mapping[str, float]

    @property
    def change(self) -> float:
        """The Frobenius norm of all that is added."""
        return math.sqrt(sum(value**2 for value in self.changes.values()))

    def to_tree(self) -> dict[str, Any]:
        """As JSON."""
        counts = {"layers": len(self.changes), "ranks": self.ranks, "weights": self.weights}
        return {"part": self.part, **counts, "change": self.change, "changes": dict(self.changes)}


def adapter_file(source: Path) -> Path:
    """The file of an adapter: itself, or that of a run or an export.

    Raises:
        PipelineError: There is none.
    """
    from genkit.pipelines.adapter_file import FILE

    for path in (source, source / FILE, source / "export" / FILE):
        if path.is_file():
            return path
    raise PipelineError(
        f"{shown(source)}: no adapter; name a .safetensors file, or a run or an export of family "
        "stable_diffusion with model.learn.kind=lora"
    )


def info(source: Path) -> list[Held]:
    """What an adapter changes, part by part.

    Raises:
        PipelineError: There is no adapter, or its file is broken.
    """
    from genkit.pipelines.adapter_file import changes, ranks, read_adapter

    adapter, _ = read_adapter(adapter_file(source))
    return [
        Held(part, ranks(held), sum(value.numel() for value in held.values()), changes(held))
        for part, held in adapter.items()
    ]


def convert(source: Path, to: str, out: Path) -> Path:
    """The same adapter with the names that another program looks for; returns the file.

    Args:
        source: Run, export or file.
        to: "kohya" for ComfyUI and the web interfaces, or "diffusers".
        out: The new file, in a folder that is there.

    Raises:
        PipelineError: There is no adapter, or something lies at `out`.
    """
    from genkit.pipelines.adapter_file import read_adapter, write_adapter

    if out.suffix != ".safetensors":
        raise PipelineError(f"{shown(out)}: name a file that ends in .safetensors")
    if out.exists():
        raise PipelineError(f"{shown(out)}: is there already; name another file")
    if not out.parent.is_dir():
        raise PipelineError(f"{shown(out)}: no such folder {shown(out.parent)}; make it first")
    adapter, facts = read_adapter(adapter_file(source))
    kept = {name: value for name, value in facts.items() if name == "base"}
    write_adapter(out, adapter, form="kohya" if to == "kohya" else "diffusers", facts=kept)
    return out


def merge(source: Path, out: Path, *, base: str | None = None, strength: float = 1.0) -> Path:
    """The model with the adapter added to its weights, as an export; returns the folder.

    Args:
        source: Run, export or file of the adapter.
        out: The export folder.
        base: The model, where the adapter is a file, or lies elsewhere than it was trained on.
        strength: How much of the change is added; 1 is what was trained.

    Raises:
        PipelineError: There is no adapter, no base, or they don't fit.
    """
    from genkit.nn.adapters import strengthen
    from genkit.pipelines import load_pipeline, save_export
    from genkit.pipelines.adapted import merged, put_on
    from genkit.pipelines.adapter_file import PARTS, read_adapter
    from genkit.pipelines.export import check_export_folder

    check_export_folder(out)
    path = adapter_file(source)
    if base is not None:
        pipeline = load_pipeline(base)
        put_on(pipeline, read_adapter(path)[0], str(source))
    elif path == source:
        raise PipelineError(
            f"{shown(source)}: says nothing of its model; name that by --base, a folder or Hub id"
        )
    else:
        pipeline = load_pipeline(source)
    for part in PARTS:
        if (network := getattr(pipeline, part, None)) is not None:
            strengthen(network, strength)
    merged(pipeline)
    config = f"# {path.name} added to its model, {strength:g} times.\n"
    facts = {"family": "stable_diffusion"}
    return save_export(pipeline, out, provenance=facts, config_yaml=config)
