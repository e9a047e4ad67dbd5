import io

import numpy as np
import pytest
import torch
from PIL import Image

from genkit.images import grid, png_of, to_pil
from genkit.images.sheets import Line, lines_of, sheet, word_for


def pictures(count=4, channels=1, side=28):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 100, (count, channels, side, side), generator=generator).byte()


@pytest.mark.parametrize(("channels", "scale"), [(1, 1), (3, 2), (4, 1)])
def test_without_words_a_sheet_is_a_grid(channels, scale):
    images = pictures(5, channels)
    drawn = np.asarray(sheet(lines_of(images, 2), scale=scale))
    assert np.array_equal(drawn[..., :3], np.asarray(to_pil(grid(images, 2, scale=scale)))[..., :3])


def test_words_stand_in_margins_and_leave_the_pictures_as_they_are():
    images = pictures(6)
    named = lines_of(images, 3, ["apple"] * 3 + ["tomato"] * 3)
    bare = np.asarray(sheet(lines_of(images, 3)))
    drawn = np.asarray(sheet(named, title="seed 3"))
    height, width = bare.shape
    assert np.array_equal(drawn[-height:, -width:], bare)
    margin = drawn[-height:, :-width]
    assert (margin[:30] < 128).any()
    assert (margin[30:] < 128).any()
    assert (drawn[:-height] < 128).any()
    timed = [Line(images, above=["999", "500", "", "", "", "0"])]
    assert np.array_equal(np.asarray(sheet(timed))[-32:], np.asarray(sheet([Line(images)])))


def test_each_class_begins_a_row_and_is_named_once():
    words = ["a"] * 5 + ["b"] * 2
    lines = lines_of(pictures(7), 3, words)
    assert [(line.name, len(line.images)) for line in lines] == [("a", 3), ("a", 2), ("b", 2)]
    again = np.asarray(sheet(lines))[2 + 30 : 2 + 60, : -3 * 30 - 2]
    assert (again == 255).all()
    assert [len(line.images) for line in lines_of(pictures(7), None, words)] == [5, 2]
    assert [len(line.images) for line in lines_of(pictures(7), None)] == [3, 3, 1]


def test_many_short_rows_stand_in_parts_side_by_side():
    lines = lines_of(pictures(80), None, [f"kind {i}" for i in range(80)])
    width, height = sheet(lines).size
    assert 0.5 < width / height < 2
    strip = [Line(line.images) for line in lines]  # without names it is as tall as was asked for
    assert sheet(strip).size == (32, 80 * 30 + 2)


def test_words_too_long_are_cut_and_letters_that_the_font_lacks_are_not_drawn_as_boxes():
    long = sheet(lines_of(pictures(4), 2, ["a name " * 40] * 4))
    assert long.width < 300
    names = ["Kaffeekännchen", "日本", "plain", "two\nlines"]
    words = ["Kaffeekannchen", "class 1", "plain", "class 3"]
    assert [word_for(i, names) for i in range(4)] == words
    assert word_for(7, None) == "class 7"


def test_a_sheet_is_the_same_file_each_time():
    lines = lines_of(pictures(4, 3), 2, ["a", "a", "b", "b"])
    files = [png_of(sheet(lines, title="x")) for _ in range(2)]
    assert files[0] == files[1]
    assert Image.open(io.BytesIO(files[0])).mode == "RGB"
