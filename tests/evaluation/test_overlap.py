"""Sets that are meant to have no picture in common, and have some."""

import pytest
import torch
from rows_at_hand import everything

from genkit.errors import EvaluationError
from genkit.evaluation import evaluate
from genkit.evaluation.overlap import Contents, contents_of
from genkit.random import generator
from genkit.rows.base import image_rows
from genkit.rows.combine import picked

DIGITS = {"extractors": ["digits"]}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


def noise(name, count, channels=1):
    drawn = torch.randint(256, (count, channels, 12, 12), generator=generator(0, name))
    return image_rows(name, drawn.to(torch.uint8))


def joined(name, *sets):
    return image_rows(name, torch.cat([everything(rows) for rows in sets]))


def test_near_copies_against_the_training_set_itself_are_refused():
    train = noise("train", 60)
    copies = picked(train, range(20), "copies")
    with pytest.raises(EvaluationError, match="reference and training images are the same set"):
        evaluate(copies, train, train=train, metrics=["near-copies"], **DIGITS)
    inside = picked(train, range(20, 50), "part of train")
    with pytest.raises(EvaluationError, match="all images of part of train are training images"):
        evaluate(copies, inside, train=train, metrics=["near-copies"], **DIGITS)
    found = evaluate(copies, inside, train=train, **DIGITS)  # they were not asked for by name
    assert "near-copy-rate" not in [value.name for value in found.metrics]
    assert any("all images of part of train are training images" in note for note in found.notes)
    assert any("training images behind the floors are pictures" in note for note in found.notes)


def test_reference_images_that_were_trained_on_are_left_out_of_near_copies():
    train, unseen = noise("train", 60), noise("unseen", 40)
    copies = picked(train, range(20), "copies")
    asked = {"train": train, "metrics": ["near-copies"], **DIGITS}
    mixed = joined("mixed", unseen, picked(train, range(30, 55)))
    clean, leaking = evaluate(copies, unseen, **asked), evaluate(copies, mixed, **asked)
    for name in ("near-copy-rate", "near-copy-half"):
        assert clean[name].value == leaking[name].value == 1
        assert clean[name].floor == leaking[name].floor
        assert "25 reference images are training images: the other 40 were" in leaking[name].note
        assert leaking[name].protocol["reference_left_out"] == 25
        assert "reference_left_out" not in clean[name].protocol


def test_samples_that_are_the_reference_are_said_to_be():
    real = noise("real", 40)
    found = evaluate(real, real, metrics=["fd", "detector-auc"], **DIGITS)
    assert any("samples and reference are the same pictures" in note for note in found.notes)
    assert "40 samples are pictures of the reference" in found["detector-auc-digits"].note
    some = joined("some", noise("fake", 30), picked(real, range(7)))
    found = evaluate(some, real, metrics=["fd"], **DIGITS)
    assert any("7 of 37 samples are pictures of the reference" in note for note in found.notes)
    found = evaluate(noise("fake", 30), real, metrics=["fd"], **DIGITS)
    assert not any("pictures of the reference" in note for note in found.notes)


def test_a_floor_of_fewer_training_images_than_samples_says_so():
    sets = noise("fake", 40), noise("real", 40)
    short = evaluate(*sets, train=noise("train", 6), metrics=["fd"], **DIGITS)
    assert any("the floors are of 6 training images" in note for note in short.notes)
    long = evaluate(*sets, train=noise("train", 60), metrics=["fd"], **DIGITS)
    assert not any("the floors are of" in note for note in long.notes)


def test_a_picture_is_known_by_its_pixels_whatever_its_batch_and_channels():
    rows = noise("rows", 9)
    pixels = rows.values["image"]
    one_by_one = torch.cat([Contents().of(pixels[i : i + 1]) for i in range(9)])
    assert torch.equal(contents_of(rows), one_by_one[:, 0])
    assert torch.equal(Contents().of(pixels.expand(-1, 3, -1, -1)), one_by_one)
    assert len(contents_of(rows).unique()) == 9
    colour = noise("colour", 2, channels=3).values["image"]
    mixed = torch.cat([colour, pixels[:1].expand(-1, 3, -1, -1)])
    assert torch.equal(Contents().of(mixed)[2], one_by_one[0])
    changed = pixels[:1].clone()
    changed[0, 0, 0, 0] ^= 1
    assert not torch.equal(Contents().of(changed), one_by_one[:1])


def test_what_a_reader_left_out_stands_in_the_result(tmp_path):
    from genkit.evaluation.results import identity
    from genkit.rows.left_out import LeftOut

    rows = noise("rows", 9)
    assert "left_out" not in identity(rows)
    rows.left_out = LeftOut.of("broken", ["a.png"])
    found = evaluate(rows, noise("real", 9), metrics=["fd"], **DIGITS)
    assert "rows: 1 file left out: 1 broken (a.png)" in found.notes
    assert found.samples["left_out"] == identity(rows)["left_out"]
    assert identity(rows)["left_out"] == {"reasons": {"broken": 1}, "examples": ["a.png"]}
