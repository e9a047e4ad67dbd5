"""A network that says which things a drawn scene shows, and where: one guess for each cell of a
grid, as centre-point detectors make them (Zhou et al. 2019, arXiv:1904.07850).

Legend: B batch, G cells along a side, S side of the picture in px.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.nn.network import Network

CELL = 4  # px of a side of a cell
_SURE = 0.5  # that a thing is here: of the shares of a cell and its neighbours, together


@dataclass(frozen=True)
class SceneGrid:
    """What each cell says.

    Attributes:
        there: (B, G, G) logits, whether the middle of a thing lies in it.
        shape: (B, K, G, G) logits.
        color: (B, K, G, G) logits.
        size: (B, K, G, G) logits.
        place: (B, 2, G, G), x and y of that middle within the cell, in [0, 1].
        ground: (B, K) logits, of the whole picture.
    """

    there: Tensor
    shape: Tensor
    color: Tensor
    size: Tensor
    place: Tensor
    ground: Tensor


@dataclass(frozen=True)
class Seen:
    """One thing that was seen.

    Attributes:
        shape: Its number.
        color: Its number.
        size: Its number.
        x: Of its middle, a share of the picture's side.
        y: Likewise.
    """

    shape: int
    color: int
    size: int
    x: float
    y: float


class SceneReader(Network):
    """Pictures (B, 3, S, S) in [-1, 1] -> a `SceneGrid` of G = S / 4.

    Args:
        shapes: How many there are.
        colors: How many there are.
        sizes: How many there are.
        grounds: How many there are.
        width: Channels at full size; twice as many at half, and 10/3 times as many in cells.
    """

    def __init__(
        self,
        shapes: int = 8,
        colors: int = 8,
        sizes: int = 2,
        grounds: int = 4,
        width: int = 24,
    ) -> None:
        super().__init__()
        inner = width * 10 // 3
        self.body = nn.Sequential(
            _layer(3, width),
            _layer(width, 2 * width, stride=2),
            _layer(2 * width, 2 * width),
            _layer(2 * width, inner, stride=2),
            _layer(inner, inner),
            _layer(inner, inner),
        )
        self.parts = [1, shapes, colors, sizes, 2]
        self.cells = nn.Conv2d(inner, sum(self.parts), 1)
        self.ground = nn.Linear(inner, grounds)

    def maps(self, images: Tensor) -> Tensor:
        """The features of cells: (B, D, G, G)."""
        found: Tensor = self.body(images)
        return found

    def features(self, images: Tensor) -> Tensor:
        """Of whole pictures, mean and maximum over the cells: (B, 2 D)."""
        maps = self.maps(images)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)

    def forward(self, images: Tensor) -> SceneGrid:
        """What each cell says."""
        maps = self.maps(images)
        there, shape, color, size, place = self.cells(maps).split(self.parts, dim=1)
        return SceneGrid(
            there[:, 0], shape, color, size, place.sigmoid(), self.ground(maps.mean((2, 3)))
        )


def _layer(inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def things_in(grid: SceneGrid) -> list[list[Seen]]:
    """The things that are seen in each of B pictures: cells that are surer than their eight
    neighbours, with which they add up to more than half; a thing on the line between two cells is
    half in each.
    """
    share = grid.there.sigmoid()
    most = F.max_pool2d(share[:, None], 3, stride=1, padding=1)[:, 0]
    around = 9 * F.avg_pool2d(share[:, None], 3, stride=1, padding=1)[:, 0]
    chosen = (around >= _SURE) & (share == most)
    shape, color, size = (each.argmax(1) for each in (grid.shape, grid.color, grid.size))
    cells = share.shape[-1]
    found: list[list[Seen]] = [[] for _ in share]
    for b, row, column in chosen.nonzero().tolist():
        x, y = ((at + float(grid.place[b, i, row, column])) / cells
                for i, at in enumerate((column, row)))  # fmt: skip
        what, hue, how = (int(each[b, row, column]) for each in (shape, color, size))
        found[b].append(Seen(what, hue, how, x, y))
    return found
