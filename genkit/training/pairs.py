"""Sections of networks that belong together: a generator and a critic, by kind.

"conv" is the DCGAN pair (28 px, or a power of two from 16 on), "residual" the SNGAN pair (32 and
64 px). A family that tells them labels adds to them, see `genkit/families/cgan.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn
from typing_extensions import Self

from genkit.config import Positive, Section
from genkit.nn.critics import DCGANCritic, Norm, critic_norm_problem
from genkit.nn.generators import DCGANGenerator, image_size_problem
from genkit.nn.residual import (
    WIDTHS,
    ResidualCritic,
    ResidualGenerator,
    residual_size_problem,
)
from genkit.rows.batch import DataInfo
from genkit.training.adversarial import AdversarialRunConfig

Latent = Literal["normal", "uniform"]


class ConvPair(Section):
    """The networks of DCGAN."""

    kind: Literal["conv"] = "conv"
    latent_dim: Positive = 100
    latent: Latent = "normal"  # N(0, 1), or U(-1, 1) as in the paper
    width: Positive = 64  # channels next to the image
    critic_norm: Norm = "batch"  # unless given: none at 28 px, where the critic has no norm
    critic_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def at(self, image_size: int) -> Self:
        """These settings, with what follows from the side of the images in px."""
        if image_size != 28 or self.was_given("critic_norm"):
            return self
        return self.model_copy(update={"critic_norm": "none"})

    def problem(self, run: AdversarialRunConfig) -> str | None:
        """Why there are no such networks for this run, or None."""
        size, critic = run.data.side, run.adversarial
        return image_size_problem(size) or critic_norm_problem(
            size, self.critic_norm, penalty=critic.penalized, spectral_norm=critic.spectral_norm
        )

    def make(self, data: DataInfo) -> tuple[nn.Module, nn.Module]:
        """Generator and critic, with first weights."""
        generator = DCGANGenerator(self.latent_dim, data.channels, data.image_size, self.width)
        return generator, DCGANCritic(
            data.channels,
            data.image_size,
            self.width,
            norm=self.critic_norm,
            dropout=self.critic_dropout,
        )


class ResidualPair(Section):
    """The networks of SNGAN; the critic has neither norm nor dropout."""

    kind: Literal["residual"] = "residual"
    latent_dim: Positive = 100
    latent: Latent = "normal"  # N(0, 1), or U(-1, 1)
    width: Positive = 256  # channels next to the image; unless given the published 256, 64 at 64 px

    def at(self, image_size: int) -> Self:
        """These settings, with what follows from the side of the images in px."""
        if image_size not in WIDTHS or self.was_given("width"):
            return self
        return self.model_copy(update={"width": WIDTHS[image_size]})

    def problem(self, run: AdversarialRunConfig) -> str | None:
        """Why there are no such networks for this run, or None."""
        return residual_size_problem(run.data.side)

    def make(self, data: DataInfo) -> tuple[nn.Module, nn.Module]:
        """Generator and critic, with first weights."""
        generator = ResidualGenerator(self.latent_dim, data.channels, data.image_size, self.width)
        return generator, ResidualCritic(data.channels, data.image_size, self.width)
