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
from typing_extensions import Self

from genkit import pipelines
from genkit.config import ByKind, Positive, Section
from genkit.family import Family, image_and_label
from genkit.nn.critics import Conditioning, DCGANCritic, Verdict
from genkit.nn.generators import DCGANGenerator
from genkit.nn.generators import Norm as GeneratorNorm
from genkit.nn.perceptrons import MaxoutCritic, PerceptronGenerator
from genkit.nn.residual import ResidualCritic, ResidualGenerator
from genkit.rows.batch import Batch, DataInfo
from genkit.training.adversarial import AdversarialRunConfig, AdversarialTrainer
from genkit.training.pairs import ConvPair, Latent, ResidualPair
from genkit.training.previews import Sheet, classes_on_sheet

EMBED_DIM = 50  # of the label that joins the noise
Weight = Annotated[float, Field(gt=0)]


class Told(Section):
    """How the critic is told the label, or names it."""

    conditioning: Conditioning = "channels"  # how the critic is told the label
    auxiliary_weight: Weight | None = None  # of its class loss, 1 unless given; others have none

    @model_validator(mode="after")
    def _weight_fits(self) -> Self:
        if self.auxiliary_weight is None and self.conditioning == "auxiliary":
            self.settle(auxiliary_weight=1.0)
        if self.auxiliary_weight is not None and self.conditioning != "auxiliary":
            raise ValueError("auxiliary_weight needs conditioning=auxiliary")
        return self


class Conv(Told, ConvPair):
    """The networks of DCGAN, told the label."""

    generator_norm: GeneratorNorm = "batch"  # batch: the label joins the noise
    embed_dim: Positive | None = None  # of that label, 50 unless given; conditional: none

    @model_validator(mode="after")
    def _label_joins_the_noise(self) -> Self:
        joins = self.generator_norm == "batch"
        if self.embed_dim is None and joins:
            self.settle(embed_dim=EMBED_DIM)
        if self.embed_dim is not None and not joins:
            raise ValueError(
                f"embed_dim says nothing to generator_norm={self.generator_norm}, where no label "
                "joins the noise; leave it out"
            )
        return self

    def make(self, data: DataInfo) -> tuple[nn.Module, nn.Module]:
        """Generator and critic, with first weights."""
        sizes = data.channels, data.image_size, self.width, data.num_classes
        generator = DCGANGenerator(
            self.latent_dim, *sizes, self.embed_dim or EMBED_DIM, norm=self.generator_norm
        )
        return generator, DCGANCritic(
            *sizes,
            conditioning=self.conditioning,
            norm=self.critic_norm,
            dropout=self.critic_dropout,
        )


class Residual(Told, ResidualPair):
    """The networks of SNGAN, told the label; the generator's norms are conditional."""

    def make(self, data: DataInfo) -> tuple[nn.Module, nn.Module]:
        """Generator and critic, with first weights."""
        sizes = data.channels, data.image_size, self.width, data.num_classes
        generator = ResidualGenerator(self.latent_dim, *sizes)
        return generator, ResidualCritic(*sizes, self.conditioning)


class MLP(Section):
    """The network of the paper for MNIST, whose critic has a branch for the label."""

    kind: Literal["mlp"] = "mlp"
    latent_dim: Positive = 100
    latent: Latent = "uniform"  # N(0, 1), or U(-1, 1)

    def at(self, image_size: int) -> Self:
        """These settings: none follows from the side of the images."""
        return self

    def problem(self, run: AdversarialRunConfig) -> str | None:
        """None: there are such networks for every run."""
        return None

    def make(self, data: DataInfo) -> tuple[nn.Module, nn.Module]:
        """Generator and critic, with first weights."""
        assert data.num_classes is not None  # the family needs labels
        shape = data.channels, data.image_size, data.num_classes
        return PerceptronGenerator(self.latent_dim, *shape), MaxoutCritic(*shape)


class Config(AdversarialRunConfig):
    """A conditional GAN run."""

    model: Annotated[Conv | Residual | MLP, ByKind("conv")] = Conv()

    @model_validator(mode="after")
    def _networks_fit(self) -> Config:
        self.settle(model=self.model.at(self.data.side))
        if self.data.batch_size == 1 and self.model.kind != "mlp":
            raise ValueError("data.batch_size=1: batch norm needs 2 or more images")
        problem = self.model.problem(self)
        if problem:
            raise ValueError(problem)
        return self


class CGANTrainer(AdversarialTrainer[Config]):
    """Alternating updates of critic and generator on the labels of the batch."""

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Generator and critic, each with its optimizer."""
        generator, critic = self.config.model.make(self.data)
        self.latent_dim = self.config.model.latent_dim
        if isinstance(generator, PerceptronGenerator):
            self.latent_dim = int(generator.noise_dim)  # what it drops is drawn with z
        return self.opponents(generator, critic)

    def generate(self, batch: Batch) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] from this step's noise and the batch's labels."""
        z = self.draw_latent(batch, self.latent_dim, self.config.model.latent)
        images: Tensor = self.networks["generator"](z, batch["label"])
        return images

    def judge(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """Whether each image is a real one of its label."""
        verdict: Verdict = critic(images, batch["label"])
        return verdict

    def class_loss(self, verdict: Verdict, batch: Batch) -> Tensor | float:
        """-E[log P(C = y)], minimised by both networks: Odena et al. 2017, eq. 3."""
        model = self.config.model
        if verdict.classes is None or not isinstance(model, Told):
            return 0.0
        assert model.auxiliary_weight is not None
        return model.auxiliary_weight * F.cross_entropy(verdict.classes.float(), batch["label"])

    def preview(self) -> list[Sheet]:
        """Images of the averaged generator for the run's seed: one row per class."""
        trainer, model = self.config.trainer, self.config.model
        label, columns = classes_on_sheet(self.data.num_classes or 1, trainer.preview_count)
        z = pipelines.latents(trainer.seed, range(len(label)), self.latent_dim, model.latent)
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
            latent=self.config.model.latent,
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
