"""`kind: scenes`: pictures, captions and what is shown, drawn once."""

from __future__ import annotations

import json
from itertools import islice

import pytest
import torch

from genkit.config import to_tree
from genkit.data import Loader, open_data, open_reference
from genkit.data.readers.scenes import ScenesData
from genkit.data.scenes.captions import claims
from genkit.data.scenes.things import UNSEEN, Scene
from genkit.errors import ConfigError
from genkit.family import resolve
from genkit.files import cache_folder

SMALL = {"image_size": 32, "train_count": 40, "test_count": 20}


def test_pictures_captions_and_scenes_belong_together():
    data = ScenesData(**SMALL)
    assert list(open_data(data).columns) == ["image", "caption"]
    rows = open_data(data, "test")
    assert list(rows.columns) == ["image", "caption", "scene"]
    found = rows.read(range(20), None)
    assert found["image"].shape == (20, 3, 32, 32)
    for said, shown in zip(found["caption"], found["scene"], strict=True):
        scene = Scene.from_tree(json.loads(shown))
        assert len(said) == 5
        assert all(claims(text).holds(scene) for text in said)


def test_a_scene_stays_the_same_whatever_is_drawn_beside_it():
    few, many = (open_data(ScenesData(**{**SMALL, "train_count": n})) for n in (10, 40))
    for name in ("image", "caption"):
        one, other = (rows.read(range(10), (name,))[name] for rows in (few, many))
        assert torch.equal(one, other) if name == "image" else one == other


def test_parts_differ_and_the_unseen_one_alone_has_held_out_pairs():
    data = ScenesData(**SMALL)
    pairs, told = {}, {}
    for split in data.splits:
        told[split] = [
            claims(c[0]) for c in open_data(data, split).read(range(20), ("caption",))["caption"]
        ]
        pairs[split] = [{(t.color, t.shape) for t in each.things} for each in told[split]]
    assert not any(each & UNSEEN for split in ("train", "test") for each in pairs[split])
    assert all(each & UNSEEN for each in pairs["unseen"])
    assert told["train"] != told["test"]


def test_foils_are_wrong_by_colours_or_by_place_and_name_no_held_out_pair():
    data = ScenesData(**{**SMALL, "train_count": 400}, foils=True)
    rows = open_data(data).read(range(400), ("caption", "foil"))
    kinds = set()
    for said, foils in zip(rows["caption"], rows["foil"], strict=True):
        assert len(foils) == len(said)
        for text, foil in zip(said, foils, strict=True):
            right = claims(text)
            assert (len(right.things) == 2) >= bool(foil)
            if not foil:
                continue
            wrong = claims(foil)
            assert not {(t.color, t.shape) for t in wrong.things} & UNSEEN
            moved = wrong.relation != right.relation
            colors = [t.color for t in right.things]
            assert [t.color for t in wrong.things] == (colors if moved else colors[::-1])
            assert wrong != right
            assert " a orange" not in foil
            kinds.add(moved)
    assert kinds == {True, False}
    assert (
        sum(bool(foil) for foils in rows["foil"] for foil in foils) > 600
    )  # of 2,000; two in five scenes are of two


def test_a_step_draws_a_caption_and_its_own_foil():
    data = ScenesData(**SMALL, foils=True, batch_size=8)
    rows = open_data(data)
    held = rows.read(range(len(rows)), ("caption", "foil"))
    seen = 0
    for (batch,) in islice(Loader(rows, data, 0).steps(), 10):
        for index, said, foil in zip(batch["index"], batch["caption"], batch["foil"], strict=True):
            assert foil == held["foil"][index][held["caption"][index].index(said)]
            seen += bool(foil)
    assert seen > 10


def test_every_scene_of_unseen_pairs_has_one_for_an_adapter_to_learn():
    data = ScenesData(**SMALL, pairs="unseen")
    said = open_data(data).read(range(40), ("caption",))["caption"]
    shown = open_data(data, "test").read(range(20), ("scene",))["scene"]
    assert all({(t.color, t.shape) for t in claims(texts[0]).things} & UNSEEN for texts in said)
    assert all(
        {t.pair for t in Scene.from_tree(json.loads(each)).things} & UNSEEN for each in shown
    )


def test_a_reference_names_the_pairs_that_occur():
    rows = open_reference("scenes:all:test")
    shown = rows.read(range(2_000), ("scene",))["scene"]
    assert any(t.pair in UNSEEN for each in shown for t in Scene.from_tree(json.loads(each)).things)


def test_one_caption_of_several_is_drawn_for_each_step():
    data = ScenesData(**SMALL, batch_size=40)
    loader = Loader(rows := open_data(data), data, seed=0)
    known = rows.read(range(40), ("caption",))["caption"]
    ((first,), (second,)) = islice(loader.steps(0), 2)
    for batch in (first, second):
        assert all(
            text in known[i] for i, text in zip(batch["index"], batch["caption"], strict=True)
        )
    by_row = [dict(zip(b["index"].tolist(), b["caption"], strict=True)) for b in (first, second)]
    assert 5 < sum(by_row[0][i] == by_row[1][i] for i in range(40)) < 20
    assert len({known[i].index(text) for i, text in by_row[0].items()}) == 5


def test_it_is_drawn_once_and_read_from_the_cache(monkeypatch):
    from genkit.data.scenes import drawing

    data = ScenesData(**{**SMALL, "train_count": 7})
    first = open_data(data)
    assert len([*(cache_folder() / "scenes").glob("train-7-*.npz")]) == 1
    monkeypatch.setattr(drawing, "picture", None)
    assert torch.equal(open_data(data).values["image"], first.values["image"])


@pytest.mark.parametrize(
    ("given", "said"),
    [({"image_size": 16}, "32 to 128 px"), ({"flip": True}, "left of what its caption says")],
)
def test_what_can_not_be_drawn_is_refused(given, said):
    with pytest.raises(ConfigError, match=said):
        resolve({"family": "dcgan", "data": {"kind": "scenes", **given}}, "it")


def test_the_settings_of_a_run_hold_it():
    config = resolve({"family": "dcgan", "data": {"kind": "scenes"}}, "it")
    assert to_tree(config)["data"]["captions"] == 5
