import struct

import pytest
import torch
from pydantic import ValidationError

from genkit.data import open_data, open_reference
from genkit.data.readers import stacked
from genkit.data.readers.glyphs import GlyphsData
from genkit.data.readers.stacked import StackedData
from genkit.errors import DataError
from genkit.rows.base import image_rows

BASE = 30  # digits in each part of the little MNIST


def write_idx(path, values):
    head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(head + values.to(torch.uint8).numpy().tobytes())


@pytest.fixture
def root(tmp_path):
    """MNIST files of 30 "digits" in each part: number i is evenly grey i, its label i % 10."""
    numbers = torch.arange(BASE)
    for part in ("train", "t10k"):
        pixels = numbers[:, None, None].expand(-1, 28, 28)
        write_idx(tmp_path / f"{part}-images-idx3-ubyte", pixels)
        write_idx(tmp_path / f"{part}-labels-idx1-ubyte", numbers % 10)
    return tmp_path


def config(root=None, **settings):
    small = {"digits": "mnist", "image_size": 28, "train_count": 60, "test_count": 40}
    return StackedData(kind="stacked", root=root, **(small | settings))


def test_each_channel_is_one_digit_and_the_class_reads_red_green_blue():
    pixels = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(-1, 1, 8, 8)
    digits = image_rows("digits", pixels, torch.arange(20) % 10)
    images, labels = stacked.stack(digits, torch.tensor([[1, 12, 3], [0, 0, 19]]))
    assert images.shape == (2, 3, 8, 8)
    assert images[:, :, 0, 0].tolist() == [[1, 12, 3], [0, 0, 19]]
    assert labels.tolist() == [123, 9]


@pytest.mark.parametrize(("split", "count"), [("train", 60), ("test", 40)])
def test_labels_and_names_of_the_1000_classes_agree_with_the_pixels(root, split, count):
    source = open_data(config(root), split)
    assert source.values["image"].shape == (count, 3, 28, 28)
    assert source.num_classes == 1000
    for image, label in zip(source.values["image"], source.labels, strict=True):
        assert source.class_names[label] == "".join(str(v % 10) for v in image[:, 0, 0].tolist())


def test_an_image_does_not_depend_on_how_many_are_stacked():
    few, many = (stacked.choose(0, "train", count, 10_000) for count in (7, 50_000))
    assert torch.equal(few, many[:7])


def test_seed_and_split_change_the_choice():
    base = stacked.choose(0, "train", 100, 10_000)
    for other in (stacked.choose(1, "train", 100, 10_000), stacked.choose(0, "test", 100, 10_000)):
        assert (base != other).float().mean() > 0.99


def test_the_1000_modes_are_equally_likely():
    labels = torch.arange(10_000) % 10
    shown = labels[stacked.choose(0, "train", 50_000, 10_000)] @ torch.tensor([100, 10, 1])
    counts = shown.bincount(minlength=1000).double()
    # Pearson's statistic of 1,000 equal classes: mean 999, standard deviation sqrt(2 * 999) = 45.
    assert abs(((counts - 50).square() / 50).sum() - 999) < 4 * 45


def test_the_limit_shortens_the_train_part_and_changes_no_image(root):
    few = config(root, limit=10)
    assert [len(open_data(few, split)) for split in ("train", "test")] == [10, 40]
    assert torch.equal(open_data(few).values["image"], open_data(config(root)).values["image"][:10])


def test_one_channel_is_refused():
    with pytest.raises(ValidationError, match="channels"):
        config(channels=1)


def test_a_reference_of_glyphs_has_three_channels_whatever_it_is_compared_to():
    source = open_reference("stacked:test", like=GlyphsData(image_size=8))
    assert source.values["image"].shape == (26_000, 3, 8, 8)
    assert source.name == "stacked:glyphs:test"


def test_a_reference_stacks_the_digits_of_the_run_unless_its_name_says_which(root):
    like = config(root)
    for name in ("stacked:test", "stacked:mnist:test"):
        assert open_reference(name, like=like).fingerprint == open_data(like, "test").fingerprint
    assert open_reference("stacked:glyphs:test", like=like).name == "stacked:glyphs:test"


def test_mnist_files_of_a_reference_are_found_in_its_root(root):
    source = open_reference("stacked:mnist:test", root=root, like=GlyphsData(image_size=28))
    assert len(source) == 26_000
    assert source.values["image"].max() == BASE - 1


def test_an_unknown_reference_is_answered_with_the_names_of_all():
    with pytest.raises(DataError, match="there are glyphs and mnist"):
        open_reference("stacked:letters:test")
