import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset

from genkit.data import Loader, open_data
from genkit.data.readers.custom import CustomData
from genkit.errors import DataError
from genkit.rows.left_out import LeftOut


class Listed(Dataset):
    def __init__(self, items, classes=None):
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


def config(**settings):
    return CustomData(kind="custom", image_size=8, batch_size=2, **settings)


def opened(items, classes=None, **settings):
    return open_data(config(**settings), dataset=Listed(items, classes))


WHITE = Image.new("RGB", (20, 10), "white")


@pytest.mark.parametrize(
    "image",
    [
        WHITE,
        Image.new("1", (3, 3), 1),
        torch.full((3, 8, 8), 255, dtype=torch.uint8),
        torch.full((1, 9, 5), 255, dtype=torch.uint8),
        torch.full((8, 8), 255, dtype=torch.uint8),
        torch.ones(3, 12, 12),
        torch.ones(1, 12, 12, dtype=torch.float64),
    ],
)
def test_pictures_and_tensors_arrive_as_configured(image):
    for item in (image, (image, 0), {"image": image, "label": torch.tensor(0)}):
        source = opened([item])
        assert source.values["image"].shape == (1, 3, 8, 8)
        assert (source.values["image"] == 255).all()


def test_labels_and_class_names_are_the_data_sets_own():
    source = opened([(WHITE, 1), (WHITE, 0), (WHITE, 1)], classes=["cat", "dog", "eel"])
    assert source.labels.tolist() == [1, 0, 1]
    assert (source.class_names, source.num_classes) == (("cat", "dog", "eel"), 3)
    assert source.name == "custom:Listed:train"


def test_memory_and_streaming_agree():
    items = [(torch.full((3, 8, 8), i / 9), i % 2) for i in range(10)]
    memory, stream = opened(items), opened(items, memory="never")
    assert memory.fingerprint == stream.fingerprint
    one, other = (next(Loader(s, config(), 0).steps())[0] for s in (memory, stream))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (("photo.png", 0), r"item 1: str; expected a PIL picture or a tensor"),
        ((torch.zeros(2, 8, 8), 0), r"item 1: a tensor of \(2, 8, 8\); expected \(C, H, W\)"),
        ((torch.full((3, 8, 8), -1.0), 0), r"item 1: torch.float32 from -1 to -1; expected"),
        ((torch.zeros(3, 8, 8, dtype=torch.int64), 0), r"expected uint8, or float in \[0, 1\]"),
        ((WHITE, "cat"), r"item 1: label 'cat'; expected a whole number"),
        ((WHITE, 0.5), r"item 1: label 0.5; expected a whole number"),
        ((WHITE, float("inf")), r"item 1: label inf; expected a whole number"),
        ((WHITE, -3), r"image 1 has label -3, outside 0..0"),
        (WHITE, r"1 of 2 items have no label"),
        (OSError("disk"), r"item 1: can't be read \(disk\)"),
    ],
)
def test_a_wrong_item_is_named(item, message):
    with pytest.raises(DataError, match=message):
        opened([(WHITE, 0), item])


def test_a_label_beyond_the_classes_is_refused():
    with pytest.raises(DataError, match=r"image 0 has label 2, outside 0..1"):
        opened([(WHITE, 2)], classes=["cat", "dog"])


def test_items_that_can_not_be_read_are_left_out_when_asked():
    for memory in ("always", "never"):
        source = opened([(WHITE, 0), OSError("disk"), (WHITE, 1)], on_error="skip", memory=memory)
        assert source.labels.tolist() == [0, 1]
        assert source.left_out == LeftOut({"broken": 1}, ("item 1",))


class Tossed(Listed):
    """Mirrors each picture at random, as data sets with transforms do."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return (image.flip(-1) if torch.rand(()) < 0.5 else image), label


@pytest.mark.parametrize("memory", ["auto", "always", "never"])
def test_items_that_are_drawn_anew_are_not_frozen_unless_asked_and_can_be_resumed(memory, caplog):
    ramp = torch.linspace(0, 1, 8).expand(3, 8, 8)
    source, again = (
        open_data(config(memory=memory), dataset=Tossed([(ramp, i % 2) for i in range(40)]))
        for _ in range(2)
    )
    assert source.fingerprint == again.fingerprint
    assert "drawn anew" in caplog.text or "held as first drawn" in caplog.text
    one, other = (source.read(range(40), ("image",))["image"] for _ in range(2))
    assert torch.equal(one, other) == (memory == "always")
    fewer = open_data(config(), dataset=Tossed([(ramp, 0) for _ in range(40)]))
    assert fewer.fingerprint != source.fingerprint


def test_items_that_stay_as_they_are_have_the_fingerprint_that_they_had(caplog):
    source = opened([(torch.full((3, 8, 8), i / 9), i % 2) for i in range(5)])
    assert source.fingerprint.startswith("9c94d3d1")
    assert "anew" not in caplog.text


def test_missing_empty_and_endless_data_sets_are_refused():
    class Endless(IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(DataError, match="no data set was handed over"):
        open_data(config())
    with pytest.raises(DataError, match="it is empty"):
        opened([])
    with pytest.raises(DataError, match="it can't be indexed"):
        open_data(config(), dataset=Endless())
