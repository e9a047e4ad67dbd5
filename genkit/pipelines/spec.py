"""What a result says of itself: the spec of samples, in a folder, a part folder or a finished file.

It names the weights, the seed, what was given and every option, so that samples are completed and
extended with their own kind only.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any
from zlib import crc32

from genkit.config import differences
from genkit.errors import PipelineError, shown
from genkit.rows.columns import Column, Image, column_of

Spec = dict[str, Any]
SPEC = "samples.json"
_LONG = 1_000  # labels beyond this many are not repeated in the mark of a finished file
_KEYS = {"format", "count", "labels", "image_size", "channels"}


def made_columns(spec: Spec) -> dict[str, Column]:
    """The columns that the pipeline made; specs of images alone say only their shape."""
    if "made" in spec:
        return {name: column_of(tree) for name, tree in spec["made"].items()}
    size = spec["image_size"]
    shape = (size, size) if isinstance(size, int) else size and (size[0], size[1])
    return {"image": Image(shape, spec["channels"])}


def refuse_others(out: Path, old: Spec, new: Spec) -> None:
    """Raise unless two specs are of the same samples."""
    changed = differences(_compared(old), _compared(new))
    if changed:
        listed = "; ".join(
            f"{k} is {_short(a)}, asked for {_short(b)}" for k, (a, b) in changed.items()
        )
        raise PipelineError(
            f"{out}: holds other samples ({listed}); delete it or choose another --out"
        )


def mark(spec: Spec) -> Spec:
    """The spec as a finished file carries it: a zip's comment holds 64 kB at most."""
    spec = _compared(spec)
    labels = spec["labels"]
    if labels is None or len(labels) <= _LONG:
        return spec
    return spec | {"labels": f"{len(labels)} of them, crc32 {crc32(str(labels).encode()):08x}"}


def texts_of(spec: Spec, index: int, label: int | None) -> dict[str, str]:
    """What the PNG file of a sample says of itself: how to make it again.

    Args:
        spec: Of all samples; with `class_names` where the classes have names.
        index: Of the sample.
        label: The number of its class, or None.
    """
    said = {"Software": f"genkit {version('genkit')}", "seed": spec["seed"], "index": index}
    if label is not None:
        names = spec.get("class_names")
        said |= {"label": label if names is None else shown(names[label]), "label-number": label}
    return {key: str(value) for key, value in said.items()} | {"model-sha256": spec["export"]}


def _compared(spec: Spec) -> Spec:
    """Without the names of classes, which belong to the weights."""
    return {key: value for key, value in spec.items() if key != "class_names"}


def read_spec(path: Path) -> Spec:
    """The spec that a folder holds.

    Raises:
        PipelineError: The file is none.
    """
    try:
        return parse_spec(path.read_text())
    except ValueError:
        raise PipelineError(
            f"{path}: not a spec of samples; delete {path.parent} and run again"
        ) from None


def parse_spec(text: str) -> Spec:
    """A spec from JSON, as this version writes it.

    Raises:
        ValueError: The text is none.
    """
    try:
        spec = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(spec, dict) or not spec.keys() >= _KEYS:
        raise ValueError("no spec")
    return _upgraded(spec)


def _upgraded(spec: Spec) -> Spec:
    """Of variants of a picture, as they were written before pictures were columns."""
    if "edit" not in spec or "sampling" not in spec:
        return spec
    edit = spec["edit"]
    given = {name: edit[name] for name in ("image", "mask") if edit.get(name) is not None}
    sampling = spec["sampling"] | {"strength": edit["strength"]}
    rest = {key: value for key, value in spec.items() if key != "edit"}
    return rest | {"given": given, "sampling": sampling}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
