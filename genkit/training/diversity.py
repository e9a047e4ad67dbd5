"""How varied samples are, measured by the distances between real images.

Legend: N images, M samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from genkit.images import to_uint8
from genkit.rows.batch import Batch, DataInfo

Numbers = dict[str, float]
Classify = Callable[[Tensor], Tensor]  # (M, C, H, W) uint8 -> (M,) int64

REAL_IMAGES = 512  # of the yardstick: mean distances inside ten classes are then steady to 1 %
_REAL_VALUES = 2**25  # pixels times channels of all of them, so that large images are fewer
_REAL_OF_CLASS, _SAMPLES_OF_CLASS = 8, 4  # fewer give no steady distance inside a class


def worth_measuring(data: DataInfo) -> int:
    """How many real images a yardstick of this data takes."""
    most = _REAL_VALUES // (data.channels * data.size[0] * data.size[1])
    return min(data.count, REAL_IMAGES, most)


def mean_distance(images: Tensor) -> float:
    """Mean L2 distance over the pairs of (N, ...) images, N 2 or more."""
    return torch.pdist(images.flatten(1).float()).mean().item()


def label_entropy(labels: Tensor) -> float:
    """Entropy of the classes in (M,) labels, in nats: ln K for K equally frequent ones."""
    share = labels.unique(return_counts=True)[1].double() / len(labels)
    return max(0.0, -(share * share.log()).sum().item())


class Yardstick:
    """Distances between real images; those between samples are given as shares of them.

    Args:
        batches: Real images, 2 or more.
        classify: Names the class of samples, for their entropy.
    """

    def __init__(self, batches: Iterable[Batch], classify: Classify | None = None) -> None:
        self.classify = classify
        images, labels = distinct(batches)
        self.overall = mean_distance(images)
        self.of_class = {} if labels is None else _by_class(images, labels, _REAL_OF_CLASS)

    def measure(self, images: Tensor, labels: Tensor | None) -> Numbers:
        """The diversity of samples: 1 for those as varied as real images.

        Args:
            images: (M, C, H, W) in [-1, 1].
            labels: (M,) classes that were asked for, or None.

        Returns:
            "diversity/overall"; with classes of enough images "diversity/within-class", the mean
            over classes, and "diversity/narrowest-class", the least; with a classifier
            "diversity/label-entropy" in nats.
        """
        found = {}
        if len(images) > 1 and self.overall > 0:
            found["diversity/overall"] = mean_distance(images) / self.overall
        own = {} if labels is None else _by_class(images, labels, _SAMPLES_OF_CLASS)
        shares = [d / self.of_class[k] for k, d in own.items() if self.of_class.get(k, 0) > 0]
        if shares:
            found["diversity/within-class"] = sum(shares) / len(shares)
            found["diversity/narrowest-class"] = min(shares)
        if self.classify is not None:
            found["diversity/label-entropy"] = label_entropy(self.classify(to_uint8(images)))
        return found


def _by_class(images: Tensor, labels: Tensor, least: int) -> dict[int, float]:
    """Mean distance inside each class that has enough images."""
    labels = labels.to(images.device)
    kinds, counts = labels.unique(return_counts=True)
    return {
        kind: mean_distance(images[labels == kind])
        for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True)
        if count >= least
    }


def distinct(batches: Iterable[Batch]) -> tuple[Tensor, Tensor | None]:
    """The images of some batches, each once, and their labels if they have any."""
    images, labels, seen = [], [], set[int]()
    for batch in batches:
        numbers = batch["index"].tolist()
        new = [i for i, n in enumerate(numbers) if n not in seen and n not in numbers[:i]]
        seen.update(numbers)
        images.append(batch["image"][new])
        labels += [batch["label"][new]] if "label" in batch else []
    return torch.cat(images), torch.cat(labels) if labels else None
