import logging

import pytest
import torch
import torch.nn.functional as F

from genkit.data import open_data, open_reference
from genkit.data.readers import glyphs
from genkit.data.readers.glyphs import GlyphsData
from genkit.errors import DataError
from genkit.files import cache_folder

DIGITS = "0123456789"


def test_digits_come_in_at_least_twenty_distinct_faces():
    fields = glyphs.distance_fields(DIGITS)
    assert fields.shape[0] >= 20
    for digit in range(10):
        ink = (fields[:, digit] > 0).flatten(1)
        assert len(torch.unique(ink, dim=0)) == fields.shape[0]


def test_a_distance_field_measures_depth_in_units_of_the_character():
    # A full stop in DejaVu Sans is nearly a square: its centre lies half its width deep.
    (field,) = glyphs.distance_fields(".")[0]
    assert 0.4 < field.max().item() < 0.55


def test_an_image_does_not_depend_on_how_many_are_drawn():
    few, many = (glyphs.draw(DIGITS, 16, 0, "train", count) for count in (5, 300))
    assert torch.equal(few, many[:5])


@pytest.mark.parametrize(("split", "count"), [("train", 10), ("test", 30)])
def test_limit_keeps_the_first_training_images(split, count):
    data = GlyphsData(image_size=16, train_count=40, test_count=30)
    some = open_data(data.model_copy(update={"limit": 10}), split)
    assert len(some) == count
    first = torch.arange(10)
    assert torch.equal(
        some.read(first, ("image",))["image"],
        open_data(data, split).read(first, ("image",))["image"],
    )


def test_seed_and_split_change_every_image():
    base = glyphs.draw(DIGITS, 16, 0, "train", 20)
    for other in (glyphs.draw(DIGITS, 16, 1, "train", 20), glyphs.draw(DIGITS, 16, 0, "test", 20)):
        assert (base != other).flatten(1).any(1).all()


def test_images_are_white_ink_on_black_and_differ():
    images = glyphs.draw(DIGITS, 28, 0, "train", 512)
    assert len(torch.unique(images.flatten(1), dim=0)) == 512
    peak = images.flatten(1).max(1).values
    share = (images > 127).float().mean((1, 2))
    assert peak.min() >= 128
    assert share.min() > 0.02
    assert share.max() < 0.5
    assert (images[:, 0] > 127).float().mean() < 0.02  # hardly any ink is cut off at the edge


@pytest.mark.parametrize("size", [16, 28, 32])
def test_labels_are_balanced_and_images_have_the_configured_size(size):
    source = open_data(GlyphsData(image_size=size, train_count=200, channels=3))
    assert source.values["image"].shape == (200, 3, size, size)
    assert torch.equal(source.labels.bincount(), torch.full((10,), 20))
    assert source.class_names == tuple(DIGITS)
    assert source.name == "synthetic:glyphs:train"


def test_the_second_time_the_set_comes_from_the_cache(monkeypatch):
    config = GlyphsData(image_size=16, train_count=30)
    first = open_data(config)
    monkeypatch.setattr(glyphs, "draw", lambda *_: pytest.fail("drawn again"))
    second = open_data(config)
    assert torch.equal(first.values["image"], second.values["image"])
    assert first.fingerprint == second.fingerprint


def test_a_cached_file_cut_short_is_drawn_again():
    config = GlyphsData(image_size=16, train_count=30)
    first = open_data(config)
    (cached,) = (cache_folder() / "glyphs").iterdir()
    cached.write_bytes(cached.read_bytes()[:500])
    assert torch.equal(open_data(config).values["image"], first.values["image"])


def test_an_unwritable_cache_is_reported_and_the_set_is_drawn_in_memory(
    tmp_path, monkeypatch, caplog
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, "genkit"):
        assert len(open_data(GlyphsData(image_size=16, train_count=30))) == 30
    assert "can't be written" in caplog.text


def test_other_characters_can_be_drawn():
    source = open_data(GlyphsData(image_size=16, characters="aB?", train_count=9))
    assert source.class_names == ("a", "B", "?")
    assert (source.values["image"].flatten(1).max(1).values > 127).all()


@pytest.mark.parametrize(("characters", "hint"), [("a b", "without ink"), ("a\u4e00", "no font")])
def test_characters_that_can_not_be_drawn_are_refused(characters, hint):
    with pytest.raises(DataError, match=hint):
        open_data(GlyphsData(image_size=16, characters=characters, train_count=9))


def test_a_reference_follows_the_run_that_it_is_measured_against():
    like = GlyphsData(image_size=16, characters="xyz", test_count=12)
    assert len(open_reference("synthetic:glyphs:test", like=like)) == 12
    with pytest.raises(DataError, match="no such set"):
        open_reference("synthetic:animals:test")


@pytest.mark.slow
def test_a_linear_classifier_trained_on_all_stays_below_97_percent():
    config = GlyphsData(image_size=28)
    train, test = open_data(config), open_data(config, "test")
    accuracy = max(linear_accuracy(train, test, decay) for decay in (1e-4, 1e-3))
    assert 0.85 < accuracy < 0.97


def test_a_linear_classifier_trained_on_some_does_not_solve_the_task():
    config = GlyphsData(image_size=16, train_count=2_000, test_count=500)
    assert 0.6 < linear_accuracy(open_data(config), open_data(config, "test"), 1e-3) < 0.97


def linear_accuracy(train, test, decay):
    """Test accuracy of multinomial logistic regression on pixels."""
    x, x_test = (s.values["image"].flatten(1).float() / 255 for s in (train, test))
    weight = torch.zeros(x.shape[1], 10, requires_grad=True)
    bias = torch.zeros(10, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=150, history_size=20)

    def loss():
        optimizer.zero_grad()
        value = F.cross_entropy(x @ weight + bias, train.labels) + decay * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return (((x_test @ weight + bias).argmax(1)) == test.labels).float().mean().item()
