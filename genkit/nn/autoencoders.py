"""diffusers' `AutoencoderKL` as it is trained: pictures to latents and back in one pass.

Rombach et al. 2022 (arXiv:2112.10752), appendix G: an encoder and a decoder of residual blocks,
whose sides are halved and doubled between levels; the latent is drawn from a normal distribution.

Legend: B batch, C channels, H W size in px, Z latent channels, h w size of a latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

_LEAST, _MOST = -30.0, 20.0  # of the log variance


@cache
def _kind() -> Any:
    """The class, made when it is first used, so that configs are read without diffusers."""
    from diffusers import AutoencoderKL

    base: Any = AutoencoderKL  # whose types say less than there is

    class Autoencoder(base):  # type: ignore[misc]
        """An `AutoencoderKL` whose forward pass is given its noise and gives what a loss needs."""

        def forward(self, images: Tensor, eps: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            """Pictures (B, C, H, W) in [-1, 1] and noise (B, Z, h, w) N(0, 1): the reconstructions,
            and means and log variances (B, Z, h, w) of the latents."""
            mean, log_variance = self.quant_conv(self.encoder(images)).chunk(2, dim=1)
            log_variance = log_variance.clamp(_LEAST, _MOST)
            latents = mean + (0.5 * log_variance).exp() * eps
            return self.decoder(self.post_quant_conv(latents)), mean, log_variance

    return Autoencoder


def make_autoencoder(
    channels: int,
    widths: Sequence[int],
    *,
    layers: int = 2,
    latent: int = 4,
    attention: bool = True,
    groups: int = 32,
    side: int = 32,
) -> Any:
    """An autoencoder with first weights: called with pictures and noise, it gives what comes back
    and the means and log variances of the latents.

    Args:
        channels: C.
        widths: Of each level, from the picture inwards; between two of them the sides are halved.
        layers: Residual blocks of a level on the way in; one more on the way out.
        latent: Z.
        attention: Whether the middle has a block of self-attention.
        groups: Of the group norms; every width is a multiple of it.
        side: Of training pictures in px, which the export states.
    """
    return _kind()(
        in_channels=channels,
        out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=tuple(widths),
        layers_per_block=layers,
        latent_channels=latent,
        norm_num_groups=groups,
        mid_block_add_attention=attention,
        sample_size=side,
        scaling_factor=1.0,
    )


def factor(network: Any) -> int:
    """How many pixels of a side one latent stands for."""
    return 2 ** (len(network.config["block_out_channels"]) - 1)


def to_latents(network: Any, images: Tensor, shift: float = 0.0) -> tuple[Tensor, Tensor]:
    """Means and deviations of the latents of pictures, each (B, Z, h, w), as large as noise is.

    Args:
        network: An `AutoencoderKL`.
        images: (B, C, H, W) in [-1, 1].
        shift: What latents are lowered by before they are scaled.
    """
    scale = network.config["scaling_factor"]
    found = network.encode(images).latent_dist
    return (found.mean - shift) * scale, found.std * scale


def from_latents(network: Any, latents: Tensor, shift: float = 0.0) -> Tensor:
    """The pictures (B, C, H, W) of latents (B, Z, h, w), nearly in [-1, 1]: see `to_latents`."""
    images: Tensor = network.decode(latents / network.config["scaling_factor"] + shift).sample
    return images


def pictures_problem(network: Any, channels: int, side: int) -> str | None:
    """Why an autoencoder does not take pictures of that size, in words, or None.

    Args:
        network: An `AutoencoderKL`.
        channels: C of the pictures.
        side: Theirs in px.
    """
    taken, each = network.config["in_channels"], factor(network)
    if taken != channels:
        return (
            f"takes pictures of {taken} channels, and those of the data have {channels}; set "
            f"data.channels={taken}, or name another one"
        )
    if side % each:
        return (
            f"has one latent for {each} x {each} px, and pictures have {side}; set "
            "data.image_size to a multiple of it"
        )
    return None


@torch.no_grad()
def normalised(network: Any, mean: Tensor, deviation: Tensor) -> Any:
    """The same autoencoder with latents of mean 0 and deviation 1 in each channel.

    Both are folded into the convolutions on either side of the latent, since pipelines of diffusers
    know one factor for all channels: it is 1.

    Args:
        network: As it was trained; it stays as it is.
        mean: (Z,) of its latents.
        deviation: (Z,) of its latents, above 0.
    """
    from diffusers import AutoencoderKL

    config = {key: value for key, value in network.config.items() if not key.startswith("_")}
    plain: Any = AutoencoderKL(**config)
    plain.load_state_dict(network.state_dict())
    plain = plain.to(network.device)
    count = len(mean)
    into, out = plain.quant_conv, plain.post_quant_conv
    mean, deviation = mean.to(into.weight), deviation.to(into.weight)
    scale = torch.cat([1 / deviation, torch.ones_like(deviation)]).to(into.weight)
    into.weight.mul_(scale[:, None, None, None])
    into.bias[:count] = (into.bias[:count] - mean) / deviation
    into.bias[count:] -= 2 * deviation.log()
    out.bias += torch.einsum("oi,i->o", out.weight[:, :, 0, 0], mean.to(out.weight))
    out.weight.mul_(deviation.to(out.weight)[None, :, None, None])
    return plain
