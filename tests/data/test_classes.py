import logging

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from genkit.config.data import reader
from genkit.data import open_data
from genkit.data.readers.custom import CustomData
from genkit.data.readers.folder import FolderData
from genkit.errors import DataError

from .pictures import write, write_classes, write_metadata


def labelled(root, labels, **settings):
    for i in range(len(labels)):
        write(root / f"{i:03}.png", size=(8, 8))
    write_metadata(root, [{"file_name": f"{i:03}.png", "y": y} for i, y in enumerate(labels)])
    return open_data(FolderData(root=root, image_size=8, label="y", **settings))


@pytest.fixture(autouse=True)
def _every_line(caplog):
    caplog.set_level(logging.INFO, "genkit")


def test_a_training_says_which_number_is_which_class(tmp_path, caplog):
    rows = labelled(tmp_path, ["10", "0", "5", "10"])
    assert sorted(rows.labels.tolist()) == [0, 1, 2, 2]
    assert "3 classes: 0 0, 1 5, 2 10" in caplog.text
    assert "no image" not in caplog.text


def test_classes_without_an_image_are_said(tmp_path, caplog):
    rows = labelled(tmp_path, [1, 2, 3, 4])
    assert rows.num_classes == 5
    assert "1 of 5 classes have no image: 0; a model is asked for them" in caplog.text


def test_classes_that_a_limit_leaves_no_image_are_said(tmp_path, caplog):
    write_classes(tmp_path / "set", ape=2, cat=2, eel=2)
    open_data(FolderData(root=tmp_path / "set", image_size=8, limit=2))
    assert "1 of 3 classes have no image: 2 eel" in caplog.text


def test_classes_numbered_far_beyond_those_there_are_refused_before_a_picture_is_read(
    tmp_path, caplog
):
    with pytest.raises(DataError, match=r"number is 70,000, but only 4 numbers occur; number the"):
        labelled(tmp_path / "a", [3, 100, 5000, 70_000])
    assert "decoding" not in caplog.text
    assert labelled(tmp_path / "b", ["3", "100", "5000", "70000"]).num_classes == 4
    assert labelled(tmp_path / "c", [0, 999]).num_classes == 1000


def test_numbers_far_apart_are_refused_in_every_kind_of_set(tmp_path):
    pixels = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    mine = TensorDataset(pixels, torch.tensor([0, 5000]))
    with pytest.raises(DataError, match="number the classes from 0"):
        open_data(CustomData(image_size=8), dataset=mine)
    np.savez(
        tmp_path / "x.npz", images=np.zeros((2, 8, 8, 3), np.uint8), labels=np.array([0, 5000])
    )
    with pytest.raises(DataError, match="number the classes from 0"):
        open_data(FolderData(root=tmp_path / "x.npz", image_size=8))


def test_a_column_in_which_every_picture_has_its_own_word_is_doubted(tmp_path, caplog):
    labelled(tmp_path, [f"a text about {i}" for i in range(24)])
    assert (
        "24 of 24 classes have one image only; is the class really what data.label" in caplog.text
    )


def test_what_lies_beside_pairs_is_counted(tmp_path, caplog):
    for side in "ab":
        write(tmp_path / side / "0.png")
        (tmp_path / side / "x.heic").write_text("")
    for kind in ("paired", "unpaired"):
        rows = open_data(reader(kind)(root=tmp_path, image_size=8))
        assert rows.left_out.reasons == {".heic": 2}
