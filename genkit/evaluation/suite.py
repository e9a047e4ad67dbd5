"""Every metric of one set of samples, each with its interval, its floor and how it was computed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from genkit.errors import EvaluationError
from genkit.evaluation import (
    accuracy,
    class_frechet,
    clip_score,
    frechet_infinity,
    modes,
    near_copies,
    parzen,
    prdc,
    processes,
    protocols,
)
from genkit.evaluation.clip import ClipExtractor
from genkit.evaluation.engine import Features, extract
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.intervals import interval, standard_error
from genkit.evaluation.moments import Gaussian
from genkit.evaluation.perceptual import Lpips, diversity
from genkit.evaluation.request import COPIES, METRICS, NEEDS, Request, can_measure
from genkit.evaluation.results import Evaluation, Metric, identity, identity_count, versions
from genkit.evaluation.sets import ImageSet
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.view import Found, View, as_many, gaussian_of
from genkit.machine import give_back_freed_memory
from genkit.random import generator

SMALLEST = max(prdc.K_MANIFOLD, prdc.K_DENSITY) + 1  # images of a set

Reference = ImageSet | ReferenceStatistics


def evaluate(
    samples: ImageSet,
    reference: Reference,
    *,
    train: ImageSet | None = None,
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
    asked = Request(**(request if name is None else protocols.settings(name, request)))
    _check(samples, reference, train, asked)
    extractors = asked.load()
    distances = asked.load_lpips()
    _check_extractors(samples, reference, asked, extractors, distances)
    features = _Extraction.of(samples, reference, train, asked, extractors, distances)
    return processes.from_first(lambda: _measured(features, start))


def _check(samples: ImageSet, reference: Reference, train: ImageSet | None, asked: Request) -> None:
    for images in (samples, reference, train):
        if isinstance(images, ImageSet) and len(images) < SMALLEST:
            raise EvaluationError(
                f"{images.name}: {len(images)} images, expected at least {SMALLEST} "
                f"(the {SMALLEST - 1} nearest neighbours of each are looked at); use more images"
            )
    if asked.parzen and not isinstance(reference, ImageSet):
        raise EvaluationError(
            f"{reference.name}: these are statistics; --parzen (parzen=True) scores real images, "
            "so give a set of images as the reference"
        )
    if asked.parzen and train is None:
        raise EvaluationError(
            "--parzen (parzen=True) chooses sigma on images of the training set; give it too: "
            "--train SET (train=...)"
        )
    if asked.metrics is not None and COPIES in asked.metrics and train is None:
        raise EvaluationError(f"metric {COPIES}: needs the training images: --train SET")


def _check_extractors(
    samples: ImageSet,
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
    for metric in asked.metrics or ():
        if metric != COPIES and not any(can_measure(extractor, metric) for extractor in extractors):
            raise EvaluationError(f"metric {metric}: not by these extractors; {NEEDS[metric]}")
    for extractor, named in zip(extractors, asked.extractors, strict=True):
        wanted = "clip-score" in asked.metrics_of(extractor, named)
        if wanted and isinstance(extractor, ClipExtractor):
            clip_score.check(samples, extractor)
    if isinstance(reference, ReferenceStatistics):
        for extractor in extractors:
            reference.gaussian_for(extractor)
    for distance in distances:
        distance.check(samples.shape)


# -- one pass over each set ------------------------------------------------------------------------


@dataclass(frozen=True)
class _Extraction:
    """The sets and all that the extractors say of them."""

    asked: Request
    extractors: list[Extractor]
    distances: list[Lpips]
    samples: ImageSet
    reference: Reference
    train: ImageSet | None
    floor_set: ImageSet | None
    of_samples: list[Features]
    of_reference: list[Features] | None
    of_floor: list[Features] | None

    @classmethod
    def of(
        cls,
        samples: ImageSet,
        reference: Reference,
        train: ImageSet | None,
        asked: Request,
        extractors: list[Extractor],
        distances: list[Lpips],
    ) -> _Extraction:
        """Read every set once."""
        pairs = zip(extractors, asked.extractors, strict=True)
        small = [set(asked.metrics_of(*pair)) <= {"fd"} for pair in pairs]
        real = reference if isinstance(reference, ImageSet) else None
        floor_set = None if train is None else floor_set_of(train, samples, asked.seed)
        pixels: list[Extractor] = []
        if train is not None and real is not None and asked.copies:
            pixels = [near_copies.Pixels()]  # they come last, after the extractors asked for

        def read(images: ImageSet, keep: bool, more: list[Extractor]) -> list[Features]:
            return extract(
                images,
                [*extractors, *more],
                keep=keep,
                only_moments=[*small, *[False] * len(more)],
                workers=asked.workers,
            )

        return cls(
            asked,
            extractors,
            distances,
            samples,
            reference,
            train,
            floor_set,
            read(samples, False, pixels),
            None if real is None else read(real, True, pixels),
            None if floor_set is None else read(floor_set, True, []),
        )

    def view(self, position: int) -> View:
        """What one extractor sees."""
        extractor = self.extractors[position]
        if isinstance(self.reference, ReferenceStatistics):
            real = self.reference.gaussian_for(extractor)
            features = None
        else:
            assert self.of_reference is not None
            features = self.of_reference[position]
            real = gaussian_of(features)
        samples = self.of_samples[position]
        _refuse_width(self.reference.name, real, samples, extractor)
        return View(
            extractor,
            samples,
            features,
            real,
            None if self.of_floor is None else self.of_floor[position],
            self.samples,
            self.reference if isinstance(self.reference, ImageSet) else None,
            identity(self.reference)["count"],
            self.asked.seed,
            self.floor_set,
        )


def _refuse_width(name: str, real: Gaussian, samples: Features, extractor: Extractor) -> None:
    if len(real.mean) != samples.rows.shape[1]:
        raise EvaluationError(
            f"{name}: statistics of {len(real.mean)} features, but {extractor.name} gives "
            f"{samples.rows.shape[1]}; compute them with this extractor"
        )


def floor_set_of(train: ImageSet, samples: ImageSet, seed: int) -> ImageSet:
    """Training images to compute floors from."""
    order = torch.randperm(len(train), generator=generator(seed, "floor"))
    return train.pick(as_many(train, samples, order))


# -- the metrics -----------------------------------------------------------------------------------


def _measured(sets: _Extraction, start: float) -> Evaluation:
    metrics: list[Metric] = []
    notes: list[str] = []
    classes: list[dict[str, Any]] | None = None
    for position, extractor in enumerate(sets.extractors):
        view = sets.view(position)
        asked = sets.asked.metrics_of(extractor, sets.asked.extractors[position])
        for name in asked:
            measured = METRICS[name](view)
            give_back_freed_memory()  # of what the metric needed on its way
            metrics += [_metric(found, sets, extractor) for found in measured]
            if not measured:
                notes.append(_left_out(view, name, asked_for=sets.asked.metrics is not None))
        if modes.applies(view):
            notes.append(
                f"stacked digits: {extractor.frechet_name}, precision, recall, density, coverage "
                "and near copies see the three digits laid over each other, as one grey image"
            )
        if "accuracy" in asked:
            classes = _classes(view) or classes
    metrics += [_metric(found, sets, None) for found in _of_images(sets, notes)]
    if sets.asked.protocol is not None:
        notes += protocols.notes(sets.asked.protocol, len(sets.samples), sets.reference.name)
    return Evaluation(
        samples=identity(sets.samples),
        reference=identity(sets.reference),
        train=None if sets.train is None else identity(sets.train),
        metrics=tuple(metrics),
        classes=None if classes is None else tuple(classes),
        notes=tuple(dict.fromkeys(note for note in notes if note)),
        seconds=round(time.monotonic() - start, 2),
        versions=versions(),
    )


def _metric(found: Found, sets: _Extraction, extractor: Extractor | None) -> Metric:
    """One number with its interval and its whole protocol."""
    low = high = None
    how = found.protocol.get("interval", "")
    if found.influence is not None:
        labels = sets.samples.labels if found.over == "samples" else None
        if labels is not None and found.places is not None:
            labels = labels[found.places]
        whole = sets.samples if found.over == "samples" else sets.reference
        count = found.count or identity_count(whole)
        error = math.hypot(standard_error(found.influence, count, labels), found.error)
        if math.isfinite(error):
            low, high = interval(found.value, error, least=found.least, most=found.most)
        how = f"95 %, infinitesimal jackknife: {how}"
    protocol = {} if extractor is None else _by(extractor)
    if sets.floor_set is not None and extractor is not None:
        protocol["floor_count"] = len(sets.floor_set)
    reference = identity(sets.reference)
    protocol |= {
        "samples": len(sets.samples),
        "reference": reference["name"],
        "reference_count": reference["count"],
        "reference_sha256": reference["sha256"],
        **found.protocol,
        "interval": how,
        "versions": versions(),
    }
    if sets.asked.protocol is not None:
        protocol["preset"] = sets.asked.protocol
    return Metric(
        found.name, found.value, low, high, found.better, found.floor, found.note, protocol
    )


def _by(extractor: Extractor) -> dict[str, Any]:
    return {
        "extractor": extractor.name,
        "extractor_sha256": extractor.sha256,
        "layer": extractor.layer,
        "resize": extractor.resize,
        "precision": extractor.precision,
    }


def _classes(view: View) -> list[dict[str, Any]] | None:
    """Accuracy by class; no table of the 1,000 classes of stacked digits."""
    found = accuracy.classes_of(view)
    labels = view.sample_set.labels
    if isinstance(found, str) or labels is None or view.reference_set is None:
        return None
    if view.reference_set.class_names == modes.NAMES:
        return None
    return accuracy.per_class(found[0], labels)


def _left_out(view: View, metric: str, *, asked_for: bool) -> str:
    """Why a metric was not measured; empty where nobody would expect it."""
    no_modes = "the reference is not stacked digits: no modes" if asked_for else ""
    reasons: dict[str, Callable[[], str]] = {
        "accuracy": lambda: str(accuracy.classes_of(view)),
        "modes": lambda: "the samples are grey: no modes" if modes.applies(view) else no_modes,
        "fd-class": lambda: class_frechet.problem(view),
        "fd-infinity": lambda: frechet_infinity.too_few(view),
    }
    if view.reference is None and metric not in ("fd-infinity", "is"):
        return f"the reference is statistics only: no {metric}"
    if metric == "train-gap" and view.floor is None:
        return "needs the training images: no train-gap"
    return reasons[metric]() if metric in reasons else ""


def _of_images(sets: _Extraction, notes: list[str]) -> list[Found]:
    """Metrics that need no extractor."""
    found: list[Found] = []
    for distance in sets.distances:
        apart = diversity(sets.samples, distance, sets.asked.seed)
        if sets.floor_set is not None:
            real = diversity(sets.floor_set, distance, sets.asked.seed)
            apart = replace(apart, floor=real.value)
        found.append(apart)
    if sets.train is None or sets.of_reference is None:
        if sets.asked.copies:
            notes.append("needs training and reference images: no near-copy rate")
    elif sets.asked.copies:
        pixels = (sets.of_samples[-1].rows, sets.of_reference[-1].rows)
        found += near_copies.measure(*pixels, sets.train)
    if sets.asked.parzen and sets.train is not None and isinstance(sets.reference, ImageSet):
        validation, rest = parzen.split_train(sets.train)
        others = floor_set_of(rest, sets.samples, sets.asked.seed)
        found += parzen.measure(sets.samples, sets.reference, sets.train, validation, others)
    if isinstance(sets.reference, ReferenceStatistics) and sets.reference.unknown:
        notes.append(sets.reference.unknown)
    return found
