"""Rows of several shapes: what a step has, how often each row comes, what is read."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from genkit.config.data import DataSection
from genkit.data.loader import Loader
from genkit.rows.base import MemoryRows, image_rows
from genkit.rows.buckets import BucketRows, seats
from genkit.rows.columns import Image

NAMES = [f"row {i}" for i in range(30)]
SHAPES = ((8, 8), (4, 16), (16, 4))


def rows(*counts):
    """A bucket for each count; every pixel of row i is i, and rows lie in buckets by turns."""
    total = sum(counts)
    places = list(torch.randperm(total, generator=torch.Generator().manual_seed(5)).split(counts))
    buckets = []
    for own, shape in zip(places, SHAPES, strict=False):
        pixels = own.to(torch.uint8)[:, None, None, None].expand(-1, 1, *shape)
        buckets.append(image_rows("bucket", pixels.clone(), own, class_names=NAMES[:total]))
    return BucketRows("all", buckets, places, {})


def bucket_of(found, index):
    return next(n for n, own in enumerate(found.places) if index in own.tolist())


def test_seats_are_those_of_jefferson():
    """An example in numbers: 100,000 votes for A, 80,000, 30,000 and 20,000; 8 seats."""
    assert seats([100, 80, 30, 20], 8) == [4, 3, 1, 0]


@pytest.mark.parametrize("counts", [(7, 5, 1), (40, 1, 1), (3, 3, 3), (1,)], ids=str)
def test_no_bucket_loses_a_seat_or_has_less_than_its_share(counts):
    before = [0] * len(counts)
    for total in range(60):
        found = seats(counts, total)
        assert sum(found) == total
        assert all(a >= b for a, b in zip(found, before, strict=True))
        assert all(n >= total * c // sum(counts) for n, c in zip(found, counts, strict=True))
        before = found


@pytest.mark.parametrize("step", [1, 3, 4])
def test_every_step_has_rows_of_one_bucket(step):
    found = rows(11, 6, 2)
    for epoch in range(12):
        order = found.order(3, epoch, step)
        assert len(order) == 19 // step * step
        for one in order.view(-1, step).tolist():
            assert len({bucket_of(found, index) for index in one}) == 1


def test_rows_come_equally_often():
    """Of a bucket to one time, whatever its size to what one step can change."""
    found, step, epochs = rows(11, 6, 2), 4, 300
    seen = Counter(i for epoch in range(epochs) for i in found.order(3, epoch, step).tolist())
    assert len(seen) == 19
    for own in found.places:
        times = [seen[i] for i in own.tolist()]
        assert max(times) - min(times) <= 1
        assert abs(times[0] - epochs * 16 / 19) <= step / len(own) + 1


def test_a_row_comes_again_only_after_all_others_of_its_bucket():
    found = rows(11, 6, 2)
    drawn = torch.cat([found.order(3, epoch, 4) for epoch in range(30)]).tolist()
    for places in found.places:
        own = [i for i in drawn if i in places.tolist()]
        turns = [own[k : k + len(places)] for k in range(0, len(own) - len(places), len(places))]
        assert len(turns) > 10
        assert all(sorted(turn) == sorted(places.tolist()) for turn in turns)


def test_with_one_row_a_step_an_epoch_has_each_row_once():
    found = rows(11, 6, 2)
    for epoch in range(4):
        assert sorted(found.order(3, epoch, 1).tolist()) == [*range(19)]


def test_the_order_is_another_in_each_epoch_and_by_each_seed_and_the_same_again():
    found = rows(11, 6, 2)
    one = found.order(3, 5, 2)
    assert torch.equal(one, found.order(3, 5, 2))
    assert not torch.equal(one, found.order(3, 6, 2))
    assert not torch.equal(one, found.order(4, 5, 2))


def test_rows_are_read_in_the_order_asked_for_across_buckets():
    found = rows(5, 4, 3)
    asked = [11, 0, 7, 3, 3, 10]
    read = found.read(asked)
    assert [image.unique().tolist() for image in read["image"]] == [[i] for i in asked]
    assert read["label"].tolist() == asked
    assert found.labels.tolist() == [*range(12)]
    assert found.columns["image"] == Image(None, 1)
    (own, *_) = found.places
    assert found.read(own, ("image",))["image"].shape == (5, 1, 8, 8)
    for group in found.by_shape(asked):
        assert isinstance(found.read(group)["image"], torch.Tensor)
    assert sorted(torch.cat(found.by_shape(asked)).tolist()) == sorted(asked)


def test_the_fingerprint_knows_the_bucket_of_each_row():
    one = rows(4, 4)
    assert one.fingerprint == rows(4, 4).fingerprint
    swapped = BucketRows("all", one.buckets, one.places[::-1], {})
    assert swapped.fingerprint != one.fingerprint


class _Plain(DataSection):
    kind: str = "plain"

    def open(self, split):
        raise NotImplementedError


def test_the_loader_resumes_and_shares_steps_among_processes_and_micro_batches(caplog):
    found = rows(11, 6, 2)
    whole = Loader(found, _Plain(batch_size=4, memory="never"), 0).steps()
    steps = [next(whole) for _ in range(9)]
    resumed = Loader(found, _Plain(batch_size=4, memory="never"), 0).steps(5)
    parts = [
        Loader(found, _Plain(batch_size=1), 0).steps(rank=rank, processes=2, accumulation=2)
        for rank in range(2)
    ]
    assert "1 of 3 buckets have fewer pictures than the 4 of a step (2 in all)" in caplog.text
    for number, (batch,) in enumerate(steps):
        assert len({bucket_of(found, i) for i in batch["index"].tolist()}) == 1
        both = [next(part) for part in parts]  # by process, then by micro-batch
        shared = [both[rank][a]["index"].item() for a in range(2) for rank in range(2)]
        assert shared == batch["index"].tolist()
        if number >= 5:
            (again,) = next(resumed)
            assert torch.equal(again["image"], batch["image"])
            assert torch.equal(again["index"], batch["index"])


def test_columns_that_do_not_depend_on_the_shape_stay_what_they_are():
    def labels_alone(part):
        return MemoryRows("x", {"label": part.columns["label"]}, {"label": part.values["label"]})

    found = rows(5, 4).each_shape(labels_alone)
    assert found.columns["label"] == rows(5, 4).columns["label"]
    assert found.read([8, 0])["label"].tolist() == [8, 0]
