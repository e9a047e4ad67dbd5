import numpy as np
import pytest
import torch

from genkit.errors import EvaluationError
from genkit.evaluation import ImageSet, read_reference, save_statistics
from genkit.evaluation.bootstrap import Bootstrap, interval, of_mean
from genkit.evaluation.extractors import load_extractor
from genkit.evaluation.frechet import frechet_distance, frechet_replicates, square_root_factor
from genkit.evaluation.statistics import Gaussian, Moments, features_of, load_statistics, moments_of
from genkit.random import generator


def normal(count, width, purpose="features"):
    return torch.randn(count, width, generator=generator(0, purpose), dtype=torch.float64)


# -- moments ---------------------------------------------------------------------------------------


def test_moments_are_mean_and_unbiased_covariance():
    x = normal(50, 4)
    gaussian = Moments.of(x).gaussian
    torch.testing.assert_close(gaussian.mean, x.mean(0))
    torch.testing.assert_close(gaussian.covariance, torch.cov(x.T))


def test_merged_moments_equal_one_pass_even_far_from_zero():
    x = normal(300, 5) + 1e6
    merged = Moments.of(x[:7]).merge(Moments.of(x[7:100])).merge(Moments.of(x[100:]))
    whole = Moments.of(x)
    assert merged.count == 300
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-14, atol=0)
    torch.testing.assert_close(merged.scatter, whole.scatter, rtol=1e-8, atol=1e-6)
    torch.testing.assert_close(moments_of(x, 64).scatter, whole.scatter, rtol=1e-8, atol=1e-6)


def test_an_empty_part_changes_no_moment():
    x, empty = normal(9, 3), normal(0, 3)
    for merged in (Moments.of(x).merge(Moments.of(empty)), Moments.of(empty).merge(Moments.of(x))):
        torch.testing.assert_close(merged.gaussian, Moments.of(x).gaussian)
    assert Moments.of(empty).merge(Moments.of(empty)).count == 0


def test_one_image_has_no_covariance():
    with pytest.raises(EvaluationError, match="at least 2 images"):
        _ = Moments.of(normal(1, 3)).gaussian


# -- Fréchet distance ------------------------------------------------------------------------------


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


def test_a_singular_covariance_gets_a_factor_from_its_eigenvectors():
    covariance = Moments.of(normal(5, 16)).gaussian.covariance
    factor = square_root_factor(covariance)
    assert factor.shape == (16, 4)  # five points span four directions
    torch.testing.assert_close(factor @ factor.T, covariance)


@pytest.mark.parametrize(("count", "width"), [(80, 6), (20, 40)])
def test_a_replicate_is_the_distance_of_the_repeated_rows(count, width):
    x, reference = normal(count, width), Moments.of(normal(90, width, "reference")).gaussian
    weights = Bootstrap(3).weights("samples", count)
    replicates = frechet_replicates(x, reference, weights)
    for weight, replicate in zip(weights, replicates, strict=True):
        repeated = x.repeat_interleave(weight.long(), 0)
        expected = frechet_distance(Moments.of(repeated).gaussian, reference)
        assert replicate.item() == pytest.approx(expected, rel=1e-8)


# -- bootstrap -------------------------------------------------------------------------------------


def test_every_resample_draws_as_many_rows_as_there_are_and_the_seed_decides_which():
    weights = Bootstrap(20, seed=3).weights("samples", 50)
    assert weights.shape == (20, 50)
    assert (weights.sum(1) == 50).all()
    assert torch.equal(weights, Bootstrap(20, seed=3).weights("samples", 50))
    assert not torch.equal(weights, Bootstrap(20, seed=4).weights("samples", 50))


def test_labelled_rows_are_drawn_within_their_class_unless_a_class_is_tiny():
    labels = torch.arange(60) % 3
    weights = Bootstrap(20).weights("samples", 60, labels)
    assert weights.max() > 1
    for label in range(3):
        assert (weights[:, labels == label].sum(1) == 20).all()
    labels[0] = 7
    assert torch.equal(
        Bootstrap(20).weights("samples", 60, labels), Bootstrap(20).weights("samples", 60)
    )


def test_the_interval_of_a_share_is_about_two_standard_errors_wide():
    values = (torch.arange(1000) < 300).double()
    low, high = interval(0.3, of_mean(values, Bootstrap(400).weights("samples", 1000)))
    error = (0.3 * 0.7 / 1000) ** 0.5
    assert low < 0.3 < high
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_the_interval_contains_the_value_though_repeated_images_raise_the_distance():
    x, reference = normal(150, 20), Moments.of(normal(150, 20, "reference")).gaussian
    value = frechet_distance(Moments.of(x).gaussian, reference)
    replicates = frechet_replicates(x, reference, Bootstrap(50).weights("samples", 150))
    low, high = interval(value, replicates)
    assert replicates.mean() > value
    assert 0 <= low < value < high


def test_without_resamples_there_is_no_interval_and_one_resample_is_refused():
    assert interval(1.0, of_mean(torch.ones(5).double(), Bootstrap(0).weights("samples", 5))) == (
        None,
        None,
    )
    with pytest.raises(EvaluationError, match="resamples=1"):
        Bootstrap(1)


# -- features and their cache ----------------------------------------------------------------------


class Mean:
    """An extractor that counts how often it is asked."""

    name, sha256, layer, resize = "mean", "0" * 64, "pixels", "none"

    def __init__(self):
        self.calls = 0

    def features(self, images):
        self.calls += 1
        return images.float().mean((2, 3)) / images.any().float()  # a black batch gives 0/0


def pictures(count=6, fill=None):
    drawn = torch.randint(1, 256, (count, 1, 8, 8), generator=generator(0, "pictures"))
    return ImageSet.from_arrays("set", None, drawn.to(torch.uint8) if fill is None else fill)


def test_features_of_a_reference_are_extracted_once_and_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    extractor = Mean()
    first = features_of(pictures(), extractor, keep=True)
    again = features_of(pictures(), extractor, keep=True)
    assert torch.equal(first, again)
    assert extractor.calls == 1
    extractor.sha256 = "1" * 64
    features_of(pictures(), extractor, keep=True)
    assert extractor.calls == 2, "other weights are other features"


def test_a_broken_cache_file_is_made_anew_and_an_unwritable_cache_is_done_without(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    expected = features_of(pictures(), Mean(), keep=True)
    (file,) = (tmp_path / "features").iterdir()
    file.write_bytes(file.read_bytes()[:20])
    assert torch.equal(features_of(pictures(), Mean(), keep=True), expected)
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    monkeypatch.setenv("GENKIT_CACHE", str(blocked))
    assert torch.equal(features_of(pictures(), Mean(), keep=True), expected)


def test_features_that_are_not_finite_are_an_error_that_counts_the_images():
    black = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(EvaluationError, match="NaN or infinite features for 3 of 3"):
        features_of(pictures(fill=black), Mean())


def test_statistics_in_a_file_give_the_distance_of_the_set_they_came_from(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    extractor, images = load_extractor("digits"), pictures(40)
    save_statistics(tmp_path / "stats.npz", images, extractor)
    stored = read_reference(tmp_path / "stats.npz")
    assert (stored.name, stored.count) == ("set", 40)
    assert stored.fingerprint == images.fingerprint
    assert stored.extractor_sha256 == extractor.sha256
    expected = moments_of(features_of(images, extractor)).gaussian
    torch.testing.assert_close(stored.gaussian, expected)


def test_statistics_of_another_shape_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    with pytest.raises(EvaluationError, match=r"expected \(D,\) and \(D, D\)"):
        load_statistics(tmp_path / "bad.npz")
    np.savez(tmp_path / "nan.npz", mu=np.full(2, np.nan), sigma=np.zeros((2, 2)))
    with pytest.raises(EvaluationError, match="NaN"):
        load_statistics(tmp_path / "nan.npz")
