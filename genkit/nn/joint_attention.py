"""Attention of pictures and words to each other, of which one word may stand for many.

Esser et al. 2024 (arXiv:2403.03206), section 4: both have projections of their own and look at all
tokens of both. Tokens that are equal stay equal through every layer, since words have no positions
there; so n of them may be one whose key counts n times: exp(s + ln n) = n exp(s).

Legend: B batch, H heads, N tokens, D channels of a head, W width.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from genkit.nn.attention import attend


class JointAttention:
    """What an `Attention` of diffusers' `SD3Transformer2DModel` calls, in place of its own."""

    def __call__(  # diffusers' signature, and `times`
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        times: int = 1,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """What pictures, and words where there are some, make of each other.

        Args:
            attn: The layer that calls, whose projections are used.
            hidden_states: (B, N, W) of pictures.
            encoder_hidden_states: (B, N, W) of words; None = pictures look at themselves.
            attention_mask: Not given by this network.
            times: How many equal words the last one stands for.
        """
        images, words = hidden_states, encoder_hidden_states
        own = (attn.to_q, attn.to_k, attn.to_v)
        parts = [_heads(attn, images, own, attn.norm_q, attn.norm_k)]
        if words is not None:
            added = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
            parts.append(_heads(attn, words, added, attn.norm_added_q, attn.norm_added_k))
        query, key, value = (torch.cat(each, 2) for each in zip(*parts, strict=True))
        bias = None
        if words is not None and times > 1:
            bias = torch.zeros(key.shape[2], device=key.device)
            bias[-1] = math.log(times)
        found = attend(query, key, value, bias).transpose(1, 2).flatten(2)
        output, dropout = attn.to_out
        made: Tensor = dropout(output(found[:, : images.shape[1]]))
        if words is None:
            return made
        rest = found[:, images.shape[1] :]
        return made, rest if attn.context_pre_only else attn.to_add_out(rest)


def _heads(
    attn: Any, tokens: Tensor, projections: tuple[Any, ...], norm_query: Any, norm_key: Any
) -> tuple[Tensor, ...]:
    """Query, key and value, each (B, H, N, D)."""
    query, key, value = (
        project(tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for project in projections
    )
    query = query if norm_query is None else norm_query(query)
    return query, key if norm_key is None else norm_key(key), value


def join(network: Any) -> None:
    """Let the attention of an `SD3Transformer2DModel` be computed by `JointAttention`."""
    joint: Any = JointAttention()
    network.set_attn_processor(joint)
