"""What is familiar to a model: learnt from training rows, each measured by others."""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from genkit import random
from genkit.nn.familiarity import FOLDS, Familiarity, appearance
from genkit.rows.base import Rows
from genkit.rows.columns import Draws

log = logging.getLogger("genkit")

KNOWN = 5_000  # pictures that say what is familiar, at most
FEWEST = 3
_BLOCK = 64


def learn(familiarity: Familiarity, known: Rows, seed: int) -> None:
    """Take in how pictures look that are trained on, and how far each is from most others.

    Only what can be seen of pictures counts, nothing of the networks that were trained on them. So
    a training row tells of new ones as long as it is measured by moments of other rows, and the
    test part stays for what is measured on it.

    Args:
        familiarity: What learns it; of fewer than 3 rows nothing.
        known: Rows that are trained on; of many some are drawn.
        seed: Of the run, which names the draw.
    """
    if len(known) < FEWEST:
        log.info("what is familiar: not learnt, of %d training pictures", len(known))
        return
    features = _appearance(known, random.permutation(seed, 0, len(known))[:KNOWN])
    familiarity.learn_across(features.to(familiarity.mean.device))
    log.info(
        "what is familiar: learnt of %s training pictures, the limit from each of them beside "
        "others (%d parts in turn)",
        *(f"{len(features):,}", min(FOLDS, len(features))),
    )


def _appearance(rows: Rows, chosen: Tensor) -> Tensor:
    """Features (N, F) of the pictures at these places."""
    column = rows.columns["image"]
    parts = (rows.read(part, ("image",))["image"] for part in chosen.split(_BLOCK))
    return torch.cat([appearance(column.batch(part, Draws())) for part in parts])
