"""Sheets of data sets: whatever a row holds is shown, and what is left out is counted."""

import json

import numpy as np
import pytest
import torch
from PIL import Image as Pictures
from typer.testing import CliRunner

from genkit.cli import app
from genkit.config import to_yaml
from genkit.errors import ConfigError, DataError, OutputError
from genkit.family import load_config
from genkit.rows.base import MemoryRows, image_rows
from genkit.rows.columns import Class, Flags, Image, Mask, Points, Text
from genkit.verbs import preview as module
from genkit.verbs.preview import drawn, opened, preview

SMALL = ("data.image_size=32", "data.train_count=6", "data.test_count=30", "data.edits=1")


def words_of(monkeypatch, rows, count=3):
    """The names and heads of all lines of a sheet."""
    seen = []
    monkeypatch.setattr(module, "sheet", lambda lines, **_: seen.extend(lines))
    drawn(rows, torch.arange(count))
    return [line.name for line in seen], [tuple(line.above) for line in seen]


def some(columns, **values):
    image = torch.arange(3 * 4 * 5, dtype=torch.uint8).view(1, 3, 4, 5).expand(3, -1, -1, -1)
    all_ = {"image": Image((4, 5), 3), **columns}
    return MemoryRows("some", all_, {"image": image.contiguous(), **values})


def test_classes_attributes_and_captions_stand_beside_pictures(monkeypatch):
    rows = some(
        {"label": Class(2, ("apple", "pear")), "attributes": Flags(("red", "ripe"))},
        label=torch.tensor([0, 1, 1]),
        attributes=torch.tensor([[1, 1], [0, 1], [0, 0]], dtype=torch.uint8),
    )
    names, _ = words_of(monkeypatch, rows)
    assert names == ["apple\nred\nripe", "pear\nripe", "pear\nnone"]
    rows = some({"caption": Text()}, caption=["a pear", ["an apple", "a fruit"], "two " * 40])
    names, _ = words_of(monkeypatch, rows)
    assert names[:2] == ["a pear", "an apple"]
    assert names[2].endswith("..")


def test_other_pictures_of_a_row_stand_beside_it_under_their_names(monkeypatch):
    masks = torch.ones(3, 1, 4, 5, dtype=torch.uint8)
    names, above = words_of(monkeypatch, some({"mask": Mask((4, 5))}, mask=masks))
    assert above == [("image", "mask")] * 3
    assert names == [" "] * 3


def test_landmarks_are_counted_not_listed(monkeypatch):
    points = tuple(f"p{i}" for i in range(30))
    rows = some(
        {"landmarks": Points(points, (4, 5)), "visible": Flags(points)},
        landmarks=torch.zeros(3, 30, 2),
        visible=torch.ones(3, 30, dtype=torch.uint8),
    )
    assert words_of(monkeypatch, rows)[0] == ["30 of 30 points"] * 3


def test_more_words_than_there_is_room_for_are_counted(monkeypatch):
    flags = torch.ones(3, 40, dtype=torch.uint8)
    rows = some({"attributes": Flags(tuple(f"f{i}" for i in range(40)))}, attributes=flags)
    lines = words_of(monkeypatch, rows)[0][0].splitlines()
    assert len(lines) == 11
    assert lines[-1] == "and 30 more lines"


def test_a_sheet_says_how_many_of_how_many_and_enlarges_small_pictures(tmp_path):
    made = preview("glyphs:test", tmp_path / "a.png", overrides=["data.test_count=9"], count=4)
    assert (made.name, made.shown, made.total) == ("synthetic:glyphs:test", 4, 9)
    with Pictures.open(made.path) as sheet:
        assert sheet.width > 128
    again = preview("glyphs:test", tmp_path / "b.png", overrides=["data.test_count=9"], count=4)
    assert again.path.read_bytes() == made.path.read_bytes()
    other = preview(
        "glyphs:test", tmp_path / "c.png", overrides=["data.test_count=9"], count=4, seed=1
    )
    assert other.path.read_bytes() != made.path.read_bytes()


def test_edits_of_faces_and_pictures_without_pairs_are_shown(tmp_path):
    preview("faces:counterfactual", tmp_path / "a.png", overrides=SMALL, count=3)
    made = preview("faces", tmp_path / "b.png", overrides=[*SMALL, "data.other_style=ink"], count=3)
    assert (made.name, made.total) == ("faces:soft|ink:train", 6)


def test_pictures_of_several_sizes_are_brought_to_one(tmp_path):
    for i, (height, width) in enumerate([(20, 30), (40, 10), (16, 16)]):
        noise = np.full((height, width, 3), 40 * i, np.uint8)
        Pictures.fromarray(noise).save(tmp_path / f"{i}.png")
    lines = [{"file_name": f"{i}.png", "text": f"number {i}"} for i in range(3)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    made = preview(str(tmp_path), tmp_path.parent / "sheet.png")
    assert made.shown == made.total == 3


def test_a_config_and_a_run_name_their_data(tmp_path):
    config = {"family": "cgan", "data": {"kind": "glyphs", "train_count": 7, "test_count": 5}}
    path = tmp_path / "run" / "config.yaml"
    path.parent.mkdir()
    path.write_text(to_yaml(load_config(config)))
    assert len(opened(str(path))) == 7
    assert len(opened(str(path.parent), split="test")) == 5
    assert len(opened(str(path), ["data.train_count=3"])) == 3


@pytest.mark.parametrize(
    ("source", "overrides", "error", "said"),
    [
        ("facs", [], DataError, "facs: no config, run or images there, and no kind of data"),
        ("faces:truth", [], DataError, "no truth part"),
        ("glyphs", ["trainer.steps=3"], DataError, "of a kind only data.… can be set"),
        ("glyphs", ["data.train_cont=3"], ConfigError, "kind glyphs: train_cont"),
        ("missing.yaml", [], ConfigError, "no such config file"),
    ],
)
def test_what_names_no_data_is_refused(source, overrides, error, said):
    with pytest.raises(error, match=said):
        opened(source, overrides)


def test_rows_without_pictures_are_refused():
    rows = MemoryRows("words", {"caption": Text()}, {"caption": ["a"]})
    with pytest.raises(DataError, match="words: no pictures in it; it has caption"):
        drawn(rows, torch.arange(1))


def test_a_sheet_is_a_png_file_and_no_picture_of_the_set(tmp_path):
    with pytest.raises(OutputError, match=r"ends in \.png"):
        preview("glyphs", tmp_path / "sheet.jpg")


def test_the_command_says_what_it_wrote(tmp_path):
    out = tmp_path / "sheet.png"
    words = ["data", "preview", "glyphs", "data.train_count=5", "--out", str(out), "--count", "9"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert f"synthetic:glyphs:train: 5 of 5 on {out}" in done.output
    assert out.is_file()


def test_grey_and_coloured_pictures_share_a_sheet():
    grey = image_rows("grey", torch.zeros(2, 1, 6, 6, dtype=torch.uint8))
    assert drawn(grey, torch.arange(2)).mode == "RGB"
