"""Conditional GAN: the label goes into both networks.

Mirza & Osindero 2014 (arXiv:1411.1784). `model.kind: mlp` is their network for MNIST. `conv` is the
idea on DCGAN's networks (Radford et al. 2016, arXiv:1511.06434), `residual` on those of SNGAN
(Miyato et al. 2018, arXiv:1802.05957).

How the critic is told the label, `model.conditioning`:
    channels    one channel per class joined to the image; with mlp, a branch of its own
    projection  the logit gets <embed(y), features>: Miyato & Koyama 2018 (arXiv:1802.05637), eq. 3
    auxiliary   it is not told, it names the class: Odena et al. 2017 (arXiv:1610.09585), eqs. 2-3
and the generator: its embedding joined to the noise, or class-conditional batch norm.

Deviations: mlp has the initial weights and the critic's input dropout of its authors' sibling
configuration (the paper gives none), zero output biases, and drops units of the generator when
sampling too; exports hold the averaged generator.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines
from genkit.config import Positive, Section
from genkit.family import Family, image_and_label
from genkit.nn.critics import Conditioning, Norm, Verdict
from genkit.nn.generators import Norm as GeneratorNorm
from genkit.nn.pairs import make_pair, pair_problem
from genkit.nn.perceptrons import MaxoutCritic, PerceptronGenerator
from genkit.rows.batch import Batch
from genkit.training.adversarial import AdversarialRunConfig, AdversarialTrainer
from genkit.training.previews import Sheet, classes_on_sheet


class ModelConfig(Section):
    """The two networks and how they are told the label."""

    kind: Literal["conv", "residual", "mlp"] = "conv"
    conditioning: Conditioning = "channels"  # how the critic is told the label
    generator_norm: GeneratorNorm | None = None  # conv; None = batch: the label joins the noise
    auxiliary_weight: Annotated[float, Field(gt=0)] | None = None  # of the class loss; None = 1
    latent_dim: Positive = 100
    latent: Literal["normal", "uniform"] | None = None  # None = N(0, 1), with mlp U(-1, 1)
    embed_dim: Positive | None = None  # conv: of the label joined to the noise; None = 50
    width: Positive | None = None  # channels next to the image; None = 64, or the published one
    critic_norm: Norm | None = None  # conv; None = batch, but none at 28 px
    critic_dropout: Annotated[float, Field(ge=0, lt=1)] | None = None  # conv; None = 0

    @property
    def noise(self) -> Literal["normal", "uniform"]:
        """The distribution of the latent."""
        return self.latent or ("uniform" if self.kind == "mlp" else "normal")

    @model_validator(mode="after")
    def _settings_say_something(self) -> ModelConfig:
        for key in _WITHOUT_MEANING[self.kind]:
            if getattr(self, key) not in (None, "channels"):
                raise ValueError(f"{key} says nothing to kind={self.kind}; leave it out")
        if self.auxiliary_weight is not None and self.conditioning != "auxiliary":
            raise ValueError("auxiliary_weight needs conditioning=auxiliary")
        if self.embed_dim is not None and self.generator_norm == "conditional":
            raise ValueError(
                "embed_dim says nothing to generator_norm=conditional, where no label joins the "
                "noise; leave it out"
            )
        return self


_WITHOUT_MEANING = {
    "conv": (),
    "residual": ("generator_norm", "embed_dim", "critic_norm", "critic_dropout"),
    "mlp": (
        "conditioning",
        "generator_norm",
        "embed_dim",
        "width",
        "critic_norm",
        "critic_dropout",
    ),
}


class Config(AdversarialRunConfig):
    """A conditional GAN run."""

    model: ModelConfig = ModelConfig()

    @model_validator(mode="after")
    def _networks_fit(self) -> Config:
        model = self.model
        if model.kind == "mlp":
            return self
        if self.data.batch_size == 1:
            raise ValueError("data.batch_size=1: batch norm needs 2 or more images")
        problem = pair_problem(
            model.kind,
            self.data.side,
            critic_norm=model.critic_norm,
            critic_dropout=model.critic_dropout,
            penalty=self.adversarial.penalized,
            spectral_norm=self.adversarial.spectral_norm,
        )
        if problem:
            raise ValueError(problem)
        return self


class CGANTrainer(AdversarialTrainer[Config]):
    """Alternating updates of critic and generator on the labels of the batch."""

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Generator and critic, each with its optimizer."""
        model, data = self.config.model, self.data
        self.latent_dim = model.latent_dim
        if model.kind == "mlp":
            assert data.num_classes is not None  # its config says that it needs labels
            shape = (data.channels, data.image_size, data.num_classes)
            perceptron = PerceptronGenerator(model.latent_dim, *shape)
            self.latent_dim = perceptron.noise_dim  # what it drops is drawn with z
            return self.opponents(perceptron, MaxoutCritic(*shape))
        generator, critic = make_pair(
            model.kind,
            latent_dim=model.latent_dim,
            channels=data.channels,
            image_size=data.image_size,
            width=model.width,
            num_classes=data.num_classes,
            embed_dim=model.embed_dim,
            conditioning=model.conditioning,
            generator_norm=model.generator_norm,
            critic_norm=model.critic_norm,
            critic_dropout=model.critic_dropout,
        )
        return self.opponents(generator, critic)

    def generate(self, batch: Batch) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] from this step's noise and the batch's labels."""
        z = self.draw_latent(batch, self.latent_dim, self.config.model.noise)
        images: Tensor = self.networks["generator"](z, batch["label"])
        return images

    def judge(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """Whether each image is a real one of its label."""
        verdict: Verdict = critic(images, batch["label"])
        return verdict

    def class_loss(self, verdict: Verdict, batch: Batch) -> Tensor | float:
        """-E[log P(C = y)], minimised by both networks: Odena et al. 2017, eq. 3."""
        if verdict.classes is None:
            return 0.0
        loss = F.cross_entropy(verdict.classes.float(), batch["label"])
        return (self.config.model.auxiliary_weight or 1.0) * loss

    def preview(self) -> list[Sheet]:
        """Images of the averaged generator for the run's seed: one row per class."""
        trainer, model = self.config.trainer, self.config.model
        label, columns = classes_on_sheet(self.data.num_classes or 1, trainer.preview_count)
        z = pipelines.latents(trainer.seed, range(len(label)), self.latent_dim, model.noise)
        generator = self.averaged_network("generator")
        images: Tensor = generator(z.to(self.device), label.to(self.device))
        return [Sheet(images, columns=columns, labels=label)]

    def pipeline(self) -> pipelines.NoiseToImage:
        """Noise and label to image by the averaged generator."""
        return pipelines.NoiseToImage(
            generator=self.averaged_network("generator"),
            latent_dim=self.latent_dim,
            image_size=self.data.image_size,
            channels=self.data.channels,
            latent=self.config.model.noise,
            num_classes=self.data.num_classes,
            class_names=list(self.data.class_names or ()) or None,
        )


TINY: dict[str, Any] = {
    "family": "cgan",
    "data": {
        "kind": "glyphs",
        "image_size": 32,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "model": {"latent_dim": 8, "width": 4, "embed_dim": 4},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 10,
    },
}

FAMILY = Family(config=Config, trainer=CGANTrainer, needs=image_and_label, tiny=TINY)
