"""A network of which little is trained, one without weights, and no pictures to show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.config import Positive, Section
from genkit.family import Family
from genkit.rows.batch import Batch
from genkit.training.config import RunConfig
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer
from strangers.cycle import TINY as CYCLE
from strangers.networks import Adapted, Flip


class Model(Section):
    """Its size."""

    width: Positive = 4


class Config(RunConfig):
    """A run."""

    model: Model = Model()


class AdapterTrainer(Trainer[Config]):
    """Learns to stand pictures on their heads."""

    averaged: ClassVar[tuple[str, ...]] = ("adapted",)

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The network and its teacher."""
        adapted = Adapted(self.data.channels, self.config.model.width)
        # Plain gradient descent: Adam would hide what a loss is multiplied by.
        descent = torch.optim.SGD(adapted.adapter.parameters(), self.config.optim.lr)
        return {"adapted": adapted, "flip": Flip()}, {"adapted": descent}

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One phase, its micro-batches' losses summed as shares of the step's."""
        self.parts = len(micro_batches) * self.processes
        return {"loss/adapted": self.phase("adapted", micro_batches, self.loss, reduce="sum")}

    def loss(self, batch: Batch) -> Tensor:
        """The share of this micro-batch."""
        wanted = self.networks["flip"](batch["image"])
        return F.mse_loss(self.networks["adapted"](batch["image"]), wanted) / self.parts

    def preview(self) -> list[Sheet]:
        """None."""
        return []

    def pipeline(self) -> Any:
        """Pictures to pictures."""
        from strangers.pipelines import Repaint

        return Repaint(self.averaged_network("adapted"))


FAMILY = Family(
    config=Config,
    trainer=AdapterTrainer,
    task="reconstruction",
    tiny=CYCLE | {"family": "adapter", "optim": {"lr": 0.05}},
)
