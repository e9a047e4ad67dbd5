import json
import math

import pytest
import torch
from rows_at_hand import everything

from genkit.data import open_data
from genkit.data.readers.glyphs import GlyphsData
from genkit.data.readers.stacked import StackedData
from genkit.errors import EvaluationError
from genkit.evaluation import evaluate, load_extractor, nearest_pairs, save_nearest
from genkit.evaluation.metrics.near_copies import closeness, nearer_than, nearest, pixels
from genkit.evaluation.sets import shape_of
from genkit.evaluation.statistics import load_statistics, save_statistics
from genkit.evaluation.view import floor_set_of
from genkit.random import generator
from genkit.rows.base import image_rows
from genkit.rows.combine import picked
from genkit.rows.files import open_path

COUNT = 300


@pytest.fixture(scope="module")
def glyphs():
    """Train, test and, as perfect samples, glyphs of another seed."""

    def part(split, seed):
        data = GlyphsData(image_size=32, train_count=600, test_count=COUNT, seed=seed)
        return open_data(data, split)

    return {"train": part("train", 0), "test": part("test", 0), "samples": part("test", 1)}


@pytest.fixture(scope="module")
def perfect(glyphs):
    return evaluate(glyphs["samples"], glyphs["test"], train=glyphs["train"])


def noise(count=8, size=32):
    drawn = torch.randint(256, (count, 1, size, size), generator=generator(0, "noise"))
    return image_rows("noise", drawn.to(torch.uint8))


def nothing():
    return picked(noise(), [], "noise")


def test_real_images_as_samples_reach_the_floor_of_every_metric(perfect):
    for metric in perfect.metrics:
        assert metric.low <= metric.value <= metric.high
        assert metric.floor is not None
        slack = 0.35 * metric.floor if metric.name == "fd-digits" else 0.12
        assert abs(metric.value - metric.floor) <= slack, metric.name
    assert perfect["accuracy"].value >= 0.97
    assert perfect["near-copy-rate"].floor == pytest.approx(0.01, abs=0.005)
    assert perfect["near-copy-half"].floor == pytest.approx(0.5, abs=0.01)


def test_distances_by_class_and_without_bias_have_floors_too(glyphs):
    found = evaluate(
        glyphs["samples"],
        glyphs["test"],
        train=glyphs["train"],
        metrics=("fd-class", "fd-infinity"),
    )
    for metric in found.metrics:
        # 300 images and 128 features: the line of fd-infinity is steep.
        assert metric.floor == pytest.approx(metric.value, abs=0.35 * abs(metric.value) + 2)


def test_classes_give_accuracy_and_count_of_each_digit(perfect):
    assert [row["class"] for row in perfect.classes] == [str(digit) for digit in range(10)]
    assert sum(row["count"] for row in perfect.classes) == COUNT


def test_one_shape_per_class_is_precise_but_recalls_little(glyphs):
    train = glyphs["train"]
    images = everything(train)[torch.arange(COUNT) % 10]
    labels = torch.arange(COUNT) % 10
    collapsed = image_rows("collapsed", images, labels)
    found = evaluate(collapsed, glyphs["test"], train=train)
    assert found["precision-digits"].value > 0.6
    assert found["recall-digits"].value < 0.1
    assert found["fd-digits"].value > 3 * found["fd-digits"].floor
    assert found["near-copy-rate"].value == 1


def test_the_file_holds_what_the_interface_promises(perfect, glyphs, tmp_path):
    perfect.save(tmp_path / "evaluation.json")
    tree = json.loads((tmp_path / "evaluation.json").read_text())
    assert tree == json.loads(json.dumps(perfect.to_json()))
    assert tree["format"] == 1
    assert tree["reference"] == {
        "name": "synthetic:glyphs:test",
        "count": COUNT,
        "sha256": glyphs["test"].fingerprint,
    }
    metric = next(m for m in tree["metrics"] if m["name"] == "fd-digits")
    assert metric["better"] == "lower"
    for key in ("extractor", "extractor_sha256", "layer", "resize", "samples", "reference_count"):
        assert metric["protocol"][key]
    assert {"genkit", "torch"} <= tree["versions"].keys()


def test_the_same_sets_give_the_same_numbers_and_without_training_images_no_floor(glyphs, perfect):
    again = evaluate(glyphs["samples"], glyphs["test"], train=glyphs["train"])
    assert again.metrics == perfect.metrics
    quick = evaluate(glyphs["samples"], glyphs["test"])
    assert quick["fd-digits"].value == perfect["fd-digits"].value
    assert quick["fd-digits"].low == perfect["fd-digits"].low
    assert quick["recall-digits"].floor is None


def test_notes_say_what_was_left_out_and_why(glyphs):
    images = everything(glyphs["samples"])[:50]
    unlabelled = image_rows("plain", images)
    found = evaluate(unlabelled, glyphs["test"])
    assert found.classes is None
    assert any("samples have no labels" in note for note in found.notes)
    assert any("no near-copy rate" in note for note in found.notes)
    assert "fewer images than features" in found["fd-digits"].note
    assert "50 samples against 300 images" in found["fd-digits"].note


def test_floors_come_from_as_many_training_images_of_each_class_as_there_are_samples(glyphs):
    train, samples = glyphs["train"], picked(glyphs["samples"], torch.arange(0, COUNT, 2))
    chosen = floor_set_of(train, samples, 0)
    assert torch.equal(chosen.labels.bincount(), samples.labels.bincount())
    foreign = image_rows("foreign", everything(noise(40)), torch.full((40,), 77))
    assert len(floor_set_of(train, foreign, 0)) == 40
    assert len(floor_set_of(train, noise(1000), 0)) == len(train)


def test_classes_that_are_not_digits_get_no_accuracy(glyphs):
    test = glyphs["test"]
    images = everything(test)
    turned = image_rows("turned", images, (test.labels + 1) % 10)
    found = evaluate(glyphs["samples"], turned, extractors=["digits"])
    assert any("not the ten digits" in note for note in found.notes)
    with pytest.raises(KeyError):
        found["accuracy"]


def test_statistics_as_a_reference_give_the_same_distance_and_nothing_else(glyphs, tmp_path):
    save_statistics(tmp_path / "stats.npz", glyphs["test"], load_extractor("digits"))
    stored = load_statistics(tmp_path / "stats.npz")
    found = evaluate(glyphs["samples"], stored, train=glyphs["train"])
    full = evaluate(glyphs["samples"], glyphs["test"], train=glyphs["train"])
    assert [metric.name for metric in found.metrics] == ["fd-digits"]
    assert found["fd-digits"].value == pytest.approx(full["fd-digits"].value)
    assert found["fd-digits"].floor == pytest.approx(full["fd-digits"].floor)


def test_statistics_of_other_weights_or_widths_are_refused(glyphs, tmp_path):
    import numpy as np

    np.savez(tmp_path / "narrow.npz", mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(EvaluationError, match="statistics of 3 features, but digits gives 128"):
        evaluate(glyphs["samples"], load_statistics(tmp_path / "narrow.npz"), extractors=["digits"])
    np.savez(tmp_path / "other.npz", mu=np.zeros(128), sigma=np.eye(128), extractor_sha256="f" * 64)
    with pytest.raises(EvaluationError, match="come from the weights ffff"):
        evaluate(glyphs["samples"], load_statistics(tmp_path / "other.npz"), extractors=["digits"])


def test_too_few_images_and_no_extractor_are_errors(glyphs):
    with pytest.raises(EvaluationError, match="noise: 5 images, expected at least 6"):
        evaluate(noise(5), glyphs["test"])
    with pytest.raises(EvaluationError, match="noise: 0 images"):
        evaluate(glyphs["samples"], nothing())
    with pytest.raises(EvaluationError, match="none given"):
        evaluate(glyphs["samples"], glyphs["test"], extractors=())


# -- stacked digits --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stacked():
    """Test images of two seeds, with the names of their classes."""

    def part(seed):
        data = StackedData(kind="stacked", image_size=32, test_count=COUNT, seed=seed)
        return open_data(data, "test")

    return {"reference": part(0), "samples": part(1)}


def test_real_stacked_digits_show_the_modes_of_their_labels(stacked):
    samples = stacked["samples"]
    found = evaluate(samples, stacked["reference"])
    shown = len(samples.labels.unique())
    assert abs(found["modes"].value - shown) <= 0.02 * shown
    assert (found["modes"].low, found["modes"].high) == (None, None)
    assert found["modes"].floor == pytest.approx(
        len(stacked["reference"].labels.unique()), rel=0.02
    )
    assert found["modes-kl"].low <= found["modes-kl"].value <= found["modes-kl"].high
    assert found["modes"].protocol["samples"] == COUNT
    assert "26,000 are usual" in found["modes"].note
    assert any("laid over each other" in note for note in found.notes)


def test_accuracy_on_stacked_digits_asks_for_all_three(stacked):
    samples = stacked["samples"]
    found = evaluate(samples, stacked["reference"])
    assert found["accuracy"].value >= 0.95
    assert found.classes is None
    pixels = everything(samples).flip(1)  # blue, green, red
    turned = image_rows("turned", pixels, samples.labels)
    mirrored = (samples.labels // 100 == samples.labels % 10).double().mean().item()
    wrong = evaluate(turned, stacked["reference"])["accuracy"].value
    assert wrong == pytest.approx(mirrored, abs=0.03)


def test_a_collapsed_model_shows_one_mode_and_diverges_by_the_log_of_1000(stacked):
    images = everything(stacked["samples"])[[0] * 40]
    found = evaluate(image_rows("one", images), stacked["reference"])
    assert found["modes"].value == 1
    assert found["modes-kl"].value == pytest.approx(math.log(1000))
    assert found["modes"].protocol["floor_count"] == 40


def test_a_floor_of_fewer_real_images_says_so(stacked):
    few = picked(stacked["reference"], torch.arange(50))
    found = evaluate(stacked["samples"], few)
    assert found["modes"].floor <= 50
    assert "the floor is of 50 real images" in found["modes"].note


def test_grey_samples_have_no_modes_and_plain_digits_neither(stacked, glyphs, perfect):
    found = evaluate(glyphs["samples"], stacked["reference"])
    assert any("samples are grey" in note for note in found.notes)
    for evaluation in (found, perfect):
        assert "modes" not in [metric.name for metric in evaluation.metrics]


# -- Parzen windows --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_train():
    return open_data(GlyphsData(image_size=32, train_count=1_100))


def test_the_parzen_likelihood_is_measured_only_when_asked_for(glyphs, long_train, perfect):
    found = evaluate(glyphs["samples"], glyphs["test"], train=long_train, parzen=True)["parzen-ll"]
    assert found.low < found.value < found.high
    assert found.protocol["dimensions"] == 32 * 32
    assert found.protocol["floor_count"] == 100  # what isn't validation
    assert "standard error" in found.note
    assert "10,000 are usual" in found.note
    with pytest.raises(KeyError):
        perfect["parzen-ll"]


def test_parzen_windows_need_images_and_a_training_set(glyphs, tmp_path):
    with pytest.raises(EvaluationError, match="needs the training images: --train SET"):
        evaluate(glyphs["samples"], glyphs["test"], parzen=True)
    save_statistics(tmp_path / "stats.npz", glyphs["test"], load_extractor("digits"))
    stored = load_statistics(tmp_path / "stats.npz")
    with pytest.raises(EvaluationError, match="these are statistics; metric parzen reads"):
        evaluate(glyphs["samples"], stored, train=glyphs["train"], parzen=True)


# -- near copies -----------------------------------------------------------------------------------


def test_a_copy_has_closeness_zero_even_of_an_image_that_occurs_often():
    train = noise(100)
    copies = picked(train, torch.tensor([3, 50]))
    assert closeness(pixels(copies), train).max() < 0.01
    one = torch.zeros(60, 1, 32, 32, dtype=torch.uint8)
    black = image_rows("black", one)
    assert closeness(pixels(black), black).tolist() == [0.0] * 60


def test_an_image_among_equally_far_neighbours_has_closeness_near_one():
    other = image_rows("other", 255 - everything(noise(60))[:4])
    assert closeness(pixels(other), noise(60)).min() > 0.9


def test_modes_of_images_that_are_not_stacked_say_so_only_to_who_asked():
    sets = noise(30), noise(30)
    asked = evaluate(*sets, metrics=("fd", "modes"), extractors=["digits"])
    assert "the reference is not stacked digits: no modes" in asked.notes
    unasked = evaluate(*sets, extractors=["digits"])
    assert not any("modes" in note for note in unasked.notes)


def test_nearest_streams_the_training_set_and_names_the_right_image(monkeypatch):
    train = noise(50)
    monkeypatch.setattr("genkit.evaluation.metrics.near_copies.CHUNK", 7)
    distances, indices = nearest(pixels(train), train, 3)
    assert torch.equal(indices[:, 0], torch.arange(50))
    whole, order = torch.cdist(pixels(train), pixels(train)).sort(1)
    torch.testing.assert_close(distances, whole[:, :3], atol=0.02, rtol=0)  # of about 13
    assert torch.equal(indices, order[:, :3])
    assert nearest(pixels(train), train, 99)[0].shape == (50, 50)


def test_the_reference_lies_below_its_own_quantile_by_construction():
    values = torch.linspace(0, 1, 1000).double()
    near, floor = nearer_than(torch.tensor([0.005, 0.5]).double(), values, 0.01)
    assert near.tolist() == [1, 0]
    assert floor == pytest.approx(0.01)


def test_nearest_pairs_show_each_sample_above_its_nearest_image(tmp_path):
    train = noise(30)
    copies = picked(train, torch.arange(10))
    sheet = nearest_pairs(copies, train, 5)
    assert sheet.shape == (1, 2 * 34 + 2, 5 * 34 + 2)
    assert torch.equal(sheet[:, 2:34], sheet[:, 36:68])
    save_nearest(tmp_path / "nearest.png", copies, train, 5)
    assert shape_of(open_path(tmp_path)) == sheet.shape


def test_nearest_pairs_of_other_sizes_and_colours_fit_the_samples():
    colour = torch.zeros(8, 3, 20, 20, dtype=torch.uint8)
    sheet = nearest_pairs(image_rows("colour", colour), noise(9), 4)
    assert sheet.shape == (3, 2 * 22 + 2, 4 * 22 + 2)
    with pytest.raises(EvaluationError, match="neither"):
        nearest_pairs(nothing(), noise(5))


def test_a_noisy_copy_is_closer_than_any_unseen_image(glyphs):
    train = glyphs["train"]
    clean = everything(train)[:40].float()
    grain = torch.randn(clean.shape, generator=generator(0, "grain")) * 12
    copies = image_rows("copies", (clean + grain).clamp(0, 255).to(torch.uint8))
    assert closeness(pixels(copies), train).max() < closeness(pixels(glyphs["test"]), train).min()
