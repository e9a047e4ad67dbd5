import json

import numpy as np
import pytest
from typer.testing import CliRunner

from genkit.cli.data import app
from genkit.data.inspect import inspect
from genkit.data.pack import pack
from genkit.errors import DataError

from .pictures import cut, write, write_classes


def test_a_folder_is_counted_by_size_mode_and_class(tmp_path):
    write_classes(tmp_path, cat=2, dog=1)
    write(tmp_path / "dog" / "grey.png", "gray", mode="L")
    found = inspect(tmp_path)
    assert (found.kind, found.count) == ("folder", 4)
    assert found.sizes == {"12x12": 3, "13x12": 1}
    assert found.modes == {"RGB": 3, "L": 1}
    assert found.classes == {"cat": 2, "dog": 2}
    assert found.broken == []


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
