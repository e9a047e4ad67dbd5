"""Arms: self-attention forward and backward, at the shapes of U-Nets on small images.

Legend: B batch, H heads, N tokens, D channels of a head.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.step import Measured
from benchmarks.timing import Laps, this_device
from genkit.machine import keep_freed_memory
from genkit.nn.attention import attend

Form = Callable[[Tensor, Tensor, Tensor], Tensor]
LAP = 5  # calls


def _time(form: Form, shape: list[int], precision: Literal["fp32", "bf16"], laps: int) -> Measured:
    keep_freed_memory()
    device = this_device()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    batch, heads, tokens, width = shape
    torch.manual_seed(0)
    query, key, value = (  # laid out as a network's projections leave them
        torch.randn(batch, tokens, heads, width, device=device, dtype=dtype)
        .transpose(1, 2)
        .requires_grad_()
        for _ in range(3)
    )
    timed = Laps(device, warmup=LAP, count=laps, length=LAP)
    return {"seconds": timed.time(lambda: form(query, key, value).sum().backward())}


def pytorch(*, shape: list[int], precision: Literal["fp32", "bf16"], laps: int = 6) -> Measured:
    """Arm: PyTorch's kernel. Shape: B, H, N, D."""
    return _time(F.scaled_dot_product_attention, shape, precision, laps)


def genkit(*, shape: list[int], precision: Literal["fp32", "bf16"], laps: int = 6) -> Measured:
    """Arm: `genkit.nn.attention.attend`. Shape: B, H, N, D."""
    return _time(attend, shape, precision, laps)
