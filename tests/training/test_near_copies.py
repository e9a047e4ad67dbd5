"""Near copies among pictures that are shown: training pictures are some, noise and others none."""

from __future__ import annotations

import logging

import pytest
import torch
from sets_at_hand import pixels

from genkit.config import reader
from genkit.data import open_data
from genkit.rows.base import MemoryRows
from genkit.rows.columns import Draws, File, Image
from genkit.training.near_copies import NearCopies


def scenes(part, count):
    settings = {"image_size": 32, "train_count": count, "test_count": count}
    return open_data(reader("scenes").model_validate({"kind": "scenes", **settings}), part)


def shown(rows, count):
    return rows.columns["image"].batch(rows.read(range(count))["image"], Draws())


@pytest.fixture(scope="module")
def drawn():
    train, test = scenes("train", 300), scenes("test", 100)
    return NearCopies(train, 0, mirrored=False), shown(train, 32), shown(test, 100)


def test_training_pictures_are_near_copies_also_under_some_noise_and_random_ones_are_not(drawn):
    known, train, _ = drawn
    keyed = torch.Generator().manual_seed(0)
    assert known.rate(train) == 1
    noise = torch.randn(train.shape, generator=keyed)
    assert known.rate((train + 0.05 * noise).clamp(-1, 1)) == 1
    assert known.rate(noise.clamp(-1, 1)) == 0


def test_few_unseen_pictures_of_the_same_kind_are(drawn):
    known, _, test = drawn
    assert known.rate(test) <= 0.06  # about 0.01


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_mirrored_picture_is_a_copy_where_mirrored_ones_are_trained_on(mirrored):
    train = scenes("train", 200)
    known = NearCopies(train, 0, mirrored=mirrored)
    # Not those that look the same mirrored.
    images = shown(train, 32)
    lopsided = images[(images - images.flip(3)).abs().mean((1, 2, 3)) > 0.2]
    assert len(lopsided) > 3
    rate = known.rate(lopsided.flip(3))
    assert rate == 1 if mirrored else rate < 0.5


def test_the_log_names_what_is_copied_and_few_pictures_of_any_size_will_do(caplog):
    caplog.set_level(logging.INFO, "genkit")
    columns = {"image": Image(), "file": File()}
    images = [pixels(3, 40, 30 + i) for i in range(4)]
    rows = MemoryRows("own", columns, {"image": images, "file": [f"{i}.png" for i in range(4)]})
    known = NearCopies(rows, 0, mirrored=False)
    assert known.rate(images[2][None] / 127.5 - 1) == 1
    assert "near copies on the preview: of 2.png" in caplog.text
