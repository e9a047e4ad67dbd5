"""Columns in the loader: what lies in one picture moves with it, whatever is drawn."""

from itertools import islice

import pytest
import torch

from genkit.data import Loader
from genkit.data.readers.custom import CustomData
from genkit.rows.base import MemoryRows
from genkit.rows.columns import File, Flags, Image, Latent, Mask, Points, Text
from genkit.rows.combine import unpaired

COUNT, HEIGHT, WIDTH = 20, 12, 16


def rows(of=""):
    """Pictures with one white pixel, which mask and landmarks show as well."""
    drawn = torch.Generator().manual_seed(1)
    y = torch.randint(4, HEIGHT - 4, (COUNT,), generator=drawn)
    x = torch.randint(4, WIDTH - 4, (COUNT,), generator=drawn)
    images = torch.zeros(COUNT, 1, HEIGHT, WIDTH, dtype=torch.uint8)
    images[torch.arange(COUNT), 0, y, x] = 255
    centres = torch.stack([x, y], 1)[:, None] + 0.5
    edges = torch.tensor([[[0.0, 6.0], [float(WIDTH), 6.0]]]).expand(COUNT, -1, -1)
    side = (x < WIDTH // 2).to(torch.uint8)
    columns = {
        "image": Image((HEIGHT, WIDTH), 1, of=of),
        "mask": Mask((HEIGHT, WIDTH), of=of),
        "landmarks": Points(("spot", "left", "right"), (HEIGHT, WIDTH), (0, 2, 1), of=of),
        "attributes": Flags(
            ("on the left", "on the right"), mirrored=(("on the left", "on the right"),), of=of
        ),
        "caption": Text(),
        "latent": Latent((2,)),
        "file": File(),
    }
    values = {
        "image": images,
        "mask": (images > 0).to(torch.uint8),
        "landmarks": torch.cat([centres, edges], 1),
        "attributes": torch.stack([side, 1 - side], 1),
        "caption": [[f"{i} one", f"{i} two"] for i in range(COUNT)],
        "latent": torch.arange(2.0 * COUNT).view(COUNT, 2),
        "file": [f"{i}.png" for i in range(COUNT)],
    }
    return MemoryRows("spots", columns, values)


def section(**settings):
    return CustomData(image_size=[HEIGHT, WIDTH], channels=1, batch_size=5, flip=True, **settings)


def spots(images):
    """(B, 2): x and y of the centre of the white pixel of each picture."""
    at = images.flatten(1).argmax(1)
    return torch.stack([at % images.shape[3], at // images.shape[3]], 1) + 0.5


def test_pixels_masks_landmarks_and_flags_agree_after_a_hundred_draws():
    data = section(shift=3)
    moved = set()
    for (batch,) in islice(Loader(rows(), data, seed=0).steps(), 100):
        assert torch.equal(batch["landmarks"][:, 0], spots(batch["image"]))
        assert torch.equal(spots(batch["mask"]), spots(batch["image"]))
        # The borders stay left and right of the picture, and change places where it is mirrored.
        assert torch.equal(
            batch["landmarks"][:, 2, 0] - batch["landmarks"][:, 1, 0], torch.full((5,), 16.0)
        )
        moved |= set(batch["landmarks"][:, 1].flatten().tolist())
        assert batch["caption"] == [
            f"{i} {text.split()[1]}"
            for i, text in zip(batch["index"].tolist(), batch["caption"], strict=True)
        ]
        assert torch.equal(batch["latent"][:, 0], 2.0 * batch["index"])
        assert "file" not in batch
    assert len(moved) > 5


def test_flags_of_left_and_right_follow_the_mirror_without_shifts():
    for (batch,) in islice(Loader(rows(), section(), seed=0).steps(), 20):
        left = spots(batch["image"])[:, 0] < WIDTH / 2
        assert torch.equal(batch["attributes"][:, 0] > 0, left)


def test_one_of_several_texts_is_drawn_by_key_and_all_are():
    data = section()
    first = [b["caption"] for (b,) in islice(Loader(rows(), data, seed=0).steps(), 8)]
    again = [b["caption"] for (b,) in islice(Loader(rows(), data, seed=0).steps(4), 4)]
    assert first[4:] == again
    assert {text.split()[1] for texts in first for text in texts} == {"one", "two"}


def test_both_sides_of_a_pair_keep_their_own_landmarks():
    both = unpaired(rows(), rows())
    different = 0
    for (batch,) in islice(Loader(both, section(shift=2), seed=0).steps(), 20):
        for side in "ab":
            assert torch.equal(batch[f"landmarks_{side}"][:, 0], spots(batch[f"image_{side}"]))
        a, b = (batch[f"landmarks_{side}"][:, 1] for side in "ab")
        different += int((a != b).any(1).sum())
    assert different > 50


@pytest.mark.parametrize("workers", [0, 1])
def test_every_column_is_the_same_from_memory_and_from_a_stream(workers):
    memory, stream = section(shift=2), section(shift=2, memory="never", workers=workers)
    pairs = zip(Loader(rows(), memory, 7).steps(), Loader(rows(), stream, 7).steps(), strict=False)
    for (one,), (other,) in islice(pairs, 6):
        assert one.keys() == other.keys()
        for name, value in one.items():
            same = (
                torch.equal(value, other[name]) if torch.is_tensor(value) else value == other[name]
            )
            assert same, name
