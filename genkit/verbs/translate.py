"""A person's pictures through a translator, each at its own size."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genkit.errors import PipelineError, shown
from genkit.images.originals import Original
from genkit.machine import keep_freed_memory
from genkit.pipelines import load_pipeline
from genkit.pipelines.any_size import AnySize
from genkit.pipelines.given import needed
from genkit.pipelines.samples import weights_sha256
from genkit.pipelines.translation import TranslationPipeline
from genkit.rows.columns import Image
from genkit.verbs.before_after import before_and_after, check_sheet
from genkit.verbs.change_pictures import Bar, Made, Outcome, Task, change_all, refuse_inside
from genkit.verbs.own_pictures import find_pictures
from genkit.verbs.sample import usable_device
from genkit.verbs.sample_outputs import default_out

_SIDES = {"image_a": ("a", "b"), "image_b": ("b", "a")}  # from which to which


@dataclass(frozen=True)
class Request:
    """What is to be translated.

    Attributes:
        source: Run folder, export folder or Hub id.
        images: Files, folders, patterns, - for standard input.
        out: Folder of results; None = RUN/translated, or NAME-translated of an export.
        direction: "a2b" (or "AtoB"), "b2a" or such as "horse2zebra"; None = the first.
        tile: Side of tiles in px; None = whole where memory allows it.
        device: Of the network; None = a GPU if there is one.
        grid: A sheet of pictures before and after; None = none.
        measured_at: (H, W) at which the norms of tiles are measured; None = as large as fits.
    """

    source: str
    images: Sequence[str]
    out: Path | None = None
    direction: str | None = None
    tile: int | None = None
    device: str | None = None
    grid: Path | None = None
    measured_at: tuple[int, int] | None = None


@dataclass(frozen=True)
class Direction:
    """One way of a translator.

    Attributes:
        column: Of the picture that the pipeline takes for it.
        start: The kind of picture that it begins with.
        end: What it becomes.
        word: As it is asked for: "a2b".
    """

    column: str
    start: str
    end: str
    word: str

    @property
    def name(self) -> str:
        """With the names of both kinds: "horse2zebra"."""
        return f"{self.start}2{self.end}"

    @property
    def other_word(self) -> str:
        """As other programs call it: "AtoB"."""
        return self.word.upper().replace("2", "to")


def translate(request: Request, bar: Bar | None = None) -> Outcome:
    """Translate pictures into a folder, each with its record beside it.

    Args:
        request: What to translate.
        bar: Makes something that is told how far the work is.

    Raises:
        PipelineError: It is no translator, or has no such direction.
        OutputError: A result would go over something else.
        DataError: There are no pictures.
    """
    keep_freed_memory()
    if request.grid is not None:
        check_sheet(request.grid, _command(request), request.images)
    found = find_pictures(request.images)
    if request.grid is not None:
        refuse_inside(found, request.grid, request.grid.parent)
    pipeline = load_pipeline(request.source, device=usable_device(request.device))
    task = translation(pipeline, request)
    out = request.out or default_out(request.source, "translated", "translated")
    outcome = change_all(task, found, out, bar)
    if request.grid is not None:
        before_and_after(outcome, request.grid, _command(request))
    return outcome


def _command(request: Request) -> str:
    """What a person types for the results and their sheet."""
    words = [] if request.out is None else [f"--out={request.out}"]
    words += [] if request.direction is None else [f"--direction={request.direction}"]
    words += [] if request.tile is None else [f"--tile={request.tile}"]
    pictures = map(str, request.images)
    return shlex.join(
        ["genkit", "translate", request.source, *pictures, *words, f"--grid={request.grid}"]
    )


def translation(pipeline: Any, request: Request) -> Task:
    """What a translator does with each picture.

    Raises:
        PipelineError: It is no translator, has no such direction, or tiles are too small.
    """
    way = _chosen(directions(pipeline, request.source), request)
    settings = {"direction": way.word, "tile": request.tile}
    words = ["--direction", way.word]
    words += [] if request.tile is None else ["--tile", str(request.tile)]
    through = AnySize(
        _run(pipeline, way.column),
        _network(pipeline, way.column),
        tile=request.tile,
        measured_at=request.measured_at,
    )

    def change(original: Original) -> Made:
        with pipeline.generating():
            made, how = through(original.pixels)
        facts = {"from": way.start, "to": way.end, "tiles": how.to_tree()}
        return Made(made, facts, tuple(how.notes(original.size)))

    column = next(taken[way.column] for taken in pipeline.takes if way.column in taken)
    return Task(
        "translate",
        {"path": request.source, "weights": weights_sha256(pipeline)},
        settings,
        words,
        f"-{_safe(way)}.png",
        column.channels or 3,
        change,
    )


def directions(pipeline: Any, source: str) -> list[Direction]:
    """The ways that a translator has, the usual one first.

    Raises:
        PipelineError: It is none.
    """
    takes = pipeline.takes
    if not translates(pipeline):
        raise PipelineError(f"{shown(source)}: this model does not translate; {_instead(takes)}")
    names = dict(zip("ab", getattr(pipeline, "names", ("a", "b")), strict=True))
    found = []
    for taken in takes:
        (column,) = taken
        start, end = _SIDES.get(column, ("a", "b"))
        found.append(Direction(column, names[start], names[end], f"{start}2{end}"))
    return found


def translates(pipeline: Any) -> bool:
    """Whether it makes one picture of another, of any size, and needs nothing besides."""
    columns = [column for taken in pipeline.takes for column in taken.values()]
    any_size = all(isinstance(c, Image) and c.size is None and not c.optional for c in columns)
    single = bool(columns) and all(len(taken) == 1 for taken in pipeline.takes)
    made = pipeline.gives.get("image")
    return any_size and single and isinstance(made, Image) and made.size is None


def _instead(takes: Sequence[Mapping[str, Any]]) -> str:
    known = {name for taken in takes for name in taken}
    if "attributes" in known:
        return "it edits attributes: `genkit edit RUN IMAGES --set NAME=1`"
    if {} not in takes and any(needed(taken) for taken in takes):
        return "it takes pictures of one size: `genkit sample RUN --given FOLDER`"
    if "image" in known:
        return "it makes variants of a picture: `genkit sample RUN --init FILE`"
    return "it makes pictures of nothing: `genkit sample RUN`"


def _chosen(there: list[Direction], request: Request) -> Direction:
    asked = request.direction
    if asked is None:
        return there[0]
    for way in there:
        if asked in (way.word, way.name) or asked.casefold() == way.other_word.casefold():
            return way
    words = " and ".join(
        f"{way.word} ({way.start} to {way.end})" if way.word != way.name else way.word
        for way in there
    )
    raise PipelineError(f"--direction {shown(asked)}: this model has only {words}; choose of these")


def _safe(way: Direction) -> str:
    """The direction as part of a file's name."""
    return way.name if way.name.isascii() and way.name.isalnum() else way.word


def _network(pipeline: Any, column: str) -> nn.Module:
    """The network that a picture goes through, or all of them where nobody says which."""
    if isinstance(pipeline, TranslationPipeline):
        network: nn.Module = pipeline.network(column)
        return network
    parts = [part for part in pipeline.components.values() if isinstance(part, nn.Module)]
    return parts[0] if len(parts) == 1 else nn.ModuleList(parts)


def _run(pipeline: Any, column: str) -> Any:
    options = pipeline.options()

    def run(images: Tensor) -> Tensor:
        given = {column: images}
        made: Tensor = pipeline.generate(
            pipeline.begin(range(len(images)), 0, given, options), given, options
        )["image"]
        return made

    return torch.no_grad()(run)
