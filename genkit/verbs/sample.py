"""Samples of a run, an export or a model on the Hub: files of them, sheets, walks.

Drawing from noise, variants of a picture and pictures made of a folder of others are one job: what
differs is what the pipeline is given.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch

from genkit import launch
from genkit.errors import PipelineError, shown
from genkit.files import write_whole
from genkit.machine import keep_freed_memory
from genkit.pipelines import (
    finish_samples,
    load_pipeline,
    read_image,
    read_mask,
    save_grid,
    save_interpolation,
    save_trajectory,
    save_variants,
    write_samples,
)
from genkit.pipelines.inversion import Inverted
from genkit.pipelines.loading import is_run
from genkit.pipelines.samples import begin_samples, labels_of, missing_samples, present_samples
from genkit.provenance import hardware
from genkit.rows.columns import Image
from genkit.rows.given import Cycled
from genkit.verbs import sample_inverted
from genkit.verbs.sample_given import rows_given, texts_given
from genkit.verbs.sample_outputs import check_outputs, default_out

log = logging.getLogger("genkit")

COUNT = 10_000  # as many as an evaluation wants
FEW = 64  # for people to look at
VARIANTS = 8
STRENGTH = 0.6  # of a picture that is changed wholly; 1 where a mask says which part
SPEED_FROM = 100  # samples: fewer say little of the speed
_SAVE = {
    "grid": save_grid,
    "interpolation": save_interpolation,
    "trajectory": save_trajectory,
}


@dataclass(frozen=True)
class Edit:
    """A picture to begin with; all None = none.

    Attributes:
        init: The picture, to be changed everywhere.
        inpaint: The picture, to be changed in part.
        mask: Which part: white = make anew.
        strength: How much to change it, in (0, 1].
        inverts: Whether the picture, or each that is given, becomes the noise that it comes from.
        shows: What such pictures show: texts or classes, in turn.
    """

    init: Path | None = None
    inpaint: Path | None = None
    mask: Path | None = None
    strength: float | None = None
    inverts: bool = False
    shows: Sequence[str] = ()

    @property
    def is_asked(self) -> bool:
        """Whether there is a picture to begin with."""
        return self.init is not None or self.inpaint is not None

    def asked(self, pipeline: Any) -> dict[str, Any]:
        """Keywords of the pipeline's call: the picture, the mask and how much to change."""
        if self.inverts:
            return {}
        picture = self.init or self.inpaint
        if picture is None:
            return {} if self.strength is None else {"strength": self.strength}
        mask = None if self.mask is None else read_mask(self.mask, pipeline)
        default = STRENGTH if mask is None else 1.0
        strength = default if self.strength is None else self.strength
        return {"image": read_image(picture, pipeline), "mask": mask, "strength": strength}


@dataclass(frozen=True)
class Request:
    """What is to be made of which pipeline.

    Attributes:
        source: Run folder, export folder or Hub id.
        count: Rows in all; None = as many as are given, 8 variants of a picture, 10,000 of a run
            or into what `out` names, else 64.
        seed: Names the noise of all rows.
        given: What they are made of: FOLDER or COLUMN=FOLDER of pictures, COLUMN=TEXT.
        out: Where they go; None = the run folder, or a folder named after the export.
        batch_size: Rows made at a time.
        device: Of the networks; None = a GPU if there is one.
        pictures: Sheets and walks by kind: "grid", "interpolation", "trajectory".
        options: Keywords of the pipeline's call.
        labels: Classes as a person lists them; None = all, or what `options` say.
        prompts: Texts to make pictures of, in turn.
        negative: What they don't show.
        edit: A picture to begin with.
        compile: Whether to sample through `torch.compile`.
    """

    source: str
    count: int | None = None
    seed: int = 0
    given: Sequence[str] = ()
    out: Path | None = None
    batch_size: int = 64
    device: str | None = None
    pictures: Mapping[str, Path] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    labels: str | None = None
    prompts: Sequence[str] = ()
    negative: str | None = None
    edit: Edit = field(default_factory=Edit)
    compile: bool = False

    @property
    def is_sheet(self) -> bool:
        """Whether it is for variants that go into one picture."""
        return self.edit.is_asked and (self.out is None or self.out.suffix == ".png")

    @property
    def target(self) -> Path | None:
        """Where samples or variants go; None if only pictures are asked for."""
        if self.pictures and self.count is None and self.out is None and not self.given:
            return None
        if self.out is not None:
            return self.out
        if self.edit.is_asked:
            return default_out(self.source, "variants.png", "variants.png")
        if self.given or self.prompts:
            name = "made" if self.given else "prompted"
            return default_out(self.source, name, name)
        return default_out(self.source, "samples.npz", "samples")

    @property
    def usual_count(self) -> int:
        """Rows to make where neither a count nor anything to make them of is given."""
        if self.edit.is_asked:
            return VARIANTS
        if self.prompts:
            return len(self.prompts)
        return COUNT if self.out is not None or is_run(Path(self.source)) else FEW


class Advance(Protocol):
    """Is told how far this process is."""

    def batch(self, images: int) -> None:
        """A batch is written."""

    def step(self, done: int, steps: int) -> None:
        """So many steps of a batch are done."""


# Of all rows, those that are missing, those of this process and its batch size: what shows them.
Bar = Callable[[int, int, int, int], AbstractContextManager[Advance]]


def sample(request: Request, bar: Bar | None = None) -> dict[str, Any]:
    """What was done, by name; {} in processes that are not the first.

    Every process that a launcher started makes its share.

    Args:
        request: What to make.
        bar: Makes something that is told how far the samples are.
    """
    keep_freed_memory()
    sample_inverted.check(request)
    target, edit = request.target, request.edit
    read = [edit.init, edit.inpaint, edit.mask, *(word.partition("=")[2] for word in request.given)]
    check_outputs(target, request.pictures, [*read, *request.given], sheet=request.is_sheet)
    lag = _lag(request.source)
    present = 0 if target is None or request.is_sheet else present_samples(target)
    pipeline = load_pipeline(request.source, device=usable_device(request.device))
    _refuse_without_pictures(pipeline, request.source)
    if request.compile:
        pipeline.compile()
    asked = _asked(pipeline, request)
    given = rows_given(pipeline, request.given) if request.given else None
    found = None
    if edit.inverts:
        found, asked = sample_inverted.invert(pipeline, request, given, asked)
        request = replace(request, count=pipeline.asked(given, **asked)[0].count)
    result = {"source": request.source, "seed": request.seed, "labels": asked.get("label")}
    if target is not None and not request.is_sheet:
        result |= _write(pipeline, request, target, given, asked, present, bar)
    if not launch.ranks().is_first:
        return {}
    if lag is not None:
        result["note"] = lag
    if "images_per_s" in result:
        _keep_speed(result, request)
    if target is not None and request.is_sheet:
        result |= _sheet(pipeline, request, target, found, asked)
    if target is not None and found is not None:
        result["inversion"] = sample_inverted.report(pipeline, request, given, found, target)
    drawing = {"seed": request.seed, "batch_size": request.batch_size}
    for name, path in request.pictures.items():
        # A few images of a trajectory are made all at once.
        how = {"seed": request.seed} if name == "trajectory" else drawing
        result[name] = str(_SAVE[name](pipeline, path, **how, **asked))
    return result


def _asked(pipeline: Any, request: Request) -> dict[str, Any]:
    """Keywords of the pipeline's call."""
    asked = {**request.options, **request.edit.asked(pipeline)}
    if request.labels is not None:
        asked["label"] = labels_of(pipeline, request.labels)
    needed = not request.edit.inverts  # what the pictures show is a text then
    words = (request.prompts, request.negative, request.given)
    return asked | texts_given(pipeline, *words, needed=needed)


def _sheet(
    pipeline: Any,
    request: Request,
    target: Path,
    found: Inverted | None,
    asked: Mapping[str, Any],
) -> dict[str, Any]:
    """Save variants of a picture as one sheet; what a script would want to know about it."""
    if found is not None:
        count = sample_inverted.sheet(pipeline, request, found, target, asked)
        return {"out": str(target), "count": count}
    count, rest = request.count or VARIANTS, dict(asked)
    drawing = {"count": count, "seed": request.seed, "batch_size": request.batch_size}
    sheet = save_variants(pipeline, rest.pop("image"), target, **drawing, **rest)
    return {"out": str(sheet), "count": count}


def _refuse_without_pictures(pipeline: Any, source: str) -> None:
    """Raise where a pipeline makes no pictures, such as one that names what is on them."""
    gives = getattr(pipeline, "gives", {"image": Image()})
    if not any(isinstance(column, Image) for column in gives.values()):
        raise PipelineError(
            f"{shown(source)}: a {type(pipeline).__name__} makes no pictures, it gives "
            f"{', '.join(gives)} of them; `genkit evaluate {shown(source)}` measures it, and "
            "`genkit.load_pipeline(...)` lends it to Python"
        )


def _lag(source: str) -> str | None:
    """What is to be said where a run's export is older than the run, and was said."""
    from genkit.run_folder import progress

    lag = progress(source).lag if is_run(Path(source)) else None
    if lag is not None and launch.ranks().is_first:
        log.warning("%s", lag)
    return lag


def usable_device(asked: str | None) -> str:
    """The device asked for if it works; by default this rank's GPU, or the CPU."""
    if asked is None:
        return str(launch.own_device())
    try:
        torch.empty(0, device=asked)
    except (RuntimeError, AssertionError) as error:
        raise PipelineError(
            f"--device {asked}: not usable here ({str(error).splitlines()[0]}); "
            "`genkit machine` lists the devices"
        ) from None
    return asked


def _write(
    pipeline: Any,
    request: Request,
    target: Path,
    given: Cycled | None,
    asked: Mapping[str, Any],
    present: int,
    bar: Bar | None,
) -> dict[str, Any]:
    """Make and finish the samples; what a script would want to know about it."""
    count = request.count or (request.usual_count if given is None else given.longest)
    spec = {"count": count, "seed": request.seed, "given": given, **asked}
    begun, written = time.perf_counter(), 0
    if begin_samples(pipeline, target, **spec):
        if request.count is None and launch.ranks().is_first:
            log.info("%d images into %s; --count and --out ask for others", count, shown(target))
        _make(pipeline, request, target, spec, bar)
        written = count - present
    seconds = time.perf_counter() - begun
    return {
        "out": str(target),
        "count": count,
        "written": written,
        "seconds": round(seconds, 3),
        "images_per_s": round(written / seconds, 1),
    }


def _make(
    pipeline: Any, request: Request, target: Path, spec: Mapping[str, Any], bar: Bar | None
) -> None:
    """Make this process's share; the first one waits for the others and finishes."""
    ranks, size = launch.ranks(), request.batch_size
    share: dict[str, Any] = {"batch_size": size, "rank": ranks.rank, "processes": ranks.world}
    if bar is None:
        write_samples(pipeline, target, **spec, **share)
    else:
        missing = missing_samples(target, batch_size=size)
        own = missing_samples(target, **share)
        with bar(spec["count"], missing, own, size) as advance:
            pipeline.on_step = advance.step
            try:
                write_samples(pipeline, target, **spec, **share, progress=advance.batch)
            finally:
                pipeline.on_step = None
    if ranks.is_first and ranks.is_launched:
        # Until the last image of the others is there. If one fails, the launcher ends us all.
        while missing_samples(target, batch_size=size):
            time.sleep(0.2)
        finish_samples(target)


def _keep_speed(result: Mapping[str, Any], request: Request) -> None:
    """Leave the speed in the run folder, for the report, if all samples were made in this go."""
    whole = result["written"] == result["count"] >= SPEED_FROM
    special = request.edit.is_asked or request.given
    if not is_run(Path(request.source)) or special or not whole:
        return
    kept = {key: result[key] for key in ("count", "seconds", "images_per_s")}
    kept |= {"batch_size": request.batch_size, "processes": launch.ranks().world}
    kept |= {"hardware": hardware()}
    kept |= {"options": {k: str(v) for k, v in request.options.items() if k != "label"}}
    with suppress(OSError):  # a run folder that can only be read
        write_whole(Path(request.source) / "sampling.json", json.dumps(kept, indent=1))
