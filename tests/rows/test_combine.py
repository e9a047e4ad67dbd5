import logging

import numpy as np
import pytest
import torch

from genkit.errors import DataError
from genkit.images import png_bytes, to_array, to_float, to_pil
from genkit.random import generator
from genkit.rows.base import MemoryRows, image_rows
from genkit.rows.cached import CachedTexts, cached
from genkit.rows.columns import Class, Draws, Image, Latent, Points
from genkit.rows.combine import (
    fitted,
    numbered_alike,
    picked,
    renamed,
    unpaired,
    zipped,
)
from genkit.rows.files import open_path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


def numbered(count, name="set", size=(4, 6)):
    """Pictures that show their own index."""
    images = torch.arange(count)[:, None, None, None].expand(-1, 1, *size).to(torch.uint8)
    return image_rows(name, images, torch.arange(count) % 3, class_names=("x", "y", "z"))


def shown(rows, indices, column="image"):
    return rows.read(indices, (column,))[column][:, 0, 0, 0].tolist()


def test_picked_rows_are_those_at_the_indices_with_a_fingerprint_of_their_own():
    rows = numbered(9)
    some = picked(rows, [4, 0, 8])
    assert (len(some), some.name) == (3, "set (3)")
    assert shown(some, [2, 0]) == [8, 4]
    assert some.labels.tolist() == [1, 0, 2]
    assert some.class_names == ("x", "y", "z")
    fingerprints = {r.fingerprint for r in (rows, some, picked(rows, [0, 4, 8]))}
    assert len(fingerprints) == 3
    assert picked(rows, [4, 0, 8]).fingerprint == some.fingerprint
    assert sorted(some.order(0, 0, 1).tolist()) == [0, 1, 2]


@pytest.mark.parametrize("size", [(8, 8), (6, 10), (10, 6)])
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_fitted_pictures_are_the_same_from_files_and_from_memory(tmp_path, size, fit):
    noise = torch.randint(256, (3, 3, 9, 14), generator=generator(0, "fitted")).to(torch.uint8)
    for i, image in enumerate(noise):
        (tmp_path / f"{i}.png").write_bytes(png_bytes(image))
    for channels in (1, 3):
        expected = torch.stack([to_array(to_pil(x), size, channels, fit) for x in noise])
        for rows in (open_path(tmp_path), image_rows("noise", noise)):
            found = fitted(rows, size, channels, fit)
            assert torch.equal(found.read(range(3), ("image",))["image"], expected)
            assert found.columns["image"] == Image(size, channels)
            assert found.fingerprint != rows.fingerprint
    assert fitted(image_rows("noise", noise), (9, 14), 3).name == "noise"


def test_zipped_rows_lie_side_by_side_under_names_that_differ():
    a, b = numbered(5), numbered(5, "other")
    with pytest.raises(DataError, match="both have a column 'image'; rename one"):
        zipped(a, b)
    with pytest.raises(DataError, match="5 rows and other 4; pair them one to one"):
        zipped(a, numbered(4, "other"))
    with pytest.raises(DataError, match="two columns would have one name"):
        renamed(a, {"image": "label"})
    both = zipped(renamed(a, {"image": "source", "label": "one"}), renamed(b, {"image": "target"}))
    found = both.read([3, 1])
    assert list(found) == ["source", "one", "target", "label"]
    assert found["source"][:, 0, 0, 0].tolist() == found["target"][:, 0, 0, 0].tolist() == [3, 1]
    assert list(both.read([0], ("target",))) == ["target"]


def test_unpaired_rows_meet_anew_in_every_epoch_and_none_comes_again_before_all_did():
    rows = unpaired(numbered(7), numbered(3, "other"))
    assert (len(rows), rows.epoch_size) == (21, 7)
    assert rows.columns["image_a"] == Image((4, 6), 1, of="a")
    assert rows.columns["image_b"] == Image((4, 6), 1, of="b")
    assert rows.columns["label_b"] == Class(3, ("x", "y", "z"))
    epochs = [rows.order(0, epoch, 1) for epoch in range(6)]
    pairs = [
        list(zip(shown(rows, e, "image_a"), shown(rows, e, "image_b"), strict=True)) for e in epochs
    ]
    assert all(sorted(a for a, _ in epoch) == list(range(7)) for epoch in pairs)
    others = [b for epoch in pairs for _, b in epoch]
    assert all(sorted(others[i : i + 3]) == [0, 1, 2] for i in range(0, 42, 3))
    assert len({frozenset(epoch) for epoch in pairs}) == 6
    assert torch.equal(rows.order(0, 4, 1), epochs[4])
    assert not torch.equal(rows.order(1, 4, 1), epochs[4])


def test_cached_latents_are_encoded_once_and_kept(tmp_path):
    rows = numbered(5)
    calls = []

    def encode(images):
        calls.append(len(images))
        return images.mean((2, 3)).repeat(1, 4)[:, :, None]

    for _ in range(2):
        latents = cached(rows, encode, identity="mean", batch_size=2)
        assert latents.columns == {"label": Class(3, ("x", "y", "z")), "latent": Latent((4, 1))}
        found = latents.read([3, 0])
        assert torch.allclose(found["latent"][:, 2, 0], torch.tensor([3, 0]) * 2 / 255 - 1)
        assert found["label"].tolist() == [0, 0]
    assert calls == [2, 2, 1]
    other = cached(rows, encode, identity="another")
    assert other.fingerprint != latents.fingerprint
    assert calls == [2, 2, 1, 5]


def test_of_a_set_in_which_one_picture_changed_one_is_encoded(caplog):
    rows, calls = numbered(5), []

    def encode(images):
        calls.append(len(images))
        return images.mean((2, 3))

    with caplog.at_level(logging.INFO, "genkit"):
        first = cached(rows, encode, identity="mean").read(range(5))["latent"]
        changed = numbered(5)
        changed.values["image"] = changed.values["image"].clone()
        changed.values["image"][3, 0, 0, 0] += 1
        again = cached(changed, encode, identity="mean").read(range(5))["latent"]
    assert calls == [5, 1]
    assert "latents: 5 of 5 to be encoded" in caplog.text
    assert "latents: 1 of 5 to be encoded, the others are kept" in caplog.text
    assert [torch.equal(a, b) for a, b in zip(first, again, strict=True)] == [True] * 3 + [
        False,
        True,
    ]


def test_latents_of_both_sides_are_mirrored_as_drawn():
    rows = numbered(2)
    rows.values["image"] = torch.arange(2 * 3 * 4 * 6, dtype=torch.uint8).view(2, 3, 4, 6)
    both = cached(rows, lambda images: images, identity="itself", mirrored=True)
    column, raw = both.columns["latent"], both.read(range(2))["latent"]
    plain = to_float(rows.values["image"])
    assert torch.equal(column.batch(raw, Draws()), plain)
    drawn = column.batch(raw, Draws(flip=torch.tensor([True, False])))
    assert torch.equal(drawn, torch.stack([plain[0].flip(2), plain[1]]))


def test_texts_are_encoded_once_and_kept():
    calls = []

    def encode(texts):
        calls.append(list(texts))
        return torch.tensor([[len(text), 1.0] for text in texts])

    kept = CachedTexts(["a star", "a", "a star"], encode, identity="length")
    assert kept(["a star", "a", "a star"]).tolist() == [[6, 1], [1, 1], [6, 1]]
    more = CachedTexts(["a", "a ring!", "a star"], encode, identity="length")
    assert more(["a ring!", "a"]).tolist() == [[7, 1], [1, 1]]
    assert calls == [["a", "a star"], ["a ring!"]]


def test_points_keep_to_their_own_picture_of_a_pair():
    points = MemoryRows(
        "faces",
        {"image": Image((4, 6), 1), "landmarks": Points(size=(4, 6))},
        {"image": numbered(2).values["image"], "landmarks": torch.zeros(2, 1, 2)},
    )
    assert unpaired(points, numbered(2)).columns["landmarks_a"] == Points(size=(4, 6), of="a")
    assert np.prod(unpaired(points, numbered(2)).read([1])["landmarks_a"].shape) == 2


def classes(names, *labels):
    images = torch.zeros(len(labels), 1, 4, 4, dtype=torch.uint8)
    return image_rows("set", images, torch.tensor(labels), class_names=names)


@pytest.mark.parametrize(
    ("one", "other", "numbers", "names"),
    [
        (classes(("ape", "dog"), 0, 1), classes(("ape", "cat", "dog"), 0), [0, 2], None),
        (classes(("ape", "eel"), 0, 1), classes(("ape", "cat"), 0), [0, 2], ("ape", "cat", "eel")),
        (classes(("3", "9"), 0, 1), classes(("3", "7", "9"), 0), [0, 2], None),
        (classes(None, 2, 0), classes(("3", "7", "9"), 0), [2, 0], None),
        (classes(None, 9, 3), classes(("3", "7", "9"), 0), [9, 3], ()),
        (classes(("a", "b"), 1, 0), classes(None, 5, 3), [1, 0], ("a", "b")),
    ],
)
def test_classes_are_numbered_as_those_of_other_rows_by_their_names(one, other, numbers, names):
    found = numbered_alike(one, other)
    assert found.labels.tolist() == numbers
    assert found.class_names == (other.class_names if names is None else names or None)
    assert torch.equal(found.read([1, 0], ("label",))["label"], found.labels[[1, 0]])
