"""What pictures of scenes show: read by a network that was trained on drawn ones, or known."""

from __future__ import annotations

import json
from collections.abc import Sequence

import torch
from torch import Tensor

from genkit.data.scenes.captions import everything, with_exchanged_colours
from genkit.data.scenes.things import COLORS, GROUNDS, OPPOSITE, SHAPES, SIZES, Scene, Thing
from genkit.nn.scene_reader import SceneReader, things_in
from genkit.rows.base import Rows

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


def scenes_of(rows: Rows) -> list[Scene] | None:
    """What each row is known to show; None where that is not known."""
    if "scene" not in rows.columns:
        return None
    said = rows.read(range(len(rows)), ("scene",))["scene"]
    return [Scene.from_tree(json.loads(each)) for each in said]


def facts(scene: Scene) -> str:
    """All that can be told of a scene, the same for scenes of which the same is told."""
    told = everything(scene)
    looks = [(each.count, each.size, each.color, each.shape) for each in told.things]
    lies = told.relation
    if lies is not None and looks != sorted(looks):
        lies = OPPOSITE[lies]
    return repr((sorted(looks), lies, told.ground))


def exchanged(scenes: Sequence[Scene], said: Sequence[str]) -> tuple[list[int], list[str]]:
    """Captions of two things with their colours exchanged, and which rows they are of.

    Args:
        scenes: What rows show.
        said: A caption of each.
    """
    places = [
        i
        for i, scene in enumerate(scenes)
        if scene.kind == "two" and scene.things[0].color != scene.things[1].color
    ]
    return places, [with_exchanged_colours(said[i]) for i in places]
