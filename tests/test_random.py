"""Keyed randomness: the same key, the same numbers, and nothing else matters."""

import torch

from genkit import random


def test_a_key_depends_on_every_part():
    keys = {
        random.key(0, "latent", 1),
        random.key(1, "latent", 1),
        random.key(0, "flip", 1),
        random.key(0, "latent", 2),
        random.key(0, "latent", 1, 0),
    }
    assert len(keys) == 5
    assert random.key(0, "latent", 1) == random.key(0, "latent", 1)


def test_draws_ignore_and_leave_alone_the_process_wide_state():
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = random.rows(0, "latent", [3], (4,))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(2)
    assert torch.equal(first, random.rows(0, "latent", [3], (4,)))


def test_a_row_does_not_depend_on_its_neighbours():
    together = random.rows(5, "latent", [0, 1, 2], (8,))
    assert torch.equal(together[2:], random.rows(5, "latent", [2], (8,)))


def test_an_epoch_visits_everything_once_in_its_own_order():
    first, second = random.permutation(0, 0, 100), random.permutation(0, 1, 100)
    assert sorted(first.tolist()) == list(range(100))
    assert not torch.equal(first, second)


def test_rows_are_standard_normal():
    # 20,000 draws: the mean is within 4 / sqrt(20,000) = 0.028, the variance within 0.04.
    drawn = random.rows(0, "latent", range(200), (100,))
    assert abs(drawn.mean()) < 0.028
    assert abs(drawn.var() - 1) < 0.04
