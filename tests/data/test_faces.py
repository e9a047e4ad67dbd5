"""Drawn faces as a data set: parts, columns, cache, and what evaluators alone may see."""

import logging
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from genkit.data import open_data, open_reference
from genkit.data.faces import attributes, drawing, parameters
from genkit.data.readers import faces as reader
from genkit.data.readers.faces import FacesData
from genkit.errors import DataError
from genkit.files import cache_folder
from genkit.rows.flags import DRAWN_NAMES, conflicts, switched

SMALL = {"image_size": 32, "train_count": 12, "test_count": 40, "edits": 2}


def test_a_set_has_pictures_attributes_and_landmarks_with_their_visibility():
    rows = open_data(FacesData(**SMALL))
    assert rows.name == "faces:train"
    assert rows.values["image"].shape == (12, 3, 32, 32)
    assert rows.values["image"].dtype == torch.uint8
    assert rows.columns["attributes"].names == DRAWN_NAMES
    assert rows.values["attributes"].shape == (12, 13)
    assert rows.values["landmarks"].shape == (12, 68, 2)
    assert rows.values["landmarks_visible"].shape == (12, 68)
    assert "face_mask" not in rows.columns


def test_masks_come_where_they_are_asked_for():
    rows = open_data(FacesData(**SMALL, masks=True))
    for name in ("face_mask", "hair_mask"):
        assert rows.values[name].shape == (12, 1, 32, 32)
        assert rows.values[name].unique().tolist() == [0, 1]


def test_a_face_does_not_depend_on_how_many_are_drawn_or_in_which_part_of_a_set_it_lies():
    few = parameters.drawn(0, "train", range(3))
    many = parameters.drawn(0, "train", range(70))
    one = drawing.draw(few, 32).pictures["soft"]
    other = drawing.draw(many.at(slice(0, 70)), 32).pictures["soft"]
    assert np.array_equal(one, other[:3])


def test_limit_keeps_the_first_training_faces():
    whole = open_data(FacesData(**SMALL)).values["image"]
    some = open_data(FacesData(**SMALL, limit=5)).values["image"]
    assert torch.equal(some, whole[:5])
    assert len(open_data(FacesData(**SMALL, limit=5), "test")) == 40


def test_parts_and_seeds_have_no_face_in_common():
    sets = [
        open_data(FacesData(**SMALL)),
        open_data(FacesData(**SMALL, seed=1)),
        open_data(FacesData(**SMALL), "test"),
    ]
    first = [rows.values["image"][:12] for rows in sets]
    for i, one in enumerate(first):
        for other in first[i + 1 :]:
            assert (one != other).flatten(1).any(1).all()


def test_attributes_exclude_each_other_as_their_column_says():
    rows = attributes.rows(parameters.drawn(0, "train", range(600)))
    assert conflicts(reader.attributes(), torch.from_numpy(rows)) == []
    shares = rows.mean(0)
    assert shares.min() > 0.05
    assert shares.max() < 0.6


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", DRAWN_NAMES)
def test_an_edit_of_a_face_changes_its_row_as_the_rules_of_the_column_do(name, on):
    faces = parameters.drawn(0, "test", range(400))
    rows = attributes.rows(faces)
    faces = faces.at(rows[:, DRAWN_NAMES.index(name)] != on)
    before = torch.from_numpy(attributes.rows(faces))
    edited = torch.from_numpy(attributes.rows(attributes.switched(faces, name, on)))
    assert len(edited) > 20
    assert torch.equal(edited, switched(reader.attributes(), before, name, on))


def test_counterfactuals_hold_the_face_before_and_after_with_what_can_be_known():
    data = FacesData(**SMALL)
    rows = open_data(data, "counterfactual")
    assert data.splits == ("train", "test", "counterfactual")
    assert [*rows.columns] == [
        *("image", "attributes", "target", "target_attributes", "edited", "to", "truth")
    ]
    assert len(rows) == 13 * 2 * 2
    values = rows.values
    for i, name in enumerate(DRAWN_NAMES):
        mine = values["edited"] == i
        assert values["to"][mine].tolist() == [0, 0, 1, 1]
        assert values["target_attributes"][mine, i].tolist() == [0, 0, 1, 1], name
    test = open_data(data, "test").values["image"]
    assert all((test == image).flatten(1).all(1).any() for image in values["image"])
    assert (values["image"] != values["target"]).flatten(1).any(1).all()


def test_what_an_edit_brings_to_light_is_one_of_several():
    rows = open_data(FacesData(**{**SMALL, "test_count": 400, "edits": 12}), "counterfactual")
    share = {}
    for i, name in enumerate(DRAWN_NAMES):
        for to in (0, 1):
            mine = (rows.values["edited"] == i) & (rows.values["to"] == to)
            share[name, bool(to)] = rows.values["truth"][mine].float().mean().item()
    never = {("Bald", False), ("Wearing_Hat", True), ("Wearing_Hat", False), ("Long_Hair", True)}
    never |= {("Sunglasses", False)} | {(f"{c}_Hair", False) for c in ("Black", "Blond", "Brown")}
    always = {("Long_Hair", False), ("Sunglasses", True), ("Eyeglasses", False), ("Beard", False)}
    always |= {("Mustache", False), ("Winking", False)}
    always |= {(name, on) for name in ("Smiling", "Mouth_Open") for on in (True, False)}
    assert {key for key, value in share.items() if value == 0} >= never
    assert {key for key, value in share.items() if value == 1} >= always
    # A brim hides the eyebrows, and with them the colour of a beard to come.
    assert all(share[name, True] > 0.8 for name in ("Bald", "Beard", "Mustache"))
    assert all(share[f"{color}_Hair", True] > 0.4 for color in ("Black", "Blond", "Brown"))
    assert share["Winking", True] > 0.5


def test_two_styles_are_unpaired_in_training_and_counterparts_for_the_evaluator():
    data = FacesData(**SMALL, other_style="ink")
    rows = open_data(data)
    assert [*rows.columns] == ["image_a", "image_b"]
    assert rows.epoch_size == 12
    soft = open_data(FacesData(**SMALL)).values["image"]
    ink = open_data(FacesData(**SMALL, style="ink")).values["image"]
    assert torch.equal(rows.a.read(range(12))["image_a"], soft)
    b = rows.b.read(range(12))["image_b"]
    assert not any((b == one).flatten(1).all(1).any() for one in ink)
    assert data.splits == ("train", "test", "truth")
    truth = open_data(data, "truth")
    assert [*truth.columns] == ["image_a", "image_b"]
    assert len(truth) == 40
    found = truth.read(range(40))
    assert torch.equal(found["image_a"], open_data(FacesData(**SMALL), "test").values["image"])
    ink = open_data(FacesData(**SMALL, style="ink"), "test").values["image"]
    assert torch.equal(found["image_b"], ink)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"image_size": 16}, "faces are drawn with 32 to 128 px"),
        ({"image_size": [32, 64]}, "square"),
        ({"style": "ink", "other_style": "ink"}, "name another one"),
        ({"masks": True, "other_style": "ink"}, "two styles give pictures only"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
    with pytest.raises(ValidationError, match=said):
        FacesData(**settings)


def test_a_part_that_does_not_exist_is_refused():
    with pytest.raises(DataError, match="no truth part; there are: train, test, counterfactual"):
        open_data(FacesData(**SMALL), "truth")


def test_a_reference_can_name_a_style():
    rows = open_reference("faces:ink:test", like=FacesData(**SMALL))
    ink = open_data(FacesData(**SMALL, style="ink"), "test")
    assert torch.equal(rows.values["image"], ink.values["image"])
    with pytest.raises(DataError, match="no style; there are soft, ink and poster"):
        open_reference("faces:oil:test")


def test_the_second_time_faces_come_from_the_cache(monkeypatch):
    data = FacesData(**{**SMALL, "train_count": 3})
    first = open_data(data)
    monkeypatch.setattr(drawing, "draw", lambda *_, **__: pytest.fail("drawn again"))
    second = open_data(data)
    assert torch.equal(first.values["image"], second.values["image"])
    assert first.fingerprint == second.fingerprint


def test_of_several_that_open_a_set_at_once_one_draws_it(monkeypatch):
    data, drawn, draw = FacesData(**{**SMALL, "train_count": 5}), [], drawing.draw

    def slowly(*arguments, **options):
        drawn.append(1)
        time.sleep(0.3)
        return draw(*arguments, **options)

    monkeypatch.setattr(drawing, "draw", slowly)
    with ThreadPoolExecutor(3) as pool:
        sets = [*pool.map(lambda _: data.open("train"), range(3))]
    assert len(drawn) == 1
    assert len({rows.fingerprint for rows in sets}) == 1


def test_a_cached_set_that_was_cut_short_is_drawn_again():
    data = FacesData(**{**SMALL, "train_count": 4})
    first = open_data(data)
    (path,) = (cache_folder() / "faces").glob("train-4-*.npz")
    path.write_bytes(path.read_bytes()[:1000])
    assert torch.equal(open_data(data).values["image"], first.values["image"])


def test_a_cache_that_cannot_be_written_is_said_and_does_not_stop(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        assert len(open_data(FacesData(**{**SMALL, "train_count": 2}))) == 2
    assert "faces are drawn anew each time" in caplog.text


def test_pairs_are_the_same_faces_in_two_styles_and_share_their_mirroring():
    asked = FacesData(**SMALL, style="ink", other_style="soft", pairs=True)
    rows, unpaired = open_data(asked), open_data(FacesData(**SMALL, style="ink"))
    assert list(rows.columns) == ["source", "target"]
    assert len(rows) == rows.epoch_size == 12
    found = rows.read(range(12), None)
    assert torch.equal(found["source"], unpaired.values["image"])
    soft = open_data(FacesData(**SMALL, style="soft")).values["image"]
    assert torch.equal(found["target"], soft)
    assert rows.columns["source"].of == rows.columns["target"].of
    truth = open_data(asked, "truth").read(range(3), ("image_a", "image_b"))
    test = open_data(asked, "test").read(range(3), ("source", "target"))
    assert torch.equal(truth["image_a"], test["source"])
    assert torch.equal(truth["image_b"], test["target"])


def test_pairs_of_one_style_are_refused():
    with pytest.raises(ValidationError, match="a pair is one face in two styles"):
        FacesData(**SMALL, pairs=True)
