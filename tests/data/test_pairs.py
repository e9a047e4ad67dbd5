from itertools import islice

import pytest
import torch

from genkit.data import Loader, open_data
from genkit.data.readers.paired import PairedData
from genkit.data.readers.unpaired import UnpairedData
from genkit.errors import ConfigError, DataError
from genkit.family import load_config
from genkit.images import png_bytes, to_uint8
from genkit.rows.batch import DataInfo
from genkit.rows.columns import Image
from genkit.rows.left_out import LeftOut

from .pictures import COLORS, cut, write


def unpaired(root, **settings):
    return UnpairedData(root=root, **{"image_size": 8, "batch_size": 2, **settings})


def paired(root, **settings):
    return PairedData(root=root, **{"image_size": 8, "batch_size": 3, **settings})


def write_side(folder, count, suffix=".png"):
    for i in range(count):
        write(folder / f"{i}{suffix}", COLORS[i])
    return folder


def steps(rows, data, count, **share):
    return list(islice(Loader(rows, data, seed=0).steps(**share), count))


@pytest.mark.parametrize(
    ("a", "b"),
    [("a", "b"), ("trainA", "trainB"), ("train/a", "train/b"), ("a/train", "b/train")],
)
def test_unpaired_folders_are_found_in_each_layout_and_meet_anew_every_epoch(tmp_path, a, b):
    write_side(tmp_path / a, 6)
    write_side(tmp_path / b, 4)
    data = unpaired(tmp_path)
    rows = open_data(data)
    assert rows.name == f"unpaired:{tmp_path.name}:train"
    assert list(rows.columns) == ["image_a", "image_b"]
    assert (rows.epoch_size, len(rows)) == (6, 24)
    epochs = [
        torch.cat([b["index"] for (b,) in steps(rows, data, 12)]).view(4, 6)[i] for i in (0, 1, 2)
    ]
    assert len({tuple(epoch.sort().values.tolist()) for epoch in epochs}) == 3
    assert all(sorted((epoch // 4).tolist()) == list(range(6)) for epoch in epochs)
    with pytest.raises(DataError, match="test"):
        open_data(data, "test")


def test_each_side_of_unpaired_images_is_mirrored_on_its_own(tmp_path):
    for side in "ab":
        half = torch.zeros(3, 8, 8, dtype=torch.uint8)
        half[:, :, :4] = 255
        (tmp_path / side).mkdir()
        for i in range(8):
            (tmp_path / side / f"{i}.png").write_bytes(png_bytes(half))
    data = unpaired(tmp_path, flip=True, batch_size=8)
    flips = {"image_a": [], "image_b": []}
    for (batch,) in steps(open_data(data), data, 8):
        for name, found in flips.items():
            found += (batch[name][:, 0, 0, 0] < 0).tolist()
    assert flips["image_a"] != flips["image_b"]
    assert all(10 < sum(found) < 54 for found in flips.values())


@pytest.mark.parametrize("settings", [{}, {"memory": "never"}, {"memory": "never", "workers": 1}])
def test_pairs_are_matched_by_name_and_share_their_mirroring_and_shift(tmp_path, settings):
    noise = torch.randint(256, (9, 3, 8, 8), generator=torch.Generator()).to(torch.uint8)
    for i, image in enumerate(noise):
        for side, picture in (("a", image), ("b", 255 - image)):
            (tmp_path / side / "deep").mkdir(parents=True, exist_ok=True)
            (tmp_path / side / "deep" / f"{i}.png").write_bytes(png_bytes(picture))
    data = paired(tmp_path, flip=True, shift=2, **settings)
    rows = open_data(data)
    assert {n: c for n, c in rows.columns.items() if isinstance(c, Image)} == {
        "source": Image((8, 8), 3),
        "target": Image((8, 8), 3),
    }
    for step in steps(rows, data, 10, accumulation=2):
        for batch in step:
            assert batch.keys() == {"source", "target", "index", "position"}
            assert torch.allclose(batch["source"], -batch["target"], atol=1e-6)
    assert rows.fingerprint == open_data(paired(tmp_path, memory="always")).fingerprint


def test_an_image_without_a_partner_is_named_on_either_side(tmp_path):
    write_side(tmp_path / "a", 3)
    write_side(tmp_path / "b", 3, ".jpg")
    assert len(open_data(paired(tmp_path))) == 3
    alone = write(tmp_path / "b" / "x.png")
    with pytest.raises(DataError, match=rf"{alone}: has no partner in .*a, as 1 of 4"):
        open_data(paired(tmp_path))
    write(tmp_path / "a" / "x.png")
    write(tmp_path / "a" / "y.png")
    with pytest.raises(DataError, match=r"a/y.png: has no partner in .*b"):
        open_data(paired(tmp_path))
    (tmp_path / "a" / "y.png").unlink()
    write(tmp_path / "a" / "x.jpg")
    with pytest.raises(DataError, match="two images of one name"):
        open_data(paired(tmp_path))
    with pytest.raises(DataError, match="no images of 'c' for train; put them in"):
        open_data(paired(tmp_path, source="c"))


@pytest.mark.parametrize("memory", ["always", "never"])
def test_a_pair_with_a_broken_image_is_left_out_whole(tmp_path, memory):
    for side in "ab":
        write_side(tmp_path / side, 5)
    cut(tmp_path / "b" / "2.png")
    rows = open_data(paired(tmp_path, memory=memory, on_error="skip"))
    assert rows.left_out == LeftOut({"broken": 1}, ("a/2.png",))
    shown = rows.read(range(len(rows)), ("source", "target"))
    assert len(rows) == 4
    assert torch.equal(shown["source"], shown["target"])
    assert len(open_data(paired(tmp_path, limit=2))) == 2


def coordinates(height, width):
    """A picture whose red says the column of each pixel and whose green says its row."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([columns, rows, torch.zeros_like(rows)]).to(torch.uint8)


def write_halves(folder, count=4, height=8, width=8):
    """Files of two pictures: on the left the coordinates, on the right the same and a blue mark."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        left = coordinates(height, width)
        right = left.clone()
        left[2], right[2] = i, 100 + i
        (folder / f"{i}.png").write_bytes(png_bytes(torch.cat([left, right], dim=2)))
    return folder


def side_by_side(root, **settings):
    return paired(root, layout="side-by-side", **settings)


@pytest.mark.parametrize("memory", ["always", "never"])
def test_a_file_that_holds_a_pair_is_cut_into_its_left_and_right_half(tmp_path, memory):
    write_halves(tmp_path / "train")
    write_halves(tmp_path / "test", 2)
    rows = open_data(side_by_side(tmp_path, memory=memory))
    found = rows.read(range(4), ("source", "target"))
    assert found["source"][:, 2, 0, 0].tolist() == [0, 1, 2, 3]
    assert found["target"][:, 2, 0, 0].tolist() == [100, 101, 102, 103]
    assert torch.equal(found["source"][0, :2], coordinates(8, 8)[:2])
    assert torch.equal(found["target"][0, :2], coordinates(8, 8)[:2])
    turned = open_data(side_by_side(tmp_path, memory=memory, source="b", target="a"))
    back = turned.read(range(4), ("source", "target"))
    assert torch.equal(back["source"], found["target"])
    assert torch.equal(back["target"], found["source"])
    assert rows.fingerprint != turned.fingerprint
    assert len(open_data(side_by_side(tmp_path, memory=memory), "test")) == 2
    assert len(open_data(side_by_side(tmp_path, memory=memory, limit=3))) == 3


@pytest.mark.parametrize("layout", ["folders", "side-by-side"])
def test_after_a_hundred_augmented_draws_both_pictures_of_a_pair_still_agree(tmp_path, layout):
    if layout == "folders":
        for side in "ab":
            (tmp_path / side).mkdir()
            for i in range(4):
                (tmp_path / side / f"{i}.png").write_bytes(png_bytes(coordinates(8, 8)))
    else:
        write_halves(tmp_path / "train")
    data = paired(tmp_path, layout=layout, flip=True, shift=3, batch_size=4)
    seen = set()
    for (batch,) in steps(open_data(data), data, 100):
        assert torch.equal(batch["source"][:, :2], batch["target"][:, :2])
        seen |= {str(picture) for picture in batch["source"][:, :2].tolist()}
    assert len(seen) > 80  # of 98: mirrored or not, moved by -3 to 3 px each way


@pytest.mark.parametrize("memory", ["always", "never"])
def test_pairs_loaded_larger_are_cut_together_anywhere_and_whole_at_test(tmp_path, memory):
    for side in ("train/a", "train/b", "test/a", "test/b"):
        (tmp_path / side).mkdir(parents=True)
        for i in range(4):
            picture = png_bytes(coordinates(10, 12).repeat_interleave(4, 1).repeat_interleave(4, 2))
            (tmp_path / side / f"{i}.png").write_bytes(picture)
    data = paired(tmp_path, load_size=[10, 12], batch_size=4, memory=memory, fit="stretch")
    rows = open_data(data)
    assert DataInfo.of(rows).size == (8, 8)
    corners = set()
    for (batch,) in steps(rows, data, 100):
        assert batch["source"].shape == (4, 3, 8, 8)
        assert torch.equal(batch["source"], batch["target"])
        levels = to_uint8(batch["source"])
        corners |= {tuple(corner) for corner in levels[:, :2, 0, 0].tolist()}
        assert (levels[:, 0, :, -1] - levels[:, 0, :, 0] == 7).all()  # pixel for pixel
    assert corners == {(column, row) for column in range(5) for row in range(3)}
    assert open_data(data, "test").columns["source"] == Image((8, 8), 3)


@pytest.mark.parametrize("workers", [0, 1])
def test_pictures_scaled_by_their_width_keep_their_shape_and_are_cut_anywhere(tmp_path, workers):
    for side, shapes in (("a", [(40, 20), (24, 20), (10, 20)]), ("b", [(20, 20)] * 3)):
        for part in ("train", "test"):
            folder = tmp_path / part / side
            folder.mkdir(parents=True)
            for i, (height, width) in enumerate(shapes):
                rows = torch.linspace(0, 255, height).round().to(torch.uint8)
                mark = torch.stack([rows[:, None].expand(-1, width)] * 3)
                (folder / f"{i}.png").write_bytes(png_bytes(mark))
    data = unpaired(tmp_path, load_size=10, scale_width=True, workers=workers)
    rows = open_data(data)
    assert rows.columns["image_a"] == Image(None, 3, crop=(8, 8), of="a")
    assert [tuple(one.shape) for one in rows.a.read(range(3))["image_a"]] == [
        (3, 20, 10),
        (3, 12, 10),
        (3, 8, 10),  # stretched to the height that is cut
    ]
    tops = {}
    for (batch,) in steps(rows, data, 60):
        assert batch["image_a"].shape == (2, 3, 8, 8)
        for index, picture in zip(batch["index"] // 3, batch["image_a"], strict=True):
            tops.setdefault(int(index), set()).add(float(picture[0, 0, 0]))
    assert len(tops[0]) > len(tops[1]) > len(tops[2]) == 1
    assert open_data(data, "test").columns["image_a"] == Image((8, 8), 3, of="a")


def test_a_size_to_load_below_that_to_use_is_refused(tmp_path):
    settings = {"kind": "paired", "root": tmp_path, "image_size": 16, "load_size": [16, 8]}
    with pytest.raises(ConfigError, match=r"load_size=\(16, 8\) is smaller than image_size=16"):
        load_config({"family": "dcgan", "data": settings})


def test_each_side_of_unpaired_images_is_cut_by_itself(tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
        for i in range(4):
            mark = coordinates(12, 12)
            mark[2] = 10 * i + (side == "b")
            (tmp_path / side / f"{i}.png").write_bytes(png_bytes(mark))
    data = unpaired(tmp_path, load_size=12, flip=True)
    found = [batch for (batch,) in steps(open_data(data), data, 50)]
    for side in "ab":
        pictures = torch.cat([batch[f"image_{side}"] for batch in found])
        assert pictures.shape == (100, 3, 8, 8)
        assert len({str(to_uint8(each)[:2, 0].tolist()) for each in pictures}) > 30  # of 50
    ours, theirs = (torch.cat([b[f"image_{side}"][:, 1, 0, 0] for b in found]) for side in "ab")
    assert not torch.equal(ours, theirs)


def test_the_sides_of_an_unpaired_set_may_differ_in_channels(tmp_path):
    write_side(tmp_path / "a", 4)
    write_side(tmp_path / "b", 4, ".jpg")
    data = unpaired(tmp_path, channels_a=1)
    ((batch,),) = steps(open_data(data), data, 1)
    assert [batch[f"image_{side}"].shape[1] for side in "ab"] == [1, 3]


def test_two_sides_that_are_one_folder_are_refused(tmp_path):
    write_side(tmp_path / "a", 4)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(DataError, match=r"a and .*b are one folder: .* data.a and data.b"):
        open_data(unpaired(tmp_path))
    settings = {"kind": "unpaired", "root": tmp_path, "a": "x", "b": "x"}
    with pytest.raises(ConfigError, match="a and b are both x: every picture would be of both"):
        load_config({"family": "dcgan", "data": settings})


def test_a_side_without_pictures_is_named_with_what_lies_there_instead(tmp_path):
    write_side(tmp_path / "a", 4)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match=r"b: no images"):
        open_data(unpaired(tmp_path))
    (tmp_path / "b" / "film.mp4").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"b: no images; .*film.mp4"):
        open_data(unpaired(tmp_path))
    write_side(tmp_path / "b", 3, ".jpg")
    rows = open_data(unpaired(tmp_path))
    assert rows.epoch_size == 4
    assert "film.mp4" in rows.left_out.sentence(examples=True)


def test_people_are_shown_the_first_pictures_of_both_sides(tmp_path):
    write_side(tmp_path / "a", 3)
    write_side(tmp_path / "b", 5, ".jpg")
    rows = open_data(unpaired(tmp_path))
    assert [divmod(i, 5) for i in rows.first(9).tolist()] == [
        (0, 0),
        (1, 1),
        (2, 2),
        (0, 3),
        (1, 4),
    ]
    assert rows.first(2).tolist() == [0, 6]


def test_a_file_of_odd_width_holds_no_pair(tmp_path):
    write_halves(tmp_path / "train")
    odd = tmp_path / "train" / "odd.png"
    odd.write_bytes(png_bytes(coordinates(8, 17)))
    with pytest.raises(DataError, match=rf"{odd}: 17 px wide, which is odd"):
        open_data(side_by_side(tmp_path))
    rows = open_data(side_by_side(tmp_path, on_error="skip"))
    assert len(rows) == 4
    assert rows.left_out == LeftOut({"broken": 1}, ("train/odd.png",))


def test_of_a_set_without_a_test_part_the_validation_part_is_taken_and_that_is_said(
    tmp_path, caplog
):
    write_halves(tmp_path / "train")
    write_halves(tmp_path / "val", 3)
    with caplog.at_level("INFO", "genkit"):
        assert len(open_data(side_by_side(tmp_path), "test")) == 3
    assert "there is no part test; the pictures of val are taken for it" in caplog.text
    write_halves(tmp_path / "test", 2)
    assert len(open_data(side_by_side(tmp_path), "test")) == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["data.source=b"], "source and target are both b: every picture would be its own target"),
        (["data.layout=side-by-side", "data.source=photos"], "name the halves, a the left one"),
    ],
)
def test_sides_that_are_no_two_sides_are_refused_before_anything_is_read(settings, words):
    tree = {"family": "dcgan", "data": {"kind": "paired", "root": "nowhere"}}
    with pytest.raises(ConfigError, match=words):
        load_config(tree, settings)
