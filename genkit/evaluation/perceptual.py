"""LPIPS as a measure: the distance of pairs, and how far the samples of a set are apart by it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.processes import fetched
from genkit.evaluation.sets import pictures
from genkit.evaluation.view import Found
from genkit.nn.pretrained import lpips
from genkit.nn.pretrained.lpips import SMALLEST, TRUNKS, Trunk
from genkit.random import generator
from genkit.rows.base import Rows

MEANING = {
    "lpips": "how far each picture is from its original as people see it",
    "lpips-alex-diversity": "how far samples are apart as people see it: 0 where all are one",
    "lpips-vgg-diversity": "how far samples are apart as people see it: 0 where all are one",
}
TITLE = {
    "lpips": "Distance as people see it",
    "lpips-alex-diversity": "Variety as people see it",
    "lpips-vgg-diversity": "Variety as people see it",
}
BATCH = 32
PAIRS = 2000  # behind a set's diversity


class Lpips:
    """The distance of pairs.

    Args:
        trunk: "alex", the authors' choice for measuring; "vgg" is more usual as a loss.
        path: Weights of the trunk; by default the published ones, from the user's cache.
        device: Where it runs.

    Raises:
        EvaluationError: There is no such file and none can be fetched, or it is another network.
    """

    def __init__(
        self,
        trunk: Trunk = "alex",
        path: Path | None = None,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        if trunk not in TRUNKS:
            raise EvaluationError(f"lpips: no trunk {trunk!r}; there are {', '.join(TRUNKS)}")
        found = lpips.load(trunk, path or fetched(TRUNKS[trunk], f"lpips-{trunk}"))
        self.trunk, self.sha256 = trunk, found.sha256
        known = found.is_published
        self.name = f"lpips-{trunk}" if known else f"lpips-{trunk}-{self.sha256[:8]}"
        self._network = found.network.to(device)
        self._device = device

    @torch.inference_mode()
    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Two batches (B, C, H, W) uint8 of one size, C 1 or 3 -> (B,) float32 on the CPU."""
        self.check(first.shape)
        a, b = (_signed(x).to(self._device) for x in (first, second))
        return self._network(a, b).flatten().float().cpu()

    def check(self, shape: Sequence[int]) -> None:
        """Refuse images (..., H, W) that are too small for the network."""
        side = min(shape[-2:])
        if side < SMALLEST[self.trunk]:
            raise EvaluationError(
                f"{self.name}: images of {side} px are too small for the network, which needs "
                f"{SMALLEST[self.trunk]}; resize them first"
            )


def _signed(images: Tensor) -> Tensor:
    return images.expand(-1, 3, -1, -1).float() / 127.5 - 1


def diversity(samples: Rows, distance: Lpips, seed: int) -> Found:
    """The mean distance of random pairs of samples, of the same class where there are labels.

    A model that makes one image per class has 0 (Zhu et al. 2017, arXiv:1711.11586, section 5).
    """
    first, second = _pairs(samples, seed)
    values = []
    for start in range(0, len(first), BATCH):
        places = [x[start : start + BATCH].tolist() for x in (first, second)]
        sides = [list(pictures(samples, p)) for p in places]
        if len({picture.shape for side in sides for picture in side}) > 1:
            raise EvaluationError(
                f"{samples.name}: images of different sizes or channels; {distance.name} compares "
                "images of one size: resize them first"
            )
        values.append(distance(*(torch.stack(side) for side in sides)))
    found = torch.cat(values).double()
    # A pair has two images, and an image may be in several pairs: each bears its share of them.
    off = len(samples) * (found - found.mean()) / len(found)
    influence = torch.zeros(len(samples), dtype=torch.float64)
    for of_pairs in (first, second):
        influence.index_add_(0, of_pairs, off)
    within = "" if samples.class_numbers is None else " of one class"
    return Found(
        f"{distance.name}-diversity",
        found.mean().item(),
        "higher",
        influence,
        protocol={
            "trunk_sha256": distance.sha256,
            "pairs": f"{len(found):,} random pairs{within}",
            "interval": "samples drawn again",
        },
    )


def _pairs(samples: Rows, seed: int) -> tuple[Tensor, Tensor]:
    """Positions of both images of each pair; never an image with itself."""
    numbers = samples.class_numbers
    labels = torch.zeros(len(samples)) if numbers is None else numbers
    draw = generator(seed, "lpips/pairs")
    first, second = [], []
    classes = labels.unique()
    for label in classes:
        places = (labels == label).nonzero().flatten()
        if len(places) < 2:
            continue
        count = max(1, min(PAIRS // len(classes), len(places) * (len(places) - 1) // 2))
        one = torch.randint(len(places), (count,), generator=draw)
        step = torch.randint(1, len(places), (count,), generator=draw)
        first.append(places[one])
        second.append(places[(one + step) % len(places)])
    if not first:
        raise EvaluationError(f"{samples.name}: no class has two images to compare")
    return torch.cat(first), torch.cat(second)
