"""What a model is measured at: tasks, and what one of them is asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from genkit.errors import EvaluationError
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.paired import evaluate_pairs
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
        request: The attributes of `Request`.
    """

    count: int | None = None
    seed: int = 0
    batch_size: int = 64
    weights: str = ""
    call: Mapping[str, Any] = field(default_factory=dict)
    train: Rows | None = None
    request: Mapping[str, Any] = field(default_factory=dict)


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
    """

    measure: Callable[[Any, Rows | ReferenceStatistics, Asked], Evaluation]
    values: Callable[[Any], list[str]]
    takes_files: bool = False
    by_extractor: bool = True


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
    weights = asked.request.get("weights") or {}
    pairs = evaluate_pairs(
        images,
        originals,
        by="position",
        lpips=asked.request.get("lpips") or (),
        weights={name: path for name, path in weights.items() if name.startswith("lpips-")},
        device=asked.request.get("device"),
    )
    return joined([pairs, of_both(images, originals, asked)])


def of_both(images: Rows, originals: Rows, asked: Asked) -> Evaluation:
    """Both sets compared as such, without how far single pictures are apart."""
    request = {key: value for key, value in asked.request.items() if key != "lpips"}
    if request.get("weights"):
        own = request["weights"].items()
        request["weights"] = {name: path for name, path in own if not name.startswith("lpips-")}
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
    )


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
