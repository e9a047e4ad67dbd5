"""Denoising transformers that read a text: diffusers' `SD3Transformer2DModel`, as Esser et al. 2024
have it (arXiv:2403.03206), section 4: patches and words each have weights of their own and look at
each other at every layer.

Texts are read as diffusers' `StableDiffusion3Pipeline` reads them where it has two towers of CLIP
and none of T5.

Legend: B batch, Z latent channels, S side of a latent, L tokens, D width of words, P of a text's
embedding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.nn.denoisers import layers_of, transformer_weights
from genkit.nn.joint_attention import join
from genkit.nn.tokens import filled

# Tokens of the tower of T5 that is not there, all zeros: `max_sequence_length` of diffusers'
# pipeline, unless it is told otherwise.
MISSING = 256

Words = tuple[Tensor, Tensor]  # of tokens (B, L + 1, D), and of the whole text (B, P)


def make_text_transformer(
    side: int,
    channels: int,
    context: int,
    pooled: int,
    *,
    patch: int = 2,
    width: int = 1536,
    layers: int = 24,
    heads: int = 24,
    qk_norm: str | None = None,
) -> Any:
    """The network with first weights; the defaults are those of Stable Diffusion 3 Medium.

    It takes latents of that one size. First weights are DiT's, see `transformer_weights`: what
    scales each branch is near zero, and so is the output, and the network begins as its skips.

    Args:
        side: S.
        channels: Z.
        context: D.
        pooled: P.
        patch: Side of the latents that become one token.
        width: Of a token, in pictures and words.
        layers: Of both.
        heads: Of the attention.
        qk_norm: "rms_norm" = queries and keys are normalised, section 5.3.2; None = they are not.
    """
    from diffusers import SD3Transformer2DModel

    network: Any = SD3Transformer2DModel(
        sample_size=side,
        patch_size=patch,
        in_channels=channels,
        out_channels=channels,
        num_layers=layers,
        attention_head_dim=width // heads,
        num_attention_heads=heads,
        joint_attention_dim=context,
        caption_projection_dim=width,
        pooled_projection_dim=pooled,
        pos_embed_max_size=side // patch,
        qk_norm=qk_norm,
    )
    told = network.time_text_embed
    norms = [norm for b in network.transformer_blocks for norm in (b.norm1, b.norm1_context)]
    transformer_weights(
        network,
        [*layers_of(told.timestep_embedder), *layers_of(told.text_embedder)],
        [norm.linear for norm in (*norms, network.norm_out)] + [network.proj_out],
    )
    join(network)
    return network


def text_transformer_problem(width: int, heads: int) -> str | None:
    """Why there is no such network, in words, or None."""
    each = math.lcm(heads, 4)  # positions are sines and cosines of two coordinates
    if width % each:
        return (
            f"width={width} can't be shared among heads={heads} and the 4 parts of a position; "
            f"take a multiple of {each}"
        )
    return None


def denoise_jointly(network: Any, x: Tensor, time: Tensor, words: Words) -> Tensor:
    """What a network gives for x (B, Z, S, S) at times (B,), told of words."""
    states, pooled = words
    output: Tensor = network(
        x,
        encoder_hidden_states=states,
        pooled_projections=pooled,
        timestep=time,
        joint_attention_kwargs={"times": MISSING},
        return_dict=False,
    )[0]
    return output


def projected_tower(clip: Any) -> Any:
    """The tower of texts of a `CLIPModel` with its projection, as a `CLIPTextModelWithProjection`
    of the same weights."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    embed = {"projection_dim": clip.config.projection_dim}
    config = CLIPTextConfig(**clip.config.text_config.to_dict() | embed)
    with torch.device("meta"):
        tower: Any = CLIPTextModelWithProjection(config)
    tower.text_model, tower.text_projection = clip.text_model, clip.text_projection
    return tower.train(clip.training)


def towers_problem(towers: Sequence[Any], tokenizers: Sequence[Any]) -> str | None:
    """Why two towers can't read the same texts together, in words, or None."""
    context = tokenizers[0].model_max_length
    for tower in towers:
        known = tower.config.max_position_embeddings
        if known < context:
            return (
                f"texts are filled up to the {context} tokens of the first tokenizer, and a tower "
                f"reads {known}"
            )
    return None


def encoded_jointly(
    towers: Sequence[Any], tokenizers: Sequence[Any], texts: Sequence[str], width: int
) -> Words:
    """Texts as a transformer reads them, all filled up to the context of the first tokenizer.

    As diffusers' `StableDiffusion3Pipeline` has it: the last but one hidden states of both towers
    side by side, zeros beside them up to D, and behind them the zeros of T5, of which one stands
    for all `MISSING`; and both texts' embeddings side by side, not normalised. "" stands for no
    text.

    Args:
        towers: Two `CLIPTextModelWithProjection`; the same one twice reads once.
        tokenizers: Theirs.
        texts: B of them; longer ones lose their last words.
        width: D.
    """
    context = tokenizers[0].model_max_length
    found: dict[int, Words] = {}
    for tower, tokenizer in zip(towers, tokenizers, strict=True):
        if id(tower) not in found:
            ids = filled(tokenizer, texts, context).to(tower.device)
            said = tower(input_ids=ids, output_hidden_states=True)
            found[id(tower)] = said.hidden_states[-2], said.text_embeds
    both = [found[id(tower)] for tower in towers]
    states, pooled = (torch.cat(parts, -1) for parts in zip(*both, strict=True))
    return F.pad(states, (0, width - states.shape[-1], 0, 1)), pooled
