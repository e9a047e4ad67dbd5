"""Attributes of a person's pictures, switched; and strips and sheets of what a model can do."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genkit.config import read_tree
from genkit.errors import PipelineError, shown
from genkit.images import sheets, stack, to_float, to_uint8
from genkit.images.originals import Original, read_original
from genkit.images.regions import Region, middle, named
from genkit.images.sheets import Line
from genkit.machine import keep_freed_memory
from genkit.pipelines import load_pipeline
from genkit.pipelines.samples import weights_sha256
from genkit.verbs.change_pictures import Bar, Made, Outcome, Task, change_all, refuse_inside
from genkit.verbs.edit_words import as_typed, ending, named_as_options, taken_for
from genkit.verbs.own_pictures import find_pictures
from genkit.verbs.sample import usable_device
from genkit.verbs.sample_outputs import default_out

log = logging.getLogger("genkit")

_FARTHEST = 4.0  # times what was learnt: twice as far as published tests and strips go
LEVELS = tuple(i / 2 for i in range(-4, 5))  # of a strip: -2 to 2

UNFAMILIAR = (
    "unlike 99 % of pictures like those that this model learnt, so edits may fail: another kind of "
    "picture, or another crop, which --crop gives"
)


@dataclass(frozen=True)
class Request:
    """What is to be edited.

    Attributes:
        source: Run folder, export folder or Hub id.
        images: Files, folders, patterns, - for standard input.
        out: Folder of results; None = RUN/edited, or NAME-edited of an export.
        set: Attributes to switch, each to 1 or 0.
        strength: How far they go; 1 as in the published tests.
        have: Attributes that all pictures have (1) or not (0), whatever is guessed.
        sweep: Attributes of which to make a strip from -2 to 2.
        crop: (top, left, side) in px of the part that the model sees; None = the middle.
        model_size: Whether results are what the model made itself, of its own size, instead of the
            change laid on the picture.
        grid: A sheet of pictures, each with every attribute switched; None = none.
        device: Of the networks; None = a GPU if there is one.
    """

    source: str
    images: Sequence[str]
    out: Path | None = None
    set: Mapping[str, int] = field(default_factory=dict)
    strength: float = 1.0
    have: Mapping[str, int] = field(default_factory=dict)
    sweep: Sequence[str] = ()
    crop: tuple[int, int, int] | None = None
    model_size: bool = False
    grid: Path | None = None
    device: str | None = None


def edit(request: Request, bar: Bar | None = None) -> list[Outcome]:
    """What was done: of the edits, of the strips and of the sheet, as far as they are asked for.

    Args:
        request: What to edit.
        bar: Makes something that is told how far the work is.

    Raises:
        PipelineError: The model edits no attributes, or not these.
        OutputError: A result would go over something else.
        DataError: There are no pictures.
    """
    keep_freed_memory()
    if request.grid is not None:
        from genkit.verbs.edit_grid import check_grid, command_of

        check_grid(request.grid, command_of(request), request.images)
    found = find_pictures(request.images)
    if request.grid is not None:
        refuse_inside(found, request.grid, request.grid.parent)
    pipeline = load_pipeline(request.source, device=usable_device(request.device))
    editor = Editor(pipeline, request)
    tasks = _tasks(editor)
    out = request.out or default_out(request.source, "edited", "edited")
    outcomes = [change_all(task, found, out, bar) for task in tasks]
    if request.grid is not None:
        from genkit.verbs.edit_grid import attribute_grid, command_of

        failed = {name: why for outcome in outcomes for name, why in outcome.failed.items()}
        command = command_of(request)
        outcomes.append(attribute_grid(editor, found, request.grid, command, failed))
    return outcomes


def _tasks(editor: Editor) -> list[Task]:
    """What is done with each picture: edited, made a strip of, or both.

    Raises:
        PipelineError: Nothing is asked for, or options don't go together.
    """
    request = editor.request
    if not (request.set or request.sweep or request.grid):
        raise PipelineError(
            "nothing to edit: say what by --set NAME=1 or NAME=0, --sweep NAME or --grid FILE.png; "
            f"this model knows {', '.join(map(shown, editor.pipeline.attributes))}"
        )
    if request.strength != 1 and not (request.set or request.grid):
        raise PipelineError(
            "--strength: is of --set and --grid, and a strip goes from -2 to 2 anyway; leave it out"
        )
    if request.model_size and not request.set:
        raise PipelineError(
            "--model-size: is of --set; strips and sheets show what the model made anyway; leave "
            "it out"
        )
    twice = next((name for name in request.sweep if request.sweep.count(name) > 1), None)
    if twice is not None:
        raise PipelineError(f"--sweep {shown(twice)}: stands twice; give each once")
    made = []
    if request.set:
        made.append(editor.task({**editor.switched, "model_size": request.model_size}))
    if request.sweep:
        made.append(editor.task({"sweep": list(request.sweep), **editor.switched}))
    return made


class Editor:
    """A model that edits, and how it is given a person's picture.

    Attributes:
        request: What is asked for, attributes in the order in which the model knows them.

    Raises:
        PipelineError: The model edits no attributes, or not these.
    """

    def __init__(self, pipeline: Any, request: Request) -> None:
        if not hasattr(pipeline, "attributes") or not hasattr(pipeline, "guess"):
            raise PipelineError(
                f"{shown(request.source)}: this model edits no attributes, as one of attgan does"
            )
        self.pipeline, self.request = pipeline, request
        column = pipeline.gives["image"]
        self.size: tuple[int, int] = column.size
        self.channels: int = column.channels or 3
        with named_as_options():
            pipeline.options(**self.switched, have=request.have)
            pipeline.options(flip=pipeline.attributes[0], strength=request.strength)
            for name in request.sweep:
                pipeline.options(**self.switched, levels={name: 1.0}, have=request.have)
        self.request = replace(
            request,
            set={name: request.set[name] for name in pipeline.attributes if name in request.set},
            have={name: request.have[name] for name in pipeline.attributes if name in request.have},
        )
        self.model = {"path": request.source, "weights": weights_sha256(pipeline)}
        self._warn_of_strength()

    @property
    def switched(self) -> dict[str, Any]:
        """What is switched and how far, as options of a call."""
        request = self.request
        return {"set": request.set, "strength": request.strength} if request.set else {}

    def _warn_of_strength(self) -> None:
        strength, config = self.request.strength, self.pipeline.config
        times = strength * config["test_int"] / config["thres_int"]
        if times > _FARTHEST:
            log.warning(
                "strength %g tells the model %g times what it was trained with; beyond %g times "
                "expect patches and wrong colours", strength, times, _FARTHEST
            )  # fmt: skip

    def task(self, what: Mapping[str, Any]) -> Task:
        """What is done with each picture: {"set", "strength", "model_size"}, or {"sweep"} and
        perhaps what is switched in it.
        """
        settings, words = self.asked(what)
        strip = "sweep" in what
        return Task(
            "edit",
            self.model,
            settings,
            words,
            ending(what, self.size),
            self.channels,
            self._strip(what["sweep"]) if strip else self._edited,
            bare=strip or what["model_size"],
        )

    def asked(self, what: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """What is asked for, as JSON, and as words of the command line."""
        request = self.request
        settings = {**what, "have": dict(request.have)}
        settings["crop"] = None if request.crop is None else list(request.crop)
        return settings, as_typed(what, request.have, request.crop)

    def region(self, pixels: Tensor) -> Region:
        """The part of a picture (C, H, W) that the model sees."""
        crop = self.request.crop
        return middle(pixels, self.size) if crop is None else named(pixels, crop, self.size)

    def made(self, seen: Tensor, **asked: Any) -> Tensor:
        """What the model makes of a picture (C, h, w) uint8 of its size, likewise."""
        options = self.pipeline.options(have=self.request.have, **asked)
        image = to_float(seen[None]).to(self.pipeline.device)
        with self.pipeline.generating():
            made: Tensor = self.pipeline.generate(None, {"image": image}, options)["image"]
        return to_uint8(made)[0].cpu()

    def facts(
        self, seen: Tensor, edited: bool = True
    ) -> tuple[dict[str, Any], tuple[str, ...], str]:
        """Of the picture that was edited last: what to record, to note and to show; `edited` = with
        what it was edited to.
        """
        used, names = self.pipeline.used, self.pipeline.attributes
        taken = map(int, used.before[0].tolist())
        facts: dict[str, Any] = {"attributes": dict(zip(names, taken, strict=True))}
        if edited:
            code = (round(v, 4) for v in used.code[0].tolist())
            facts["asked"] = dict(zip(names, map(int, used.after[0].tolist()), strict=True))
            facts["code"] = dict(zip(names, code, strict=True))
        said = ""
        if used.shares is not None:
            shares = dict(zip(names, used.shares[0].tolist(), strict=True))
            facts["guessed"] = {name: round(share, 4) for name, share in shares.items()}
            said = taken_for(facts["attributes"], shares, self.request.have)
        notes, distance = self._familiar(seen)
        return {**facts, **distance}, notes, said

    def _familiar(self, seen: Tensor) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Whether a picture is like those that were learnt: what to note, and what to record."""
        below = float(self.pipeline.familiar_below)
        if math.isinf(below):
            return ("this export does not know what is familiar to it, so nothing is said",), {}
        image = to_float(seen[None]).to(self.pipeline.device)
        distance = float(self.pipeline.unfamiliarity(image)[0])
        record = {"unfamiliarity": round(distance, 4), "familiar_below": round(below, 4)}
        return ((UNFAMILIAR,) if distance > below else ()), record

    def _edited(self, original: Original) -> Made:
        region = self.region(original.pixels)
        seen = region.seen(original.pixels, self.size)
        changed = self.made(seen, **self.switched)
        facts, notes, said = self.facts(seen)
        whole = (region.height, region.width)
        facts["part"] = [region.top, region.left, *whole]
        if self.request.model_size:
            return Made(changed, facts, notes, said)
        if whole != self.size:
            high, wide = self.size
            blurred = whole[0] > high
            notes += (
                f"{'larger' if blurred else 'smaller'} than the model's {wide} x {high} px: the "
                "change was brought to its size and added"
                + (", so thin lines of it are blurred; --model-size gives what the model made "
                   "itself" if blurred else ""),
            )  # fmt: skip
        return Made(region.put_back(original.pixels, seen, changed), facts, notes, said)

    def _strip(self, sweep: Sequence[str]) -> Callable[[Original], Made]:
        def change(original: Original) -> Made:
            seen = self.region(original.pixels).seen(original.pixels, self.size)
            lines = []
            for name in sweep:
                frames = [
                    self.made(seen, **self.switched, levels={name: level}) for level in LEVELS
                ]
                above = ["given", *(f"{level:+g}" if level else "0" for level in LEVELS)]
                lines.append(Line(torch.stack([seen, *frames]), name, above))
            facts, notes, said = self.facts(seen, edited=False)
            return Made(sheet_of(lines), facts | {"levels": list(LEVELS)}, notes, said)

        return change

    def read(self, content: bytes, where: str) -> tuple[Tensor, tuple[str, ...]]:
        """A picture file as the model sees it, (C, h, w) uint8, and what of it is not kept."""
        original = read_original(content, where, self.channels)
        pixels = original.pixels
        return self.region(pixels).seen(pixels, self.size), original.notes


def training_crop(source: str) -> tuple[int, int, int]:
    """(top, left, side) of the part that a run's own pictures were cut to.

    Raises:
        PipelineError: There is no run's config, or its pictures were not cut.
    """
    folder = Path(source)
    for path in (folder / "config.yaml", folder.parent / "config.yaml"):
        if path.is_file():
            crop = read_tree(path).get("data", {}).get("crop")
            if isinstance(crop, list | tuple) and len(crop) == 3:
                top, left, side = map(int, crop)
                return top, left, side
            break
    raise PipelineError(
        f"--crop training: {shown(source)} does not say that its pictures were cut (data.crop); "
        "leave it out, or give TOP,LEFT,SIDE"
    )


def sheet_of(lines: Sequence[Line], side: int = 96, letters: int = 14) -> Tensor:
    """Lines of pictures as one picture (C, H, W) uint8, small ones enlarged by a whole factor."""
    scale = max(1, side // lines[0].images.shape[-1])
    return stack([sheets.sheet(lines, scale=scale, letters=letters)])[0]
