"""Translations beside their counterparts: ranks and chances, by hand and by brute force."""

from itertools import combinations

import pytest
import torch

from genkit.evaluation.changes import counterparts
from genkit.evaluation.changes.counterparts import found_among, l1, nearer
from genkit.random import generator


def test_the_distance_is_in_the_range_of_pictures_and_grey_counts_as_colour():
    a = torch.full((2, 3, 4, 4), 51, dtype=torch.uint8)
    b = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
    b[1, 0] = 51
    assert l1(a, b).tolist() == pytest.approx([0.2, 0.4 / 3])
    assert l1(a, b[:, :1]).tolist() == pytest.approx([0.2, 0])


def test_ranks_are_counts_of_others_that_are_at_least_as_near():
    truths = torch.tensor([[0.0], [10], [20], [30]])
    queries = torch.tensor([[1.0], [16], [20], [-5]])
    assert nearer(queries, truths).tolist() == [0, 1, 0, 3]
    alike = torch.tensor([[0.0], [0], [20], [30]])  # two counterparts are one
    assert nearer(torch.tensor([[1.0], [1], [20], [30]]), alike).tolist() == [1, 1, 0, 0]


def test_ranks_do_not_depend_on_how_many_are_compared_at_once(monkeypatch):
    queries = torch.randn(20, 3, generator=generator(0, "queries"))
    truths = torch.randn(20, 3, generator=generator(0, "truths"))
    whole = nearer(queries, truths)
    apart = torch.cdist(queries.double(), truths.double())
    assert whole.tolist() == [(row < row[i]).sum().item() for i, row in enumerate(apart)]
    monkeypatch.setattr(counterparts, "CHUNK", 7)
    assert nearer(queries, truths).tolist() == whole.tolist()


@pytest.mark.parametrize("most", [1, 2, 5])
@pytest.mark.parametrize("candidates", [2, 4, 7])
def test_the_chance_among_few_is_the_mean_over_all_ways_to_choose_them(most, candidates):
    ranks = torch.arange(7)
    chance = found_among(ranks, most, candidates)
    for rank in range(7):
        # Of six others so many are nearer; every choice of the candidates is as likely.
        ways = list(combinations([1] * rank + [0] * (6 - rank), candidates - 1))
        share = sum(sum(way) < most for way in ways) / len(ways)
        assert chance[rank].item() == pytest.approx(share, abs=1e-9)


def test_among_all_the_chance_is_none_or_one():
    assert found_among(torch.tensor([0, 4, 5]), 5, 3).tolist() == [1, 1, 0]
    many = torch.zeros(500, dtype=torch.int64)
    assert found_among(many, 1, 200).tolist() == pytest.approx([1] * 500)
    many[0] = 499
    assert found_among(many, 1, 200)[0] == pytest.approx(0, abs=1e-12)
