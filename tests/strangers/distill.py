"""A student that learns from a trained network, which the config names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.config import ComponentRef, Section
from genkit.family import Family
from genkit.rows.batch import Batch
from genkit.training.config import RunConfig
from genkit.training.optimizers import adam
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer
from strangers.networks import Painter


class Model(Section):
    """Who teaches."""

    teacher: ComponentRef


class Config(RunConfig):
    """A run."""

    model: Model


class DistillTrainer(Trainer[Config]):
    """One phase."""

    averaged: ClassVar[tuple[str, ...]] = ("student",)

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The student, and the teacher as it was trained."""
        from genkit.pipelines import load_component

        student = Painter(self.data.channels)
        teacher = load_component(self.config.model.teacher)
        networks: dict[str, nn.Module] = {"student": student, "teacher": teacher}
        return networks, {"student": adam(student, self.config.optim)}

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """The student as near to the teacher as it gets."""
        return {"loss/student": self.phase("student", micro_batches, self.loss)}

    def loss(self, batch: Batch) -> Tensor:
        """Their distance."""
        wanted = self.networks["teacher"](batch["image"])
        return F.mse_loss(self.networks["student"](batch["image"]), wanted)

    def preview(self) -> list[Sheet]:
        """None."""
        return []

    def pipeline(self) -> Any:
        """Both, so that the export stands alone."""
        from strangers.pipelines import Taught

        return Taught(self.averaged_network("student"), self.averaged_network("teacher"))


FAMILY = Family(config=Config, trainer=DistillTrainer, task="reconstruction")
