"""A picture made again from the record that lies beside it, and whether it is the same."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from genkit.errors import DataError, GenkitError, OutputError, PipelineError, shown
from genkit.images import REMEDY
from genkit.pipelines import load_pipeline
from genkit.verbs import edit, records, translate
from genkit.verbs.change_pictures import Outcome, Task, change_all
from genkit.verbs.edit_grid import attribute_grid, check_grid
from genkit.verbs.own_pictures import STDIN, Found, Source, find_pictures
from genkit.verbs.sample import usable_device

log = logging.getLogger("genkit")

Load = Callable[[str], Any]  # a model by its path
Make = Callable[[Found], Outcome]  # of the pictures that a record names


@dataclass(frozen=True)
class Request:
    """What is to be made again.

    Attributes:
        records: The .json files beside pictures.
        out: Folder of the results.
        model: The model, where it isn't any more where it was.
        picture: The picture that it was made of, likewise; of one record alone.
        device: Of the network; None = a GPU if there is one.
    """

    records: Sequence[Path]
    out: Path
    model: str | None = None
    picture: str | None = None
    device: str | None = None


@dataclass(frozen=True)
class Again:
    """What came of one record.

    Attributes:
        record: The .json file.
        result: The picture, or None where it could not be made.
        same: Whether every pixel is what the record says.
        difference: How far pixels differ at most from those of the picture beside the record, in
            levels of 255; None where that isn't there.
        problem: Why there is no picture.
    """

    record: Path
    result: Path | None = None
    same: bool = False
    difference: int | None = None
    problem: str = ""

    def sentence(self) -> str:
        """What is to be said."""
        if self.result is None:
            return self.problem
        if self.same:
            return "every pixel is the same as before"
        if self.difference is None:
            return "pixels differ from those of the record, whose picture isn't there to compare"
        if self.difference == 0:
            return (
                "every pixel is that of the picture beside the record, whose pixels_sha256 says "
                "otherwise: the record was changed"
            )
        return (
            f"pixels differ by {self.difference} of 255 at most; another machine or version adds "
            "up in another order"
        )


def again(request: Request) -> list[Again]:
    """Make pictures again, each model loaded once.

    Where there are several, one that can't be made is told of, and the rest goes on.

    Results keep their names, and the folders of their records below what these have in common.

    Raises:
        PipelineError: The only record can't be read, or its model or picture are others.
        OutputError: Its result would go over something else.
    """
    if request.picture is not None and len(request.records) > 1:
        raise PipelineError("--picture: is of one record; name that alone")
    load = cache(partial(load_pipeline, device=usable_device(request.device)))
    made = []
    root = Path(os.path.commonpath([path.resolve().parent for path in request.records]))
    for path in request.records:
        own = replace(request, out=request.out / path.resolve().parent.relative_to(root))
        try:
            made.append(_again(path, own, load))
        except (PipelineError, DataError, OutputError) as error:
            if len(request.records) == 1:
                raise
            log.warning("%s", error)
            made.append(Again(path, problem=str(error)))
    return made


def _again(path: Path, request: Request, load: Load) -> Again:
    record = records.read_record(path)
    kind = _kind(record)
    if kind not in _MAKERS:
        raise PipelineError(f"{shown(path)}: {records.unknown(record)}")
    model = request.model or str(record["model"]["path"])
    pipeline = _loaded(load, model, request)
    found = _sources(record, request.picture)
    record["picture"] = Path(record["picture"]).name
    if request.out.resolve() == path.resolve().parent:
        raise OutputError(
            f"--out {shown(request.out)}: there lies the picture that it is compared with; name "
            "another folder"
        )
    try:
        make = _MAKERS[kind](pipeline, replace(request, model=model), record)
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, GenkitError):
            raise
        raise PipelineError(
            f"{shown(path)}: incomplete, or changed by hand ({type(error).__name__}: {error}); "
            "make the picture by its command"
        ) from None
    outcome = make(found)
    results = [*outcome.written, *outcome.kept]
    if not results:
        return Again(path, problem="; ".join(outcome.failed.values()))
    result = Path(results[0])
    now = records.read_record(records.beside(result))
    same = now["pixels_sha256"] == record["pixels_sha256"]
    return Again(path, result, same, _difference(result, path))


def _loaded(load: Load, model: str, request: Request) -> Any:
    try:
        return load(model)
    except PipelineError as error:
        if request.model is not None or Path(model).exists():
            raise
        raise PipelineError(
            f"{shown(model)}: the model of this record is not there (the path is as it was given "
            "then); say where it is by --model"
        ) from error


def _sources(record: Mapping[str, Any], instead: str | None) -> Found:
    """The pictures that a record names, each checked to be the very file.

    Raises:
        PipelineError: One isn't there, or is another.
    """
    named = [record["source"]] if "source" in record else record["pictures"]
    if instead is not None and len(named) > 1:
        raise PipelineError(
            f"--picture: this sheet shows {len(named)} pictures; put them where the record says"
        )
    sources = []
    for each in named:
        path = str(instead or each["path"])
        if path == STDIN and instead is None:
            raise PipelineError("the picture came by standard input; give its file by --picture")
        sources.append(_checked(path, each))
    return Found(sources)


def _checked(path: str, each: Mapping[str, Any]) -> Source:
    try:
        sources = find_pictures([path]).sources
        if len(sources) > 1:
            raise DataError(f"{shown(path)}: holds {len(sources)} pictures; name one")
        (source,) = sources
        content = source.read()
    except DataError as error:
        said = str(error).removesuffix(f"; {REMEDY}")
        raise PipelineError(
            f"{said} (the record names it as it was given then); say where it is by --picture"
        ) from None
    if records.sha256(content) != each["sha256"]:
        raise PipelineError(
            f"{source.where}: is another picture than that of the record; give that one by "
            "--picture"
        )
    name = each.get("name", source.name)
    return replace(source, name=name, read=lambda: content)


def _kind(record: Mapping[str, Any]) -> str:
    verb = str(record["made_by"]).removeprefix("genkit ")
    return f"{verb} sheet" if record["settings"].get("grid") else verb


def _same_model(model: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    if model["weights"] != record["model"]["weights"]:
        raise PipelineError(
            f"{shown(model['path'])}: has other weights than the model that made the picture; give "
            "that one by --model"
        )


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


# -- what a record asks for; nothing is made before all of it is read ------------------------------


def _translated(pipeline: Any, request: Request, record: Mapping[str, Any]) -> Make:
    """As it was done, also where the memory decided how."""
    way = record["tiles"]
    size = way.get("statistics_of")
    asked = translate.Request(
        str(request.model),
        (),
        direction=record["settings"]["direction"],
        tile=way["tile"],
        measured_at=size and tuple(size),
    )
    return _one(translate.translation(pipeline, asked), request, record)


def _edited(pipeline: Any, request: Request, record: Mapping[str, Any]) -> Make:
    editor = _editor(pipeline, request, record)
    told = ("have", "crop")  # by the request
    what = {name: value for name, value in record["settings"].items() if name not in told}
    return _one(editor.task(what), request, record)


def _sheet(pipeline: Any, request: Request, record: Mapping[str, Any]) -> Make:
    editor = _editor(pipeline, request, record)
    path, command = request.out / record["picture"], str(record["command"])
    _same_model(editor.model, record)

    def make(found: Found) -> Outcome:
        check_grid(path, command, [source.file for source in found.sources])
        return attribute_grid(editor, found, path, command)

    return make


def _editor(pipeline: Any, request: Request, record: Mapping[str, Any]) -> edit.Editor:
    settings = record["settings"]
    asked = {name: settings[name] for name in settings if name not in ("crop", "grid")}
    crop = settings["crop"]
    if crop is not None:
        top, left, side = map(int, crop)
        crop = top, left, side
    return edit.Editor(pipeline, edit.Request(str(request.model), (), crop=crop, **asked))


def _one(task: Task, request: Request, record: Mapping[str, Any]) -> Make:
    _same_model(task.model, record)
    return partial(change_all, task, out=request.out, names=[record["picture"]], anew=True)


# By the verb that made it.
_MAKERS: dict[str, Callable[[Any, Request, Mapping[str, Any]], Make]] = {
    "translate": _translated,
    "edit": _edited,
    "edit sheet": _sheet,
}
