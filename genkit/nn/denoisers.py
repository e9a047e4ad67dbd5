"""Denoising networks: diffusers' U-Net and transformer, made as their papers describe them.

The U-Net is that of Ho et al. 2020 (arXiv:2006.11239), appendix B; with `scale_shift` and heads
that of Nichol & Dhariwal 2021 (arXiv:2102.09672), section 3. The transformer is DiT: Peebles & Xie
2023 (arXiv:2212.09748). Both are called through `denoise`.

A network of K classes has K + 1 labels: K stands for no label, which is what classifier-free
guidance needs (Ho & Salimans 2022, arXiv:2207.12598).

Legend: B batch, C channels, S image side in px, K classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.nn.attention import quicken

_SMALLEST_SIDE = 4  # px, of the innermost level


def make_unet(
    image_size: int,
    in_channels: int,
    out_channels: int,
    *,
    channels: Sequence[int] = (128, 256, 256, 256),
    layers: int = 2,
    attention: Sequence[int] = (16,),
    head_dim: int | None = None,
    dropout: float = 0.0,
    scale_shift: bool = False,
    patch_size: int = 1,
    num_classes: int | None = None,
) -> Any:
    """The U-Net of DDPM, a `UNet2DModel`.

    Args:
        image_size: S.
        in_channels: C.
        out_channels: C, or 2C with learnt variances.
        channels: Of each level, from the image inwards; each level but the last halves the side.
        layers: Residual blocks of a level on the way in; one more on the way out.
        attention: Sides in px of the levels with self-attention; the middle always has it.
        head_dim: Channels of an attention head; None = one head.
        dropout: In every residual block.
        scale_shift: Time scales and shifts after the norm instead of being added before it.
        patch_size: P; above 1, call it through `denoise` with the same.
        num_classes: K; None = unconditional.
    """
    from diffusers import UNet2DModel

    side = image_size // patch_size
    sides = [side >> i for i in range(len(channels))]
    down = ["AttnDownBlock2D" if side in attention else "DownBlock2D" for side in sides]
    up = ["AttnUpBlock2D" if side in attention else "UpBlock2D" for side in reversed(sides)]
    unet = UNet2DModel(
        sample_size=side,
        in_channels=in_channels * patch_size**2,
        out_channels=out_channels * patch_size**2,
        block_out_channels=tuple(channels),
        down_block_types=tuple(down),
        up_block_types=tuple(up),
        layers_per_block=layers,
        attention_head_dim=head_dim,
        norm_num_groups=groups(channels),
        attn_norm_num_groups=groups(channels),
        norm_eps=1e-6,
        dropout=dropout,
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        resnet_time_scale_shift="scale_shift" if scale_shift else "default",
        num_class_embeds=None if num_classes is None else num_classes + 1,
    )
    quiet_ends(unet)
    quicken(unet)
    return unet


def unet_problem(
    image_size: int,
    patch_size: int,
    channels: Sequence[int],
    attention: Sequence[int],
    head_dim: int | None = None,
) -> str | None:
    """Why there is no such U-Net, in words, or None."""
    if image_size % patch_size:
        return f"patch_size={patch_size} does not divide {image_size} px"
    side, halvings = image_size // patch_size, len(channels) - 1
    if side % 2**halvings or side >> halvings < _SMALLEST_SIDE:
        return (
            f"channels={list(channels)} halve {side} px {halvings} times, which must leave "
            f"a whole number of px from {_SMALLEST_SIDE} on; give fewer channels or another size"
        )
    if wrong := [c for c in channels if c % groups(channels)]:
        return (
            f"channels: {wrong[0]} is no multiple of {groups(channels)}, the groups of group norm"
        )
    sides = [side >> i for i in range(len(channels))]
    if missing := [each for each in attention if each not in sides]:
        return f"attention: no level has {missing[0]} px; the levels have {sides}"
    # The middle, which always has attention, is as wide as the last level.
    wide = [channels[-1], *(c for c, s in zip(channels, sides, strict=True) if s in attention)]
    if head_dim is not None and (wrong := [c for c in wide if c % head_dim]):
        return f"head_dim={head_dim} does not divide the {wrong[0]} channels of a level"
    return None


def groups(channels: Sequence[int]) -> int:
    """Groups of every group norm: 32 as in the paper, fewer for very narrow networks."""
    return max(1, min(32, min(channels) // 4))


def make_dit(
    image_size: int,
    in_channels: int,
    out_channels: int,
    *,
    patch_size: int = 2,
    width: int = 384,
    layers: int = 12,
    heads: int = 6,
    dropout: float = 0.0,
    num_classes: int | None = None,
) -> Any:
    """The transformer of DiT, a `DiTTransformer2DModel`; the defaults are its size S.

    An unconditional one is a network of one class that is never named.
    """
    from diffusers import DiTTransformer2DModel

    dit: Any = DiTTransformer2DModel(
        sample_size=image_size,
        in_channels=in_channels,
        out_channels=out_channels,
        patch_size=patch_size,
        num_attention_heads=heads,
        attention_head_dim=width // heads,
        num_layers=layers,
        dropout=dropout,
        num_embeds_ada_norm=num_classes or 1,
    )
    # Diffusers' blocks drop labels by themselves, each its own, from the process-wide generator.
    for block in dit.transformer_blocks:
        block.norm1.emb.class_embedder.dropout_prob = 0.0
    _dit_weights(dit)
    quicken(dit)
    return dit


def denoise(
    network: Any, x: Tensor, time: Tensor, labels: Tensor | None, patch_size: int = 1
) -> Tensor:
    """What a denoising network gives for x (B, C, S, S) at times (B,), as (B, C or 2C, S, S).

    Args:
        network: A U-Net or transformer, bare or wrapped for several processes.
        x: Noisy images, scaled as the prediction wants them.
        time: As trained: timesteps, ln(sigma) / 4 or 1000 sigma.
        labels: (B,) int64 in [0, K]; None for an unconditional network.
        patch_size: P of a U-Net that sees patches of P x P px as channels: C P^2 of side S / P.
            (Moving pixels into channels changes neither noise nor loss, only what a step costs.)
    """
    bare = getattr(network, "module", network)
    bare = getattr(bare, "_orig_mod", bare)
    if labels is None and _is_dit(bare):
        labels = torch.full((len(x),), null_label(bare), device=x.device)
    patches = F.pixel_unshuffle(x, patch_size)
    output: Tensor = network(patches, time, class_labels=labels, return_dict=False)[0]
    return F.pixel_shuffle(output, patch_size)


def null_label(network: Any) -> int:
    """K: the label that means none."""
    config = network.config
    if _is_dit(network):
        return int(config["num_embeds_ada_norm"])
    return int(config["num_class_embeds"]) - 1


def _is_dit(network: Any) -> bool:
    from diffusers import DiTTransformer2DModel

    return isinstance(network, DiTTransformer2DModel)


# The first and last layers of diffusers' U-Nets, of its DiT, and of its transformer for texts.
_ENDS = ("conv_in", "conv_out", "pos_embed.proj", "context_embedder", "proj_out", "proj_out_2")


def hidden_matrices(network: Any) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights of the layers between the first and the last, and every other parameter.

    Neither biases nor norms nor the label's embedding are among the first: these are what Muon
    makes orthogonal. See genkit/training/muon.py.

    Args:
        network: A U-Net or transformer of diffusers, with or without texts.
    """
    ends = [module for name, module in network.named_modules() if name in _ENDS]
    hidden = {
        id(module.weight)
        for module in network.modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and module not in ends
    }
    parameters = list(network.parameters())
    return (
        [p for p in parameters if id(p) in hidden],
        [p for p in parameters if id(p) not in hidden],
    )


def quiet_ends(unet: Any) -> None:
    """Residual branches and the output begin near zero, so that the network begins as its skips.

    Ho et al. 2020 make these layers' first weights 1e-5 of what others have; with a hundredth each
    gradient is still large enough for Adam to move every weight in the first step.
    """
    from diffusers.models.attention_processor import Attention
    from diffusers.models.resnet import ResnetBlock2D

    ends: list[Any] = [unet.conv_out]
    for module in unet.modules():
        if isinstance(module, ResnetBlock2D):
            ends.append(module.conv2)
        elif isinstance(module, Attention):
            ends.append(module.to_out[0])
    with torch.no_grad():
        for layer in ends:
            layer.weight.mul_(0.01)
            layer.bias.zero_()


def _dit_weights(dit: Any) -> None:
    """First weights of DiT."""
    embeddings = [block.norm1.emb for block in dit.transformer_blocks]
    told: list[Any] = []
    for each in embeddings:
        told += [each.class_embedder.embedding_table, *layers_of(each.timestep_embedder)]
    quiet = [block.norm1.linear for block in dit.transformer_blocks]
    transformer_weights(dit, told, [*quiet, dit.proj_out_1, dit.proj_out_2])


def layers_of(embedder: Any) -> tuple[Any, Any]:
    """Both layers of one of diffusers' embedders."""
    return embedder.linear_1, embedder.linear_2


def transformer_weights(network: Any, told: Sequence[Any], quiet: Sequence[Any]) -> None:
    """First weights of a diffusion transformer of diffusers, biases 0.

    Peebles & Xie 2023 (arXiv:2212.09748), section 3.2, whose modulations and output are 0; here
    they are near it, since the first step would move the output layer only.

    Args:
        network: With `pos_embed`, its patches; what is not named below is Xavier's.
        told: Layers that embed what it is told, N(0, 0.02^2).
        quiet: Modulations and output, N(0, 0.001^2).
    """
    for module in network.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    patches = network.pos_embed.proj
    nn.init.xavier_uniform_(patches.weight.view(len(patches.weight), -1))
    nn.init.zeros_(patches.bias)
    for layers, std in ((told, 0.02), (quiet, 1e-3)):
        for layer in layers:
            nn.init.normal_(layer.weight, std=std)
