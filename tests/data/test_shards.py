import gzip
import io
import json
import re
import tarfile

import pytest
import torch

import genkit.rows.archives
from genkit.data import check_needs, open_data
from genkit.data.inspect import inspect
from genkit.data.pack import pack
from genkit.data.readers.folder import FolderData
from genkit.data.readers.shards import ShardsData
from genkit.errors import DataError
from genkit.files import cache_folder
from genkit.rows.base import MemoryRows
from genkit.rows.files import open_path

from .pictures import cut, write, write_classes


def config(root, **settings):
    return ShardsData(kind="shards", root=root, image_size=8, batch_size=2, **settings)


def folder(root):
    return FolderData(kind="folder", root=root, image_size=8)


def archive(path, members):
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def png(tmp_path):
    return write(tmp_path / "source" / "picture.png").read_bytes()


@pytest.fixture
def packed(tmp_path):
    source = write_classes(tmp_path / "photos", cat=4, dog=3)
    pack(source, tmp_path / "shards", per_shard=3)
    return source, tmp_path / "shards"


def test_a_packed_folder_reads_back_as_it_was(packed):
    source, shards = packed
    before, after = open_data(folder(source)), open_data(config(shards))
    assert torch.equal(before.values["image"], after.values["image"])
    assert torch.equal(before.labels, after.labels)
    assert before.class_names == after.class_names == ("cat", "dog")
    assert sorted(path.name for path in shards.iterdir()) == [
        "class_names.json",
        *(f"train-0000{i}.tar" for i in range(3)),
    ]


def test_packing_twice_gives_the_same_bytes(packed, tmp_path):
    source, shards = packed
    for path in pack(source, tmp_path / "again", per_shard=3):
        assert path.read_bytes() == (shards / path.name).read_bytes()


def test_packing_keeps_train_and_test_apart(tmp_path):
    write_classes(tmp_path / "photos" / "train", a=2, b=2)
    write_classes(tmp_path / "photos" / "test", b=1)
    pack(tmp_path / "photos", tmp_path / "out", per_shard=10)
    train, test = (open_data(config(tmp_path / "out"), split) for split in ("train", "test"))
    assert (len(train), len(test)) == (4, 1)
    assert test.labels.tolist() == [1]


def test_packing_over_shards_is_refused(packed):
    source, shards = packed
    with pytest.raises(DataError, match=r"has .tar files already"):
        pack(source, shards, per_shard=3)


def test_gzipped_shards_are_unpacked_once_and_give_the_same(packed, tmp_path):
    _, shards = packed
    zipped = tmp_path / "zipped"
    zipped.mkdir()
    for path in shards.glob("*.tar"):
        (zipped / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    first = open_data(config(zipped))
    unpacked = {path: path.stat().st_mtime_ns for path in (cache_folder() / "shards").iterdir()}
    assert torch.equal(first.values["image"], open_data(config(shards)).values["image"])
    assert torch.equal(
        first.values["image"],
        open_data(config(zipped, memory="never")).read(torch.arange(7), ("image",))["image"],
    )
    assert unpacked == {path: path.stat().st_mtime_ns for path in unpacked}


def test_a_file_and_a_pattern_choose_shards(packed):
    _, shards = packed
    assert len(open_data(config(shards / "train-00002.tar"))) == 1
    assert len(open_data(config(shards / "train-0000[01].tar"))) == 6


def test_labels_come_from_json_too(tmp_path, png):
    members = [(f"{i}.png", png) for i in range(2)]
    members += [(f"{i}.json", json.dumps({"label": 1 - i}).encode()) for i in range(2)]
    source = open_data(config(archive(tmp_path / "a.tar", members)))
    assert source.labels.tolist() == [1, 0]


def test_a_text_beside_a_picture_is_its_caption(tmp_path, png):
    members = [("1.png", png), ("1.txt", "a röd cat\n".encode()), ("1.cls", b"2")]
    rows = open_path(archive(tmp_path / "a.tar", members))
    assert rows.read([0], ("caption", "label"))["caption"] == ["a röd cat"]
    bad = archive(tmp_path / "b.tar", [("1.png", png), ("1.txt", b"\xff\xfe")])
    with pytest.raises(DataError, match=r"1\.txt: the caption is no UTF-8 text"):
        open_path(bad)


def test_shards_without_labels_give_images_only(tmp_path, png):
    source = open_data(config(archive(tmp_path / "a.tar", [("x.png", png), ("x.md", b"hi")])))
    assert source.columns.keys() == {"image"}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("a.cls", b"cat")], r"a.tar!a.cls: holds b'cat'; expected a whole number"),
        ([("a.cls", b"1.5")], r"a.tar!a.cls: the class is 1.5"),
        ([("a.json", b"{")], r"a.tar!a.json: holds b'{'; expected JSON"),
        ([("a.cls", b"-1")], r"image 0 has label -1, outside 0"),
        (
            [("a.cls", b"0"), ("b.png", None)],
            r"1 of 2 images have no label, .*a.tar!b.png",
        ),
    ],
)
def test_a_wrong_class_is_named(tmp_path, png, members, message):
    members = [(name, png if content is None else content) for name, content in members]
    shard = archive(tmp_path / "a.tar", [("a.png", png), *members])
    with pytest.raises(DataError, match=message):
        open_data(config(shard))


def test_a_class_beyond_the_class_names_is_refused(tmp_path, png):
    shard = archive(tmp_path / "a.tar", [("a.png", png), ("a.cls", b"2")])
    (tmp_path / "class_names.json").write_text('["cat", "dog"]')
    with pytest.raises(DataError, match=r"image 0 has label 2, outside 0..1"):
        open_data(config(shard))


def test_a_shard_cut_short_is_named(packed, tmp_path):
    _, shards = packed
    cut(shards / "train-00001.tar", keep=700)
    with pytest.raises(DataError, match=r"train-00001.tar: not a whole tar archive"):
        open_data(config(shards))
    zipped = tmp_path / "x.tar.gz"
    zipped.write_bytes(gzip.compress((shards / "train-00000.tar").read_bytes())[:-20])
    with pytest.raises(DataError, match=r"x.tar.gz: not a whole gzip file"):
        open_data(config(zipped))


def test_a_broken_image_in_a_shard_is_named(tmp_path, png):
    shard = archive(tmp_path / "a.tar", [("good.png", png), ("bad.png", png[:50])])
    with pytest.raises(DataError, match=r"a.tar!bad.png: not a readable image"):
        open_data(config(shard))
    assert len(open_data(config(shard, on_error="skip"))) == 1


def test_missing_and_empty_shards_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no shards; expected a folder"):
        open_data(config(tmp_path))
    with pytest.raises(DataError, match=r"no shards; expected a folder"):
        open_data(config(tmp_path / "train-*.tar"))
    with pytest.raises(DataError, match=r"no images in 1 shards"):
        open_data(config(archive(tmp_path / "a.tar", [("a.txt", b"")])))
    with pytest.raises(DataError, match=r"no shard with 'test' in its name"):
        open_data(config(tmp_path), "test")


def test_test_shards_are_never_trained_on(tmp_path, png):
    for name, count in (("photos-0", 2), ("photos-test-0", 1)):
        archive(tmp_path / "set" / f"{name}.tar", [(f"{i}.png", png) for i in range(count)])
    assert len(open_data(config(tmp_path / "set"))) == 2
    assert len(open_data(config(tmp_path / "set"), "test")) == 1
    assert len(open_path(tmp_path / "set")) == 3
    (tmp_path / "set" / "photos-0.tar").unlink()
    with pytest.raises(DataError, match=r"only of test, .*data.root='.*/\*.tar'"):
        open_data(config(tmp_path / "set"))


@pytest.mark.parametrize("names", [["test-0.tar"], ["test-0.tar", "val-0.tar"], ["test-0.tgz"]])
def test_what_a_set_without_a_train_part_advises_trains_on_what_there_is(tmp_path, png, names):
    for name in names:
        shard = archive(tmp_path / "set" / f"{name[:-4]}.tar", [("0.png", png)])
        if name.endswith(".tgz"):
            shard.with_suffix(".tgz").write_bytes(gzip.compress(shard.read_bytes()))
            shard.unlink()
    with pytest.raises(DataError, match=r"data.root='(.*)'") as refused:
        open_data(config(tmp_path / "set"))
    advised = re.search(r"data.root='(.*)'", str(refused.value))[1]
    assert len(open_data(config(advised))) == len(names)


def test_parts_that_are_not_read_are_said(tmp_path, png, caplog):
    for name in ("train-0", "test-0", "test-1", "val-0"):
        archive(tmp_path / "set" / f"{name}.tar", [("0.png", png)])
    with caplog.at_level("INFO", "genkit"):
        open_data(config(tmp_path / "set"))
    said = "of the parts only train is read, not test (2 shards), val (1 shard)"
    assert [said in line for line in caplog.messages].count(True) == 1


def test_shards_are_scanned_once_though_they_are_checked_before_they_are_decoded(
    packed, monkeypatch
):
    scanned = []
    scan = genkit.rows.archives.scan
    monkeypatch.setattr(
        genkit.rows.archives, "scan", lambda shard: scanned.append(shard) or scan(shard)
    )
    checked = []
    rows = open_data(config(packed[1]), check=checked.append)
    assert (len(scanned), len(checked)) == (3, 1)
    assert torch.equal(rows.labels, checked[0].labels)
    assert isinstance(rows, MemoryRows)


def test_what_a_shard_holds_and_is_not_read_is_counted(tmp_path, png):
    members = [("a.png", png), ("a.jpg", png), ("a.cls", b"0"), ("a.npy", b""), ("b.cls", b"1")]
    shard = archive(tmp_path / "a.tar", [*members, ("img.001.png", png), ("x/._a.png", b"")])
    rows = open_data(config(shard))
    assert (len(rows), rows.labels.tolist()) == (1, [0])
    assert rows.left_out.reasons == {
        ".npy": 1,
        "with a dot in its key": 1,
        "a second picture of its key": 1,
        "without the picture of its key": 1,
    }
    assert inspect(shard).left_out == rows.left_out


def test_shards_without_a_picture_say_what_they_hold(tmp_path, png):
    shard = archive(tmp_path / "a.tar", [(f"img.{i}.png", png) for i in range(3)])
    with pytest.raises(DataError, match=r"KEY has no dot; 3 files left out: 3 with a dot in its"):
        open_data(config(shard))


def test_an_archive_without_pictures_leaves_nothing_in_the_cache(tmp_path):
    shard = archive(tmp_path / "a.tar", [("a.bin", bytes(100_000))])
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(shard.read_bytes()))
    with pytest.raises(DataError, match="no images"):
        open_data(config(tmp_path / "a.tar.gz"))
    assert list((cache_folder() / "shards").glob("a-*")) == []


def test_an_unwritable_cache_says_what_to_do_with_gzipped_shards(packed, tmp_path, monkeypatch):
    _, shards = packed
    zipped = tmp_path / "x.tar.gz"
    zipped.write_bytes(gzip.compress((shards / "train-00000.tar").read_bytes()))
    monkeypatch.setenv("GENKIT_CACHE", str(zipped))
    with pytest.raises(DataError, match=r"can't be unpacked there .*GENKIT_CACHE"):
        open_data(config(zipped))


def test_shards_without_classes_are_told_where_classes_go_in_shards(tmp_path, png):
    members = [(f"{i}.png", png) for i in range(4)]
    archive(tmp_path / "a" / "train-00000.tar", members)
    needs = frozenset({"image", "label"})
    with pytest.raises(DataError, match=r"KEY\.cls or as `label` into KEY\.json") as refused:
        check_needs(open_data(config(tmp_path / "a")), needs, "cgan")
    assert "sub-folder" not in str(refused.value)
    archive(tmp_path / "b" / "train-00000.tar", [*members, *((f"{i}.cls", b"1") for i in range(4))])
    check_needs(open_data(config(tmp_path / "b")), needs, "cgan")  # what it advises
