"""What pictures of scenes show: read by a network that was trained on drawn ones, or known."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from genkit.data.scenes.captions import Prompt, claims, everything, with_exchanged_colours
from genkit.data.scenes.things import (
    COLORS,
    GROUNDS,
    OPPOSITE,
    SHAPES,
    SIZES,
    Scene,
    Thing,
    relation,
)
from genkit.nn.scene_reader import SceneReader, things_in
from genkit.rows.base import Rows

__all__ = [
    "CLAIMS",
    "Prompt",
    "Scene",
    "claims",
    "exchanged",
    "facts",
    "is_whole",
    "judged",
    "kind_of",
    "read_scenes",
    "scenes_of",
]

CLAIMS = ("count", "shapes", "colours", "pairs", "sizes", "place", "ground")
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


def judged(prompt: Prompt, scene: Scene) -> dict[str, bool]:
    """Which of a caption's claims a scene fulfils, each by itself; those it doesn't make are left
    out.

    "shapes" and "colours" ask for what is told wherever it is, "pairs" for each thing in its own
    colour, "sizes" and "place" for such things of these sizes, lying so.
    """
    told = [each for each in prompt.things for _ in range(each.count)]
    shown = scene.things
    right = {
        "count": len(shown) == len(told),
        "shapes": Counter(t.shape for t in told) <= Counter(t.shape for t in shown),
        "colours": Counter(t.color for t in told) <= Counter(t.color for t in shown),
        "pairs": Counter((t.color, t.shape) for t in told) <= Counter(t.pair for t in shown),
    }
    sized = [(t.shape, t.color, t.size) for t in told if t.size is not None]
    if sized:
        right["sizes"] = Counter(sized) <= Counter(t.look for t in shown)
    if prompt.relation is not None:
        one, other = prompt.things
        pairs = [
            (a, b)
            for a in shown
            for b in shown
            if a.pair == (one.color, one.shape) and b.pair == (other.color, other.shape)
        ]
        right["place"] = any(relation(a, b) == prompt.relation for a, b in pairs)
    if prompt.ground is not None:
        right["ground"] = scene.ground == prompt.ground
    return right


def kind_of(prompt: Prompt) -> str:
    """What a caption tells of: "one" thing, "two" or "three" that differ, several "alike"."""
    several = len(prompt.things)
    if several == 1:
        return "one" if prompt.things[0].count == 1 else "alike"
    return "two" if several == 2 else "three"


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
