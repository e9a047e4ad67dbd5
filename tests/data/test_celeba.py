import json

import pytest
import torch
from PIL import Image as Pillow

from genkit.data import Loader, open_data
from genkit.data.inspect import inspect
from genkit.data.readers.celeba import CelebaData
from genkit.errors import DataError
from genkit.family import load_config
from genkit.rows.columns import Class, Flags, Image
from genkit.rows.flags import DRAWN_EXCLUDES, DRAWN_NAMES, excluded
from genkit.rows.left_out import LeftOut

from .pictures import COLORS, cut, write

NAMES = ("Bald", "Bangs", "Smiling")
SIGNS = [[1, -1, 1], [-1, 1, 1], [-1, -1, -1], [1, -1, -1], [-1, -1, 1]]
PARTS = [0, 0, 0, 1, 2]


def celeba(root, **settings):
    return CelebaData(root=root, **{"image_size": 8, "batch_size": 2, **settings})


def write_set(root, names=NAMES, signs=SIGNS, parts=PARTS, ending=".png", count=None):
    """Five pictures with three attributes, and both lists."""
    files = [f"{i:06}{ending}" for i in range(1, len(signs) + 1)]
    for i, file in enumerate(files):
        write(root / "img_align_celeba" / file, COLORS[i])
    write_list(root, files, names, signs, count)
    lines = [f"{file} {part}" for file, part in zip(files, parts, strict=True)]
    (root / "list_eval_partition.txt").write_text("\n".join(lines) + "\n")
    return files


def write_list(root, files, names=NAMES, signs=SIGNS, count=None):
    rows = [" ".join([f, *(f"{s:2}" for s in row)]) for f, row in zip(files, signs, strict=True)]
    head = [str(len(files) if count is None else count), " ".join(names) + " "]
    (root / "list_attr_celeba.txt").write_text("\n".join([*head, *rows]) + "\n")


def values(rows, name="attributes"):
    return rows.read(range(len(rows)), (name,))[name].tolist()


@pytest.mark.parametrize("memory", ["always", "never"])
def test_pictures_come_with_their_attributes_part_by_part_in_the_order_of_the_list(
    tmp_path, memory
):
    write_set(tmp_path)
    data = celeba(tmp_path, memory=memory)
    assert data.splits == ("train", "val", "test")
    train, val, test = (open_data(data, split) for split in data.splits)
    assert (train.name, test.name) == (
        f"celeba:{tmp_path.name}:train",
        f"celeba:{tmp_path.name}:test",
    )
    assert values(train) == [[1, 0, 1], [0, 1, 1], [0, 0, 0]]
    assert values(val) == [[1, 0, 0]]
    assert values(test) == [[0, 0, 1]]
    assert train.columns["image"] == Image((8, 8), 3)
    column = train.columns["attributes"]
    assert isinstance(column, Flags)
    assert column.names == NAMES
    red = train.read([0], ("image",))["image"][0]
    assert red.flatten(1).float().mean(1).tolist() == [255, 0, 0]
    (batch,) = next(Loader(train, data, seed=0).steps())
    assert batch["attributes"].dtype == torch.float32
    assert batch["attributes"].shape == (2, 3)


def test_limit_shortens_the_train_part_only(tmp_path):
    write_set(tmp_path, parts=[0, 0, 0, 2, 2])
    data = celeba(tmp_path, limit=1)
    assert [len(open_data(data, split)) for split in ("train", "test")] == [1, 2]


def test_attributes_are_chosen_by_name_in_the_order_asked_for(tmp_path):
    write_set(tmp_path)
    rows = open_data(celeba(tmp_path, attributes=["Smiling", "Bald"]))
    assert rows.columns["attributes"].names == ("Smiling", "Bald")
    assert values(rows) == [[1, 1], [1, 0], [0, 0]]
    with pytest.raises(DataError, match=r"'Smilng', which is not listed .* mean 'Smiling'\?"):
        open_data(celeba(tmp_path, attributes=["Smilng"]))


def test_attributes_and_rules_are_lists_on_the_command_line_too(tmp_path):
    write_set(tmp_path)
    tree = {"family": "dcgan", "data": {"kind": "celeba", "root": str(tmp_path)}}
    words = ["data.attributes=[Smiling, Bald]", "data.excludes=[[Bald, [Smiling]]]"]
    data = load_config(tree, words).data
    assert data.attributes == ("Smiling", "Bald")
    assert data.excludes == (("Bald", ("Smiling",)),)
    assert load_config(tree, ["data.attributes=null", "data.crop=[1, 2, 8]"]).data.crop == (1, 2, 8)


@pytest.mark.parametrize("off", ["-1", "0"])
@pytest.mark.parametrize("between", [",", "  "])
def test_lists_with_0_and_1_with_commas_and_without_a_count_mean_the_same(tmp_path, off, between):
    files = write_set(tmp_path)
    first = open_data(celeba(tmp_path))
    rows = [[f, *("1" if s > 0 else off for s in row)] for f, row in zip(files, SIGNS, strict=True)]
    lines = [between.join(row) for row in [["image_id", *NAMES], *rows]]
    (tmp_path / "list_attr_celeba.txt").write_text("\n".join(lines) + "\n")
    parts = [["image_id", "partition"], *([f, str(p)] for f, p in zip(files, PARTS, strict=True))]
    text = "\n".join(between.join(row) for row in parts) + "\n"
    (tmp_path / "list_eval_partition.txt").write_text(text)
    rows = open_data(celeba(tmp_path))
    assert values(rows) == values(first)
    assert rows.fingerprint == first.fingerprint


def test_what_excludes_what_is_known_by_name_or_said(tmp_path):
    write_set(tmp_path)
    known = open_data(celeba(tmp_path)).columns["attributes"].excludes
    assert known == (("Bald", ("Bangs",)), ("Bangs", ("Bald",)))
    said = [["Smiling", ["Bald", "Bangs"]], ["Bald", ["Smiling"]]]
    column = open_data(celeba(tmp_path, excludes=said)).columns["attributes"]
    assert column.excludes == (("Smiling", ("Bald", "Bangs")), ("Bald", ("Smiling",)))
    few = open_data(celeba(tmp_path, excludes=said, attributes=["Smiling", "Bangs"]))
    assert few.columns["attributes"].excludes == (("Smiling", ("Bangs",)),)
    assert open_data(celeba(tmp_path, excludes=[])).columns["attributes"].excludes == ()
    with pytest.raises(DataError, match=r"data.excludes has 'Hat', which is not listed"):
        open_data(celeba(tmp_path, excludes=[["Bald", ["Hat"]]]))


def test_some_of_the_drawn_attributes_keep_the_rules_of_all(tmp_path):
    signs = [[1 if i == j else -1 for j in range(13)] for i in range(5)]
    write_set(tmp_path, names=DRAWN_NAMES, signs=signs)
    chosen = [name for name in DRAWN_NAMES if name != "Winking"]
    column = open_data(celeba(tmp_path, attributes=chosen)).columns["attributes"]
    assert excluded(column, "Bald") == (
        *("Black_Hair", "Blond_Hair", "Brown_Hair", "Long_Hair", "Wearing_Hat"),
    )
    assert excluded(column, "Sunglasses") == ("Eyeglasses",)
    everything = open_data(celeba(tmp_path)).columns["attributes"]
    assert everything.excludes == DRAWN_EXCLUDES


def test_the_fingerprint_knows_attributes_crop_and_which_were_chosen(tmp_path):
    write_set(tmp_path)
    prints = {open_data(celeba(tmp_path)).fingerprint}
    prints.add(open_data(celeba(tmp_path, crop=[0, 0, 10])).fingerprint)
    prints.add(open_data(celeba(tmp_path, attributes=["Bald"])).fingerprint)
    prints.add(open_data(celeba(tmp_path, attributes=["Bangs"])).fingerprint)
    write_set(tmp_path, signs=[[1, -1, -1], *SIGNS[1:]])
    prints.add(open_data(celeba(tmp_path)).fingerprint)
    assert len(prints) == 5


def test_a_crop_cuts_the_square_at_its_top_and_left_out_of_every_picture(tmp_path):
    write_set(tmp_path)
    for file in (tmp_path / "img_align_celeba").iterdir():
        picture = Pillow.new("RGB", (20, 30), "black")
        picture.paste("white", (3, 5, 11, 13))
        picture.save(file)
    cropped = open_data(celeba(tmp_path, crop=[5, 3, 8])).read([0], ("image",))["image"]
    assert (cropped == 255).all()
    beside = open_data(celeba(tmp_path, crop=[4, 3, 8])).read([0], ("image",))["image"]
    assert (beside[0, :, 0] == 0).all()
    assert (beside[0, :, 1:] == 255).all()
    with pytest.raises(
        DataError, match=r"20 x 30 px, but data.crop=\[23, 3, 8\] reaches to 11 x 31"
    ):
        open_data(celeba(tmp_path, crop=[23, 3, 8]))


def test_celebas_own_shape_and_the_papers_crop(tmp_path):
    write(tmp_path / "img_align_celeba" / "000001.jpg", size=(178, 218))
    write_list(tmp_path, ["000001.jpg"], signs=SIGNS[:1])
    rows = open_data(celeba(tmp_path, crop=[26, 3, 170], image_size=128, partition_file=None))
    assert rows.read([0], ("image",))["image"].shape == (1, 3, 128, 128)


def test_files_of_another_ending_are_found_by_their_stem(tmp_path):
    files = write_set(tmp_path, ending=".jpg")
    first = open_data(celeba(tmp_path))
    for file in files:
        path = tmp_path / "img_align_celeba" / file
        path.rename(path.with_suffix(".jpeg"))
    rows = open_data(celeba(tmp_path, memory="never"))
    assert values(rows) == values(first)
    assert rows.read([0], ("file",))["file"][0].endswith("000001.jpeg")


# -- what is wrong ---------------------------------------------------------------------------------


def test_listed_pictures_that_are_not_there_are_counted_and_named(tmp_path):
    write_set(tmp_path)
    (tmp_path / "img_align_celeba" / "000002.png").unlink()
    with pytest.raises(
        DataError, match=r"1 of 3 pictures of the train part are not in .*000002.png; put them"
    ):
        open_data(celeba(tmp_path))
    rows = open_data(celeba(tmp_path, on_error="skip"))
    assert values(rows) == [[1, 0, 1], [0, 0, 0]]
    reason = "listed in list_attr_celeba.txt, but not there"
    assert rows.left_out == LeftOut({reason: 1}, ("000002.png",))
    assert len(open_data(celeba(tmp_path), "test")) == 1


def test_pictures_that_are_not_listed_are_left_out_and_counted(tmp_path):
    write_set(tmp_path)
    write(tmp_path / "img_align_celeba" / "000009.png")
    (tmp_path / "img_align_celeba" / "talk.mp4").touch()
    rows = open_data(celeba(tmp_path))
    reasons = {"not listed in list_attr_celeba.txt": 1, ".mp4": 1}
    assert rows.left_out == LeftOut(reasons, ("000009.png", "talk.mp4"))
    assert not open_data(celeba(tmp_path), "test").left_out


def test_a_broken_picture_is_named_or_left_out_with_its_attributes(tmp_path):
    write_set(tmp_path)
    cut(tmp_path / "img_align_celeba" / "000001.png")
    with pytest.raises(DataError, match=r"000001\.png: not a readable image"):
        open_data(celeba(tmp_path))
    rows = open_data(celeba(tmp_path, on_error="skip"))
    assert values(rows) == [[0, 1, 1], [0, 0, 0]]
    assert rows.left_out == LeftOut({"broken": 1}, ("img_align_celeba/000001.png",))


def test_a_number_of_rows_other_than_promised_is_refused(tmp_path):
    write_set(tmp_path, count=6)
    with pytest.raises(DataError, match=r"first line says 6 pictures, but 5 rows follow"):
        open_data(celeba(tmp_path))


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("000002.png -1 1", r"line 4: 2 values behind the file, but 3 attributes are named"),
        ("000002.png -1 1 yes", r"line 4: Smiling is yes; expected -1 or 1"),
        ("000001.png -1 1 1", r"line 4: 000001.png stands in line 3 already"),
        ("../2.png -1 1 1", r"line 4: the name ../2.png leads out of the set"),
        ("000002.png 0 1 1", r"has -1, 0 and 1"),
    ],
)
def test_a_wrong_line_of_the_list_is_named(tmp_path, line, problem):
    write_set(tmp_path)
    path = tmp_path / "list_attr_celeba.txt"
    lines = path.read_text().split("\n")
    lines[3] = line
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=problem):
        open_data(celeba(tmp_path))


def test_attributes_that_are_named_twice_or_not_at_all_are_refused(tmp_path):
    write_set(tmp_path, names=("Bald", "Bangs", "Bald"))
    with pytest.raises(DataError, match="line 2: attribute Bald stands there twice"):
        open_data(celeba(tmp_path))
    (tmp_path / "list_attr_celeba.txt").write_text("\n")
    with pytest.raises(DataError, match="no rows"):
        open_data(celeba(tmp_path))
    (tmp_path / "list_attr_celeba.txt").unlink()
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt: can't be read"):
        open_data(celeba(tmp_path))


def test_parts_are_checked_against_the_list(tmp_path):
    files = write_set(tmp_path)
    path = tmp_path / "list_eval_partition.txt"
    path.write_text("\n".join(f"{file} 0" for file in files[:3]))
    with pytest.raises(
        DataError, match=r"says nothing of 2 of 5 pictures, the first is 000004.png"
    ):
        open_data(celeba(tmp_path))
    assert len(open_data(celeba(tmp_path, partition_file=None))) == 5
    with pytest.raises(DataError, match="so all pictures train and there is no test part"):
        open_data(celeba(tmp_path, partition_file=None), "test")
    path.write_text("\n".join(f"{file} 0" for file in files))
    with pytest.raises(DataError, match=r"no pictures of the part 'test'; there are: train \(5\)"):
        open_data(celeba(tmp_path), "test")
    path.write_text("\n".join(f"{file} 3" for file in files))
    with pytest.raises(DataError, match=r"line 1: expected a file and 0 \(train\), 1"):
        open_data(celeba(tmp_path))


def test_a_folder_that_is_not_there_is_named(tmp_path):
    write_set(tmp_path)
    with pytest.raises(DataError, match=r"faces: no such folder; put the pictures there, or name"):
        open_data(celeba(tmp_path, folder="faces"))


# -- counterfactuals -------------------------------------------------------------------------------


def edit(**changes):
    return {
        "source": "img_align_celeba/000005.png",
        "target": "counterfactual/1.png",
        "attribute": "Smiling",
        "from": 1,
        "to": -1,
        "truth": "unique",
        "target_labels": [-1, -1, -1],
    } | changes


def write_edits(root, *edits):
    (root / "counterfactuals.jsonl").write_text("".join(json.dumps(e) + "\n" for e in edits))


@pytest.mark.parametrize("memory", ["always", "never"])
def test_counterfactuals_are_pictures_before_and_after_an_edit(tmp_path, memory):
    write_set(tmp_path)
    write(tmp_path / "counterfactual" / "1.png", "navy")
    write(tmp_path / "counterfactual" / "2.png", "gray")
    hair = edit(
        attribute="Bangs", to=1, target_labels=[-1, 1, 1], truth="one_of_several",
        target="counterfactual/2.png",
    )  # fmt: skip
    write_edits(tmp_path, edit(), hair)
    data = celeba(tmp_path, memory=memory)
    assert data.splits == ("train", "val", "test", "counterfactual")
    rows = open_data(data, "counterfactual")
    assert [name for name in rows.columns if not name.endswith("file")] == [
        *("image", "attributes", "edited", "to", "truth", "target", "target_attributes"),
    ]
    assert rows.columns["edited"] == Class(3, NAMES)
    assert rows.columns["to"] == Class(2, ("off", "on"))
    assert rows.columns["truth"] == Class(2, ("one_of_several", "unique"))
    assert values(rows) == [[0, 0, 1], [0, 0, 1]]
    assert values(rows, "target_attributes") == [[0, 0, 0], [0, 1, 1]]
    assert (values(rows, "edited"), values(rows, "to"), values(rows, "truth")) == (
        *([2, 1], [0, 1], [1, 0]),
    )
    found = rows.read([0], ("image", "target"))
    assert found["image"].flatten(1).sum() > found["target"].flatten(1).sum() > 0


def test_counterfactuals_follow_the_chosen_attributes_and_say_what_is_left_out(tmp_path):
    write_set(tmp_path)
    write(tmp_path / "counterfactual" / "1.png", "navy")
    write_edits(tmp_path, edit(), edit(attribute="Bald", to=1, target_labels=[1, -1, 1]))
    rows = open_data(celeba(tmp_path, attributes=["Smiling", "Bangs"]), "counterfactual")
    assert values(rows, "edited") == [0]
    assert values(rows, "target_attributes") == [[0, 0]]
    assert rows.left_out.reasons == {"edits of other attributes": 1}
    with pytest.raises(DataError, match="no edit of Bangs"):
        open_data(celeba(tmp_path, attributes=["Bangs"]), "counterfactual")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"attribute": "Smilng"}, r"line 1: attribute 'Smilng' is not listed; did you mean"),
        ({"source": "img_align_celeba/9.png"}, "is not in the list of attributes"),
        ({"target": "/etc/x.png"}, "leads out of the set"),
        ({"to": "on"}, r"to is \['on'\]; expected 1 of -1 and 1"),
        ({"to": 1}, "target_labels has Smiling otherwise than `to` says"),
        ({"target_labels": [1, 1]}, "expected 3 of -1 and 1"),
        ({"truth": "maybe"}, "truth is 'maybe'; expected unique or one_of_several"),
    ],
)
def test_a_wrong_counterfactual_is_named(tmp_path, change, problem):
    write_set(tmp_path)
    write_edits(tmp_path, edit(**change))
    with pytest.raises(DataError, match=problem):
        open_data(celeba(tmp_path), "counterfactual")


def test_a_set_without_counterfactuals_says_so(tmp_path):
    write_set(tmp_path)
    with pytest.raises(DataError, match=r"no counterfactuals.jsonl, so it has no counterfactual"):
        open_data(celeba(tmp_path), "counterfactual")


def test_the_check_verb_knows_the_layout_and_counts_what_it_holds(tmp_path):
    files = write_set(tmp_path)
    (tmp_path / "img_align_celeba" / files[1]).unlink()
    write(tmp_path / "img_align_celeba" / "more.png", "pink")
    cut(tmp_path / "img_align_celeba" / files[4])
    found = inspect(tmp_path)
    assert (found.kind, found.count) == ("celeba", 4)
    assert found.parts == {"train": 2, "val": 1, "test": 1}
    assert found.attributes == {"Bald": 2, "Bangs": 0, "Smiling": 2}
    assert found.classes == {}
    assert len(found.broken) == 1
    assert found.left_out.reasons == {
        "listed in list_attr_celeba.txt, but not there": 1,
        "not listed in list_attr_celeba.txt": 1,
    }
