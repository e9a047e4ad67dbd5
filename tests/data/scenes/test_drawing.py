"""Pictures of scenes show the shapes and colours of their things, where these lie."""

from __future__ import annotations

import numpy as np
import pytest

from genkit.data.scenes.drawing import _RGB, _covered, picture
from genkit.data.scenes.things import COLORS, GROUNDS, SHAPES, Scene, Thing, scene


def thing(shape: str, color: str = "red", radius: float = 0.24) -> Thing:
    return Thing(shape, color, "big", 0.5, 0.5, radius, 0.1)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_picture_is_of_the_size_asked_for_and_twice_the_same(size):
    each = scene(0, "test", 3)
    found = picture(each, size, 0, "test", 3)
    assert found.shape == (3, size, size)
    assert found.dtype == np.uint8
    assert np.array_equal(found, picture(each, size, 0, "test", 3))
    assert not np.array_equal(found, picture(each, size, 1, "test", 3))


def test_sizes_show_the_same_scene():
    for i in range(20):
        each = scene(0, "test", i)
        large = picture(each, 128, 0, "test", i).astype(float)
        small = picture(each, 32, 0, "test", i).astype(float)
        shrunk = large.reshape(3, 32, 4, 32, 4).mean((2, 4))
        assert np.abs(shrunk - small).mean() < 1.5


@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_lies_within_its_circle_and_covers_a_good_part(shape):
    covered = _covered(thing(shape), 64)
    y, x = np.mgrid[:64, :64]
    outside = np.hypot(x + 0.5 - 32, y + 0.5 - 32) > 64 * 0.24 + 1.5
    assert covered[outside].max() == 0
    assert 0.3 < covered.sum() / (np.pi * (64 * 0.24) ** 2) < 0.95
    assert ((covered > 0) & (covered < 1)).any()


def test_no_two_shapes_look_alike_at_32_px():
    maps = {shape: _covered(thing(shape, radius=0.15), 32) for shape in SHAPES}
    for i, one in enumerate(SHAPES):
        for other in SHAPES[:i]:
            assert np.abs(maps[one] - maps[other]).sum() > 8


@pytest.mark.parametrize("color", COLORS)
def test_a_thing_has_its_colour_on_every_ground(color):
    for ground in GROUNDS:
        found = picture(Scene("one", (thing("circle", color),), ground), 64, 0, "test", 0)
        middle, corner = (found[:, a:b, a:b].mean((1, 2)) for a, b in ((28, 36), (0, 4)))
        assert min(COLORS, key=lambda c: np.abs(middle - np.array(_RGB[c])).sum()) == color
        assert min(GROUNDS, key=lambda g: np.abs(corner - np.array(_RGB[g])).sum()) == ground


def test_a_ring_shows_the_ground_through_it():
    found = picture(Scene("one", (thing("ring"),), "white"), 64, 0, "test", 0)
    assert found[:, 31:33, 31:33].min() > 220
