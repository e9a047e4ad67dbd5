import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from genkit.errors import DataError
from genkit.images import png_bytes, to_numpy, to_pil
from genkit.random import generator
from genkit.rows.base import hash_pictures, image_rows
from genkit.rows.columns import Class
from genkit.rows.combine import picked
from genkit.rows.datasets import dataset_rows
from genkit.rows.files import open_path

LABELS = torch.tensor([3, 1, 4, 1, 5])


def pictures(count=5, channels=3, size=8):
    drawn = torch.randint(256, (count, channels, size, size), generator=generator(0, "pictures"))
    return drawn.to(torch.uint8)


def contents(rows):
    return rows.read(range(len(rows)), ("image",))["image"], rows.labels


def write_folder(path, images, labels=None):
    path.mkdir()
    rows = []
    for i, image in enumerate(images):
        (path / f"{i:06d}.png").write_bytes(png_bytes(image))
        rows.append(
            {"file_name": f"{i:06d}.png"} | ({} if labels is None else {"label": labels[i]})
        )
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_folder_npz_tar_and_arrays_hold_the_same_set(tmp_path, channels):
    images = pictures(channels=channels)
    folder = write_folder(tmp_path / "folder", images, LABELS.tolist())
    np.savez(tmp_path / "set.npz", images=to_numpy(images), labels=LABELS.numpy())
    members = []
    for i, image in enumerate(images):
        members += [
            (f"{i:06d}.png", png_bytes(image)),
            (f"{i:06d}.cls", str(int(LABELS[i])).encode()),
        ]
    tar = write_tar(tmp_path / "set.tar", members)
    sets = [open_path(p) for p in (folder, tmp_path / "set.npz", tar)]
    sets.append(image_rows("arrays", images, LABELS))
    for each in sets:
        found, labels = contents(each)
        assert torch.equal(found, images)
        assert torch.equal(labels, LABELS)
        assert len(each) == 5
    assert len({hash_pictures(each) for each in sets}) == 1
    assert len({each.fingerprint for each in sets[:-1]}) == 1


def test_the_fingerprint_depends_on_pixels_labels_and_shape():
    images = pictures()
    other = images.clone()
    other[4, 2, 7, 7] ^= 1
    sets = [
        image_rows("s", images),
        image_rows("s", other),
        image_rows("s", images, LABELS),
        image_rows("s", images.reshape(5, 3, 4, 16)),
        picked(image_rows("s", images), torch.arange(4)),
    ]
    assert len({each.fingerprint for each in sets}) == len(sets)


@pytest.mark.parametrize(
    ("folders", "names"),
    [(("12", "7", "3"), ("3", "7", "12")), (("cat", "ape", "7"), ("7", "ape", "cat"))],
)
def test_class_folders_are_classes_by_name_and_whole_numbers_come_in_their_order(
    tmp_path, folders, names
):
    for name in folders:
        (tmp_path / name / "deep").mkdir(parents=True)
        (tmp_path / name / "deep" / "x.png").write_bytes(png_bytes(pictures(1)[0]))
    rows = open_path(tmp_path)
    assert rows.columns["label"] == Class(3, names)
    files = rows.read(range(3), ("file",))["file"]
    shown = [names[label] for label in rows.labels.tolist()]
    assert [f"/{name}/" in file for name, file in zip(shown, files, strict=True)] == [True] * 3


def test_classes_whose_names_are_numbers_are_known_by_these_numbers_too(tmp_path):
    images = pictures(2)
    for name, image in zip("37", images, strict=True):
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "x.png").write_bytes(png_bytes(image))
    rows = open_path(tmp_path / "set")
    assert rows.labels.tolist() == [0, 1]
    assert rows.class_numbers.tolist() == [3, 7]
    assert rows.fingerprint == hash_pictures(image_rows("array", images, torch.tensor([3, 7])))


def test_images_of_other_sizes_and_modes_come_as_they_are(tmp_path):
    images = [pictures(1)[0], pictures(1)[0], pictures(1, 1)[0], pictures(1, 3, 12)[0]]
    rows = open_path(write_folder(tmp_path / "mixed", images))
    found = rows.read(range(4))["image"]
    assert all(torch.equal(a, b) for a, b in zip(found, images, strict=True))
    assert tuple(rows.read([1, 0])["image"].shape) == (2, 3, 8, 8)
    assert rows.labels is None


def test_captions_that_some_images_lack_are_left_out_and_that_is_said(tmp_path, caplog):
    folder = tmp_path / "set"
    folder.mkdir()
    for name in ("1.png", "2.png"):
        to_pil(torch.zeros(1, 8, 8, dtype=torch.uint8)).save(folder / name)
    lines = [{"file_name": "1.png", "caption": "one"}, {"file_name": "2.png"}]
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with caplog.at_level("WARNING", logger="genkit"):
        assert "caption" not in open_path(folder).columns
    assert "1 of 2 images have no caption, the first is" in caplog.text


def test_npz_gives_back_the_captions_and_files_that_samples_hold(tmp_path):
    pixels = np.zeros((2, 8, 8, 1), np.uint8)
    texts = {"caption": np.array(["a one", "a two"]), "file": np.array(["x/1.png", "x/2.png"])}
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        for name, array in {"images": pixels, **texts}.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, array)
    rows = open_path(tmp_path / "set.npz")
    assert list(rows.columns) == ["image", "caption", "file"]
    assert rows.read([1, 0], ("caption",))["caption"] == ["a two", "a one"]
    np.savez(tmp_path / "bad.npz", images=pixels, caption=np.zeros(2))
    with pytest.raises(DataError, match=r"caption is float64 \(2,\), expected"):
        open_path(tmp_path / "bad.npz")


def test_npz_with_grey_images_without_channel_axis_is_read(tmp_path):
    np.savez(tmp_path / "grey.npz", images=np.zeros((4, 8, 8), np.uint8))
    assert open_path(tmp_path / "grey.npz").read([0])["image"].shape == (1, 1, 8, 8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"pictures": np.zeros((2, 8, 8, 3), np.uint8)}, "expected an array `images`"),
        ({"images": np.zeros((2, 8, 8, 3), np.float32)}, "expected uint8"),
        ({"images": np.zeros((2, 3, 8, 8), np.uint8)}, "C = 1 or 3"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(2)}, "expected .N,. int"),
        (
            {"images": np.zeros((2, 8, 8), np.uint8), "labels": np.zeros(3, int)},
            "columns of different length",
        ),
        ({"images": np.array([{"a": 1}])}, "not a readable .npz of plain arrays"),
        ({"images": np.zeros((2, 8, 8), np.uint8), "../x": np.zeros(1)}, "leads out of the set"),
    ],
)
def test_a_wrong_npz_is_refused_and_nothing_in_it_is_unpickled(tmp_path, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_path(tmp_path / "bad.npz")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    for name in ("cut.npz", "cut.tar", "cut.zip"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 and then nothing")
        with pytest.raises(DataError, match=r"not a (readable|whole tar)"):
            open_path(tmp_path / name)


def test_names_that_lead_out_of_the_set_are_refused(tmp_path):
    picture = png_bytes(pictures(1)[0])
    for n, name in enumerate(("../evil.png", "/etc/evil.png", "a/../../evil.png")):
        with pytest.raises(DataError, match="leads out"):
            open_path(write_tar(tmp_path / f"{n}.tar", [(name, picture)]))
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "metadata.jsonl").write_text('{"file_name": "../secret.png"}\n')
    with pytest.raises(DataError, match="leads out"):
        open_path(folder)


def test_a_link_in_a_tar_is_refused(tmp_path):
    with tarfile.open(tmp_path / "link.tar", "w") as archive:
        info = tarfile.TarInfo("0.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match="links and devices"):
        open_path(tmp_path / "link.tar")


def test_missing_empty_and_broken_sets_are_named(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_path(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        open_path(tmp_path / "empty")
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(DataError, match=r"expected a folder of images, an \.npz, \.zip"):
        open_path(tmp_path / "notes.txt")
    folder = write_folder(tmp_path / "cut", pictures(2))
    (folder / "000001.png").write_bytes(png_bytes(pictures(1)[0])[:60])
    with pytest.raises(DataError, match=r"000001\.png.*replace or delete it"):
        _ = open_path(folder).fingerprint


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('{"file_name": "gone.png"}', "line 1: .*gone.png is missing"),
        ("nonsense", "line 1: not JSON"),
        ('{"file_name": "000000.png", "label": 1.5}', "a word or a whole number"),
        ('{"file_name": "000000.png", "caption": 3}', "a text or a list of texts"),
        ('{"file_name": "000000.png", "label": 1}\n{"file_name": "000001.png"}', "have no label"),
    ],
)
def test_a_wrong_metadata_file_is_refused_with_its_line(tmp_path, lines, message):
    folder = write_folder(tmp_path / "folder", pictures(2))
    (folder / "metadata.jsonl").write_text(lines)
    with pytest.raises(DataError, match=message):
        open_path(folder)


def test_arrays_must_be_uint8_images_with_as_many_labels():
    with pytest.raises(DataError, match="expected uint8"):
        image_rows("s", torch.zeros(2, 3, 8, 8))
    with pytest.raises(DataError, match="columns of different length"):
        image_rows("s", pictures(4), LABELS)


# -- zip files, shards, data sets and models -------------------------------------------------------


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_a_zip_holds_the_images_in_order_and_labels_as_stylegan_writes_them(tmp_path):
    images = pictures()
    members = [(f"00000/img{i:08d}.png", png_bytes(image)) for i, image in enumerate(images)]
    labels = [[name, int(label)] for (name, _), label in zip(members, LABELS, strict=True)]
    table = ("dataset.json", json.dumps({"labels": labels}).encode())
    zipped = open_path(write_zip(tmp_path / "set.zip", [*reversed(members), table]))
    pixels, classes = contents(zipped)
    assert torch.equal(pixels, images)
    assert torch.equal(classes, LABELS)
    plain = open_path(write_zip(tmp_path / "plain.zip", members))
    assert plain.labels is None


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("../a.png", b"x")], "leads out of the set"),
        ([("/etc/a.png", b"x")], "leads out of the set"),
        ([("a.txt", b"x")], "no images in this file"),
        ([("a.png", b"x"), ("dataset.json", b"[]")], "dataset.json: expected"),
        ([("a.png", b"x"), ("dataset.json", b'{"labels": 5}')], "dataset.json: expected"),
        ([("a.png", b"x"), ("dataset.json", b'{"labels": [["a.png", 0.7]]}')], "a word or a whole"),
        (
            [("a.png", b"x"), ("dataset.json", b'{"labels": [["a.png", [1, 0]]]}')],
            "a word or a whole",
        ),
    ],
)
def test_a_hostile_or_wrong_zip_is_refused(tmp_path, members, message):
    with pytest.raises(DataError, match=message):
        open_path(write_zip(tmp_path / "bad.zip", members))


def test_a_zip_without_a_table_is_read_as_the_folder_that_was_packed(tmp_path):
    images = pictures(4)
    names = (
        "set/train/cat/0.png",
        "set/train/dog/1.png",
        "set/train/cat/2.png",
        "set/test/dog/3.png",
    )
    members = [(name, png_bytes(image)) for name, image in zip(names, images, strict=True)]
    members += [
        ("__MACOSX/set/train/._0.png", b"x"),
        ("set/.DS_Store", b"x"),
        ("set/notes.txt", b""),
    ]
    path = write_zip(tmp_path / "set.zip", members)
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path)
    for split in ("train", "test", None):
        packed, folder = open_path(path, split), open_path(tmp_path / "set", split)
        assert packed.class_names == folder.class_names == ("cat", "dog")
        assert packed.fingerprint == folder.fingerprint
        assert packed.left_out == folder.left_out
    assert packed.left_out.reasons == {".txt": 1}


def test_a_zip_of_any_depth_is_read(tmp_path):
    picture = png_bytes(pictures(1)[0])
    deep = write_zip(tmp_path / "deep.zip", [("a/" * 5_000 + "0.png", picture)])
    rows = open_path(deep)
    assert (len(rows), rows.labels) == (1, None)
    assert rows.read([0])["image"].shape == (1, 3, 8, 8)


@pytest.mark.parametrize("word", ["1" * 5_000, "9" * 19, "12345678901234567890"])
def test_words_of_more_digits_than_a_number_has_are_classes_by_name(tmp_path, word):
    root = write_folder(tmp_path / "set", pictures(2))
    rows = [{"file_name": f"00000{i}.png", "label": w} for i, w in enumerate((word, "2"))]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    opened = open_path(root)
    assert opened.class_names == tuple(sorted((word, "2")))
    assert opened.class_numbers.tolist() == opened.labels.tolist()


def test_a_zip_holds_its_table_below_a_folder_too(tmp_path):
    images = pictures(2)
    members = [(f"set/x/{i}.png", png_bytes(image)) for i, image in enumerate(images)]
    table = json.dumps({"labels": [["x/0.png", 1], ["x/1.png", 0]]}).encode()
    path = write_zip(tmp_path / "set.zip", [*members, ("set/dataset.json", table)])
    assert open_path(path).labels.tolist() == [1, 0]
    table = json.dumps({"labels": [["0.png", 1]]}).encode()
    path = write_zip(tmp_path / "bad.zip", [*members, ("set/dataset.json", table)])
    with pytest.raises(DataError, match=r"1 files that aren't in the zip, the first is set/0.png"):
        open_path(path)


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"file_name": "000000.png", "label": 1, "text": "a\xe2\x80\xa8b"}\r\n',
        b'\n{"file_name": "./000000.png", "label": 1, "text": "a\xe2\x80\xa8b"}',
    ],
    ids=["byte order mark", "line separator"],
)
def test_metadata_is_read_with_a_byte_order_mark_and_cut_at_line_ends_only(tmp_path, content):
    folder = write_folder(tmp_path / "folder", pictures(2))
    (folder / "metadata.jsonl").write_bytes(content)
    rows = open_path(folder)
    assert rows.read([0], ("label", "caption"))["caption"] == ["a\u2028b"]
    assert rows.left_out.reasons == {"not listed in metadata.jsonl": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"file_name": "a"}'.encode("utf-16"), "no UTF-8 text .*; save it as UTF-8"),
        (b'{"file_name": "in\\\\0.png"}', r"in\\0.png is missing; .*; write / between folders"),
        (b'{"file_name": "/etc/x.png"}', "leads out of the set"),
        (b'{"file_name": "' + b"x" * 10_000 + b'"}', r"characters left out\] x+ is missing"),
        (b'{"file_name": "a", "k": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"file_name": "000000.png", "label": 1' + b"0" * 30 + b"}", "label is larger than"),
        (b'{"file_name": "000000.png", "label": 1' + b"0" * 5_000 + b"}", "not JSON"),
        (b'{"file_name": "000000.png\\u0000"}', r"000000.png\\x00 is missing"),
    ],
)
def test_a_hostile_or_strange_metadata_file_is_refused_in_one_line(tmp_path, content, message):
    folder = write_folder(tmp_path / "folder", pictures(1))
    (folder / "metadata.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        open_path(folder)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 900


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.json", DEEP), ("a.cls", DEEP), ("a.cls", b"1" + b"0" * 30), ("a.cls", b"9" * 5_000)],
)
def test_a_hostile_member_of_a_shard_is_refused(tmp_path, name, content):
    shard = write_tar(tmp_path / "a.tar", [("a.png", png_bytes(pictures(1)[0])), (name, content)])
    with pytest.raises(DataError, match=rf"a.tar!{name}: ") as caught:
        open_path(shard)
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize("table", [DEEP, b'{"labels": ' + DEEP + b"}", b'{"labels": [["a.png"]]}'])
def test_a_hostile_table_of_a_zip_is_refused(tmp_path, table):
    members = [("a.png", png_bytes(pictures(1)[0])), ("dataset.json", table)]
    with pytest.raises(DataError, match=r"dataset.json: "):
        open_path(write_zip(tmp_path / "set.zip", members))


def test_a_path_too_long_to_exist_is_refused(tmp_path):
    for ending in ("", ".npz", ".zip", ".tar"):
        with pytest.raises(DataError, match=r"no such file|no shards"):
            open_path(tmp_path / ("x" * 10_000 + ending))


def test_a_zip_that_unpacks_to_too_much_or_is_damaged_is_refused(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "set.zip", [("a.png", png_bytes(pictures()[0]))])
    whole = path.read_bytes()
    path.write_bytes(whole[:45] + bytes(20) + whole[65:])  # the member's own bytes
    with pytest.raises(DataError, match=r"set.zip:a.png: can't be read"):
        open_path(path).read([0])
    path.write_bytes(whole)
    monkeypatch.setattr("genkit.rows.entries.LARGEST", 10)
    with pytest.raises(DataError, match="10 are read at most"):
        open_path(path)


def test_shards_are_one_set_by_folder_or_by_pattern(tmp_path):
    images = pictures()
    for shard, places in enumerate(([0, 1, 2], [3, 4])):
        members = [(f"{i}.png", png_bytes(images[i])) for i in places]
        members += [(f"{i}.cls", str(int(LABELS[i])).encode()) for i in places]
        write_tar(tmp_path / f"part-{shard:03d}.tar", members)
    for path in (tmp_path, tmp_path / "part-*.tar"):
        pixels, labels = contents(open_path(path))
        assert torch.equal(pixels, images)
        assert torch.equal(labels, LABELS)


def test_rows_of_a_data_set_are_read_as_pictures_or_as_bytes():
    images = pictures()
    rows = [
        {"picture": to_pil(image), "file": {"bytes": png_bytes(image)}, "class": int(label)}
        for image, label in zip(images, LABELS, strict=True)
    ]
    for column in ("picture", "file"):
        pixels, labels = contents(dataset_rows("rows", rows, image=column, label="class"))
        assert torch.equal(pixels, images)
        assert torch.equal(labels, LABELS)
    with pytest.raises(DataError, match="no column 'img'; there are: picture, file, class"):
        dataset_rows("rows", rows, image="img").read([0])


def test_a_damaged_npz_is_refused_and_only_what_is_wanted_is_unpacked(tmp_path):
    path = tmp_path / "set.npz"
    np.savez_compressed(path, images=to_numpy(pictures()), other=np.zeros(10))
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes(40) + whole[100:])
    with pytest.raises(DataError, match="not a readable"):
        open_path(path)


def test_classes_of_a_data_set_must_be_integers():
    rows = [{"image": to_pil(pictures()[0]), "label": 0.5}]
    with pytest.raises(DataError, match="is not an integer class"):
        dataset_rows("rows", rows, label="label")


@pytest.mark.parametrize(
    "shape", ["(9223372036854775808, 8, 8, 3)", "(1000000000000, 8, 8, 3)", "(-1, 8, 8, 3)", "(8,"]
)
def test_an_npz_whose_header_lies_of_its_size_is_refused_in_a_line(tmp_path, shape):
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    if shape.endswith(","):
        header = header[: header.index(shape) + len(shape)]
    text = header.encode().ljust(117) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(192)
    with zipfile.ZipFile(tmp_path / "lies.npz", "w") as archive:
        archive.writestr("images.npy", npy)
    with pytest.raises(DataError, match=r"lies\.npz: ") as refused:
        open_path(tmp_path / "lies.npz")
    assert "\n" not in str(refused.value)
