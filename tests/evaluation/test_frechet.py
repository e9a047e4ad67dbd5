import math

import numpy as np
import pytest
import torch

from genkit.evaluation.frechet import frechet_distance, frechet_influence, square_root_factor
from genkit.evaluation.intervals import interval, standard_error
from genkit.evaluation.metrics.fd_infinity import extrapolate, sizes
from genkit.evaluation.moments import Gaussian, Moments
from genkit.random import generator


def normal(count, width, purpose="features"):
    return torch.randn(count, width, generator=generator(0, purpose), dtype=torch.float64)


def test_distance_of_1d_gaussians_is_the_squared_differences_of_mean_and_deviation():
    a = Gaussian(torch.tensor([1.0]).double(), torch.tensor([[4.0]]).double())
    b = Gaussian(torch.tensor([3.5]).double(), torch.tensor([[9.0]]).double())
    assert frechet_distance(a, b) == pytest.approx(2.5**2 + (2 - 3) ** 2)


def test_distance_of_commuting_covariances_adds_up_along_their_axes():
    axes = torch.linalg.qr(normal(6, 6)).Q
    first, second = torch.rand(2, 6, generator=generator(0, "spectra")).double() + 0.1
    a = Gaussian(torch.zeros(6).double(), axes @ first.diag() @ axes.T)
    b = Gaussian(torch.full((6,), 0.5).double(), axes @ second.diag() @ axes.T)
    expected = 6 * 0.25 + (first.sqrt() - second.sqrt()).square().sum().item()
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-10)


def test_distance_agrees_with_the_matrix_square_root_of_scipy():
    from scipy.linalg import sqrtm

    a, b = (Moments.of(normal(60, 8, p) @ normal(8, 8, p + "mix")).gaussian for p in ("a", "b"))
    root = np.trace(sqrtm((a.covariance @ b.covariance).numpy()).real)
    expected = (a.mean - b.mean).square().sum() + a.covariance.trace() + b.covariance.trace()
    assert frechet_distance(a, b) == pytest.approx(expected.item() - 2 * root, rel=1e-9)


@pytest.mark.parametrize("count", [200, 12])
def test_a_set_is_at_distance_zero_from_itself_even_with_fewer_images_than_features(count):
    gaussian = Moments.of(normal(count, 32)).gaussian
    assert frechet_distance(gaussian, gaussian) == pytest.approx(0, abs=1e-9)
    with_rows = Gaussian.of(normal(count, 32))
    assert frechet_distance(with_rows, with_rows) == pytest.approx(0, abs=1e-9)


def test_a_singular_covariance_gets_a_factor_from_its_eigenvectors():
    gaussian = Moments.of(normal(5, 16)).gaussian
    factor, covariance = square_root_factor(gaussian), gaussian.covariance
    assert factor.shape == (16, 4)  # five points span four directions
    torch.testing.assert_close(factor @ factor.T, covariance)


def test_few_rows_give_the_distance_that_long_arithmetic_gives():
    """1-D: all four rows on one axis, so the distance is that of two scalars per direction."""
    few = torch.zeros(4, 6, dtype=torch.float64)
    few[:, 2] = torch.tensor([1.0, 2.0, 4.0, 5.0])
    wide = torch.diag(torch.arange(1.0, 7.0)).double()
    reference = Gaussian(torch.zeros(6).double(), wide @ wide)
    sample = Gaussian.of(few)
    deviation = few[:, 2].std().item()
    others = sum(side**2 for side in (1, 2, 4, 5, 6))
    expected = 3.0**2 + (deviation - 3) ** 2 + others
    assert frechet_distance(sample, reference) == pytest.approx(expected, rel=1e-12)
    assert frechet_distance(reference, sample) == pytest.approx(expected, rel=1e-12)


def test_features_without_any_spread_are_as_far_as_their_means_and_the_others_spread():
    x = normal(50, 3)
    flat = Gaussian.of(torch.ones(40, 3))
    for a, b in ((flat, Gaussian.of(x)), (Gaussian.of(x), flat)):
        expected = (1 - x.mean(0)).square().sum() + torch.cov(x.T).trace()
        assert frechet_distance(a, b) == pytest.approx(expected.item())
    assert frechet_distance(flat, flat) == 0
    assert frechet_influence(x, Gaussian.of(x), flat).isfinite().all()


# -- influence -------------------------------------------------------------------------------------


def test_parts_of_the_rows_change_no_influence(monkeypatch):
    x, reference = normal(50, 4), Gaussian.of(normal(60, 4, "reference"))
    whole = frechet_influence(x, Gaussian.of(x), reference)
    monkeypatch.setattr("genkit.evaluation.frechet.CHUNK", 16)
    torch.testing.assert_close(frechet_influence(x, Gaussian.of(x), reference), whole)


@pytest.mark.parametrize("row", [0, 7, 150])
def test_influence_is_the_derivative_towards_a_set_with_more_of_that_row(row):
    x = normal(300, 6) * torch.arange(1, 7) + 1
    reference = Gaussian(torch.zeros(6).double(), 3 * torch.eye(6).double())
    influence = frechet_influence(x, Gaussian.of(x), reference)

    def distance(weights):
        mean = weights @ x
        centred = x - mean
        return frechet_distance(Gaussian(mean, centred.T * weights @ centred), reference)

    even = torch.full((300,), 1 / 300).double()
    more = even * (1 - 1e-5)
    more[row] += 1e-5
    found = (distance(more) - distance(even)) / 1e-5
    assert found == pytest.approx((influence[row] - influence.mean()).item(), rel=0.02, abs=0.02)


def known_gaussians(width):
    """A model with a correlation, a mean and other variances than the reference's."""
    mean = torch.zeros(width).double()
    mean[0] = 1
    mix = torch.eye(width).double()
    mix[1, 0] = 0.5
    model = Gaussian(mean, 1.2 * mix @ mix.T)
    return model, Gaussian(torch.zeros(width).double(), torch.eye(width).double())


def covered(width, count, estimate):
    """In how many of 200 trials the interval holds the true distance."""
    model, reference = known_gaussians(width)
    true = frechet_distance(model, reference)
    factor = torch.linalg.cholesky(model.covariance)
    hits = 0
    for trial in range(200):
        drawn = torch.randn(
            count, width, generator=generator(trial, "coverage"), dtype=torch.float64
        )
        value, influence = estimate(drawn @ factor.T + model.mean, reference)
        low, high = interval(value, standard_error(influence), least=-math.inf)
        hits += low <= true <= high
    return hits / 200


def plain(x, reference):
    sample = Gaussian.of(x)
    return frechet_distance(sample, reference), frechet_influence(x, sample, reference)


def test_the_interval_covers_the_true_distance_where_samples_are_many():
    assert 0.90 <= covered(4, 2000, plain) <= 0.99


def test_with_few_samples_the_distance_is_biased_and_its_extrapolation_is_not():
    assert covered(16, 1000, plain) < 0.85
    assert 0.90 <= covered(16, 1000, extrapolate) <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "count", "by_plain", "by_infinity"),
    [
        (4, 2000, 0.96, 0.94),
        (16, 1000, 0.85, 0.96),
        (16, 5000, 0.91, 0.95),
        (16, 20_000, 0.93, 0.95),
        (64, 5000, 0.00, 0.93),
    ],
)
def test_intervals_cover_as_often_as_the_documentation_says(width, count, by_plain, by_infinity):
    assert covered(width, count, plain) == pytest.approx(by_plain, abs=0.01)
    assert covered(width, count, extrapolate) == pytest.approx(by_infinity, abs=0.01)


def test_the_parts_of_the_extrapolation_rise_to_all_samples_and_beat_the_features():
    assert sizes(50_000, 2048)[0] == 5000
    assert sizes(50_000, 2048)[-1] == 50_000
    assert sizes(5000, 2048)[0] == 2050
    assert sorted(set(sizes(5000, 2048))) == sizes(5000, 2048)
