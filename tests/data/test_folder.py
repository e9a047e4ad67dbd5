import logging
from itertools import islice

import pytest
import torch
from PIL import Image

from genkit.config import may_change
from genkit.data import Loader, check_needs, open_data
from genkit.data.readers.folder import FolderData
from genkit.errors import DataError
from genkit.family import resolve
from genkit.rows.batch import DataInfo
from genkit.rows.left_out import LeftOut

from .pictures import COLORS, cut, write, write_classes, write_metadata


def config(root, **settings):
    return FolderData(kind="folder", root=root, **{"image_size": 8, "batch_size": 2, **settings})


def colors(source):
    return [tuple(image[:, 4, 4].tolist()) for image in source.values["image"]]


def test_a_plain_folder_gives_images_in_name_order_without_labels(tmp_path):
    for name, color in (("b.png", "blue"), ("a.jpg", "white"), ("c.BMP", "lime")):
        write(tmp_path / "set" / name, color)
    (tmp_path / "set" / "notes.txt").write_text("not an image")
    source = open_data(config(tmp_path / "set"))
    assert colors(source) == [(255, 255, 255), (0, 0, 255), (0, 255, 0)]
    assert source.name == "folder:set:train"
    assert source.columns.keys() == {"image"}
    assert source.num_classes is None


def test_sub_folders_are_classes_that_take_turns(tmp_path):
    source = open_data(config(write_classes(tmp_path, dog=3, cat=2)))
    assert source.class_names == ("cat", "dog")
    assert source.labels.tolist() == [0, 1, 0, 1, 1]
    limited = open_data(config(tmp_path, limit=2))
    assert limited.labels.tolist() == [0, 1]


def test_train_and_test_sub_folders_are_the_two_parts_with_one_numbering(tmp_path):
    write_classes(tmp_path / "train", ant=1, bee=2, cow=1)
    write_classes(tmp_path / "test", cow=2)
    train, test = (open_data(config(tmp_path), split) for split in ("train", "test"))
    assert train.labels.tolist() == [0, 1, 2, 1]
    assert test.labels.tolist() == [2, 2]
    assert test.class_names == train.class_names


def test_a_class_that_only_the_test_part_has_is_refused(tmp_path):
    write_classes(tmp_path / "train", ant=1)
    write_classes(tmp_path / "test", bee=1)
    with pytest.raises(DataError, match=r"has class 'bee'; the train part has ant"):
        open_data(config(tmp_path), "test")


def test_a_column_of_metadata_gives_the_class(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.png", COLORS[i])
    kinds = ["warm", "cold", "warm"]
    rows = [{"file_name": f"{i}.png", "kind": kind} for i, kind in enumerate(kinds)]
    write_metadata(tmp_path, rows)
    source = open_data(config(tmp_path, label="kind"))
    assert source.class_names == ("cold", "warm")
    assert sorted(source.labels.tolist()) == [0, 1, 1]
    assert open_data(config(tmp_path)).labels is None


def test_metadata_is_read_where_it_lies_and_left_alone_when_asked(tmp_path):
    write_classes(tmp_path, cat=2, dog=1)
    rows = [{"file_name": "cat/001.png", "caption": ["a cat", "it"]}]
    write_metadata(tmp_path, rows)
    listed = open_data(config(tmp_path))
    assert (len(listed), listed.labels) == (1, None)
    assert listed.read([0], ("caption",)) == {"caption": [["a cat", "it"]]}
    folders = open_data(config(tmp_path, label=None, image_size=16))
    assert (len(folders), folders.class_names) == (3, ("cat", "dog"))
    assert folders.columns.keys() == {"image", "label"}
    # A run of before said null; it means the same, and a resume may write it either way.
    old = {"kind": "folder", "root": str(tmp_path), "image_size": 16, "label": None}
    run = resolve({"family": "dcgan", "data": old}, "x")
    assert open_data(run.data).fingerprint == folders.fingerprint
    assert may_change(run, "data.label")


def test_metadata_may_be_a_csv_whose_values_are_words(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.png", "lime")
    table = 'file_name,label,text\n0.png,7,"a dog, asleep"\n2.png,12,a cow\n'
    (tmp_path / "metadata.csv").write_text(table, encoding="utf-8-sig")
    source = open_data(config(tmp_path))
    assert source.class_names == ("7", "12")
    assert source.read(range(2), ("caption",))["caption"] == ["a dog, asleep", "a cow"]
    assert source.left_out.reasons == {"not listed in metadata.csv": 1}
    write_metadata(tmp_path, [{"file_name": "1.png", "caption": "a cat"}])
    source = open_data(config(tmp_path))
    assert source.read([0], ("caption",))["caption"] == ["a cat"]
    assert any("metadata.csv" in reason for reason in source.left_out.reasons)
    (tmp_path / "metadata.jsonl").unlink()
    (tmp_path / "metadata.csv").write_text("file_name,text\n0.png,a dog, asleep\n")
    with pytest.raises(DataError, match=r"line 2: expected 2 values; put texts with commas in"):
        open_data(config(tmp_path))
    (tmp_path / "metadata.csv").write_text("name,text\n0.png,a dog\n")
    with pytest.raises(DataError, match='line 2: expected an object with "file_name"'):
        open_data(config(tmp_path))


def test_a_text_beside_a_picture_is_its_caption(tmp_path, caplog):
    for i in range(3):
        write(tmp_path / f"{i}.png", "lime")
        (tmp_path / f"{i}.txt").write_text(f" a picture\nnumber {i}\n", encoding="utf-8")
    (tmp_path / "README.txt").write_text("of a friend")
    source = open_data(config(tmp_path))
    assert source.read([1], ("caption",))["caption"] == ["a picture\nnumber 1"]
    assert source.left_out.reasons == {".txt": 1}
    (tmp_path / "2.txt").unlink()
    assert "caption" not in open_data(config(tmp_path)).columns
    assert "1 of 3 images have no caption, the first is" in caplog.text
    (tmp_path / "1.txt").write_bytes(b"caf\xe9")
    with pytest.raises(DataError, match=r"1\.txt: the caption is no UTF-8 text"):
        open_data(config(tmp_path))


def test_metadata_may_have_a_foil_for_each_caption(tmp_path):
    for i in range(3):
        write(tmp_path / f"{i}.png", "lime")
    rows = [
        {"file_name": "0.png", "caption": ["a dog", "one dog"], "foil": ["a cat", ""]},
        {"file_name": "1.png", "caption": "a cat"},
        {"file_name": "2.png", "caption": "a cow", "foil": "a hen"},
    ]
    write_metadata(tmp_path, rows)
    source = open_data(config(tmp_path))
    found = source.read(range(3), ("caption", "foil"))
    assert found["foil"] == [["a cat", ""], "", "a hen"]
    rows[0]["foil"] = "a cat"
    write_metadata(tmp_path, rows)
    with pytest.raises(DataError, match=r"0\.png: foil is 'a cat'; expected 2 texts in a list"):
        open_data(config(tmp_path))


def test_whole_numbers_in_metadata_are_class_numbers(tmp_path):
    write_metadata(tmp_path, [{"file_name": "0.png", "y": 2}, {"file_name": "1.png", "y": 0}])
    write(tmp_path / "0.png")
    write(tmp_path / "1.png")
    source = open_data(config(tmp_path, label="y"))
    assert source.labels.tolist() == [2, 0]
    assert (source.num_classes, source.class_names) == (3, None)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{oops", r"metadata.jsonl, line 2: not JSON"),
        ({"kind": "x"}, r'line 2: expected an object with "file_name"'),
        ({"file_name": "0.png"}, r"line 2: no column 'kind'; there are: file_name"),
        ({"file_name": "0.png", "kind": 1.5}, r"line 2: kind is 1.5; a class is a word or a whole"),
        ({"file_name": "9.png", "kind": "x"}, r"line 2: .*9.png is missing"),
        ({"file_name": "0.png", "kind": 3}, r"0.png has class 3; the train part has x"),
    ],
)
def test_a_wrong_line_of_metadata_is_named(tmp_path, row, message):
    write(tmp_path / "0.png")
    write_metadata(tmp_path, [{"file_name": "0.png", "kind": "x"}, row])
    with pytest.raises(DataError, match=message):
        open_data(config(tmp_path, label="kind"))


def test_a_negative_class_number_is_refused(tmp_path):
    write(tmp_path / "0.png")
    write_metadata(tmp_path, [{"file_name": "0.png", "y": -1}])
    with pytest.raises(DataError, match=r"image 0 has label -1, outside 0"):
        open_data(config(tmp_path, label="y"))


def test_missing_metadata_is_refused_when_a_column_is_asked_for(tmp_path):
    write(tmp_path / "0.png")
    with pytest.raises(DataError, match=r"metadata.jsonl: can't be read .* data.label=kind"):
        open_data(config(tmp_path, label="kind"))


def test_missing_empty_and_mixed_folders_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"nowhere: no such file or folder"):
        open_data(config(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"no images; looked for .*\.png"):
        open_data(config(tmp_path))
    write(tmp_path / "a" / "0.png")
    with pytest.raises(DataError, match="it has no test part"):
        open_data(config(tmp_path), "test")
    write(tmp_path / "1.png")
    with pytest.raises(DataError, match="1 images lie in it and 1 in sub-folders"):
        open_data(config(tmp_path))


def test_a_family_that_needs_labels_is_refused_a_plain_folder(tmp_path):
    write(tmp_path / "0.png")
    source = open_data(config(tmp_path))
    with pytest.raises(DataError, match=r"'cgan' needs label.* gives only image; sort the images"):
        check_needs(source, frozenset({"image", "label"}), "cgan")
    check_needs(source, frozenset({"image"}), "dcgan")


@pytest.mark.parametrize("memory", ["always", "never"])
def test_a_broken_file_is_named_when_it_is_read(tmp_path, memory):
    write_classes(tmp_path, a=3)
    cut(tmp_path / "a" / "001.png")
    with pytest.raises(DataError, match=r"001.png: not a readable image .*data.on_error=skip"):
        next(
            Loader(
                open_data(config(tmp_path, memory=memory, batch_size=3)), config(tmp_path), 0
            ).steps()
        )


@pytest.mark.parametrize("memory", ["always", "never"])
def test_broken_files_are_left_out_and_counted_when_asked(tmp_path, caplog, memory):
    write_classes(tmp_path, a=3, b=2)
    cut(tmp_path / "a" / "001.png")
    with caplog.at_level(logging.WARNING, "genkit"):
        source = open_data(config(tmp_path, memory=memory, on_error="skip"))
    assert source.left_out == LeftOut({"broken": 1}, ("a/001.png",))
    assert "1 file left out: 1 broken (a/001.png)" in caplog.text
    assert DataInfo.from_tree(DataInfo.of(source).to_tree()).left_out == source.left_out
    assert source.labels.tolist() == [0, 1, 1, 0]


def test_a_folder_of_broken_files_is_refused_even_with_skip(tmp_path):
    write_classes(tmp_path, a=2)
    for i in range(2):
        cut(tmp_path / "a" / f"00{i}.png")
    with pytest.raises(DataError, match="none of 2 files can be read"):
        open_data(config(tmp_path, on_error="skip"))


def test_streaming_and_memory_give_the_same_batches_and_fingerprint(tmp_path):
    write_classes(tmp_path, a=5, b=4)
    cut(tmp_path / "b" / "002.png")
    settings = {"on_error": "skip", "flip": True, "batch_size": 3}
    always, never = (config(tmp_path, memory=m, **settings) for m in ("always", "never"))
    memory, stream = open_data(always), open_data(never)
    assert memory.fingerprint == stream.fingerprint
    pairs = zip(Loader(memory, always, 0).steps(), Loader(stream, never, 0).steps(), strict=False)
    for (one,), (other,) in islice(pairs, 6):
        assert all(torch.equal(one[key], other[key]) for key in one)


def test_the_fingerprint_follows_content_and_size_but_not_the_place(tmp_path):
    def fingerprint(name, size=8):
        return open_data(config(tmp_path / name, image_size=size)).fingerprint

    for name in ("one", "two"):
        write_classes(tmp_path / name, a=2)
    assert fingerprint("one") == fingerprint("two")
    assert fingerprint("one") != fingerprint("one", size=9)
    write(tmp_path / "two" / "a" / "000.png", "navy")
    assert fingerprint("one") != fingerprint("two")


def test_pictures_of_every_shape_and_mode_arrive_as_configured(tmp_path):
    modes = ["1", "L", "P", "RGB", "RGBA", "LA", "I;16", "CMYK"]
    for i, mode in enumerate(modes):
        suffix = ".tif" if mode == "CMYK" else ".png"
        write(
            tmp_path / f"{i}{suffix}",
            "white",
            (5 + 3 * i, 20 - 2 * i),
            "L" if ";" in mode else mode,
        )
    Image.new("I;16", (9, 30), 65535).save(tmp_path / "6.png")
    for channels in (1, 3):
        source = open_data(config(tmp_path, channels=channels))
        assert source.values["image"].shape == (len(modes), channels, 8, 8)
        assert (source.values["image"] == 255).all()
