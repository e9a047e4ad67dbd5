import numpy as np
import pytest
import torch

from genkit.errors import EvaluationError, OutputError
from genkit.evaluation import (
    evaluate,
    load_extractor,
    read_reference,
    save_statistics,
)
from genkit.evaluation.engine import features_of
from genkit.evaluation.moments import moments_of
from genkit.evaluation.statistics import load_statistics
from genkit.random import generator
from genkit.rows.base import image_rows


def pictures(count):
    drawn = torch.randint(1, 256, (count, 1, 8, 8), generator=generator(0, "pictures"))
    return image_rows("set", drawn.to(torch.uint8))


def test_statistics_in_a_file_give_the_distance_of_the_set_they_came_from(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    extractor, images = load_extractor("digits"), pictures(40)
    save_statistics(tmp_path / "stats.npz", images, extractor)
    stored = read_reference(tmp_path / "stats.npz")
    assert (stored.name, stored.count) == ("set", 40)
    assert stored.fingerprint == images.fingerprint
    assert stored.extractor_sha256 == extractor.sha256
    expected = moments_of(features_of(images, extractor)).gaussian
    torch.testing.assert_close(stored.gaussian.mean, expected.mean)
    torch.testing.assert_close(stored.gaussian.covariance, expected.covariance)


def test_statistics_of_another_shape_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", mu=np.zeros(3), sigma=np.zeros((2, 2)))
    with pytest.raises(EvaluationError, match=r"expected \(D,\) and \(D, D\)"):
        load_statistics(tmp_path / "bad.npz")
    np.savez(tmp_path / "nan.npz", mu=np.full(2, np.nan), sigma=np.zeros((2, 2)))
    with pytest.raises(EvaluationError, match="NaN"):
        load_statistics(tmp_path / "nan.npz")


def test_statistics_of_another_resize_are_refused_and_silent_files_noted(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    extractor, images = load_extractor("digits"), pictures(40)
    save_statistics(tmp_path / "stats.npz", images, extractor)
    stored = read_reference(tmp_path / "stats.npz")
    assert stored.unknown == ""
    monkeypatch.setattr(type(extractor), "resize", "nearest to 32 px")
    with pytest.raises(EvaluationError, match="resize of these statistics is 'luma"):
        evaluate(images, stored, extractors=["digits"])
    monkeypatch.undo()
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    np.savez(tmp_path / "plain.npz", mu=stored.gaussian.mean, sigma=stored.gaussian.covariance)
    found = evaluate(images, read_reference(tmp_path / "plain.npz"), extractors=["digits"])
    assert found["fd-digits"].value == pytest.approx(0, abs=1e-6)
    assert any("does not say from which weights and resize" in note for note in found.notes)
    assert any("statistics only: no prdc" in note for note in found.notes)


def test_statistics_that_are_no_numbers_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", mu=np.array(["a"]), sigma=np.eye(1))
    with pytest.raises(EvaluationError, match="are no numbers"):
        load_statistics(tmp_path / "bad.npz")
    np.savez(tmp_path / "bad.npz", mu=np.zeros(1), sigma=np.eye(1), count=np.array("many"))
    with pytest.raises(EvaluationError, match="are no numbers"):
        load_statistics(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    ("sigma", "said"),
    [
        ([[1.0, 0.5], [0.4, 1.0]], "sigma is not symmetric"),
        ([[1.0, 2.0], [2.0, 1.0]], "a negative eigenvalue"),
        ([[1.0, 1e-3j], [-1e-3j, 1.0]], "complex numbers"),
    ],
)
def test_what_is_no_covariance_is_refused(sigma, said, tmp_path):
    np.savez(tmp_path / "bad.npz", mu=np.zeros(2), sigma=np.array(sigma))
    with pytest.raises(EvaluationError, match=said):
        load_statistics(tmp_path / "bad.npz")


def test_statistics_of_no_features_are_refused(tmp_path):
    np.savez(tmp_path / "bad.npz", mu=np.zeros(0), sigma=np.zeros((0, 0)))
    with pytest.raises(EvaluationError, match="mu and sigma are empty"):
        load_statistics(tmp_path / "bad.npz")


def test_a_covariance_that_rounding_made_is_taken(tmp_path):
    rows = torch.randn(5, 40, generator=generator(0, "rows"), dtype=torch.float64)
    sigma = (rows.T @ rows).numpy().astype(np.float32)  # rank 5 of 40, in float32
    np.savez(tmp_path / "good.npz", mu=np.zeros(40), sigma=sigma)
    assert load_statistics(tmp_path / "good.npz").gaussian.covariance.shape == (40, 40)


def test_statistics_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    extractor, images = load_extractor("digits"), pictures(10)
    save_statistics(tmp_path / "stats.npz", images, extractor)
    before = (tmp_path / "stats.npz").read_bytes()

    def full(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OutputError, match=r"stats\.npz: the disk is full; free some space"):
        save_statistics(tmp_path / "stats.npz", images, extractor)
    assert (tmp_path / "stats.npz").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "stats.npz"]
