"""Exports that are an adapter alone: the model that it changes is named, and known by its weights.

Such a folder holds the adapter's file as diffusers calls it, and an index that names the base. So
`load_lora_weights` of plain diffusers reads it, and here the base is opened with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit.errors import CheckpointError, PipelineError, shown
from genkit.files import write_whole
from genkit.nn import adapters
from genkit.pipelines.adapter_file import FILE, PARTS, Adapter, read_adapter, write_adapter
from genkit.pipelines.export_files import INDEX


@dataclass(frozen=True)
class Base:
    """The model that an adapter changes.

    Attributes:
        source: Run, export folder or Hub id.
        sha256: Of its weights, as `weights_sha256` gives it.
    """

    source: str
    sha256: str


def base_of(pipeline: Any, source: str) -> Base:
    """What is recorded of a pipeline as it was loaded from `source`."""
    from genkit.pipelines.samples import weights_sha256

    return Base(source, weights_sha256(pipeline))


def save_adapted(pipeline: Any, folder: Path) -> None:
    """The adapter of a pipeline that has a `base`, into an export folder."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {part: adapters.weights_of(getattr(pipeline, part, None)) for part in PARTS}
    adapter = {part: tensors for part, tensors in found.items() if tensors}
    write_adapter(folder / FILE, adapter, facts={"base": pipeline.base.source})
    index = {
        "_class_name": pipeline.opens[0],
        "format_version": pipeline.config["format_version"],
        "base": pipeline.base.source,
        "base_sha256": pipeline.base.sha256,
    }
    text = json.dumps(index, indent=2) + "\n"
    write_whole(folder / INDEX, text)


def open_adapted(folder: Path, index: Mapping[str, Any]) -> Any:
    """The base of an export with the adapter on it.

    Raises:
        PipelineError: The base is not there, or no longer the one that the adapter was learnt on.
    """
    from genkit.pipelines.loading import load_pipeline
    from genkit.pipelines.samples import weights_sha256

    source = str(index["base"])
    try:
        pipeline = load_pipeline(source)
    except PipelineError as error:
        raise PipelineError(
            f"{shown(folder)}: an adapter of {shown(source)}, which can't be opened ({error}); put "
            f"it there, or name where it is in {INDEX}"
        ) from None
    known = weights_sha256(pipeline)
    if known != index.get("base_sha256", known):
        raise PipelineError(
            f"{shown(folder)}: an adapter of {shown(source)}, whose weights are others now; put "
            f"those that it was trained on there, or train again with model.source={source}"
        )
    put_on(pipeline, read_adapter(folder / FILE)[0], str(folder))
    pipeline.base = Base(source, known)
    return pipeline


def put_on(pipeline: Any, adapter: Adapter, where: str) -> None:
    """Give the networks of a pipeline an adapter.

    Raises:
        PipelineError: It is of another model.
    """
    for part, tensors in adapter.items():
        network = getattr(pipeline, part, None)
        if network is None:
            raise PipelineError(
                f"{shown(where)}: changes {part}, which a {type(pipeline).__name__} has not; it is "
                "an adapter of another kind of model"
            )
        try:
            adapters.put_on(network, tensors)
        except CheckpointError as error:
            raise PipelineError(f"{shown(where)}: {part}: {error}") from None


def merged(pipeline: Any) -> int:
    """Add the adapter to the weights of the pipeline, which stands alone then; returns how many
    layers it changed."""
    networks = [getattr(pipeline, part, None) for part in PARTS]
    count = sum(adapters.merge(network) for network in networks if network is not None)
    pipeline.base = None
    return count
