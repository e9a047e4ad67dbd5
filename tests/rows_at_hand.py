"""Rows as tests look at them."""

from __future__ import annotations

from torch import Tensor

from genkit.rows.base import Rows


def everything(rows: Rows) -> Tensor:
    """All pictures of rows of one size, (N, C, H, W) uint8."""
    found = rows.read(range(len(rows)), ("image",))["image"]
    assert isinstance(found, Tensor)
    return found
