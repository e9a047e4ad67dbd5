"""Generated images that the critic's phase and the generator's phase of one step share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genkit.rows.batch import Batch


class Fakes:
    """Makes the images of each micro-batch once where that is possible.

    With a single micro-batch the generator runs once and both phases use its result. With several,
    keeping them would hold all their graphs at once, the very memory that accumulation saves; so
    the critic's phase runs without a graph and the generator's phase runs again, on the same noise
    and weights.

    Args:
        generate: A micro-batch to images (B, C, H, W) in [-1, 1].
        keep: Whether there is only one micro-batch.
    """

    def __init__(self, generate: Callable[[Batch], Tensor], *, keep: bool) -> None:
        self._generate, self._keep = generate, keep
        self._kept: Tensor | None = None

    def detached(self, batch: Batch) -> Tensor:
        """The images without a graph: for the critic."""
        if not self._keep:
            with torch.no_grad():
                return self._generate(batch)
        self._kept = self._generate(batch)
        return self._kept.detach()

    def attached(self, batch: Batch) -> Tensor:
        """The images with their graph: for the generator."""
        kept, self._kept = self._kept, None
        return self._generate(batch) if kept is None else kept
