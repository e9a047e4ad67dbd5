"""Every metric of one set of samples, each with its interval, its floor and how it was computed."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation import modes, near_copies
from genkit.evaluation import parzen as windows
from genkit.evaluation.accuracy import hits, per_class
from genkit.evaluation.bootstrap import Bootstrap, interval, of_mean
from genkit.evaluation.digits import DigitsExtractor
from genkit.evaluation.extractors import Extractor, frechet_name, load_extractor
from genkit.evaluation.frechet import frechet_distance, frechet_replicates
from genkit.evaluation.prdc import K_DENSITY, K_MANIFOLD, Prdc, prdc
from genkit.evaluation.results import Evaluation, Metric
from genkit.evaluation.sets import ImageSet
from genkit.evaluation.statistics import Gaussian, ReferenceStatistics, features_of, moments_of
from genkit.random import generator

KNOWN_DIGITS = 0.9  # accuracy on the reference below which its classes are not digits

Reference = ImageSet | ReferenceStatistics


def evaluate(
    samples: ImageSet,
    reference: Reference,
    *,
    train: ImageSet | None = None,
    extractors: Sequence[str] = ("digits",),
    inception: Path | None = None,
    parzen: bool = False,
    resamples: int = 200,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Evaluation:
    """Every metric that these sets allow.

    Args:
        samples: Generated images. With labels, class accuracy is measured too.
        reference: Real images that the model was not trained on, or their statistics.
        train: What it was trained on: gives the floors and the near-copy rate.
        extractors: "digits", "inception" or both.
        inception: The Inception weights; None = the user's cache, fetched once.
        parzen: Also the Parzen window log-likelihood of the reference; needs `train`.
        resamples: Bootstrap resamples behind each interval; 0 = no intervals.
        seed: Keys the resamples and the choice of training images for the floors.
        device: Where the extractors run.
    """
    start = time.monotonic()
    _check(samples, reference, train, extractors)
    if parzen:
        _check_parzen(reference, train)
    bench = _Bench(samples, reference, train, Bootstrap(resamples, seed))
    for name in extractors:
        path = inception if name == "inception" else None
        bench.measure(load_extractor(name, path, device=device))
    bench.near_copies()
    if parzen:
        bench.parzen()
    return Evaluation(
        samples=_identity(samples),
        reference=_identity(reference),
        train=None if train is None else _identity(train),
        metrics=tuple(bench.metrics),
        classes=None if bench.classes is None else tuple(bench.classes),
        notes=tuple(bench.notes),
        seconds=round(time.monotonic() - start, 2),
        versions={n: version(n) for n in ("genkit", "torch", "numpy")}
        | {"python": platform.python_version()},
    )


def _check(
    samples: ImageSet, reference: Reference, train: ImageSet | None, extractors: Sequence[str]
) -> None:
    if not extractors:
        raise EvaluationError("extractors: none given, expected 'digits', 'inception' or both")
    needed = max(K_MANIFOLD, K_DENSITY) + 1
    for images in (samples, reference, train):
        if isinstance(images, ImageSet) and len(images) < needed:
            raise EvaluationError(
                f"{images.name}: {len(images)} images, expected at least {needed} "
                f"(the {needed - 1} nearest neighbours of each are looked at); use more images"
            )


def _check_parzen(reference: Reference, train: ImageSet | None) -> None:
    if not isinstance(reference, ImageSet):
        raise EvaluationError(
            f"{reference.name}: these are statistics; --parzen (parzen=True) scores real images, "
            "so give a set of images as the reference"
        )
    if train is None:
        raise EvaluationError(
            "--parzen (parzen=True) chooses sigma on images of the training set; give it too: "
            "--train SET (train=...)"
        )


def _identity(images: Reference) -> dict[str, Any]:
    count = len(images) if isinstance(images, ImageSet) else images.count
    return {"name": images.name, "count": count, "sha256": images.fingerprint}


def as_many(train: ImageSet, samples: ImageSet, seed: int) -> ImageSet:
    """Training images to compute floors from: as many as there are samples, chosen at random.

    Where both sets are labelled there are as many of each class, as far as the classes reach: what
    a perfect model would show for the same labels. Chance in the class counts would raise the
    floor, and with 2,000 images more than all other chance.
    """
    order = torch.randperm(len(train), generator=generator(seed, "floor"))
    if train.labels is None or samples.labels is None:
        return train.pick(order[: len(samples)].sort().values)
    labels = train.labels[order]
    classes, counts = samples.labels.unique(return_counts=True)
    pairs = zip(classes.tolist(), counts.tolist(), strict=True)
    alike = torch.cat([order[labels == c][:n] for c, n in pairs])
    if 2 * len(alike) < min(len(samples), len(train)):  # the two sets number classes differently
        alike = order[: len(samples)]
    return train.pick(alike.sort().values)


class _Bench:
    """The sets under measurement and the metrics found so far."""

    def __init__(
        self, samples: ImageSet, reference: Reference, train: ImageSet | None, draw: Bootstrap
    ) -> None:
        self.samples, self.reference, self.train, self.draw = samples, reference, train, draw
        self.floor_set = None if train is None else as_many(train, samples, draw.seed)
        self.weights = {"samples": draw.weights("samples", len(samples), samples.labels)}
        if isinstance(reference, ImageSet):
            self.weights["reference"] = draw.weights("reference", len(reference))
        self.metrics: list[Metric] = []
        self.classes: list[dict[str, Any]] | None = None
        self.notes: list[str] = []

    def measure(self, extractor: Extractor) -> None:
        """Every metric on the features of one extractor."""
        features = features_of(self.samples, extractor)
        floor = None
        if self.floor_set is not None:
            floor = features_of(self.floor_set, extractor, keep=True)
        if isinstance(self.reference, ReferenceStatistics):
            self._frechet(extractor, features, floor, _statistics_for(self.reference, extractor))
            self.notes.append("the reference is statistics only: no precision, recall or accuracy")
            return
        real = features_of(self.reference, extractor, keep=True)
        self._frechet(extractor, features, floor, moments_of(real).gaussian)
        self._prdc(extractor, features, floor, real)
        if isinstance(extractor, DigitsExtractor):
            if self.reference.class_names == modes.NAMES:
                self._stacked(extractor, self.reference)
            else:
                self._accuracy(extractor, *map(extractor.classify, (features, real)))

    def _add(
        self,
        name: str,
        value: float,
        replicates: Tensor,
        *,
        better: Literal["lower", "higher"],
        floor: float | None,
        protocol: dict[str, Any],
        note: str = "",
        least: float = 0.0,
        most: float = math.inf,
    ) -> None:
        low, high = interval(value, replicates, least=least, most=most)
        self.metrics.append(Metric(name, value, low, high, better, floor, note, protocol))

    def _frechet(
        self, extractor: Extractor, features: Tensor, floor: Tensor | None, real: Gaussian
    ) -> None:
        if len(real.mean) != features.shape[1]:
            raise EvaluationError(
                f"{self.reference.name}: statistics of {len(real.mean)} features, but "
                f"{extractor.name} gives {features.shape[1]}; compute them with this extractor"
            )
        self._add(
            frechet_name(extractor),
            frechet_distance(moments_of(features).gaussian, real),
            frechet_replicates(features, real, self.weights["samples"]),
            better="lower",
            floor=None if floor is None else frechet_distance(moments_of(floor).gaussian, real),
            note=self._frechet_note(features.shape[1]),
            protocol=self._protocol(extractor, "samples drawn again, reference held fixed"),
        )

    def _frechet_note(self, dimensions: int) -> str:
        count = len(self.samples)
        other = _identity(self.reference)["count"]
        lines = []
        if count <= dimensions or (other is not None and other <= dimensions):
            lines.append(
                f"fewer images than features ({dimensions}): the covariance is singular and the "
                "distance far too large; use more samples"
            )
        if other != count:
            lines.append(f"{count} samples against {other or 'an unknown number of'} images")
        return "; ".join(lines)

    def _prdc(
        self, extractor: Extractor, features: Tensor, floor: Tensor | None, real: Tensor
    ) -> None:
        found = prdc(real, features)
        base = None if floor is None else prdc(real, floor)
        differ = len(features) != len(real)
        for name in Prdc._fields:
            per_image: Tensor = getattr(found, name)
            over = "samples" if name in ("precision", "density") else "reference"
            k = K_MANIFOLD if name in ("precision", "recall") else K_DENSITY
            protocol = self._protocol(extractor, f"{over} drawn again, neighbourhoods held fixed")
            self._add(
                f"{name}-{extractor.name}",
                per_image.mean().item(),
                of_mean(per_image, self.weights[over]),
                better="higher",
                floor=None if base is None else getattr(base, name).mean().item(),
                note=f"{len(features)} samples against {len(real)} images" if differ else "",
                protocol=protocol | {"k": k, "inside": "strictly nearer than the k-th other point"},
                most=math.inf if name == "density" else 1.0,
            )

    def _stacked(self, extractor: DigitsExtractor, reference: ImageSet) -> None:
        """Modes and class accuracy of stacked digits, each channel classified by itself."""
        self.notes.append(
            f"stacked digits: {frechet_name(extractor)}, precision, recall, density, coverage and "
            "near copies see the three digits laid over each other, as one grey image"
        )
        if self.samples.shape[0] != 3:
            self.notes.append("the samples are grey: no modes and no class accuracy")
            return
        named = modes.modes_shown(self.samples, extractor)
        real_named = modes.modes_shown(reference, extractor, keep=True)
        self._modes(extractor, named, real_named)
        self._accuracy(extractor, named, real_named)

    def _modes(self, extractor: DigitsExtractor, named: Tensor, real_named: Tensor) -> None:
        total = len(modes.NAMES)
        order = torch.randperm(len(real_named), generator=generator(self.draw.seed, "modes"))
        real = real_named[order[: len(named)]]  # for the floors
        counts, real_counts = (x.bincount(minlength=total) for x in (named, real))
        lines = []
        if len(named) != modes.USUAL_COUNT:
            lines.append(
                f"depends on the number of samples: {len(named):,}, {modes.USUAL_COUNT:,} are usual"
            )
        if len(real) != len(named):
            lines.append(f"the floor is of {len(real):,} real images")
        protocol = self._protocol(extractor, "samples drawn again") | {
            "classified": "each channel as a grey image",
            "floor_count": len(real),
        }
        self._add(
            "modes",
            modes.covered(counts),
            torch.empty(0),
            better="higher",
            floor=modes.covered(real_counts),
            note="; ".join([f"of {total:,}", *lines]),
            protocol=protocol | {"interval": "none: samples drawn again show fewer modes"},
        )
        drawn_again = modes.resampled_counts(named, self.weights["samples"], total)
        self._add(
            "modes-kl",
            modes.kl_to_uniform(counts).item(),
            modes.kl_to_uniform(drawn_again),
            better="lower",
            floor=modes.kl_to_uniform(real_counts).item(),
            note="; ".join(lines),
            protocol=protocol,
            most=math.log(total),
        )

    def _accuracy(self, extractor: DigitsExtractor, named: Tensor, real_named: Tensor) -> None:
        if self.samples.labels is None or not isinstance(self.reference, ImageSet):
            self.notes.append("the samples have no labels: no class accuracy")
            return
        if self.reference.labels is None:
            self.notes.append("the reference has no labels: no class accuracy")
            return
        floor = hits(real_named, self.reference.labels).mean().item()
        if floor < KNOWN_DIGITS:
            self.notes.append(
                f"the digits classifier names {floor:.0%} of the reference rightly, so its classes "
                "are not the ten digits: no class accuracy"
            )
            return
        right = hits(named, self.samples.labels)
        self._add(
            "accuracy",
            right.mean().item(),
            of_mean(right, self.weights["samples"]),
            better="higher",
            floor=floor,
            protocol=self._protocol(extractor, "samples drawn again"),
            most=1.0,
        )
        if self.reference.class_names != modes.NAMES:  # no table of 1,000 lines
            self.classes = per_class(named, self.samples.labels)

    def near_copies(self) -> None:
        """Near-copy rate, if there are training images and reference images to compare with."""
        if self.train is None or not isinstance(self.reference, ImageSet):
            self.notes.append("needs training and reference images: no near-copy rate")
            return
        samples = near_copies.closeness(self.samples, self.train)
        reference = near_copies.closeness(self.reference, self.train)
        for name, quantile in near_copies.METRICS.items():
            near, floor = near_copies.nearer_than(samples, reference, quantile)
            protocol = {
                "distance": "Euclidean between grey 32 px images, over the mean distance to the "
                f"{near_copies.NEIGHBOURS} nearest training images",
                "threshold": f"{quantile:.0%} quantile of the reference images",
                "train": self.train.name,
                "train_count": len(self.train),
                **self._counts("samples drawn again"),
            }
            self._add(
                name,
                near.mean().item(),
                of_mean(near, self.weights["samples"]),
                better="lower",
                floor=floor,
                note=f"{quantile:g} for unseen real images, by construction",
                protocol=protocol,
                most=1.0,
            )

    def parzen(self) -> None:
        """Log-likelihood of the reference under a Parzen window on the samples."""
        if self.train is None or not isinstance(self.reference, ImageSet):
            return
        shape = self.samples.shape
        validation, rest = windows.split_train(self.train)
        real, chosen = (windows.rows_of(x, shape) for x in (self.reference, validation))
        found = windows.parzen(real, windows.rows_of(self.samples, shape), chosen)
        others = as_many(rest, self.samples, self.draw.seed)
        floor = windows.parzen(real, windows.rows_of(others, shape), chosen)
        error = found.values.std() / math.sqrt(len(real))
        lines = [f"sigma {found.sigma:.3f}; standard error over the reference {error:.2f}"]
        if len(self.samples) != windows.USUAL_COUNT:
            lines.append(f"{len(self.samples):,} samples, {windows.USUAL_COUNT:,} are usual")
        protocol = {
            "dimensions": real.shape[1],
            "sigma": f"of {len(windows.SIGMAS)} from 0.1 to 1 the best for {len(validation):,} "
            f"training images, the first of the last {windows.HELD_OUT:,}",
            "train": self.train.name,
            "train_count": len(self.train),
            "floor_count": len(others),
            **self._counts("reference drawn again, samples held fixed"),
        }
        self._add(
            "parzen-ll",
            found.values.mean().item(),
            of_mean(found.values, self.weights["reference"]),
            better="higher",
            floor=floor.values.mean().item(),
            note="; ".join(lines),
            protocol=protocol,
            least=-math.inf,
        )

    def _protocol(self, extractor: Extractor, resampled: str) -> dict[str, Any]:
        floor = {} if self.floor_set is None else {"floor_count": len(self.floor_set)}
        return {
            "extractor": extractor.name,
            "extractor_sha256": extractor.sha256,
            "layer": extractor.layer,
            "resize": extractor.resize,
            **self._counts(resampled),
            **floor,
        }

    def _counts(self, resampled: str) -> dict[str, Any]:
        reference = _identity(self.reference)
        return {
            "samples": len(self.samples),
            "reference": reference["name"],
            "reference_count": reference["count"],
            "reference_sha256": reference["sha256"],
            "interval": f"95 % bootstrap, {self.draw.resamples} resamples: {resampled}",
        }


def _statistics_for(reference: ReferenceStatistics, extractor: Extractor) -> Gaussian:
    known = reference.extractor_sha256
    if known is not None and known != extractor.sha256:
        raise EvaluationError(
            f"{reference.name}: these statistics come from the weights {known[:16]}…, and "
            f"{extractor.name} has {extractor.sha256[:16]}…; compute them again"
        )
    return reference.gaussian
