"""Self-attention in the form that a CPU computes fastest.

PyTorch's own kernel is made for long sequences and wide heads. Diffusion on small images has
neither: measured on two cores with AVX-512, forward and backward, B = 32, heads 8 and 32 wide,
49-256 tokens, the two forms below take 0.2 to 0.4 of its time in bf16 and, for heads 8 wide, 0.55
of it in fp32. See `attention-*` in benchmarks/.

Legend: B batch, H heads, N tokens, D channels of a head.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_VECTOR = 16  # float32 numbers that AVX-512 takes at once
_LONGEST = 1024  # tokens up to which N x N scores are kept: 2 MiB a head in bf16


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(D) + b) V, (B, H, N, D); Vaswani et al. 2017 (1706.03762), equation 1.

    Args:
        query: (B, H, N, D).
        key: (B, H, N, D).
        value: (B, H, N, D).
        bias: (N,), b of each key; None = 0.
    """
    tokens, width = query.shape[-2:]
    b = None if bias is None else bias.to(query.dtype).expand(1, 1, tokens, -1)
    if query.device.type != "cpu":
        return F.scaled_dot_product_attention(query, key, value, b)
    if query.dtype == torch.bfloat16 and tokens <= _LONGEST:
        scores = (query * width**-0.5) @ key.mT
        return F.softmax(scores if b is None else scores + b, dim=-1) @ value
    if query.dtype == torch.float32 and width < _VECTOR:
        query, key, value = (F.pad(x, (0, _VECTOR - width)) for x in (query, key, value))
        wide = F.scaled_dot_product_attention(query, key, value, b, scale=width**-0.5)
        return wide[..., :width]
    return F.scaled_dot_product_attention(query, key, value, b)


class QuickAttention:
    """What a diffusers `Attention` calls to attend to itself; other attention stays diffusers'."""

    def __call__(  # noqa: D102  (diffusers' signature)
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        if encoder_hidden_states is not None or attention_mask is not None:
            from diffusers.models.attention_processor import AttnProcessor2_0

            usual: Any = AttnProcessor2_0()
            return usual(attn, hidden_states, encoder_hidden_states, attention_mask, temb)
        image = hidden_states.ndim == 4
        tokens = hidden_states.flatten(2).mT if image else hidden_states
        if attn.group_norm is not None:
            tokens = attn.group_norm(tokens.mT).mT
        tokens = tokens.contiguous()  # once, not for each of the three
        heads = (
            project(tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        output, dropout = attn.to_out
        result = dropout(output(attend(*heads).transpose(1, 2).flatten(2)))
        if image:
            result = result.mT.unflatten(-1, hidden_states.shape[2:])
        if attn.residual_connection:
            result = result + hidden_states
        return result / attn.rescale_output_factor if attn.rescale_output_factor != 1 else result


def quicken(network: Any) -> None:
    """Let every plain self-attention of a diffusers network be computed by `QuickAttention`."""
    from diffusers.models.attention_processor import Attention

    quick: Any = QuickAttention
    for module in network.modules():
        if isinstance(module, Attention) and _is_plain(module):
            module.set_processor(quick())


def _is_plain(attention: Any) -> bool:
    """Whether nothing lies between its projections and its scores."""
    from diffusers.models.attention_processor import AttnProcessor2_0

    own = type(attention.processor) is AttnProcessor2_0
    return own and not any((attention.spatial_norm, attention.norm_q, attention.norm_k))
