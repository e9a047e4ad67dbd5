"""What a model is measured at: tasks, and what one of them is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from genkit.errors import EvaluationError, shown
from genkit.evaluation import metrics
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.paired import evaluate_pairs
from genkit.evaluation.prompts import Prompts
from genkit.evaluation.request import Request
from genkit.evaluation.results import Evaluation
from genkit.evaluation.sets import as_image
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.suite import evaluate
from genkit.rows.base import Rows
from genkit.rows.columns import Columns, Image
from genkit.rows.combine import picked
from genkit.rows.drawn import drawn

PAIRED = ("psnr", "ssim")  # values of pairs that need no further weights


@dataclass(frozen=True)
class Asked:
    """How a model draws, and what is measured of it.

    Attributes:
        count: Pictures that it makes; None = the usual number, or as many as there are rows.
        seed: Of their noise.
        batch_size: Pictures made at a time.
        weights: Names its weights, for fingerprints.
        call: Options of its call, such as {"steps": 50}.
        train: What it was trained on: floors and near copies; None = they are left out.
        parts: Further parts of the data by their names, such as "counterfactual" and "truth": right
            answers that a training never sees. Those that the data has of `Task.parts`.
        request: The attributes of `Request`.
        pictures: Whether pictures are shown beside the values.
        prompts: Texts of one's own, of models that make pictures of texts; None = captions.
    """

    count: int | None = None
    seed: int = 0
    batch_size: int = 64
    weights: str = ""
    call: Mapping[str, Any] = field(default_factory=dict)
    train: Rows | None = None
    parts: Mapping[str, Rows] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)
    pictures: bool = True
    prompts: Prompts | None = None


@dataclass(frozen=True)
class Task:
    """A file of `genkit/evaluation/tasks/`, or "module:TASK" of another package.

    Attributes:
        measure: Values of a pipeline against real rows, as asked for. Every process calls it.
        values: Names of values that it gives by an extractor, the first the usual one to choose
            the best weights by.
        takes_files: Whether files of samples and of real pictures are enough, without the model.
        by_extractor: Whether it looks at pictures through an extractor; where not, `values` is
            given None.
        parts: Names of further parts of the data that it measures by, where there are any.
        quick: Names of its own metrics that are measured during training too.
    """

    measure: Callable[[Any, Rows | ReferenceStatistics, Asked], Evaluation]
    values: Callable[[Any], list[str]]
    takes_files: bool = False
    by_extractor: bool = True
    parts: tuple[str, ...] = ()
    quick: tuple[str, ...] = ()


def of_sets(extractor: Extractor) -> list[str]:
    """Names of values that compare two sets of pictures, as far as they are quick to measure."""
    parts = [f"{part}-{extractor.name}" for part in ("precision", "recall", "density", "coverage")]
    return [extractor.frechet_name, "accuracy", "modes", "modes-kl", *parts]


def of_pairs(extractor: Extractor) -> list[str]:
    """Names of values that compare pairs and sets."""
    return [*PAIRED, *of_sets(extractor)]


def made(pipeline: Any, asked: Asked, given: Rows | None = None, count: int | None = None) -> Rows:
    """Rows that a pipeline draws when they are asked for, from nothing or from what it is given."""
    count = len(given) if given is not None else count or 1
    more = "" if given is None else f" {given.fingerprint}"
    identity = f"{asked.weights} {asked.seed} {dict(asked.call)} {count}{more}"
    return drawn(
        pipeline,
        given,
        asked.seed,
        count=count,
        batch_size=asked.batch_size,
        name=f"{count:,} images of a {type(pipeline).__name__}",
        fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
        **asked.call,
    )


def compared(pipeline: Any, given: Rows, originals: Rows, asked: Asked) -> Evaluation:
    """What a pipeline makes of pictures, each beside its original, and both sets as such.

    Args:
        pipeline: Takes a picture and gives one.
        given: Rows that hold what it takes.
        originals: As many rows whose `image` is what it should make.
        asked: What is measured.
    """
    images = as_image(made(pipeline, asked, given), picture_of(pipeline.gives))
    return joined([in_pairs(images, originals, asked), of_both(images, originals, asked)])


def in_pairs(images: Rows, originals: Rows, asked: Asked) -> Evaluation:
    """How far single pictures are from their originals, row by row: PSNR, SSIM, LPIPS."""
    return evaluate_pairs(
        images,
        originals,
        by="position",
        lpips=asked.request.get("lpips") or (),
        weights=_parted(asked.request.get("weights") or {})[1],
        device=asked.request.get("device"),
    )


def of_both(images: Rows, originals: Rows, asked: Asked) -> Evaluation:
    """Both sets compared as such, without how far single pictures are apart."""
    request = {key: value for key, value in asked.request.items() if key != "lpips"}
    if request.get("weights"):
        request["weights"] = _parted(request["weights"])[0]
    return evaluate(images, originals, train=asked.train, seed=asked.seed, **request)


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """Several evaluations of the same samples as one."""
    first = parts[0]
    return replace(
        first,
        train=next((part.train for part in parts if part.train is not None), None),
        metrics=tuple(value for part in parts for value in part.metrics),
        classes=next((part.classes for part in parts if part.classes is not None), None),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
        seconds=round(sum(part.seconds for part in parts), 2),
        pictures=tuple(picture for part in parts for picture in part.pictures),
    )


def own_metrics(asked: Asked, own: Collection[str]) -> tuple[Asked, set[str]]:
    """What is asked for without a task's own metrics, and which of these are wanted.

    Args:
        asked: As it was asked for.
        own: Names of metrics that the task measures itself; all of them where none are named.

    Raises:
        EvaluationError: A metric is named that there is not.
    """
    named = asked.request.get("metrics")
    if named is None:
        return asked, {*own}
    rest = [name for name in named if name not in own]
    known = [metric.name for metric in metrics.every()]
    for name in rest:
        if ":" not in name and name not in known:
            raise EvaluationError(
                f"metric {shown(repr(name))}: no such metric; this task has {', '.join(own)}, and "
                f"of sets {', '.join(known)}, and module:METRIC for your own"
            )
    return replace(asked, request={**asked.request, "metrics": rest}), {*own} & {*named}


def asks_of_sets(asked: Asked) -> bool:
    """Whether metrics of whole sets are asked for, besides a task's own."""
    return asked.request.get("metrics") != []


def loaded(asked: Asked, reference: Rows) -> tuple[Asked, list[Extractor]]:
    """What is asked for with its extractors loaded, once for all that a task measures by them.

    Args:
        asked: As it was asked for; a protocol names extractors of its own, then there are none.
        reference: The real images, which decide where no extractor was named.
    """
    request = dict(asked.request)
    if request.get("protocol") is not None:
        return asked, []
    named = {k: v for k, v in request.items() if k in ("extractors", "resize", "precision")}
    weights, of_pairs = _parted(request.get("weights") or {})
    how = Request.of({**named, "weights": weights, "device": request.get("device")})
    _, extractors = how.load(reference)
    rest = {k: v for k, v in request.items() if k not in ("resize", "precision")}
    rest |= {"extractors": extractors, "weights": of_pairs}
    return replace(asked, request=rest), extractors


def _parted(weights: Mapping[str, Path]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Files of weights of extractors, and those of LPIPS."""
    of_pairs = {name: path for name, path in weights.items() if name.startswith("lpips-")}
    return {name: path for name, path in weights.items() if name not in of_pairs}, of_pairs


def some(rows: Rows, count: int | None) -> Rows:
    """The first so many rows; None = all of them."""
    return rows if count is None or count >= len(rows) else picked(rows, range(count))


def images_only(reference: Rows | ReferenceStatistics) -> Rows:
    """Real rows, where statistics say too little."""
    if isinstance(reference, Rows):
        return reference
    raise EvaluationError(
        f"{reference.name}: these are statistics; this model is measured picture by picture, so "
        "give images as the reference"
    )


def picture_of(columns: Columns) -> str:
    """The name of the first column of pictures."""
    for name, column in columns.items():
        if isinstance(column, Image):
            return name
    raise EvaluationError(f"no picture among the columns {', '.join(columns) or '(none)'}")
