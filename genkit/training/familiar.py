"""What is familiar to a network: learnt from training rows, and measured on held-out ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genkit import random
from genkit.nn.familiarity import Familiarity
from genkit.rows.base import Rows, onto
from genkit.rows.columns import Draws

KNOWN, HELD_OUT = 4_000, 1_000  # pictures that say what is familiar, at most
_BLOCK = 64

Describe = Callable[[Tensor], Tensor]  # pictures (B, C, H, W) in [-1, 1] to features (B, F)


def learn(
    familiarity: Familiarity, describe: Describe, known: Rows, held_out: Rows, seed: int
) -> None:
    """Take in what features a network has of the pictures of rows, as it is.

    Args:
        familiarity: What learns it.
        describe: The network's features.
        known: Rows that are trained on; of many some are drawn.
        held_out: Rows that are not; of many some are drawn.
        seed: Of the run, which names the draw.
    """
    device = familiarity.mean.device
    familiarity.learn(
        _described(describe, known, _some(len(known), KNOWN, seed), device),
        _described(describe, held_out, _some(len(held_out), HELD_OUT, seed), device),
    )


def _some(count: int, most: int, seed: int) -> Tensor:
    keyed = random.generator(seed, "familiar")
    return torch.randperm(count, generator=keyed)[:most]


@torch.no_grad()
def _described(describe: Describe, rows: Rows, chosen: Tensor, device: torch.device) -> Tensor:
    column = rows.columns["image"]
    parts = (rows.read(part, ("image",))["image"] for part in chosen.split(_BLOCK))
    batches = (column.batch(torch.as_tensor(part), Draws()) for part in parts)
    return torch.cat([describe(onto(device, batch)) for batch in batches])
