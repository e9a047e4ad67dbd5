"""What one evaluation is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from genkit import launch
from genkit.config import nearest
from genkit.errors import EvaluationError, WeightsError, shown
from genkit.evaluation import metrics, usual
from genkit.evaluation.extractor import Extractor, Precision
from genkit.evaluation.extractors import load_extractor, usual_metrics
from genkit.evaluation.metric import Metric
from genkit.evaluation.perceptual import Lpips
from genkit.evaluation.resize import Resize
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.machine import warn_of_emulation
from genkit.nn.pretrained.lpips import Trunk
from genkit.rows.base import Rows


@dataclass(frozen=True)
class Request:
    """What is to be measured.

    Attributes:
        extractors: Names of `extractors.names()`, "module:Class", or extractors; None = the one
            that suits the real images, as `usual.extractor_for` has it.
        metrics: Names of metrics, or "module:METRIC"; None = those usual for each extractor.
        weights: Files of weights by extractor; the user's cache for the others.
        resize: How images come to the networks' size, where that can be chosen.
        precision: "fp32"; "bf16" is a preview, and its values carry other names.
        protocol: One of `protocols.PRESETS`: sets extractors, metrics and resize.
        lpips: Trunks ("alex", "vgg") by which the diversity of the samples is measured.
        parzen: Also the metric "parzen", besides those named or usual; needs training images.
        seed: Keys the choice of training images for the floors and of subsets.
        device: Where the networks run; None = this process's GPU if there is one, else the CPU.
        workers: Threads that read images ahead of the network.
    """

    extractors: Sequence[str | Extractor] | None = None
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

    @classmethod
    def of(cls, asked: Mapping[str, Any]) -> Request:
        """A request of keyword arguments.

        Raises:
            EvaluationError: There is no argument of such a name; the nearest one is named.
        """
        known = [each.name for each in fields(cls)]
        for name in asked:
            if name not in known:
                raise EvaluationError(f"{shown(name)}: no such argument; {nearest(name, known)}")
        return cls(**asked)

    def __post_init__(self) -> None:
        _ = self.named
        if self.extractors is None:
            return
        if not self.extractors:
            raise EvaluationError("extractors: none given, expected 'digits' or others")
        known = {*self.extractors, *(f"lpips-{trunk}" for trunk in self.lpips)}
        spare = [name for name in self.weights if name not in known]
        if spare:
            raise EvaluationError(
                f"weights of {spare[0]!r}, which is not among the extractors; add --extractor "
                f"{spare[0]}, or leave them out"
            )

    @cached_property
    def named(self) -> list[Metric]:
        """The metrics that are asked for by name, in their order."""
        more = ("parzen",) if self.parzen else ()
        return metrics.chosen([*(self.metrics or ()), *more])

    @property
    def chosen(self) -> Sequence[str | Extractor]:
        """The extractors as they were named."""
        return self.extractors or ()

    def load(self, reference: Rows | ReferenceStatistics) -> tuple[Request, list[Extractor]]:
        """The request with its extractors named, and the extractors, in order.

        Args:
            reference: The real images; where no extractor was named, they decide.
        """
        if self.extractors is not None:
            return self, self._load()
        suited = replace(self, extractors=(usual.extractor_for(reference),))
        try:
            return suited, suited._load()
        except WeightsError as error:
            raise usual.no_weights(error, "--extractor digits") from None

    def _load(self) -> list[Extractor]:
        device = self.device or launch.own_device()
        if self.precision == "bf16" and launch.ranks().is_first:
            instead = "leave --precision (precision=) out: fp32 is also what is called FID"
            warn_of_emulation("precision bf16", torch.device(device), instead)
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
            for each in self.chosen
        ]

    def load_lpips(self) -> list[Lpips]:
        """The distances behind `lpips`, in order."""
        device = self.device or launch.own_device()
        return [
            Lpips(trunk, self.weights.get(f"lpips-{trunk}"), device=device) for trunk in self.lpips
        ]

    def metrics_of(self, extractor: Extractor, asked: str | Extractor) -> list[Metric]:
        """What is measured on the features of an extractor that was asked for so, in order."""
        name = asked.name if isinstance(asked, Extractor) else asked
        usual = extractor.usual or usual_metrics(name)
        wanted = self.named if self.metrics is not None else metrics.chosen(usual)
        return [m for m in wanted if m.on == "features" and m.fits(extractor)]

    @property
    def on_images(self) -> list[Metric]:
        """What is measured without the extractors that are asked for, in order."""
        usual = [m.name for m in metrics.every() if m.is_usual and self.metrics is None]
        wanted = {m.name: m for m in (*metrics.chosen(usual), *self.named)}
        found = [m for m in wanted.values() if m.on != "features"]
        return sorted(found, key=lambda metric: metric.order)
