"""What scenes are: keyed, with room for all, with a tenth of the pairs held out."""

from __future__ import annotations

import json
import math

import pytest

from genkit.data.scenes.things import (
    COLORS,
    KINDS,
    OPPOSITE,
    SHAPES,
    UNSEEN,
    Scene,
    Thing,
    relation,
    scene,
)

MANY = [scene(0, "test", i) for i in range(600)]


def test_a_scene_depends_on_seed_part_and_number_alone():
    assert scene(3, "train", 17) == scene(3, "train", 17)
    others = [scene(4, "train", 17), scene(3, "test", 17), scene(3, "train", 18)]
    assert scene(3, "train", 17) not in others


def test_things_lie_in_the_picture_and_apart():
    for each in MANY:
        for i, one in enumerate(each.things):
            assert one.radius - 1e-3 <= min(one.x, one.y)
            assert max(one.x, one.y) <= 1 - one.radius + 1e-3
            for other in each.things[:i]:
                apart = math.hypot(one.x - other.x, one.y - other.y)
                assert apart >= one.radius + other.radius + 0.0195


def test_it_is_plain_where_one_of_two_lies_from_the_other():
    for each in (s for s in MANY if s.kind == "two"):
        one, other = each.things
        right, down = abs(one.x - other.x), abs(one.y - other.y)
        assert max(right, down) >= 1.5 * min(right, down) - 1e-3
        assert each.relation == OPPOSITE[relation(other, one)]


@pytest.mark.parametrize(
    ("x", "y", "where"),
    [(0.2, 0.5, "left of"), (0.9, 0.6, "right of"), (0.5, 0.2, "above"), (0.6, 0.9, "below")],
)
def test_relations_follow_the_axis_of_the_greater_distance(x, y, where):
    at = {"shape": "star", "color": "red", "size": "small", "radius": 0.1, "turn": 0.0}
    assert relation(Thing(x=x, y=y, **at), Thing(x=0.5, y=0.5, **at)) == where


def test_every_kind_occurs_and_is_what_it_says():
    assert {each.kind for each in MANY} == {*KINDS}
    counts = {"one": (1,), "two": (2,), "alike": (2, 3), "three": (3,)}
    for each in MANY:
        assert len(each.things) in counts[each.kind]
        looks = {thing.look for thing in each.things}
        pairs = {thing.pair for thing in each.things}
        assert len(looks) == 1 if each.kind == "alike" else len(pairs) == len(each.things)


def test_a_tenth_of_the_pairs_is_held_out_each_colour_and_shape_once():
    assert len(UNSEEN) == 6
    assert len({color for color, _ in UNSEEN}) == len({shape for _, shape in UNSEEN}) == 6
    seen = {thing.pair for each in MANY for thing in each.things}
    assert not seen & UNSEEN
    assert {color for color, _ in seen} == {*COLORS}
    assert {shape for _, shape in seen} == {*SHAPES}
    unseen = [scene(0, "unseen", i, "unseen") for i in range(300)]
    assert all({thing.pair for thing in each.things} & UNSEEN for each in unseen)
    everything = {t.pair for i in range(900) for t in scene(0, "x", i, "all").things}
    assert len(everything) == 64


def test_a_scene_is_the_same_through_json():
    for each in MANY[:20]:
        assert Scene.from_tree(json.loads(json.dumps(each.to_tree()))) == each
