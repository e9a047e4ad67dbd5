"""Scene-score: every kind of claim by hand, drawn scenes by their own captions, and wrong ones."""

from __future__ import annotations

import pytest
import torch

from genkit.data.readers.scenes import ScenesData
from genkit.data.scenes.captions import claims
from genkit.data.scenes.things import Scene, Thing
from genkit.errors import EvaluationError
from genkit.evaluation import evaluate
from genkit.evaluation.scenes import judged, kind_of
from genkit.rows.base import MemoryRows

RED = Thing("star", "red", "small", 0.2, 0.5, 0.16, 0.0)
BLUE = Thing("ring", "blue", "big", 0.7, 0.5, 0.23, 0.0)
BOTH = Scene("two", (RED, BLUE), "grey")
TWO = "a small red star left of a big blue ring on grey"


def wrong(text: str, scene: Scene = BOTH) -> set[str]:
    return {name for name, right in judged(claims(text), scene).items() if not right}


@pytest.mark.parametrize(
    ("text", "failing"),
    [
        (TWO, set()),
        ("a red star and a blue ring", set()),
        ("a big red star left of a big blue ring on grey", {"sizes"}),
        ("a small red star right of a big blue ring on grey", {"place"}),
        ("a small red star left of a big blue ring on white", {"ground"}),
        ("a blue star and a red ring", {"pairs"}),
        ("a red heart and a blue ring", {"shapes", "pairs"}),
        ("a red star", {"count"}),
        ("two red stars", {"shapes", "colours", "pairs"}),
    ],
)
def test_each_claim_is_judged_by_itself(text, failing):
    assert wrong(text) == failing


def test_what_is_not_told_is_not_judged():
    assert judged(claims("a red star"), BOTH).keys() == {"count", "shapes", "colours", "pairs"}
    assert judged(claims(TWO), BOTH).keys() >= {"sizes", "place", "ground"}


def test_kinds_of_captions():
    kinds = ["one", "two", "alike", "three"]
    texts = ["a red star", TWO, "three red stars", "a red star, a blue ring and a pink moon"]
    assert [kind_of(claims(text)) for text in texts] == kinds


@pytest.fixture(scope="module")
def rows():
    return ScenesData(train_count=2, test_count=200).open("test")


def scores(samples, reference):
    found = evaluate(samples, reference, extractors=["scenes"], metrics=["scene-score"])
    return {value.name: value for value in found.metrics}


def test_drawn_scenes_show_what_their_captions_tell(rows):
    found = scores(rows, rows)
    whole = found["scene-score"]
    assert whole.value >= 0.99
    assert whole.floor == whole.value  # what the reader itself misses
    assert whole.low < whole.value <= whole.high
    assert {"scene-score-two", "scene-score-place", "scene-score-ground"} <= found.keys()
    assert found["scene-score-two"].protocol["captions"] < 200


def test_pictures_of_other_captions_score_what_chance_gives(rows):
    raw = rows.read(range(200))
    turned = MemoryRows(
        "turned",
        rows.columns,
        {**raw, "image": torch.roll(torch.as_tensor(raw["image"]), 1, 0)},
    )
    found = scores(turned, rows)
    assert found["scene-score"].value < 0.03
    assert found["scene-score"].floor >= 0.99
    assert 0.1 < found["scene-score-ground"].value < 0.45
    assert 0.2 < found["scene-score-count"].value < 0.6


def test_other_captions_are_refused(rows):
    raw = rows.read(range(8))
    strange = MemoryRows(
        "strange",
        {"image": rows.columns["image"], "caption": rows.columns["caption"]},
        {"image": raw["image"], "caption": ["a dog on a beach"] * 8},
    )
    with pytest.raises(EvaluationError, match=r"scene-score: .* tells of no things"):
        scores(strange, rows)
