"""Attention in its quick forms is the attention of its equation, and of diffusers."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import Tensor, nn

from genkit.nn.attention import QuickAttention, attend, quicken
from genkit.nn.denoisers import denoise, make_dit, make_unet


def heads(*shape: int, dtype: torch.dtype) -> list[Tensor]:
    """Query, key and value."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype) for _ in "qkv"]


def equation(query: Tensor, key: Tensor, value: Tensor, bias: Tensor | float = 0.0) -> Tensor:
    """softmax(Q K^T / sqrt(D) + b) V in double precision."""
    q, k, v = (x.double() for x in (query, key, value))
    return F.softmax(q @ k.mT / q.shape[-1] ** 0.5 + bias, dim=-1) @ v


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2), (torch.float64, 1e-12)]
)
@pytest.mark.parametrize("shape", [(2, 3, 49, 8), (2, 1, 64, 32), (1, 2, 16, 15)])
def test_every_form_is_the_equation(
    shape: tuple[int, ...], dtype: torch.dtype, tolerance: float
) -> None:
    """Narrow heads, wide ones, and both precisions; relative error of the whole."""
    q, k, v = heads(*shape, dtype=dtype)
    exact = equation(q, k, v)
    assert (attend(q, k, v) - exact).norm() < tolerance * exact.norm()
    assert attend(q, k, v).dtype == dtype
    bias = torch.zeros(shape[2])
    bias[-1] = 3  # the last key counts e^3 times
    exact = equation(q, k, v, bias)
    assert (attend(q, k, v, bias) - exact).norm() < tolerance * exact.norm()


def test_long_sequences_keep_no_scores() -> None:
    """Above 1,024 tokens bf16 goes to PyTorch's kernel, whose memory grows with N, not N^2."""
    q, k, v = heads(1, 1, 1025, 8, dtype=torch.bfloat16)
    assert torch.equal(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


def test_gradients_are_those_of_the_equation() -> None:
    """Zeros that pad a narrow head get no gradient back."""
    narrow = [x.requires_grad_() for x in heads(2, 3, 9, 8, dtype=torch.float32)]
    exact = [x.detach().double().requires_grad_() for x in narrow]
    attend(*narrow).square().sum().backward()
    equation(*exact).square().sum().backward()
    for one, other in zip(narrow, exact, strict=True):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.allclose(one.grad.double(), other.grad, atol=1e-5)


def plain(network: nn.Module) -> nn.Module:
    """A copy with diffusers' own attention."""
    other = copy.deepcopy(network)
    for module in other.modules():
        if isinstance(module, Attention):
            module.set_processor(AttnProcessor2_0())
    return other


@pytest.mark.parametrize("kind", ["unet-8", "unet-32", "dit"])
def test_networks_give_what_diffusers_gives(kind: str) -> None:
    """A U-Net with narrow and with wide heads, and a transformer."""
    torch.manual_seed(0)
    if kind == "dit":
        network = make_dit(8, 3, 3, patch_size=2, width=48, layers=2, heads=3, num_classes=4)
    else:
        network = make_unet(
            *(16, 3, 3), channels=(32, 64), attention=(8,), head_dim=int(kind[5:]), num_classes=4
        )
    used = [m.processor for m in network.modules() if isinstance(m, Attention)]
    assert used
    assert all(isinstance(each, QuickAttention) for each in used)
    for parameter in network.parameters():  # nothing near zero, so that attention is seen
        nn.init.normal_(parameter, std=0.1)
    side = 8 if kind == "dit" else 16
    x, labels = torch.randn(2, 3, side, side), torch.tensor([1, 4])
    time = torch.tensor([10, 700])
    ours, theirs = (denoise(n, x, time, labels) for n in (network, plain(network)))
    assert (ours - theirs).norm() < 1e-5 * theirs.norm()


def test_other_attention_is_left_to_diffusers() -> None:
    """Over other tokens, and with normalised queries."""
    torch.manual_seed(0)
    across = Attention(query_dim=16, cross_attention_dim=8, heads=2, dim_head=8)
    x, other = torch.randn(2, 5, 16), torch.randn(2, 3, 8)
    expected = across(x, encoder_hidden_states=other)
    quicken(across)
    assert torch.equal(across(x, encoder_hidden_states=other), expected)
    normed = Attention(query_dim=16, heads=2, dim_head=8, qk_norm="layer_norm")
    quicken(normed)
    assert type(normed.processor) is AttnProcessor2_0
