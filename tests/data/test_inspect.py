import json
import os

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from genkit.cli.data import app
from genkit.data.inspect import inspect
from genkit.data.pack import pack
from genkit.errors import DataError

from .pictures import cut, write, write_classes, write_metadata


def test_a_folder_is_counted_by_size_mode_and_class(tmp_path):
    write_classes(tmp_path, cat=2, dog=1)
    write(tmp_path / "dog" / "grey.png", "gray", mode="L")
    found = inspect(tmp_path)
    assert (found.kind, found.count) == ("folder", 4)
    assert found.sizes == {"12x12": 3, "13x12": 1}
    assert found.modes == {"RGB": 3, "L": 1}
    assert found.classes == {"cat": 2, "dog": 2}
    assert found.broken == []


def test_classes_are_shown_by_number_name_and_count_and_those_without_an_image_named(tmp_path):
    write_classes(tmp_path / "words", **{"10": 1, "9": 2})
    result = CliRunner().invoke(app, ["check", str(tmp_path / "words")])
    assert "0 9: 2, 1 10: 1" in result.output
    for i in range(3):
        write(tmp_path / "numbers" / f"{i}.png")
    rows = [{"file_name": f"{i}.png", "label": 2 * i + 1, "mood": "x"} for i in range(3)]
    write_metadata(tmp_path / "numbers", rows)
    found = inspect(tmp_path / "numbers")
    assert (found.classes, found.empty) == ({"1": 1, "3": 1, "5": 1}, ["0", "2", "4"])
    assert found.columns == ["file_name", "label", "mood"]
    output = CliRunner().invoke(app, ["check", str(tmp_path / "numbers")]).output
    assert "without image 0, 2, 4" in " ".join(output.split())
    assert "file_name, label, mood" in output


@pytest.mark.parametrize(
    ("mode", "value", "message"),
    [
        ("I;16", 1023, "values up to 1023, and 65535 is white, so it is nearly black"),
        ("I", 70_000, "values up to 70000, and 65535 is white, so what is above is cut"),
        ("F", 3_000.0, "values up to 3000, and 65535 is white, so it is nearly black"),
        ("I;16", 60_000, None),
        ("F", 0.5, None),
    ],
)
def test_deep_pictures_that_come_out_black_or_cut_are_told(tmp_path, mode, value, message):
    Image.new(mode, (8, 8), value).save(tmp_path / "x.tif")
    found = inspect(tmp_path)
    assert found.deep == (
        [] if message is None else [f"{tmp_path}/x.tif: mode {mode} with {message}"]
    )


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK", "YCbCr", "LAB"])
def test_pictures_of_every_mode_are_described(tmp_path, mode):
    write(tmp_path / "x.tif", mode=mode)
    assert inspect(tmp_path).broken == []
    write(tmp_path / "y.tif", mode=mode)
    assert len(inspect(tmp_path).duplicates) == 1


def test_names_with_escapes_or_bytes_that_are_no_text_are_printed_harmlessly(
    tmp_path,
):
    for name in (b"\x1b[2J.png", b"caf\xe9.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 2
    assert "\x1b" not in result.output
    assert "\\x1b[2J.png" in result.output
    assert "caf\\udce9.png" in result.output
    found = json.loads(CliRunner().invoke(app, ["check", str(tmp_path), "--json"]).output)
    assert len(found["broken"]) == 2


def test_duplicates_are_found_by_pixels_not_by_bytes(tmp_path):
    a, b = write(tmp_path / "a.png", "gray"), write(tmp_path / "b.bmp", "gray")
    c = write(tmp_path / "c.png", "gray", mode="L")
    write(tmp_path / "d.png", "gray", size=(11, 12))
    assert inspect(tmp_path).duplicates == [[str(a), str(b), str(c)]]


def test_shards_are_described_with_their_class_names(tmp_path):
    write_classes(tmp_path / "photos", cat=2, dog=1)
    pack(tmp_path / "photos", tmp_path / "shards", per_shard=2)
    found = inspect(tmp_path / "shards")
    assert (found.kind, found.count) == ("shards", 3)
    assert found.classes == {"cat": 2, "dog": 1}


def test_an_npz_file_of_samples_is_described(tmp_path):
    images = np.zeros((3, 8, 8, 1), np.uint8)
    images[2] = 9
    np.savez(tmp_path / "samples.npz", images=images, labels=np.array([0, 0, 1]))
    found = inspect(tmp_path / "samples.npz")
    assert (found.count, found.sizes, found.classes) == (3, {"8x8": 3}, {"0": 2, "1": 1})
    assert found.duplicates == [["0", "1"]]


@pytest.mark.parametrize("content", [b"", b"PK nothing"])
def test_a_broken_npz_file_is_refused(tmp_path, content):
    (tmp_path / "samples.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        inspect(tmp_path / "samples.npz")


def test_an_npz_file_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", weights=np.zeros(3))
    with pytest.raises(DataError, match="expected an array `images`"):
        inspect(tmp_path / "x.npz")


def test_a_missing_path_is_refused(tmp_path):
    with pytest.raises(DataError, match="nowhere: no such file or folder"):
        inspect(tmp_path / "nowhere")


def test_the_check_verb_ends_with_status_2_when_a_file_is_broken(tmp_path):
    write_classes(tmp_path, a=2)
    assert CliRunner().invoke(app, ["check", str(tmp_path)]).exit_code == 0
    broken = cut(tmp_path / "a" / "001.png")
    result = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert result.exit_code == 2
    assert f"broken: {broken}: not a readable image" in result.output


def test_names_that_are_markup_or_emoji_elsewhere_are_printed_as_they_are(tmp_path):
    folder = tmp_path / "[bold]of:cat:"
    write_classes(folder, **{":dog:": 2})
    output = CliRunner().invoke(app, ["check", str(folder)]).output
    assert "[bold]of:cat:" in "".join(output.split())  # a long path is folded
    assert "0 :dog:: 2" in output


def test_the_check_verb_prints_json(tmp_path):
    write_classes(tmp_path, a=2)
    result = CliRunner().invoke(app, ["check", str(tmp_path), "--json"])
    found = json.loads(result.output)
    assert found["count"] == 2
    assert found["classes"] == {"a": 2}


def test_the_pack_verb_prints_the_shards(tmp_path):
    write_classes(tmp_path / "photos", a=3)
    arguments = ["pack", str(tmp_path / "photos"), str(tmp_path / "out"), "--per-shard", "2"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert result.output.split() == [str(tmp_path / "out" / f"train-0000{i}.tar") for i in (0, 1)]


def test_captions_are_counted_with_their_words_and_what_has_none_is_named(tmp_path):
    for i in range(3):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [
        {"file_name": "0.png", "caption": ["a red star", "star"]},
        {"file_name": "1.png", "caption": "a big blue ring on grey"},
        {"file_name": "2.png", "caption": " "},
    ]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = inspect(tmp_path).captions
    assert (found["texts"], found["words"], found["without"]) == (3, [1, 3, 6], 1)
    assert found["first_without"].endswith("2.png")
    said = CliRunner().invoke(app, ["check", str(tmp_path)]).stdout
    assert "3 of 1 to 6 words, half of them up to 3; 1 images have none" in " ".join(said.split())
