"""A picture made again from the record that lies beside it, and whether it is the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genkit.errors import PipelineError, shown
from genkit.pipelines import load_pipeline
from genkit.verbs import edit, translate
from genkit.verbs.change_pictures import FORMAT, Outcome, Task, change_all
from genkit.verbs.own_pictures import find_pictures
from genkit.verbs.sample import usable_device

Remade = Callable[[Any, str, Mapping[str, Any]], Task]  # of a pipeline, its path and the record


@dataclass(frozen=True)
class Request:
    """What is to be made again.

    Attributes:
        record: The .json file beside a picture.
        out: Folder of the result.
        model: The model, where it isn't any more where it was.
        picture: The picture that it was made of, likewise.
        device: Of the network; None = a GPU if there is one.
    """

    record: Path
    out: Path
    model: str | None = None
    picture: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class Again:
    """What came of it.

    Attributes:
        outcome: What was done.
        result: The picture, or None where it could not be made.
        same: Whether every pixel is what the record says.
        difference: How far pixels differ at most from those of the picture beside the record, in
            levels of 255; None where that isn't there.
    """

    outcome: Outcome
    result: Path | None
    same: bool = False
    difference: int | None = None

    def sentence(self) -> str:
        """What is to be said."""
        if self.same:
            return "every pixel is the same as before"
        if self.difference is None:
            return "pixels differ from those of the record, whose picture isn't there to compare"
        return (
            f"pixels differ by {self.difference} of 255 at most; another machine or version adds "
            "up in another order"
        )


def again(request: Request) -> Again:
    """Make a picture again.

    Raises:
        PipelineError: The record can't be read, or model or picture are others.
    """
    record = _read(request.record)
    model = request.model or str(record["model"]["path"])
    pipeline = load_pipeline(model, device=usable_device(request.device))
    task = _MAKERS[_verb(record)](pipeline, model, record)
    if task.model["weights"] != record["model"]["weights"]:
        raise PipelineError(
            f"{shown(model)}: has other weights than the model that made the picture; give that "
            "one by --model"
        )
    found = find_pictures([request.picture or record["source"]["path"]])
    outcome = change_all(task, found, request.out)
    results = [*outcome.written, *outcome.kept]
    if not results:
        return Again(outcome, None)
    result = Path(results[0])
    made = json.loads(result.with_suffix(".json").read_text(encoding="utf-8"))
    if made["source"]["sha256"] != record["source"]["sha256"]:
        raise PipelineError(
            f"{found.sources[0].where}: is another picture than that of the record; give that one "
            "by --picture"
        )
    same = made["pixels_sha256"] == record["pixels_sha256"]
    return Again(outcome, result, same, _difference(result, request.record))


def _read(path: Path) -> dict[str, Any]:
    """A record, checked to be one.

    Raises:
        PipelineError: It is none.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        kinds = [(record["format"], int), (record["made_by"], str), (record["settings"], dict),
                 (record["model"]["path"], str), (record["model"]["weights"], str),
                 (record["source"]["path"], str), (record["source"]["sha256"], str),
                 (record["pixels_sha256"], str)]  # fmt: skip
    except OSError as error:
        raise PipelineError(f"{shown(path)}: can't be read ({error.strerror or error})") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        kinds = [(None, str)]
    if not all(isinstance(value, kind) for value, kind in kinds):
        raise PipelineError(
            f"{shown(path)}: no record of a picture; give the .json file that lies beside one"
        )
    if record["format"] > FORMAT or _verb(record) not in _MAKERS:
        raise PipelineError(
            f"{shown(path)}: made by {shown(record['made_by'])}, format {record['format']}, which "
            "this genkit does not know; install a newer one"
        )
    return dict(record)


def _verb(record: Mapping[str, Any]) -> str:
    return str(record["made_by"]).removeprefix("genkit ")


def _difference(result: Path, record: Path) -> int | None:
    """Levels between a result and the picture beside a record."""
    try:
        with Image.open(record.with_suffix(".png")) as one, Image.open(result) as other:
            before, after = (np.asarray(each.convert("RGBA"), np.int16) for each in (one, other))
    except (OSError, ValueError, SyntaxError):
        return None
    if before.shape != after.shape:
        return 255
    return int(np.abs(before - after).max(initial=0))


def _translated(pipeline: Any, model: str, record: Mapping[str, Any]) -> Task:
    """As it was done, also where the memory decided how."""
    way = record["tiles"]
    size = way.get("statistics_of")
    request = translate.Request(
        model,
        (),
        direction=record["settings"]["direction"],
        tile=way["tile"],
        measured_at=size and tuple(size),
    )
    return translate.translation(pipeline, request)


def _edited(pipeline: Any, model: str, record: Mapping[str, Any]) -> Task:
    settings = record["settings"]
    asked = {name: settings[name] for name in settings if name != "crop"}
    crop = settings["crop"] and tuple(settings["crop"])
    return edit.tasks_of(pipeline, edit.Request(model, (), crop=crop, **asked))[0]


_MAKERS: dict[str, Remade] = {"translate": _translated, "edit": _edited}  # by the verb that made it
