"""`trainer.overfit_batch`: train on one batch, a first check that the parts are wired together.

A run whose samples come no nearer to the images of its first batch has a fault that no longer run
will mend. Such a run says at each preview how near it has come.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterable
from typing import TypeVar

import torch
from torch import Tensor

from genkit.rows.batch import Batch
from genkit.training.diversity import Classify, Numbers, Yardstick, distinct, mean_distance

log = logging.getLogger("genkit")

T = TypeVar("T")

LEARNT, ON_ITS_WAY = 0.45, 0.65  # of `nearness`; measured in docs/training-doctor.md


def repeated(batches: Generator[T, None, None]) -> Generator[T, None, None]:
    """The first item for ever; the rest is never asked for."""
    first = next(batches)
    batches.close()
    while True:
        yield first


def nearness(samples: Tensor, batch: Tensor) -> float:
    """How near samples are to a batch: 0 where each of its images is among them.

    Mean distance from an image of the batch to its nearest sample, over the mean distance between
    two images of the batch.

    Args:
        samples: (M, C, H, W).
        batch: (N, C, H, W), N 2 or more.
    """
    flat = batch.flatten(1).float(), samples.to(batch.device).flatten(1).float()
    apart = torch.cdist(*flat, compute_mode="donot_use_mm_for_euclid_dist")  # (N, M)
    return apart.amin(1).mean().item() / mean_distance(batch)


def verdict(near: float) -> str:
    """What `nearness` means, in a sentence."""
    start = f"{near:.2f} of the mean distance between two of its images to the nearest sample: "
    if near < LEARNT:
        return f"{start}learnt by heart, so networks, losses and data are wired together"
    if near < ON_ITS_WAY:
        return f"{start}on its way; it should go on falling below {LEARNT}, with more steps"
    return (
        f"{start}not learnt (the mean image is at 0.71). It should fall from preview to preview. "
        "If it doesn't, look at optim.lr (ten times more and less), at trainer.precision=fp32, and "
        "at what the losses and networks are given; a critic without a penalty may also learn the "
        "batch before the generator does: try adversarial.r1_weight=1 with model.critic_norm=none "
        "and a smaller data.batch_size"
    )


class OneBatch(Yardstick):
    """The batch that is to be learnt; says in the log how near samples have come to it."""

    def __init__(self, batches: Iterable[Batch], classify: Classify | None = None) -> None:
        batches = list(batches)
        super().__init__(batches, classify)
        self.images, _ = distinct(batches)

    def measure(self, images: Tensor, labels: Tensor | None) -> Numbers:
        """The diversity of samples, and "overfit/nearness"."""
        near = nearness(images, self.images)
        log.info("one batch: %s", verdict(near))
        return super().measure(images, labels) | {"overfit/nearness": near}
