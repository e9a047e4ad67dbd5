"""Denoising U-Nets that read a text: diffusers' `UNet2DConditionModel`, as Rombach et al. 2022 have
it (arXiv:2112.10752), section 3.3: the latent looks at the words at every level with attention.

Legend: B batch, Z latent channels, S side of a latent, L tokens, D width of their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from genkit.nn.attention import quicken
from genkit.nn.denoisers import groups, quiet_ends
from genkit.nn.tokens import filled, longest_read


def make_text_unet(
    side: int,
    channels: int,
    context: int,
    *,
    widths: Sequence[int] = (320, 640, 1280, 1280),
    layers: int = 2,
    attention: Sequence[int] = (64, 32, 16),
    heads: int = 8,
    dropout: float = 0.0,
) -> Any:
    """The network with first weights; the defaults are those of Stable Diffusion 1, at 512 px.

    Args:
        side: S.
        channels: Z.
        context: D.
        widths: Of each level, from the latent inwards; each level but the last halves the side.
        layers: Residual blocks of a level on the way in; one more on the way out.
        attention: Sides of the levels that look at the text; the middle always does.
        heads: Of the attention, at every level.
        dropout: In every residual block.
    """
    from diffusers import UNet2DConditionModel

    sides = [side >> i for i in range(len(widths))]
    reads = [each in attention for each in sides]
    unet: Any = UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(widths),
        down_block_types=tuple("CrossAttnDownBlock2D" if r else "DownBlock2D" for r in reads),
        up_block_types=tuple("CrossAttnUpBlock2D" if r else "UpBlock2D" for r in reversed(reads)),
        layers_per_block=layers,
        cross_attention_dim=context,
        attention_head_dim=heads,  # diffusers' name for their number, kept for old exports
        norm_num_groups=groups(widths),
        dropout=dropout,
    )
    quiet_ends(unet)
    quicken(unet)
    return unet


def text_unet_problem(
    side: int, widths: Sequence[int], attention: Sequence[int], heads: int
) -> str | None:
    """Why there is no such network, in words, or None."""
    halvings = len(widths) - 1
    if side % 2**halvings:
        return (
            f"widths={list(widths)} halve latents of {side} {halvings} times, which must leave "
            "whole numbers; give fewer widths, or pictures of another size"
        )
    sides = [side >> i for i in range(len(widths))]
    if missing := [each for each in attention if each not in sides]:
        return f"attention: no level has {missing[0]}; the levels have {sides}"
    if wrong := [w for w in widths if w % groups(widths)]:
        return f"widths: {wrong[0]} is no multiple of {groups(widths)}, the groups of group norm"
    wide = [widths[-1], *(w for w, s in zip(widths, sides, strict=True) if s in attention)]
    if wrong := [w for w in wide if w % heads]:
        return f"heads={heads} does not divide the {wrong[0]} channels of a level"
    return None


def denoise_by_text(
    network: Any, x: Tensor, time: Tensor, words: Tensor, **beside: Tensor
) -> Tensor:
    """What a network gives for x (B, Z, S, S) at times (B,), told of words (B, L, D), and beside
    them of what Stable Diffusion XL is told: `text_embeds` (B, P) and `time_ids` (B, 6)."""
    output: Tensor = network(
        x,
        time,
        encoder_hidden_states=words,
        added_cond_kwargs=beside or None,
        return_dict=False,
    )[0]
    return output


def encoded_text(tower: Any, tokenizer: Any, texts: Sequence[str]) -> Tensor:
    """Texts as a text-conditioned network reads them: (B, L, D), all filled up to the context.

    As diffusers' `StableDiffusionPipeline` has it: the tower's last hidden states, those of the
    tokens that fill up among them. "" stands for no text.

    Args:
        tower: A `CLIPTextModel`.
        tokenizer: Its tokenizer.
        texts: B of them; longer ones lose their last words.
    """
    ids = filled(tokenizer, texts, longest_read(tokenizer, tower.config))
    states: Tensor = tower(input_ids=ids.to(tower.device)).last_hidden_state
    return states
