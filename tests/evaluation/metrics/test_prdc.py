import pytest
import torch

from genkit.errors import EvaluationError
from genkit.evaluation.metrics.prdc import (
    K_MANIFOLD,
    prdc,
    radii,
    repeated,
    rounding,
    squared_distances,
)
from genkit.random import generator


def cloud(count, purpose, width=4):
    return torch.randn(count, width, generator=generator(0, purpose))


def means(real, fake):
    return [values.mean().item() for values in prdc(real, fake)]


def test_the_radius_is_the_distance_to_the_kth_other_point():
    points = torch.tensor([[0.0], [1.0], [3.0], [7.0]])
    assert radii(points, 1).sqrt().tolist() == [1, 1, 2, 4]
    assert radii(points, 2).sqrt().tolist() == [3, 2, 3, 6]


def test_hand_placed_points_are_counted_as_drawn_on_paper():
    real = torch.arange(6.0)[:, None]  # k = 3: radii 3 2 2 2 2 3; k = 5: 5 4 3 3 4 5
    fake = torch.tensor([[0.5], [2.5], [100.0], [101.0], [102.0], [103.0]])
    found = prdc(real, fake)
    assert found.precision.tolist() == [1, 1, 0, 0, 0, 0]
    # 0.5 is inside the 5-balls around 0..4 (not 5: 4.5 < 5 holds, so all six), 2.5 inside all six.
    assert found.density.tolist() == [6 / 5, 6 / 5, 0, 0, 0, 0]
    assert found.coverage.tolist() == [1] * 6
    # The balls of the two near samples reach to 100 and beyond: k = 3 leaves the cluster.
    assert found.recall.tolist() == [1] * 6


def test_identical_sets_have_precision_recall_and_coverage_one():
    points = cloud(60, "points")
    precision, recall, _, coverage = means(points, points.clone())
    assert (precision, recall, coverage) == (1, 1, 1)


def test_density_of_two_sets_of_one_distribution_is_about_one():
    density = prdc(cloud(800, "real"), cloud(800, "fake")).density.mean().item()
    assert density == pytest.approx(1, abs=0.1)


def test_disjoint_sets_have_nothing_in_common():
    assert means(cloud(40, "real"), cloud(40, "fake") + 100) == [0, 0, 0, 0]


def test_samples_of_one_mode_are_precise_and_recall_little():
    centres = torch.tensor([[0.0, 0], [50, 0], [0, 50], [50, 50]]).repeat(50, 1)
    real = cloud(200, "real", 2) + centres
    precision, recall, _, coverage = means(real, cloud(200, "fake", 2))
    assert precision > 0.9
    assert recall < 0.3
    assert coverage < 0.3


def test_chunks_change_nothing(monkeypatch):
    real, fake = cloud(50, "real"), cloud(70, "fake")
    whole = prdc(real, fake)
    monkeypatch.setattr("genkit.evaluation.metrics.prdc.CHUNK", 16)
    monkeypatch.setattr("genkit.evaluation.metrics.prdc.COLUMNS", 12)
    for a, b in zip(whole, prdc(real, fake), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_squared_distances_are_those_of_float64(dtype, monkeypatch):
    monkeypatch.setattr("genkit.evaluation.metrics.prdc.COLUMNS", 12)
    a, b = cloud(7, "a").to(dtype), cloud(50, "b").to(dtype)
    found = squared_distances(a, b)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, torch.cdist(a.double(), b.double()) ** 2)


def test_too_few_points_for_the_neighbours_are_an_error():
    with pytest.raises(EvaluationError, match="at least 4 images, got 3"):
        radii(cloud(3, "few"), 3)


@pytest.mark.parametrize("order", [slice(None), slice(None, None, -1)])
@pytest.mark.parametrize("times", [4, 6])
def test_sets_of_repeated_pictures_have_precision_and_recall_one_in_any_order(times, order):
    """Radii are 0 there, and a point on the rim is inside (Kynkäänniemi et al., eq. 1)."""
    points = cloud(25, "points", 128).mul(30).repeat_interleave(times, 0)
    turned = torch.arange(len(points))[order.start : order.stop : 1]
    turned = turned.flip(0) if order.step == -1 else turned
    found = prdc(points, points[turned])
    assert found.precision.mean() == found.recall.mean() == 1


def test_a_point_on_the_rim_counts_for_precision_and_recall_and_not_for_density():
    real = torch.arange(6.0)[:, None]  # k = 3: radii 3 2 2 2 2 3; k = 5: 5 4 3 3 4 5
    fake = torch.tensor([[-3.0], [-4.0], [-5.0], [-6.0]])
    found = prdc(real, fake)
    assert found.precision.tolist() == [1, 0, 0, 0]  # 3 from the first image
    assert found.recall.tolist() == [1, 0, 0, 0, 0, 0]  # 3 from the first sample, whose ball is 3
    assert found.density.tolist() == [1 / 5, 1 / 5, 0, 0]  # -3: 3 < 5, but 4 = 4; -4: 4 < 5
    assert found.coverage.tolist() == [1, 0, 0, 0, 0, 0]


def test_how_many_pictures_have_copies_only_around_them_is_said():
    points = torch.cat([cloud(10, "others"), cloud(1, "one").repeat(4, 1)])
    near = radii(points, K_MANIFOLD)
    said = repeated(near, "samples", rounding(points))
    assert said.startswith("4 of 14 samples look the same as 3 others")
    assert repeated(near[:10], "samples", rounding(points)) == ""
