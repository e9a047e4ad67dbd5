"""Every metric of one set of samples, each with its interval, its floor and how it was computed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation import metrics, processes, protocols, readings, usual
from genkit.evaluation.engine import Features, extract
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.metric import Metric
from genkit.evaluation.metrics import prdc
from genkit.evaluation.moments import Gaussian
from genkit.evaluation.overlap import Contents, Shared
from genkit.evaluation.perceptual import Lpips, diversity
from genkit.evaluation.pixels import Pixels
from genkit.evaluation.request import Request
from genkit.evaluation.results import Evaluation, Value, identity, left_out, versions
from genkit.evaluation.sets import shape_of
from genkit.evaluation.statistics import NoReference, ReferenceStatistics
from genkit.evaluation.values import value_of
from genkit.evaluation.view import Found, View, floor_set_of
from genkit.machine import give_back_freed_memory
from genkit.rows.base import Rows
from genkit.rows.combine import numbered_alike

SMALLEST = max(prdc.K_MANIFOLD, prdc.K_DENSITY) + 1  # images of a set

Reference = Rows | ReferenceStatistics


def evaluate(
    samples: Rows,
    reference: Reference,
    *,
    train: Rows | None = None,
    **request: Any,
) -> Evaluation:
    """Every metric that these sets allow. All processes call it, and all get the same.

    Args:
        samples: Generated images. With labels, class accuracy is measured too.
        reference: Real images that the model was not trained on, or their statistics.
        train: What it was trained on: gives the floors and the near-copy rate.
        request: The attributes of `Request`.

    Raises:
        EvaluationError: The sets or the request don't fit each other; says what to change.
    """
    start = time.monotonic()
    name = request.get("protocol")
    asked = Request.of(request if name is None else protocols.settings(name, request))
    _check(samples, reference, train, asked)
    if isinstance(reference, Rows):
        samples = numbered_alike(samples, reference)
        reference = numbered_alike(reference, samples)
        train = None if train is None else numbered_alike(train, reference)
    asked, extractors = asked.load(reference)
    distances = asked.load_lpips()
    _check_extractors(samples, reference, asked, extractors, distances)
    features = _Extraction.of(samples, reference, train, asked, extractors, distances)
    return processes.from_first(lambda: _measured(features, start))


def _check(samples: Rows, reference: Reference, train: Rows | None, asked: Request) -> None:
    if isinstance(reference, NoReference):
        _check_alone(train, asked)
        return
    for images in (samples, reference, train):
        if isinstance(images, Rows) and len(images) < SMALLEST:
            raise EvaluationError(
                f"{images.name}: {len(images)} images, expected at least {SMALLEST} "
                f"(the {SMALLEST - 1} nearest neighbours of each are looked at); use more images"
            )
    for metric in asked.named:
        if metric.on == "features":
            continue  # left out with a note
        if "train" in metric.needs and train is None:
            raise EvaluationError(f"metric {metric.name}: needs the training images: --train SET")
        if "train" in metric.needs and metric.on == "pixels" and train is not None:
            _refuse_the_same(metric.name, reference, train)
        if metric.on == "images" and not isinstance(reference, Rows):
            raise EvaluationError(
                f"{reference.name}: these are statistics; metric {metric.name} reads real images, "
                "so give a set of images as the reference"
            )


def _check_alone(train: Rows | None, asked: Request) -> None:
    """Raise where real images are asked for, and there are none."""
    if train is not None:
        raise EvaluationError(
            "--train: gives floors of what is compared with real images; give these too "
            "(--reference SET), or leave it out"
        )
    for metric in asked.named:
        if not metric.alone:
            raise EvaluationError(
                f"metric {metric.name}: compares with real images; give some (--reference SET), or "
                "leave it out"
            )


def _refuse_the_same(name: str, reference: Reference, train: Rows) -> None:
    if reference.fingerprint == train.fingerprint:
        raise EvaluationError(
            f"metric {name}: reference and training images are the same set ({reference.name}), so "
            "nothing says how near unseen images lie; give images that were not trained on as "
            "--reference"
        )


def _check_extractors(
    samples: Rows,
    reference: Reference,
    asked: Request,
    extractors: Sequence[Extractor],
    distances: Sequence[Lpips],
) -> None:
    """What would otherwise only be found out after all images were read."""
    names = [extractor.frechet_name for extractor in extractors]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise EvaluationError(f"two extractors give a {twice}: evaluate by one of them at a time")
    for metric in asked.named:
        if metric.on == "features" and not any(map(metric.fits, extractors)):
            raise EvaluationError(f"metric {metric.name}: not by these extractors; {metric.hint}")
    for extractor, named in zip(extractors, asked.chosen, strict=True):
        for metric in asked.metrics_of(extractor, named):
            metric.check(samples, extractor)
    if isinstance(reference, ReferenceStatistics) and not isinstance(reference, NoReference):
        for extractor in extractors:
            reference.gaussian_for(extractor)
    for distance in distances:
        distance.check(shape_of(samples))


# -- one pass over each set ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Extraction:
    """The sets and all that the extractors say of them."""

    asked: Request
    extractors: list[Extractor]
    distances: list[Lpips]
    samples: Rows
    reference: Reference
    train: Rows | None
    floor_set: Rows | None
    of_samples: list[Features]
    of_reference: list[Features] | None
    of_floor: list[Features] | None
    shared: Shared

    @classmethod
    def of(
        cls,
        samples: Rows,
        reference: Reference,
        train: Rows | None,
        asked: Request,
        extractors: list[Extractor],
        distances: list[Lpips],
    ) -> _Extraction:
        """Read every set once."""
        pairs = zip(extractors, asked.chosen, strict=True)
        small = [all(m.takes_moments for m in asked.metrics_of(*pair)) for pair in pairs]
        real = reference if isinstance(reference, Rows) else None
        floor_set = None if train is None else floor_set_of(train, samples, asked.seed)
        pixels: list[Extractor] = []
        wanted = any(metric.on == "pixels" for metric in asked.on_images)
        if wanted and train is not None and real is not None:
            pixels = [Pixels()]  # they come last, after the extractors asked for

        def read(images: Rows, keep: bool, more: list[Extractor]) -> tuple[list[Features], Tensor]:
            more = [*more, Contents()]
            *found, contents = extract(
                images,
                [*extractors, *more],
                keep=keep,
                only_moments=[*small, *[False] * len(more)],
                workers=asked.workers,
            )
            return found, contents.rows[:, 0]

        mine = read(samples, False, pixels)
        theirs = (None, None) if real is None else read(real, True, pixels)
        floor = (None, None) if floor_set is None else read(floor_set, True, [])
        return cls(
            asked,
            extractors,
            distances,
            samples,
            reference,
            train,
            floor_set,
            mine[0],
            theirs[0],
            floor[0],
            Shared(mine[1], theirs[1], floor[1]),
        )

    @property
    def has_pixels(self) -> bool:
        """Whether the images were read as pixels too, after the extractors."""
        return len(self.of_samples) > len(self.extractors)

    def view(self, position: int) -> View:
        """What one extractor sees; the pixels come after all of them."""
        is_asked_for = position < len(self.extractors)
        extractor = self.extractors[position] if is_asked_for else Pixels()
        samples, known, real = self.of_samples[position], None, self.reference
        if isinstance(real, ReferenceStatistics) and not isinstance(real, NoReference):
            known = real.gaussian_for(extractor)
            _refuse_width(real.name, known, samples, extractor)
        return View(
            extractor,
            samples,
            None if self.of_reference is None else self.of_reference[position],
            known,
            None if self.of_floor is None or not is_asked_for else self.of_floor[position],
            self.samples,
            self.reference if isinstance(self.reference, Rows) else None,
            identity(self.reference)["count"],
            self.asked.seed,
            self.floor_set,
            self.train,
            self.asked.metrics is not None,
            self.shared,
        )


def _refuse_width(name: str, real: Gaussian, samples: Features, extractor: Extractor) -> None:
    if len(real.mean) != samples.rows.shape[1]:
        raise EvaluationError(
            f"{name}: statistics of {len(real.mean)} features, but {extractor.name} gives "
            f"{samples.rows.shape[1]}; compute them with this extractor"
        )


# -- the metrics -----------------------------------------------------------------------------------


def _measured(sets: _Extraction, start: float) -> Evaluation:
    values: list[Value] = []
    notes: list[str] = []
    classes: list[dict[str, Any]] | None = None
    otherwise = _read_otherwise(sets)
    for position, extractor in enumerate(sets.extractors):
        view = sets.view(position)
        asked = sets.asked.metrics_of(extractor, sets.asked.chosen[position])
        for metric in asked:
            values += [
                _value(found, sets, extractor, otherwise) for found in _found(metric, view, notes)
            ]
        notes += [metric.remark(view) for metric in metrics.every()]
        notes.append(usual.warning(extractor, sets.reference))
        for metric in asked:
            classes = metric.table(view) or classes
    values += [_value(found, sets, None, otherwise) for found in _of_images(sets, notes)]
    notes += [*sets.shared.notes(), _short_floor(sets)]
    notes += map(left_out, (sets.samples, sets.reference, sets.train))
    if sets.asked.protocol is not None:
        notes += protocols.notes(sets.asked.protocol, len(sets.samples), sets.reference.name)
        notes += readings.notes(otherwise, sets.asked.protocol)
    return Evaluation(
        samples=identity(sets.samples),
        reference=identity(sets.reference),
        train=None if sets.train is None else identity(sets.train),
        metrics=tuple(values),
        classes=None if classes is None else tuple(classes),
        notes=tuple(dict.fromkeys(note for note in notes if note)),
        seconds=round(time.monotonic() - start, 2),
        versions=versions(),
    )


def _short_floor(sets: _Extraction) -> str:
    """A note where there are fewer training images than samples; else empty."""
    if sets.floor_set is None or len(sets.floor_set) >= len(sets.samples):
        return ""
    return (
        f"the floors are of {len(sets.floor_set):,} training images and the values of "
        f"{len(sets.samples):,} samples: distances of fewer images are larger, so these floors "
        "are too high; give a larger --train"
    )


def _found(metric: Metric, view: View, notes: list[str]) -> Sequence[Found]:
    """The values of a metric; without any a note says why."""
    found = metric.measure(view)
    give_back_freed_memory()  # of what the metric needed on its way
    if not found:
        notes.append(metric.left_out(view))
    return found


def _read_otherwise(sets: _Extraction) -> dict[str, int]:
    """How many pictures of each set the tools of a published protocol would read otherwise."""
    if sets.asked.protocol is None:
        return {}
    both = (sets.samples, sets.reference)
    return {rows.name: n for rows in both if (n := readings.read_otherwise(rows))}


def _value(
    found: Found, sets: _Extraction, extractor: Extractor | None, otherwise: dict[str, int]
) -> Value:
    more: dict[str, Any] = {}
    if sets.floor_set is not None and extractor is not None:
        more["floor_count"] = len(sets.floor_set)
    if sets.asked.protocol is not None:
        more["preset"] = sets.asked.protocol
    if otherwise:
        more["read_otherwise"] = otherwise
    return value_of(found, sets.samples, sets.reference, extractor, more)


def _of_images(sets: _Extraction, notes: list[str]) -> list[Found]:
    """Metrics that need none of the extractors that were asked for."""
    found: list[Found] = []
    for distance in sets.distances:
        apart = diversity(sets.samples, distance, sets.asked.seed)
        if sets.floor_set is not None:
            real = diversity(sets.floor_set, distance, sets.asked.seed)
            apart = replace(apart, floor=real.value)
        found.append(apart)
    for metric in sets.asked.on_images:
        on_pixels = metric.on == "pixels" and sets.has_pixels
        found += _found(metric, sets.view(len(sets.extractors) if on_pixels else 0), notes)
    if isinstance(sets.reference, ReferenceStatistics) and sets.reference.unknown:
        notes.append(sets.reference.unknown)
    return found
