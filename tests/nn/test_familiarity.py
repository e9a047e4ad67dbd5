"""How far features are from known ones: closed forms of a normal law, and shrinking."""

from __future__ import annotations

import math

import torch

from genkit.nn.familiarity import Familiarity, appearance, shrunk_covariance


def normal(count: int, covariance: torch.Tensor, seed: int) -> torch.Tensor:
    keyed = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, len(covariance), generator=keyed, dtype=torch.float64)
    return rows @ torch.linalg.cholesky(covariance).T


COVARIANCE = torch.tensor([[4.0, 1.0, 0.0], [1.0, 1.0, 0.3], [0.0, 0.3, 0.25]], dtype=torch.float64)


def test_the_distance_is_the_fourth_mean_along_the_principal_axes_as_a_share_of_a_normal_law():
    known = normal(200_000, COVARIANCE, 0) + 5
    network = Familiarity(3)
    network.learn(known, known[:1000])
    rows = torch.tensor([[5.0, 5.0, 5.0], [9.0, 5.0, 5.0], [5.0, 6.0, 4.0]])
    away = (rows - 5).double()
    spread = COVARIANCE.diagonal().sqrt()
    values, axes = torch.linalg.eigh(COVARIANCE / spread / spread[:, None])
    white = (away / spread) @ axes / values.sqrt()
    exact = (white.pow(4).mean(1) / 3) ** 0.25  # E x^4 = 3 of a normal law
    torch.testing.assert_close(network(rows).double(), exact, rtol=0.02, atol=0.02)


def test_one_percent_of_held_out_pictures_lies_beyond_the_limit():
    known, held_out, others = (normal(5_000, COVARIANCE, seed) for seed in (0, 1, 2))
    network = Familiarity(3)
    assert math.isinf(network.below)
    network.learn(known, held_out)
    beyond = (network(held_out.float()) > network.below).float().mean()
    assert abs(beyond - 0.01) < 1e-3
    assert abs((network(others.float()) > network.below).float().mean() - 0.01) < 0.006
    assert (network(others.float() + 8) > network.below).all()


def test_without_held_out_pictures_the_limit_is_that_of_known_ones_measured_by_others():
    spread = torch.randn(200, 200, generator=torch.Generator().manual_seed(3)).double() / 14
    covariance = spread @ spread.T + 0.01 * torch.eye(200, dtype=torch.float64)
    known, others = (normal(count, covariance, seed) for count, seed in ((150, 0), (2_000, 1)))
    network = Familiarity(200)
    network.learn_across(known)
    by_others, below = (network(others.float()) > network.below).float().mean(), network.below + 0
    assert by_others < 0.03
    assert (network(others.float() * 2) > network.below).float().mean() > 0.99
    moments = network.mean.clone()
    network.learn(known, known)
    assert torch.equal(network.mean, moments)
    assert network.below < below  # measured by themselves known ones lie too near
    by_themselves = (network(others.float()) > network.below).float().mean()
    assert by_themselves > max(0.05, 5 * by_others)


def test_what_is_learnt_does_not_depend_on_the_units_of_features():
    known, held_out = normal(500, COVARIANCE, 0), normal(500, COVARIANCE, 1)
    units = torch.tensor([7.0, 0.01, -3.0])
    one, other = Familiarity(3), Familiarity(3)
    one.learn(known, held_out)
    other.learn(known * units, held_out * units)
    torch.testing.assert_close(one.below, other.below, rtol=1e-4, atol=0)


def test_the_covariance_of_many_rows_is_left_alone_and_that_of_few_is_shrunk():
    many = shrunk_covariance(normal(100_000, COVARIANCE, 0))
    torch.testing.assert_close(many, COVARIANCE, rtol=0.03, atol=0.03)
    rows = normal(20, torch.eye(100, dtype=torch.float64), 0)  # of rank 19
    values = torch.linalg.eigvalsh(shrunk_covariance(rows))
    assert values.min() > 0.5
    assert abs(values.mean() - 1) < 0.1
    assert values.max() < 2  # of the plain one: about (1 + 5 ** 0.5) ** 2


def test_a_picture_looks_as_its_cells_do():
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, :2, 2:4] = 0.5  # the second cell
    image[0, 0, 0, 0], image[0, 0, 1, 1] = 1, -1
    mean, spread = appearance(image).view(2, 8, 8)
    assert mean[0, 1] == 0.5
    assert not mean.flatten()[2:].any()
    torch.testing.assert_close(spread[0, 0].exp(), torch.tensor(0.5**0.5 + 0.02))
    torch.testing.assert_close(spread[0, 1].exp(), torch.tensor(0.02))
    assert appearance(torch.zeros(2, 3, 37, 20)).shape == (2, 2 * 64 * 3)
