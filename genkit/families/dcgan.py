"""DCGAN: a convolutional generator against a convolutional critic, without labels.

Radford, Metz & Chintala 2016 (arXiv:1511.06434), in the form that became the standard: kernels of
4 instead of 5, a 4 x 4 start without the dense projection, normal noise by default; at 28 px the
two-level form with kernels of 5. `model.kind: residual` has the networks of SNGAN (Miyato et al.
2018, arXiv:1802.05957). Layers and counts: `genkit/nn/`; objectives, penalties and augmentation:
`genkit/training/adversarial.py`.

Deviations: the sigmoid lies in the loss; real and generated images pass the critic apart, so that
its batch norm sees one kind at a time; exports hold the averaged generator.
"""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import model_validator
from torch import Tensor, nn

from genkit import pipelines
from genkit.config import ByKind
from genkit.family import Family
from genkit.nn.critics import Verdict
from genkit.rows.batch import Batch
from genkit.training.adversarial import AdversarialRunConfig, AdversarialTrainer
from genkit.training.pairs import ConvPair, ResidualPair
from genkit.training.previews import Sheet


class Config(AdversarialRunConfig):
    """A DCGAN run."""

    model: Annotated[ConvPair | ResidualPair, ByKind("conv")] = ConvPair()

    @model_validator(mode="after")
    def _networks_fit(self) -> Config:
        self.settle(model=self.model.at(self.data.side))
        if self.data.batch_size == 1:
            raise ValueError("data.batch_size=1: batch norm needs 2 or more images")
        problem = self.model.problem(self)
        if problem:
            raise ValueError(problem)
        return self


class DCGANTrainer(AdversarialTrainer[Config]):
    """Alternating updates of critic and generator."""

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Generator and critic, each with its optimizer."""
        return self.opponents(*self.config.model.make(self.data))

    def generate(self, batch: Batch) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] from this step's noise."""
        z = self.draw_latent(batch, self.config.model.latent_dim, self.config.model.latent)
        images: Tensor = self.networks["generator"](z)
        return images

    def judge(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """One logit for each image."""
        verdict: Verdict = critic(images)
        return verdict

    def preview(self) -> list[Sheet]:
        """Images of the averaged generator for the first latents of the run's seed."""
        model, trainer = self.config.model, self.config.trainer
        z = pipelines.latents(
            trainer.seed, range(trainer.preview_count), model.latent_dim, model.latent
        )
        images: Tensor = self.averaged_network("generator")(z.to(self.device))
        return [Sheet(images)]

    def pipeline(self) -> pipelines.NoiseToImage:
        """Noise to image by the averaged generator."""
        return pipelines.NoiseToImage(
            generator=self.averaged_network("generator"),
            latent_dim=self.config.model.latent_dim,
            image_size=self.data.image_size,
            channels=self.data.channels,
            latent=self.config.model.latent,
        )


TINY: dict[str, Any] = {
    "family": "dcgan",
    "data": {
        "kind": "glyphs",
        "image_size": 32,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "model": {"latent_dim": 8, "width": 4},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 4,
    },
}

FAMILY = Family(config=Config, trainer=DCGANTrainer, tiny=TINY)
