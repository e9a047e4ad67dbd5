"""Phases whose loss compares every row of a step with every other, exact to rounding.

A loss over pairs is no mean over micro-batches: they have to be compared with each other. So rows
are embedded first; the embeddings of all micro-batches and processes are compared, which gives each
its gradient; then each micro-batch is embedded once more and passes its gradient on (Gao et al.
2021, arXiv:2101.06983, section 3). A single micro-batch is embedded once.

Legend: B rows of a micro-batch, N rows of a step, P embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genkit.rows.batch import Batch

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer

Embed = Callable[[Batch], tuple[Tensor, ...]]
Compare = Callable[..., Tensor]


class Comparison:
    """One loss over the embeddings of all rows of a step.

    Args:
        trainer: Whose networks are updated.
        embed: A micro-batch to its embeddings, each (B, P), the same each time it is asked.
        keys: A micro-batch to numbers that rows are known by, (B, K) int64.
        compare: compare(*embeddings, keys), each of N rows, gives the loss as a scalar.
        shared: Parameters of the networks that `compare` uses by itself, such as a temperature.
    """

    def __init__(
        self,
        trainer: Trainer[Any],
        embed: Embed,
        keys: Callable[[Batch], Tensor],
        compare: Compare,
        shared: Sequence[nn.Parameter],
    ) -> None:
        self._trainer, self._embed, self._keys = trainer, embed, keys
        self._compare, self._shared = compare, shared

    def phase(self, names: Sequence[str], micro_batches: Sequence[Batch]) -> Tensor:
        """Update networks by the loss over all rows; returns it, a scalar without graph."""
        trainer, parts = self._trainer, len(micro_batches)
        keys = trainer.gathered(torch.cat([self._keys(batch) for batch in micro_batches]))
        compared: _Compared | None = None
        if parts > 1:
            with torch.no_grad(), trainer.casting.autocast():
                found = [self._embed(batch) for batch in micro_batches]
            compared = self._compared([torch.cat(each) for each in zip(*found, strict=True)], keys)
        places = iter(range(parts))

        def passed_on(batch: Batch) -> Tensor:
            """A scalar whose gradient is that of the loss, as far as this micro-batch goes."""
            nonlocal compared
            embeddings = self._embed(batch)
            compared = compared or self._compared(embeddings, keys)
            start = next(places) * len(embeddings[0])
            rows = slice(start, start + len(embeddings[0]))
            pairs = zip(embeddings, compared.gradients, strict=True)
            value = sum((e.float() * g[rows]).sum() for e, g in pairs)
            # Every micro-batch of every process brings its share of what they have in common.
            share = 1 / (parts * trainer.processes)
            common = zip(self._shared, compared.of_shared, strict=True)
            return value + share * sum((p * g).sum() for p, g in common)

        trainer.phase(names, micro_batches, passed_on, reduce="sum")
        assert compared is not None
        return compared.loss

    def _compared(self, own: Sequence[Tensor], keys: Tensor) -> _Compared:
        """The loss over all processes, and its gradient at this one's embeddings."""
        trainer = self._trainer
        with torch.enable_grad(), trainer.casting.full():
            leaves = [trainer.gathered(each.float()).requires_grad_() for each in own]
            loss = self._compare(*leaves, keys)
            found = torch.autograd.grad(loss, [*leaves, *self._shared])
        start = trainer.rank * len(own[0])
        mine = [each[start : start + len(own[0])] for each in found[: len(leaves)]]
        return _Compared(loss.detach(), mine, found[len(leaves) :])


class _Compared:
    """What a comparison gave: the loss, its gradient at own embeddings, and at what is shared."""

    def __init__(self, loss: Tensor, gradients: list[Tensor], of_shared: tuple[Tensor, ...]):
        self.loss, self.gradients, self.of_shared = loss, gradients, of_shared
