import importlib
import inspect
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from genkit.errors import EvaluationError
from genkit.evaluation import Extractor
from genkit.evaluation.engine import chosen_rows, extract, features_of
from genkit.evaluation.moments import moments_of
from genkit.evaluation.pace import Pace
from genkit.random import generator
from genkit.rows.base import MemoryRows, image_rows
from genkit.rows.columns import Image
from genkit.rows.combine import picked
from genkit.rows.drawn import DrawnRows


class Mean(Extractor):
    """An extractor that counts how often it is asked."""

    name, sha256, layer, resize = "mean", "0" * 64, "pixels", "none"

    def __init__(self):
        self.calls = 0

    def prepare(self, images):
        return images.float().mean((2, 3)) / images.any().float()  # a black batch gives 0/0

    def features(self, inputs):
        self.calls += 1
        return inputs


def pictures(count=6, fill=None):
    drawn = torch.randint(1, 256, (count, 1, 8, 8), generator=generator(0, "pictures"))
    return image_rows("set", drawn.to(torch.uint8) if fill is None else fill)


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


def test_features_of_code_that_changed_or_can_not_be_read_are_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    source = Path(inspect.getfile(Mean)).read_text()
    (tmp_path / "own_mean.py").write_text(source)
    own = importlib.import_module("own_mean").Mean()
    features_of(pictures(), own, keep=True)
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 1
    (tmp_path / "own_mean.py").write_text(source + "# of another day")
    features_of(pictures(), own, keep=True)
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 2
    typed: dict = {"Mean": Mean, "__name__": "nowhere"}
    exec("class Typed(Mean):\n    pass", typed)
    features_of(pictures(), typed["Typed"](), keep=True)
    assert len(list((tmp_path / "cache" / "features").iterdir())) == 2


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


@pytest.mark.parametrize("damage", ["a value", "their kind"])
def test_a_cache_file_of_damaged_values_is_made_anew_and_said(
    tmp_path, monkeypatch, caplog, damage
):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(logging.getLogger("genkit"), "propagate", True)
    expected = features_of(pictures(), Mean(), keep=True)
    (file,) = (tmp_path / "features").iterdir()
    content = bytearray(file.read_bytes())
    if damage == "a value":
        content[-1] ^= 0x40  # of the last value
    else:
        assert content.count(b'"F32"') == 1
        content = content.replace(b'"F32"', b'"I32"')
    file.write_bytes(content)
    with caplog.at_level("WARNING", logger="genkit"):
        assert torch.equal(features_of(pictures(), Mean(), keep=True), expected)
    assert f"{file}: damaged" in caplog.text
    caplog.clear()
    assert torch.equal(features_of(pictures(), Mean(), keep=True), expected)
    assert not caplog.text


def test_everybody_may_read_the_cache_whom_the_umask_lets(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    features_of(pictures(), Mean(), keep=True)
    (file,) = (tmp_path / "features").iterdir()
    (tmp_path / "usual").write_text("")
    assert file.stat().st_mode == (tmp_path / "usual").stat().st_mode


def test_a_long_pass_says_how_far_it_is(monkeypatch, caplog):
    monkeypatch.setattr(logging.getLogger("genkit"), "propagate", True)
    clock = iter([0.0, 4.0, 11.0, 12.0, 22.0])
    monkeypatch.setattr("genkit.evaluation.pace.time", SimpleNamespace(monotonic=clock.__next__))
    with caplog.at_level("INFO", logger="genkit"):
        pace = Pace("samples.npz", 5000, share=2)
        for _ in range(4):
            pace.advance(550)
    assert [record.getMessage() for record in caplog.records] == [
        "samples.npz: 2,200 of 5,000 images measured, 200 images/s, 0:14 min left",
        "samples.npz: 4,400 of 5,000 images measured, 200 images/s, 0:03 min left",
    ]


def test_features_that_are_not_finite_are_an_error_that_counts_the_images():
    black = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(EvaluationError, match="NaN or infinite features for 3 of 3"):
        features_of(pictures(fill=black), Mean())


def test_images_of_many_sizes_come_out_in_their_order():
    sides = [8, 5, 8, 9, 5]
    images = [torch.full((1, n, n), 10 * i + 1, dtype=torch.uint8) for i, n in enumerate(sides)]
    found = features_of(MemoryRows("mixed", {"image": Image()}, {"image": images}), Mean())
    assert found.flatten().tolist() == [1, 11, 21, 31, 41]


def test_one_pass_serves_every_extractor():
    reads = []

    def draw(places):
        reads.extend(places)
        return {"image": torch.full((len(places), 1, 4, 4), 7, dtype=torch.uint8)}

    images = DrawnRows("model", {"image": Image()}, draw, 300)
    first, second = extract(images, [Mean(), Mean()])
    assert torch.equal(first.rows, second.rows)
    assert reads == list(range(300))


def test_only_moments_keep_few_rows_and_the_moments_of_all(monkeypatch):
    monkeypatch.setattr("genkit.evaluation.engine.KEPT_ROWS", 50)
    images = pictures(1001)
    (found,) = extract(images, [Mean()], only_moments=[True])
    rows = features_of(images, Mean())
    assert found.count == found.known.count == 1001
    assert torch.equal(found.places, chosen_rows(1001))
    assert torch.equal(found.rows, rows[found.places])
    torch.testing.assert_close(found.known.gaussian.mean, moments_of(rows).gaussian.mean)
    torch.testing.assert_close(
        found.known.gaussian.covariance, moments_of(rows).gaussian.covariance
    )


def test_threads_that_read_ahead_change_nothing():
    images = pictures(700)
    ahead = extract(images, [Mean()], workers=2)[0].rows
    assert torch.equal(ahead, features_of(images, Mean()))


def test_an_empty_set_is_an_error():
    with pytest.raises(EvaluationError, match="set: no images"):
        features_of(picked(pictures(1), [], "set"), Mean())
