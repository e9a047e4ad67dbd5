"""Pools of earlier pictures: the rule of the paper, drawn for each picture by itself."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from genkit import random
from genkit.training.pool import Pool


class Remembering:
    """What a pool asks of a trainer: memory, and noise by step and place."""

    device = torch.device("cpu")

    def __init__(self, global_batch: int = 1, seed: int = 0) -> None:
        self.memory: dict[str, Tensor] = {}
        self.step, self.global_batch, self.seed = 0, global_batch, seed

    def noise(self, purpose, batch, shape, kind):
        keyed = random.generator(self.seed, purpose, self.step)
        return torch.rand(self.global_batch, *shape, generator=keyed)[batch["position"]]

    def gathered(self, rows):
        return rows.detach()


def pictures(*numbers: float) -> Tensor:
    """One picture of 1 x 1 px for each number."""
    return torch.tensor(numbers).view(-1, 1, 1, 1)


def pushed(pool: Pool, run: Remembering, images: Tensor, parts: int = 1) -> list[float]:
    """What the critic is shown in a step, in so many micro-batches."""
    place = torch.arange(len(images))
    shown = torch.cat(
        [
            pool.shown({"position": p}, i)
            for p, i in zip(place.chunk(parts), images.chunk(parts), strict=True)
        ]
    )
    pool.remember(place, images)
    run.step += 1
    return shown.flatten().tolist()


def test_one_picture_a_step_is_the_rule_of_the_paper_on_a_fixed_sequence():
    run = Remembering()
    pool, kept, expected, found = Pool(run, "a", 3, (1, 1, 1)), [], [], []
    for number in range(60):
        chance, where = run.noise("pool/a", {"position": torch.tensor([0])}, (2,), "uniform")[0]
        if len(kept) < 3:  # it fills: the new one is shown and kept
            kept.append(float(number))
            expected.append(float(number))
        elif chance < 0.5:  # an old one is shown, the new one takes its place
            expected.append(kept[int(where * 3)])
            kept[int(where * 3)] = float(number)
        else:  # the new one is shown and forgotten
            expected.append(float(number))
        found += pushed(pool, run, pictures(number))
        assert run.memory["pool/a"].flatten().tolist()[: len(kept)] == kept
    assert found == expected
    assert found[:3] == [0, 1, 2]
    assert sum(shown != number for number, shown in enumerate(found)) > 15  # of 57, half


def test_old_pictures_go():
    run = Remembering()
    pool = Pool(run, "a", 4, (1, 1, 1))
    for number in range(200):
        pushed(pool, run, pictures(number))
    assert sum(number < 4 for number in run.memory["pool/a"].flatten().tolist()) <= 1


def test_each_picture_of_a_batch_is_drawn_by_itself_from_the_pool_as_it_was():
    run = Remembering(global_batch=64)
    pool = Pool(run, "a", 8, (1, 1, 1))
    first = pushed(pool, run, pictures(*range(64)))
    assert first == [*range(64)]  # there was nothing to recall
    assert run.memory["pool/a"].flatten().tolist() == [*range(8)]
    second = pushed(pool, run, pictures(*range(64, 128)))
    recalled = [shown for shown in second if shown < 64]
    assert 16 < len(recalled) < 48
    assert {*recalled} == {*range(8)}
    new = {n for n, shown in zip(range(64, 128), second, strict=True) if shown < 64}
    assert {*run.memory["pool/a"].flatten().tolist()} <= new


@pytest.mark.parametrize("size", [3, 5, 50])
def test_micro_batches_and_their_order_change_nothing(size):
    runs = [Remembering(global_batch=4) for _ in range(2)]
    pools = [Pool(run, "a", size, (1, 1, 1)) for run in runs]
    for step in range(20):
        images = pictures(*range(4 * step, 4 * step + 4))
        shown = [
            pushed(pool, run, images, p) for pool, run, p in zip(pools, runs, (1, 4), strict=True)
        ]
        assert shown[0] == shown[1]
    assert torch.equal(*(run.memory["pool/a"] for run in runs))
    # What came from another process first is in the same places.
    other = Remembering(global_batch=4)
    pool, order = Pool(other, "a", size, (1, 1, 1)), torch.tensor([2, 3, 0, 1])
    for step in range(20):
        pool.remember(order, pictures(*(4 * step + order).tolist()))
        other.step += 1
    assert torch.equal(other.memory["pool/a"], runs[0].memory["pool/a"])


def test_two_pools_draw_apart():
    run = Remembering(global_batch=32)
    pools = [Pool(run, side, 4, (1, 1, 1)) for side in "ab"]
    for pool in pools:
        pool.remember(torch.arange(32), pictures(*range(32)))
    run.step += 1
    batch = {"position": torch.arange(32)}
    shown = [pool.shown(batch, pictures(*range(32))) for pool in pools]
    assert not torch.equal(*shown)


def test_what_is_kept_has_no_graph_and_does_not_change_with_what_was_given():
    run = Remembering()
    pool = Pool(run, "a", 2, (1, 1, 1))
    image = pictures(3.0).requires_grad_(True)
    pool.remember(torch.tensor([0]), image)
    assert not run.memory["pool/a"].requires_grad
    with torch.no_grad():
        image.zero_()
    assert run.memory["pool/a"][0].item() == 3


def test_a_pool_of_none_shows_every_picture_and_remembers_nothing():
    run = Remembering(global_batch=2)
    pool, images = Pool(run, "a", 0, (1, 1, 1)), pictures(1, 2)
    for _ in range(3):
        assert pool.shown({"position": torch.arange(2)}, images) is images
        pool.remember(torch.arange(2), images)
    assert run.memory == {}
