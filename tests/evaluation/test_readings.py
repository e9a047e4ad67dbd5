"""Pictures that the tools of published protocols read otherwise."""

import numpy as np
import pytest
import torch
from PIL import Image

from genkit.evaluation import evaluate
from genkit.evaluation.protocols import PRESETS, Preset
from genkit.evaluation.readings import notes, read_otherwise
from genkit.rows.base import image_rows
from genkit.rows.combine import picked
from genkit.rows.files import open_path


def picture(mode="RGB"):
    pixels = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def half_clear():
    found = picture("RGBA")
    found.putalpha(128)
    return found


def palette():
    found = picture("P")
    found.info["transparency"] = found.getpixel((0, 0))
    return found


@pytest.mark.parametrize(
    ("made", "name", "count"),
    [
        (half_clear, "a.png", 1),
        (palette, "a.png", 1),
        (lambda: Image.fromarray(np.full((8, 8), 40_000, dtype=np.uint16)), "a.png", 1),
        (lambda: picture("RGBA"), "a.png", 0),  # opaque everywhere: nothing is dropped
        (lambda: picture("L"), "a.png", 0),
        (picture, "a.jpg", 0),
    ],
)
def test_transparency_and_depth_are_counted_where_they_change_pixels(made, name, count, tmp_path):
    made().save(tmp_path / name)
    picture().save(tmp_path / "b.png")
    assert read_otherwise(open_path(tmp_path)) == count
    assert read_otherwise(picked(open_path(tmp_path), [0, 1])) == count


def test_a_turn_by_exif_is_counted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture().save(tmp_path / "a.jpg", exif=exif)
    assert read_otherwise(open_path(tmp_path)) == 1
    said = list(notes({"fake": 1}, "clean-fid"))
    assert said[0].startswith("fake: 1 pictures have transparency, an EXIF turn or more than 8")


def test_under_a_protocol_the_count_stands_in_note_and_protocol(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(PRESETS, "paper", Preset(("digits",), ("fd",), "a paper"))
    (tmp_path / "fake").mkdir()
    for i in range(8):
        (half_clear if i < 3 else picture)().save(tmp_path / "fake" / f"{i}.png")
    rows = open_path(tmp_path / "fake")
    found = evaluate(rows, image_rows("real", noise(8)), protocol="paper")
    assert any("fake: 3 pictures have transparency" in note for note in found.notes)
    assert found["fd-digits"].protocol["read_otherwise"] == {"fake": 3}
    found = evaluate(rows, image_rows("real", noise(8)), extractors=["digits"], metrics=["fd"])
    assert "read_otherwise" not in found["fd-digits"].protocol


def noise(count):
    return torch.from_numpy(np.random.default_rng(1).integers(0, 255, (count, 3, 8, 8), np.uint8))


def test_pictures_in_memory_have_nothing_to_be_read_otherwise():
    assert read_otherwise(image_rows("a", torch.zeros(3, 1, 8, 8, dtype=torch.uint8))) == 0
