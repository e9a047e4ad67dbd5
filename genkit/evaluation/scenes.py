"""What a picture of a scene shows, read by a network that was trained on drawn ones."""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.data.scenes.captions import everything
from genkit.data.scenes.things import COLORS, GROUNDS, SHAPES, SIZES, Scene, Thing
from genkit.nn.scene_reader import SceneReader, things_in

_BATCH = 256
_RADIUS = {"small": 0.16, "big": 0.235}  # the middle of each range


@torch.no_grad()
def read_scenes(network: SceneReader, images: Tensor) -> list[Scene]:
    """The scenes that pictures (B, 3, S, S) in [-1, 1] show; their kind is "read"."""
    found = []
    for part in images.split(_BATCH):
        grid = network(part)
        grounds = grid.ground.argmax(1).tolist()
        for seen, ground in zip(things_in(grid), grounds, strict=True):
            things = []
            for each in seen:
                size = SIZES[each.size]
                looks = SHAPES[each.shape], COLORS[each.color], size
                things.append(Thing(*looks, each.x, each.y, _RADIUS[size], 0.0))
            found.append(Scene("read", tuple(things), GROUNDS[ground]))
    return found


def is_whole(read: Scene, truth: Scene) -> bool:
    """Whether a scene was read rightly as a whole: the things and their looks, the ground, and
    where one of two lies from the other.
    """
    return everything(truth).holds(read)
