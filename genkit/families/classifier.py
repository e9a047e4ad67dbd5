"""Classifier: which class a picture shows, or which attributes hold in it.

It is trained on pictures with labels or attributes and makes none. What it is for is measuring
others: its export is an extractor, `genkit evaluate SAMPLES --extractor RUN`. The network is that
by which AttGAN and STGAN are measured (Liu et al. 2019, arXiv:1904.09709, section 4.2; see
`genkit/nn/classifiers.py`), at any size.

Generated pictures are softer and grainier than real ones. With `model.degraded` a share of those it
learns from is so too, so that it looks at what is there and not at how sharp it is.

Deviations: targets are smoothed, so that features of sure pictures don't grow without end; weight
decay is decoupled (Loshchilov & Hutter 2019, arXiv:1711.05101) where theirs is an L2 loss; exports
hold the averaged weights.

Legend: B batch, K classes or attributes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines
from genkit.config import Fraction, Positive, Section
from genkit.errors import DataError
from genkit.family import Family
from genkit.nn.classifiers import Answers, Classifier, check
from genkit.nn.halving import usual_levels
from genkit.rows.batch import Batch
from genkit.rows.columns import Class, Flags
from genkit.training.config import OptimConfig, RunConfig
from genkit.training.optimizers import adam
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer

Share = Annotated[float, Field(ge=0, le=1)]
BLUR = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)  # binomial, deviation 1 px: the most
GRAIN = 0.15  # deviation of the noise of the noisiest pictures


class ModelConfig(Section):
    """What is answered, and the network that does."""

    answers: Answers = "label"  # the column that is learnt: label, or attributes
    width: Positive = 16  # channels at full size, doubled where the sides are halved
    levels: Positive | None = None  # how often they are, until 4 px are left unless given
    units: Positive = 128  # of the hidden layer: the features of an extractor
    dropout: Fraction = 0.0  # share of the hidden units that are left out in training
    degraded: Share = 0.0  # of pictures that are blurred in training, and of those that are noisy
    smoothing: Annotated[float, Field(ge=0, le=0.5)] = 0.05  # share of a target that is spread


class Optim(OptimConfig):
    """Adam."""

    lr: Annotated[float, Field(gt=0)] = 1e-3


class Config(RunConfig):
    """A run of a classifier."""

    model: ModelConfig = ModelConfig()
    optim: Optim = Optim()

    @model_validator(mode="after")
    def _sides_halve(self) -> Config:
        size = self.data.size
        levels = self.model.levels or usual_levels(size)
        try:
            check(size, levels)
        except ValueError as error:
            raise ValueError(f"model.levels={levels}: {error}") from None
        if levels < 1:
            raise ValueError(
                f"data.image_size: {size[0]} x {size[1]} px are halved never; give even sides from "
                "8 px on"
            )
        if self.data.batch_size == 1:
            raise ValueError("data.batch_size=1: batch norm needs 2 or more images")
        self.settle(model=self.model.model_copy(update={"levels": levels}))
        return self


class ClassifierTrainer(Trainer[Config]):
    """One network under one loss."""

    averaged: ClassVar[tuple[str, ...]] = ("classifier",)
    channels_last: ClassVar[bool] = True

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The network and its optimizer."""
        model, column = self.config.model, self.data.columns[self.config.model.answers]
        if not isinstance(column, Class | Flags):
            raise DataError(
                f"{self.data.name}: the column {model.answers} holds a {column.kind}, and a "
                "classifier learns classes or attributes"
            )
        network = Classifier(
            self.data.size,
            self.data.channels,
            column.count if isinstance(column, Class) else len(column.names),
            model.answers,
            None if column.names is None else list(column.names),
            model.width,
            model.levels or 1,
            model.units,
            model.dropout,
        )
        return {"classifier": network}, {"classifier": adam(network, self.config.optim)}

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update, and which share of the batch was answered rightly before it."""
        self.right: list[Tensor] = []
        loss = self.phase("classifier", micro_batches, self.loss)
        return {"loss/classifier": loss, "accuracy/classifier": torch.stack(self.right).mean()}

    def loss(self, batch: Batch) -> Tensor:
        """Cross entropy of the classes, or the mean of that of each attribute."""
        logits = self.networks["classifier"](self.seen(batch)).float()
        target, smoothing = batch[self.config.model.answers], self.config.model.smoothing
        if self.config.model.answers == "attributes":
            self.right.append(((logits > 0) == (target > 0.5)).float().mean().detach())
            smooth = target * (1 - smoothing) + smoothing / 2
            return F.binary_cross_entropy_with_logits(logits, smooth)
        self.right.append((logits.argmax(1) == target).float().mean().detach())
        return F.cross_entropy(logits, target, label_smoothing=smoothing)

    def seen(self, batch: Batch) -> Tensor:
        """The pictures of a micro-batch as the network is shown them, (B, C, H, W) in [-1, 1]."""
        images: Tensor = batch["image"]
        share = self.config.model.degraded
        if not share:
            return images
        drawn = self.noise("degraded", batch, (4,), kind="uniform")
        return degraded(images, drawn, self.noise("grain", batch, images.shape[1:]), share)

    def preview(self) -> list[Sheet]:
        """None: it makes no pictures."""
        return []

    def pipeline(self) -> pipelines.ClassificationPipeline:
        """The averaged network, its weights laid out as an export has them: the order of sums
        moves shares in the last digit."""
        network = copy.deepcopy(self.averaged_network("classifier"))
        return pipelines.ClassificationPipeline(network.to(memory_format=torch.contiguous_format))


def degraded(images: Tensor, drawn: Tensor, grain: Tensor, share: float) -> Tensor:
    """Pictures some of which are blurred and some noisy, each by an amount of its own.

    Args:
        images: (B, C, H, W) in [-1, 1].
        drawn: (B, 4) in [0, 1): whether and how far each is blurred, whether and how noisy it is.
        grain: N(0, 1), as `images`.
        share: Of pictures that are blurred, and of those that are noisy.
    """
    blur = torch.where(drawn[:, 0] < share, drawn[:, 1], 0.0)[:, None, None, None]
    noise = torch.where(drawn[:, 2] < share, GRAIN * drawn[:, 3], 0.0)[:, None, None, None]
    channels, row = images.shape[1], images.new_tensor(BLUR)
    kernel = torch.outer(row, row).expand(channels, 1, len(BLUR), len(BLUR))
    padded = F.pad(images, [len(BLUR) // 2] * 4, mode="replicate")
    soft = F.conv2d(padded, kernel, groups=channels)
    return (torch.lerp(images, soft, blur) + noise * grain).clamp(-1, 1)


def needs(config: Config) -> frozenset[str]:
    """Pictures, and what is learnt of them."""
    return frozenset({"image", config.model.answers})


TINY: dict[str, Any] = {
    "family": "classifier",
    "data": {
        "kind": "glyphs",
        "image_size": 8,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "model": {"width": 2, "units": 8},
    "trainer": {"steps": 4, "log_every": 1, "save_every": 2, "preview_every": 2},
}

FAMILY = Family(
    config=Config, trainer=ClassifierTrainer, needs=needs, task="classification", tiny=TINY
)
