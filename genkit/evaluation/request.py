"""What can be measured, by which extractors, and what one evaluation is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from genkit import launch
from genkit.errors import EvaluationError
from genkit.evaluation import (
    accuracy,
    class_frechet,
    clip_score,
    cmmd,
    frechet,
    frechet_infinity,
    inception_score,
    kid,
    modes,
    prdc,
    train_gap,
    two_sample,
)
from genkit.evaluation.clip import ClipExtractor
from genkit.evaluation.digits import DigitsExtractor
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.extractors import Precision, load_extractor, usual_metrics
from genkit.evaluation.perceptual import Lpips, Trunk
from genkit.evaluation.resize import Resize
from genkit.evaluation.view import Measure

METRICS: dict[str, Measure] = {
    "fd": frechet.measure,
    "fd-infinity": frechet_infinity.measure,
    "fd-class": class_frechet.measure,
    "kid": kid.measure,
    "cmmd": cmmd.measure,
    "is": inception_score.measure,
    "prdc": prdc.measure,
    "clip-score": clip_score.measure,
    "detector-auc": two_sample.measure,
    "train-gap": train_gap.measure,
    "modes": modes.measure,
    "accuracy": accuracy.measure,
}
QUICK = ("fd", "prdc", "modes", "accuracy")  # during training, and for each row of a frontier
COPIES = "near-copies"  # of `metrics`: compares images, not features
NEEDS = {
    "is": "give --extractor inception-v3, which has classes",
    "clip-score": "give --extractor clip-vitb32, which reads text",
    "modes": "give --extractor digits",
    "accuracy": "give --extractor digits",
}


@dataclass(frozen=True)
class Request:
    """What is to be measured.

    Attributes:
        extractors: Names of `extractors.REGISTRY`, "module:Class", or extractors.
        metrics: Names of `METRICS`; None = those usual for each extractor.
        weights: Files of weights by extractor; the user's cache for the others.
        resize: How images come to the networks' size, where that can be chosen.
        precision: "fp32"; "bf16" is a preview, and its values carry other names.
        protocol: One of `protocols.PRESETS`: sets extractors, metrics and resize.
        lpips: Trunks ("alex", "vgg") by which the diversity of the samples is measured.
        parzen: Also the Parzen window log-likelihood of the reference; needs training images.
        seed: Keys the choice of training images for the floors and of subsets.
        device: Where the networks run; None = this process's GPU if there is one, else the CPU.
        workers: Threads that read images ahead of the network.
    """

    extractors: Sequence[str | Extractor] = ("digits",)
    metrics: Sequence[str] | None = None
    weights: Mapping[str, Path] = field(default_factory=dict)
    resize: Resize = "clean"
    precision: Precision = "fp32"
    protocol: str | None = None
    lpips: Sequence[Trunk] = ()
    parzen: bool = False
    seed: int = 0
    device: torch.device | str | None = None
    workers: int = 0

    def __post_init__(self) -> None:
        if not self.extractors:
            raise EvaluationError("extractors: none given, expected 'digits' or others")
        unknown = [name for name in self.metrics or () if name not in (*METRICS, COPIES)]
        if unknown:
            names = ", ".join((*METRICS, COPIES))
            raise EvaluationError(f"metric {unknown[0]!r}: no such metric; there are: {names}")
        known = {*self.extractors, *(f"lpips-{trunk}" for trunk in self.lpips)}
        spare = [name for name in self.weights if name not in known]
        if spare:
            raise EvaluationError(
                f"weights of {spare[0]!r}, which is not among the extractors; add --extractor "
                f"{spare[0]}, or leave them out"
            )

    def load(self) -> list[Extractor]:
        """The extractors, in order."""
        device = self.device or launch.own_device()
        return [
            each
            if isinstance(each, Extractor)
            else load_extractor(
                each,
                self.weights.get(each),
                resize=self.resize,
                precision=self.precision,
                device=device,
            )
            for each in self.extractors
        ]

    def load_lpips(self) -> list[Lpips]:
        """The distances behind `lpips`, in order."""
        device = self.device or launch.own_device()
        return [
            Lpips(trunk, self.weights.get(f"lpips-{trunk}"), device=device) for trunk in self.lpips
        ]

    def metrics_of(self, extractor: Extractor, asked: str | Extractor) -> list[str]:
        """What is measured by an extractor that was asked for so, in the order of `METRICS`."""
        name = asked.name if isinstance(asked, Extractor) else asked
        chosen = usual_metrics(name) if self.metrics is None else self.metrics
        return [name for name in METRICS if name in chosen and can_measure(extractor, name)]

    @property
    def copies(self) -> bool:
        """Whether near copies are looked for."""
        return self.metrics is None or COPIES in self.metrics


def quick_metrics(extractor: Extractor) -> list[str]:
    """Those of `QUICK` that the extractor can measure."""
    return [name for name in QUICK if can_measure(extractor, name)]


def can_measure(extractor: Extractor, metric: str) -> bool:
    """Whether a metric can be measured by an extractor at all."""
    needs: dict[str, bool] = {
        "is": extractor.has_classes,
        "clip-score": isinstance(extractor, ClipExtractor),
        "modes": isinstance(extractor, DigitsExtractor),
        "accuracy": isinstance(extractor, DigitsExtractor),
    }
    return needs.get(metric, True)
