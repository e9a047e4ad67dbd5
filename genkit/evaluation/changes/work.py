"""Work on many pictures, shared by the processes that evaluate together."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genkit.evaluation import processes
from genkit.evaluation.engine import BATCH
from genkit.evaluation.pace import Pace
from genkit.rows.columns import Raw


def by_row(count: int, compute: Callable[[range], Tensor], name: str) -> Tensor:
    """What is computed of each of N rows, in their order: (N, ...), on all processes.

    Batches are cut by position and dealt to the processes in turn, as `engine.extract` deals them.

    Args:
        count: N.
        compute: The values (B, ...) of the rows at these places.
        name: What is measured, for the line that says how far it is.
    """
    starts = range(0, count, BATCH)[processes.rank() :: processes.world()]
    pace, mine = Pace(name, count, processes.world()), list[tuple[int, Tensor]]()
    with processes.failing_together():
        for start in starts:
            places = range(start, min(start + BATCH, count))
            mine.append((start, compute(places)))
            pace.advance(len(places))
    parts = [part for each in processes.gathered(mine) for part in each]
    return torch.cat([values for _, values in sorted(parts, key=lambda part: part[0])])


def stacked(raw: Raw) -> Tensor:
    """Pictures of one size as one tensor (B, C, H, W)."""
    return raw if isinstance(raw, Tensor) else torch.stack(list(raw))
