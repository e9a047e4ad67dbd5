"""Pools of earlier pictures, so that a critic does not forget what its opponent made before.

Shrivastava et al. 2017 (arXiv:1612.07828), section 2.3, in the form of Zhu et al. 2017
(arXiv:1703.10593), section 4: a pool of 50 pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genkit.rows.base import onto
from genkit.rows.batch import Batch

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer


class Pool:
    """Pictures that were made in earlier steps, some of which the critic is shown for new ones.

    While the pool fills, a new picture is shown and kept. From then on each new picture, by itself
    and with even chance, either is shown and forgotten, or takes the place of one in the pool,
    drawn evenly, which is shown in its stead. So what is kept grows old without an end: after n
    pictures an entry is still there with chance (1 - 1 / 2P)^n.

    The pool is read as it was before the step and filled after it, and a picture's draws are keyed
    by its place in the step's global batch: so neither processes nor micro-batches change it. Of
    several pictures of one step that take the same place the last one stays. With one picture a
    step this is the rule of the paper's code.

    Args:
        trainer: The run, in whose memory the pictures are: checkpoints hold them.
        name: Of the pool, for its draws and its place in memory.
        size: P; 0 = there is no pool, and every picture is shown.
        shape: (C, H, W) of a picture.
    """

    def __init__(self, trainer: Trainer[Any], name: str, size: int, shape: Sequence[int]) -> None:
        self.size, self._trainer, self._name = size, trainer, f"pool/{name}"
        if size:
            trainer.memory[self._name] = torch.zeros(size, *shape)
            trainer.memory[self._filled] = torch.zeros((), dtype=torch.int64)

    @property
    def filled(self) -> int:
        """Pictures in it."""
        return int(self._trainer.memory[self._filled]) if self.size else 0

    def shown(self, batch: Batch, fakes: Tensor) -> Tensor:
        """What the critic sees for the new pictures of a micro-batch.

        Args:
            batch: The micro-batch, whose rows key the draws.
            fakes: (B, C, H, W) in [-1, 1], without a graph.

        Returns:
            As `fakes`: each picture itself or an earlier one.
        """
        if not self.size:
            return fakes
        place, recalled, _ = self._drawn(batch["position"])
        earlier = self._trainer.memory[self._name][place].to(fakes.dtype)
        return torch.where(recalled[:, None, None, None], earlier, fakes)

    def remember(self, positions: Tensor, fakes: Tensor) -> None:
        """Take in the pictures of a step, once the critic has seen what it was shown for them.

        Args:
            positions: (n,) their places in the step's global batch, of this process.
            fakes: (n, C, H, W) in the same order.
        """
        if not self.size:
            return
        trainer = self._trainer
        order = trainer.gathered(onto(trainer.device, positions)).argsort()
        pictures = trainer.gathered(fakes)[order]  # of the whole step, by their place in it
        place, recalled, fills = self._drawn(torch.arange(len(pictures)))
        entries = torch.arange(self.size, device=trainer.device)[:, None]
        turns = torch.arange(1, len(pictures) + 1, device=trainer.device)
        taken = torch.where((recalled | fills) & (place == entries), turns, 0)  # (P, n)
        last, which = taken.max(1)
        pool = trainer.memory[self._name]
        pool.copy_(torch.where((last > 0)[:, None, None, None], pictures[which].to(pool), pool))
        trainer.memory[self._filled].add_(fills.sum())

    @property
    def _filled(self) -> str:
        return f"{self._name}/filled"

    def _drawn(self, positions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Of pictures at these places (n,), on the CPU: each one's place in the pool, whether one
        of the pool is shown in its stead, and whether it fills an empty place; (n,) each, on the
        device, which nothing here waits for."""
        trainer, filled = self._trainer, self._trainer.memory[self._filled]
        drawn = trainer.noise(self._name, {"position": positions}, (2,), kind="uniform")
        chance, where = drawn.unbind(1)
        number = onto(trainer.device, positions)
        fills = number < self.size - filled
        place = (where * self.size).long().clamp_(max=self.size - 1)
        recalled = ~fills & (chance < 0.5) & (place < filled)
        return torch.where(fills, filled + number, place), recalled, fills
