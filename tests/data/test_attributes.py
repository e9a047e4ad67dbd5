"""Attributes of one's own pictures: columns of metadata.jsonl."""

import pytest

from genkit.data import check_needs, open_data
from genkit.data.readers.folder import FolderData
from genkit.errors import DataError
from genkit.rows.columns import Flags

from .pictures import COLORS, write, write_metadata

NAMES = ("Bald", "Bangs")


def folder(root, **settings):
    return FolderData(root=root, **{"image_size": 8, "attributes": NAMES, **settings})


def write_set(root, rows):
    for i, row in enumerate(rows):
        write(root / f"{i}.png", COLORS[i])
        row["file_name"] = f"{i}.png"
    write_metadata(root, rows)


def values(rows):
    return rows.read(range(len(rows)), ("attributes",))["attributes"].tolist()


@pytest.mark.parametrize(
    "rows",
    [
        [{"Bald": True, "Bangs": False}, {"Bald": False, "Bangs": True}],
        [{"Bald": 1, "Bangs": 0}, {"Bald": 0, "Bangs": 1}],
        [{"Bald": 1, "Bangs": -1}, {"Bald": -1, "Bangs": 1}],
        [
            {"attributes": {"Bald": 1, "Bangs": 0, "Hat": 1}},
            {"attributes": {"Bald": 0, "Bangs": 1}},
        ],
    ],
)
@pytest.mark.parametrize("memory", ["always", "never"])
def test_yes_and_no_are_read_however_they_are_written(tmp_path, rows, memory):
    write_set(tmp_path, rows)
    found = open_data(folder(tmp_path, memory=memory))
    assert found.columns["attributes"] == Flags(NAMES, (("Bald", ("Bangs",)), ("Bangs", ("Bald",))))
    assert values(found) == [[1, 0], [0, 1]]


def test_they_stand_beside_labels_and_belong_to_their_picture_when_classes_take_turns(tmp_path):
    write_set(
        tmp_path,
        [{"Bald": i % 2, "Bangs": 0, "label": label} for i, label in enumerate("aaabb")],
    )
    found = open_data(folder(tmp_path))
    files = found.whole.read(range(5), ("file",))["file"]
    assert [int(file[-5]) % 2 for file in files] == [row[0] for row in values(found)]
    assert found.class_names == ("a", "b")


def test_without_the_setting_nothing_changes_and_with_it_the_fingerprint_does(tmp_path):
    write_set(tmp_path, [{"Bald": 1, "Bangs": 0}, {"Bald": 0, "Bangs": 0}])
    plain = open_data(folder(tmp_path, attributes=None))
    assert list(plain.columns) == ["image"]
    prints = {plain.fingerprint, open_data(folder(tmp_path)).fingerprint}
    write_metadata(tmp_path, [{"file_name": f"{i}.png", "Bald": 1, "Bangs": 0} for i in (0, 1)])
    assert open_data(folder(tmp_path, attributes=None)).fingerprint == plain.fingerprint
    prints.add(open_data(folder(tmp_path)).fingerprint)
    assert len(prints) == 3


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (
            {"Bald": 1, "Bngs": 0},
            r"0.png: metadata.jsonl says nothing of 'Bangs'; did you mean 'Bn",
        ),
        ({"Bald": 1, "Bangs": "yes"}, r"Bangs is 'yes' in metadata.jsonl; expected true or false"),
        ({"Bald": 1, "Bangs": 0.5}, r"Bangs is 0.5 in metadata.jsonl; expected true or false"),
        ({"Bald": 1, "Bangs": -1}, r"attributes are -1, 0 and 1; expected two of them"),
    ],
)
def test_what_is_no_yes_or_no_is_named(tmp_path, row, problem):
    write_set(tmp_path, [row, {"Bald": 0, "Bangs": 1}])
    with pytest.raises(DataError, match=problem):
        open_data(folder(tmp_path))


def test_attributes_without_metadata_are_refused(tmp_path):
    write(tmp_path / "0.png")
    with pytest.raises(DataError, match=r"names columns of metadata.jsonl, and there is none"):
        open_data(folder(tmp_path))
    with pytest.raises(ValueError, match="which label=null leaves alone; leave label out"):
        folder(tmp_path, label=None)
    with pytest.raises(ValueError, match="excludes says nothing without attributes"):
        folder(tmp_path, attributes=None, excludes=[])


def test_a_family_that_needs_attributes_says_how_a_folder_gives_them(tmp_path):
    write_set(tmp_path, [{"Smiling": 1}])
    rows = open_data(folder(tmp_path, attributes=None))
    with pytest.raises(
        DataError, match=r"say yes or no in data.attributes, as in data.attributes="
    ):
        check_needs(rows, frozenset({"image", "attributes"}), "attgan")
