"""Generators and critics that belong together, by kind.

"conv" is the DCGAN pair (28 px, or a power of two from 16 on), "residual" the SNGAN pair (32 and
64 px).
"""

from typing import Literal

from torch import nn

from genkit.nn.critics import Conditioning, DCGANCritic, Norm, critic_norm_problem
from genkit.nn.generators import DCGANGenerator, image_size_problem
from genkit.nn.generators import Norm as GeneratorNorm
from genkit.nn.residual import ResidualCritic, ResidualGenerator, residual_size_problem

Kind = Literal["conv", "residual"]


def make_pair(
    kind: Kind,
    *,
    latent_dim: int,
    channels: int,
    image_size: int,
    width: int | None = None,
    num_classes: int | None = None,
    embed_dim: int | None = None,
    conditioning: Conditioning = "channels",
    generator_norm: GeneratorNorm | None = None,
    critic_norm: Norm | None = None,
    critic_dropout: float | None = None,
) -> tuple[nn.Module, nn.Module]:
    """A generator and a critic of one kind.

    Args:
        kind: "conv" or "residual".
        latent_dim: Z.
        channels: C of the images.
        image_size: S in px.
        width: None = 64 for "conv", the published one for "residual"; see the classes.
        num_classes: K, or None for an unconditional pair.
        embed_dim: Of the label joined to z ("conv" without conditional norm); None = 50.
        conditioning: How the critic is told the label, where there are classes.
        generator_norm: "conv" only; a conditional residual generator has conditional norms.
        critic_norm: "conv" only.
        critic_dropout: "conv" only; None = 0.
    """
    if kind == "residual":
        return (
            ResidualGenerator(latent_dim, channels, image_size, width, num_classes),
            ResidualCritic(channels, image_size, width, num_classes, conditioning),
        )
    width = width or 64
    generator = DCGANGenerator(
        latent_dim,
        channels,
        image_size,
        width,
        num_classes,
        embed_dim or 50,
        norm=generator_norm or "batch",
    )
    critic = DCGANCritic(
        channels,
        image_size,
        width,
        num_classes,
        conditioning=conditioning,
        norm=critic_norm,
        dropout=critic_dropout or 0.0,
    )
    return generator, critic


def pair_problem(
    kind: Kind,
    image_size: int,
    *,
    critic_norm: Norm | None,
    critic_dropout: float | None,
    penalty: bool,
    spectral_norm: bool,
) -> str | None:
    """What is wrong with settings for `make_pair`, or None; `penalty`: of the critic's gradient."""
    if kind == "conv":
        return image_size_problem(image_size) or critic_norm_problem(
            image_size, critic_norm, penalty=penalty, spectral_norm=spectral_norm
        )
    if critic_norm is not None or critic_dropout:
        return (
            "model.kind=residual: its critic has neither norm nor dropout; leave critic_norm and "
            "critic_dropout out"
        )
    return residual_size_problem(image_size)
