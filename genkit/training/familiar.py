"""What is familiar to a model: learnt from training rows, and measured on held-out ones."""

from __future__ import annotations

import torch
from torch import Tensor

from genkit import random
from genkit.nn.familiarity import Familiarity, appearance
from genkit.rows.base import Rows
from genkit.rows.columns import Draws

KNOWN, HELD_OUT = 4_000, 1_000  # pictures that say what is familiar, at most
_BLOCK = 64


def learn(familiarity: Familiarity, known: Rows, held_out: Rows, seed: int) -> None:
    """Take in how pictures look that are trained on, and how far others of their kind are from it.

    Args:
        familiarity: What learns it.
        known: Rows that are trained on; of many some are drawn.
        held_out: Rows that are not; of many some are drawn.
        seed: Of the run, which names the draw.
    """
    seen = (
        _appearance(rows, random.permutation(seed, 0, len(rows))[:most])
        for rows, most in ((known, KNOWN), (held_out, HELD_OUT))
    )
    familiarity.learn(*(features.to(familiarity.mean.device) for features in seen))


def _appearance(rows: Rows, chosen: Tensor) -> Tensor:
    """Features (N, F) of the pictures at these places."""
    column = rows.columns["image"]
    parts = (rows.read(part, ("image",))["image"] for part in chosen.split(_BLOCK))
    return torch.cat([appearance(column.batch(part, Draws())) for part in parts])
