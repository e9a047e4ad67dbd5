"""One folder gives the same count, classes and names wherever it is read."""

import json

import pytest
import torch

from genkit.data import open_data
from genkit.data.inspect import inspect
from genkit.data.pack import pack
from genkit.data.readers.folder import FolderData
from genkit.data.readers.shards import ShardsData
from genkit.errors import DataError
from genkit.images import png_bytes
from genkit.random import generator
from genkit.report import write_report
from genkit.rows.files import open_path
from genkit.verbs.evaluate import evaluate_samples

SIZE = 8
SPLITS = ("train", "test")


def write(root, *names):
    """A picture of noise at each of these paths."""
    for i, name in enumerate(names):
        noise = torch.randint(256, (3, SIZE, SIZE), generator=generator(0, name, i))
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png_bytes(noise.to(torch.uint8)))


def write_metadata(root, *rows):
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def plain(root):
    write(root, "b.png", "a.png", "c.png")


def numbered(root):
    write(root, "12/0.png", "3/0.png", "3/1.png", "7/0.png")


def nested(root):
    write(root, "cat/0.png", "cat/deep/1.png", "ape/deep/er/0.png", "dog/x/0.png", "dog/y/0.png")


def parts(root):
    write(root, *(f"train/{name}/{i}.png" for name in ("10", "9", "1") for i in range(3)))
    write(root, "test/9/0.png", "test/10/0.png")


def words(root):
    names = ["0.png", "in/1.png", "2.png", "3.png"]
    write(root, *names)
    labels = ["warm", "cold", "warm", "hot"]
    rows = [{"file_name": n, "label": label} for n, label in zip(names, labels, strict=True)]
    write_metadata(root, *({**row, "caption": [f"so {row['label']}", "x"]} for row in rows))


def numbers(root):
    write(root, *(f"{i}.png" for i in range(4)))
    rows = [
        {"file_name": f"{i}.png", "label": (4, 0, 2, 0)[i], "text": f"no {i}"} for i in range(4)
    ]
    write_metadata(root, *rows)


# What each folder holds: images of its parts, and the names of its classes.
FOLDERS = {
    plain: ({"train": 3}, None),
    numbered: ({"train": 4}, ("3", "7", "12")),
    nested: ({"train": 5}, ("ape", "cat", "dog")),
    parts: ({"train": 9, "test": 2}, ("1", "9", "10")),
    words: ({"train": 4}, ("cold", "hot", "warm")),
    numbers: ({"train": 4}, None),
}


def facts(rows):
    """Of each picture its class by name or number and its captions: the order may differ."""
    found = rows.read(range(len(rows)))
    labels = [None] * len(rows) if rows.labels is None else rows.labels.tolist()
    names = rows.class_names
    classes = [label if names is None or label is None else names[label] for label in labels]
    captions = found.get("caption", [None] * len(rows))
    pixels = [image.numpy().tobytes() for image in found["image"]]
    told = zip(pixels, labels, classes, map(str, captions), strict=True)
    return sorted(told, key=lambda one: one[0])


@pytest.mark.parametrize("make", FOLDERS, ids=lambda make: make.__name__)
def test_a_folder_is_the_same_to_training_check_pack_and_evaluation(make, tmp_path):
    folder, packed = tmp_path / "set", tmp_path / "packed"
    make(folder)
    counts, names = FOLDERS[make]
    pack(folder, packed, per_shard=2)
    whole = open_path(folder)
    assert (len(whole), whole.class_names) == (sum(counts.values()), names)
    assert facts(open_path(packed)) == facts(whole)

    trained = []
    for split, count in counts.items():
        for data in (
            FolderData(root=folder, image_size=SIZE, memory="never"),
            ShardsData(root=packed, image_size=SIZE),
        ):
            rows = open_data(data, split)
            assert (len(rows), rows.class_names) == (count, names)
            assert rows.num_classes == whole.num_classes
            assert facts(rows) == facts(open_path(folder, split))
        trained += facts(rows)
    assert sorted(trained, key=lambda one: one[0]) == facts(whole)

    for path in (folder, packed):
        checked = inspect(path)
        assert checked.count == len(whole)
        assert checked.parts in ({}, counts)
        assert not checked.broken
        told = [str(one[2]) for one in facts(whole) if one[2] is not None]
        assert checked.classes == {name: told.count(name) for name in told}


def test_a_split_beside_other_folders_is_a_class_everywhere(tmp_path, caplog):
    write(tmp_path, "test/0.png", "control/0.png", "control/1.png")
    assert open_path(tmp_path).class_names == ("control", "test")
    caplog.clear()
    assert open_data(FolderData(root=tmp_path, image_size=SIZE)).class_names == ("control", "test")
    assert caplog.text.count("control beside test, so these are classes") == 1
    assert inspect(tmp_path).classes == {"control": 2, "test": 1}
    assert "control beside test, so these are classes" in caplog.text


@pytest.mark.parametrize("beside", ["bus/0.png", "0.png"])
@pytest.mark.parametrize("name", ["train", "Train"])
def test_a_train_folder_beside_others_is_refused_everywhere_with_both_readings(
    tmp_path, name, beside
):
    write(tmp_path, f"{name}/0.png", "test/0.png", beside)
    message = f"{name} and test would be parts of a set, but {beside.partition('/')[0]} lies beside"
    for read in (
        open_path,
        inspect,
        lambda root: open_data(FolderData(root=root, image_size=SIZE)),
        lambda root: pack(root, root / "out", per_shard=2),
    ):
        with pytest.raises(DataError, match=message):
            read(tmp_path)
    # Each way out that the message names.
    (tmp_path / beside.partition("/")[0]).rename(tmp_path.parent / f"{name}-{len(beside)}")
    assert inspect(tmp_path).parts == {"train": 1, "test": 1}


def test_parts_are_found_whatever_their_case_and_said_and_one_of_two_cases_is_refused(
    tmp_path, caplog
):
    caplog.set_level("INFO", "genkit")
    write(tmp_path, "Train/a/0.png", "TEST/a/0.png")
    assert inspect(tmp_path).parts == {"train": 1, "test": 1}
    for memory in ("always", "never"):
        caplog.clear()
        open_data(FolderData(root=tmp_path, image_size=SIZE, memory=memory))
        assert caplog.text.count("of the parts only train is read, not test (1)") == 1
    assert len(open_data(FolderData(root=tmp_path, image_size=SIZE), "test")) == 1
    write(tmp_path, "train/a/0.png")
    with pytest.raises(DataError, match="name a part twice; rename one"):
        open_path(tmp_path)


def test_one_metadata_file_at_the_root_lists_the_parts(tmp_path):
    names = ("train/0.png", "test/1.png", "train/2.png")
    write(tmp_path, *names, "train/unlisted.png", "test/notes.txt")
    write_metadata(tmp_path, *({"file_name": n, "label": i} for i, n in enumerate(names)))
    assert inspect(tmp_path).parts == {"train": 2, "test": 1}
    train, test = (open_data(FolderData(root=tmp_path, image_size=SIZE), s) for s in SPLITS)
    assert (train.labels.tolist(), test.labels.tolist()) == ([0, 2], [1])
    assert train.left_out.sentence() == "1 file left out: 1 not listed in metadata.jsonl"
    assert test.left_out.sentence() == "1 file left out: 1 .txt"


def test_what_is_no_picture_does_not_keep_parts_apart(tmp_path):
    write(tmp_path, "train/a/0.png", "test/a/0.png")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "LICENSE").write_text("free")
    (tmp_path / "README.md").write_text("pictures")
    assert inspect(tmp_path).parts == {"train": 1, "test": 1}
    assert len(open_path(tmp_path, "test")) == 1


def test_shards_beside_pictures_are_refused_where_the_kind_is_not_said(tmp_path):
    write(tmp_path / "set", "a/0.png", "b/0.png")
    pack(tmp_path / "set", tmp_path / "set", per_shard=9)
    with pytest.raises(DataError, match="lie beside pictures; name the shards"):
        open_path(tmp_path / "set")
    assert len(open_data(FolderData(root=tmp_path / "set", image_size=SIZE))) == 2
    assert len(open_data(ShardsData(root=tmp_path / "set", image_size=SIZE))) == 2


def test_an_evaluation_and_its_report_count_the_folder_as_training_does(tmp_path):
    folder, run = tmp_path / "set", tmp_path / "run"
    names = [
        f"{split}/{name}/{i}.png" for split in SPLITS for name in ("12", "3") for i in range(4)
    ]
    write(folder, *names)
    run.mkdir()
    (run / "config.yaml").write_text("family: dcgan\n")
    found = evaluate_samples(
        folder,
        str(folder),
        out=run / "evaluation.json",
        extractors=["extractor_of_ones_own:Corners"],
    )
    rows = [open_data(FolderData(root=folder, image_size=SIZE), split) for split in SPLITS]
    assert found.samples == found.reference
    assert found.samples["count"] == sum(len(part) for part in rows) == 16
    assert "16 samples against 16 images of set" in write_report([run]).read_text()
