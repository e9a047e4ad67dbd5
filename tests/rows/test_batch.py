import json

import pytest
import torch

from genkit.errors import DataError
from genkit.rows.base import image_rows
from genkit.rows.batch import DataInfo
from genkit.rows.columns import Class, Image, Text
from genkit.rows.combine import unpaired


def rows(size=(8, 8)):
    images = torch.zeros(4, 3, *size, dtype=torch.uint8)
    return image_rows("grey", images, torch.tensor([0, 1, 1, 0]), class_names=("no", "yes"))


def test_what_rows_say_of_themselves_survives_json():
    for some in (rows(), rows((8, 12)), unpaired(rows(), rows())):
        info = DataInfo.of(some)
        assert DataInfo.from_tree(json.loads(json.dumps(info.to_tree()))) == info
        assert info.count == some.epoch_size
        assert info.fingerprint == some.fingerprint
    info = DataInfo.of(rows())
    assert (info.image_size, info.size, info.channels) == (8, (8, 8), 3)
    assert (info.num_classes, info.class_names) == (2, ("no", "yes"))
    assert DataInfo.of(unpaired(rows(), rows((8, 12)))).size == (8, 8)


def test_the_record_of_a_run_before_columns_had_names_is_read():
    old = {"name": "mnist:train", "count": 60_000, "fingerprint": "ab", "image_size": 32,
           "channels": 1, "num_classes": 2, "class_names": ["a", "b"]}  # fmt: skip
    columns = {"image": Image((32, 32), 1), "label": Class(2, ("a", "b"))}
    assert DataInfo.from_tree(old) == DataInfo("mnist:train", 60_000, "ab", columns)
    bare = DataInfo.from_tree(old | {"num_classes": None, "class_names": None})
    assert (bare.columns.keys(), bare.num_classes) == ({"image"}, None)


def test_what_a_set_has_not_is_said():
    with pytest.raises(DataError, match=r"pictures are 8 x 12 px; this needs square ones"):
        _ = DataInfo.of(rows((8, 12))).image_size
    with pytest.raises(DataError, match=r"texts: no pictures in it; there are: caption"):
        _ = DataInfo("texts", 3, "", {"caption": Text()}).channels
    with pytest.raises(DataError, match=r"grey and coloured pictures; set data.channels"):
        _ = DataInfo("mixed", 3, "", {"image": Image()}).channels
    with pytest.raises(DataError, match=r"several sizes"):
        _ = DataInfo("mixed", 3, "", {"image": Image()}).size
