"""Which extractor looks at the images where none is named."""

import numpy as np
import pytest
import torch
from editing_at_hand import faces
from families_at_hand import tiny

import genkit
from genkit.data import open_data
from genkit.data.readers.faces import FacesData
from genkit.data.readers.glyphs import GlyphsData
from genkit.data.readers.scenes import ScenesData
from genkit.data.readers.stacked import StackedData
from genkit.errors import WeightsError
from genkit.evaluation import load_extractor, save_statistics
from genkit.evaluation.sets import as_image
from genkit.evaluation.statistics import load_statistics
from genkit.evaluation.usual import attributes_for, extractor_for, load_for, warning
from genkit.nn.pretrained import inception
from genkit.random import generator
from genkit.rows.base import MemoryRows, image_rows
from genkit.rows.columns import Image, Text
from genkit.verbs.real_images import named_set


@pytest.fixture(autouse=True)
def _no_weights(tmp_path, monkeypatch):
    """A cache without weights, and no network."""
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    nowhere = type(inception.PUBLISHED)("inception.pth", ((tmp_path / "none").as_uri(),), "0" * 64)
    monkeypatch.setattr(inception, "PUBLISHED", nowhere)


def glyphs(size=28, **more):
    return open_data(GlyphsData(image_size=size, test_count=60, **more), "test")


def noise(labels=None, channels=1, size=16, count=40):
    drawn = torch.randint(256, (count, channels, size, size), generator=generator(0, "noise"))
    return image_rows("noise", drawn.to(torch.uint8), labels)


@pytest.mark.parametrize(
    "rows",
    [
        lambda: glyphs(28),
        lambda: glyphs(32),
        lambda: glyphs(28, channels=3),  # grey in three channels
        lambda: open_data(StackedData(kind="stacked", image_size=32, test_count=40), "test"),
        lambda: named_set("synthetic:glyphs:test", 1, (16, 16)),
    ],
)
def test_digits_are_measured_by_the_classifier_of_digits(rows):
    assert extractor_for(rows()) == "digits"
    assert warning(load_extractor("digits"), rows()) == ""


@pytest.mark.parametrize(
    "rows",
    [
        lambda: noise(),
        lambda: noise(torch.arange(40) % 10),  # ten classes that are no digits, as Fashion-MNIST
        lambda: noise(torch.arange(40) % 10, channels=3),
        lambda: image_rows("unlabelled", glyphs().values["image"]),
        lambda: glyphs(64),  # the classifier would see a quarter of the pixels
    ],
)
def test_everything_else_is_measured_by_the_network_of_the_fid(rows):
    assert extractor_for(rows()) == "inception-v3"
    assert "say little of other pictures" in warning(load_extractor("digits"), rows())


def test_statistics_are_measured_by_the_weights_that_they_come_from(tmp_path):
    extractor = load_extractor("digits")
    save_statistics(tmp_path / "by-digits.npz", noise(), extractor)
    assert extractor_for(load_statistics(tmp_path / "by-digits.npz")) == "digits"
    made_by = {"extractor_sha256": inception.TORCHSCRIPT.sha256}
    np.savez(tmp_path / "by-clean-fid.npz", mu=np.zeros(2), sigma=np.eye(2), **made_by)
    found = extractor_for(load_statistics(tmp_path / "by-clean-fid.npz"))
    assert found == "inception-v3-torchscript"
    np.savez(tmp_path / "unknown.npz", mu=np.zeros(2), sigma=np.eye(2))
    assert extractor_for(load_statistics(tmp_path / "unknown.npz")) == "inception-v3"


def test_missing_weights_are_an_error_that_names_both_ways_out():
    with pytest.raises(WeightsError) as refused:
        genkit.evaluate(noise(), noise())
    for way in ("inception-v3 needs weights", "--weights inception-v3=PATH", "--extractor digits"):
        assert way in str(refused.value)
    found = genkit.evaluate(noise(), noise(), extractors=["digits"], metrics=["fd"])  # the advice
    assert any("say little of other pictures" in note for note in found.notes)
    with pytest.raises(WeightsError) as refused:
        genkit.evaluate(noise(), noise(), extractors=["inception-v3"])  # its own choice
    assert "--extractor digits" not in str(refused.value)


def test_training_and_frontier_choose_by_the_same_rule_and_old_configs_keep_theirs():
    assert tiny("dcgan").evaluation.extractor == "auto"
    assert load_for("auto", glyphs(), "evaluation.extractor=digits").name == "digits"
    with pytest.raises(WeightsError, match=r"nothing else: evaluation\.extractor=digits"):
        load_for("auto", noise(), "evaluation.extractor=digits")
    assert load_for("digits", noise(), "").name == "digits"


def test_drawn_faces_are_seen_by_the_classifier_of_their_attributes():
    rows = FacesData(image_size=32, train_count=8, test_count=64).open("test")
    assert attributes_for(rows) == extractor_for(rows) == "faces"
    held = rows.read(range(64), ("image", "attributes"))
    columns = {name: rows.columns[name] for name in held}
    wrong = MemoryRows("others", columns, {**held, "attributes": 1 - held["attributes"]})
    assert attributes_for(wrong) is None
    assert extractor_for(wrong) == "inception-v3"
    assert attributes_for(as_image(rows, "image")) is None
    assert attributes_for(faces()) is None  # squares, whose attributes have other names


def test_scenes_are_seen_by_the_reader_where_captions_say_what_they_show():
    for size in (32, 64):
        assert extractor_for(open_data(ScenesData(image_size=size, test_count=40), "test")) == (
            "scenes"
        )
    scenes = open_data(ScenesData(test_count=40), "test")
    images, said = scenes.values["image"], [each[0] for each in scenes.values["caption"]]
    columns = {"image": Image((32, 32), 3), "caption": Text()}
    for captions, name in (
        (said, "scenes"),
        (said[1:] + said[:1], "inception-v3"),
        (["a dog on grey"] * 40, "inception-v3"),
    ):
        rows = MemoryRows("mine", columns, {"image": images, "caption": captions})
        assert extractor_for(rows) == name
