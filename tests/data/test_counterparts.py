"""Counterparts of two sides without pairs: known to evaluators alone."""

import pytest
import torch

from genkit.data import open_data
from genkit.data.readers.unpaired import UnpairedData
from genkit.errors import DataError
from genkit.rows.left_out import LeftOut

from .pictures import COLORS, write


@pytest.fixture
def root(tmp_path):
    for side, ending in (("A", ".png"), ("B", ".jpg")):
        for i in range(3):
            write(tmp_path / f"train{side}" / f"{i}.png", COLORS[i])
        for i in range(4):
            write(tmp_path / f"test{side}" / f"deep{i}{ending}", COLORS[i])
    return tmp_path


def unpaired(root, **settings):
    return UnpairedData(root=root, image_size=8, **settings)


def test_counterparts_are_the_pictures_of_one_name_in_the_test_part(root):
    data = unpaired(root, counterparts="names")
    assert data.splits == ("train", "test", "truth")
    rows = open_data(data, "truth")
    assert rows.name == f"unpaired:{root.name}:truth"
    assert len(rows) == 4
    found = rows.read(range(4), ("image_a", "image_b"))
    assert (found["image_a"].float() - found["image_b"].float()).abs().max() < 8  # JPEG
    assert len({tuple(x.flatten().tolist()) for x in found["image_a"]}) == 4


def test_training_sees_no_counterpart(root):
    known, plain = unpaired(root, counterparts="names"), unpaired(root)
    assert plain.splits == ("train", "test")
    for split in ("train", "test"):
        one, other = open_data(known, split), open_data(plain, split)
        assert one.fingerprint == other.fingerprint
        assert torch.equal(one.order(0, 0, 1), other.order(0, 0, 1))
    with pytest.raises(DataError, match="truth"):
        open_data(plain, "truth")


def test_pictures_without_a_counterpart_are_left_out_and_counted(root):
    write(root / "testA" / "alone.png", COLORS[0])
    write(root / "testB" / "other.png", COLORS[0])
    rows = open_data(unpaired(root, counterparts="names"), "truth")
    assert len(rows) == 4
    assert rows.left_out == LeftOut(
        {"without a counterpart of the same name": 2}, ("alone", "other")
    )


def test_sides_without_a_common_name_have_no_counterparts(root):
    for i in range(4):
        (root / "testB" / f"deep{i}.jpg").rename(root / "testB" / f"other{i}.jpg")
    with pytest.raises(DataError, match="no counterparts are known; give counterparts one name"):
        open_data(unpaired(root, counterparts="names"), "truth")


def test_two_pictures_of_one_name_are_refused(root):
    write(root / "testA" / "deep1.jpg", COLORS[0])
    with pytest.raises(DataError, match="two images of one name"):
        open_data(unpaired(root, counterparts="names"), "truth")
