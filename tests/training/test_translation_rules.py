"""Each finding about translators: rows in which it is there, and rows in which it is not."""

from __future__ import annotations

import pytest

from genkit.training.diagnosis import GRACE, History, diagnose

SOUND = {
    f"{way}/{name}": value
    for way in ("a_to_b", "b_to_a")
    for name, value in {
        "change": 0.7,
        "approach": 0.8,
        "variety": 0.9,
        "luminance": 0.6,
        "checkerboard": 1.2,
        "cycle": 0.04,
        "cycle-jpeg": 0.05,
        "hidden": 0.7,
    }.items()
}
ILL = {
    "copied-input": {"b_to_a/change": 0.05, "b_to_a/approach": 0.1},
    "hidden-detail": {"a_to_b/hidden": 8.0, "a_to_b/cycle-jpeg": 0.2},
    "dead-direction": {"b_to_a/variety": 0.02},
    "inverted-colours": {"a_to_b/luminance": -0.4},
    "checkerboard": {"b_to_a/checkerboard": 6.0},
}
HALF = {  # of a condition: no finding
    "a change may be small where the picture arrives": {"b_to_a/change": 0.05},
    "nobody need come nearer by means and edges": {"b_to_a/approach": -0.2},
    "a cycle may amplify what makes no difference": {"a_to_b/hidden": 8.0},
    "a cycle may be worse behind a rough JPEG": {"a_to_b/cycle-jpeg": 0.2},
}


def names(changes: dict[str, float], previews: int = 2, after: int = GRACE) -> list[str]:
    steps = range(after + 1, after + 4 + previews)
    rows = [{"step": step, **SOUND, **(changes if step > after + 3 else {})} for step in steps]
    return [finding.name for finding in diagnose(History(rows))]


@pytest.mark.parametrize("name", ILL)
def test_it_is_found_where_two_previews_agree(name):
    assert names(ILL[name]) == [name]


@pytest.mark.parametrize("name", ILL)
def test_it_is_not_found_at_first_sight_nor_in_the_first_steps(name):
    assert names(ILL[name], previews=1) == []
    assert names(ILL[name], after=0) == []


@pytest.mark.parametrize("changes", HALF.values(), ids=HALF)
def test_half_of_a_condition_is_no_finding(changes):
    assert names(changes) == []


def test_colours_that_the_right_answers_invert_too_are_no_finding():
    wanted = {"a_to_b/luminance": -0.4, "a_to_b/luminance-wanted": -0.5}
    assert names(wanted) == []
    assert names(wanted | {"a_to_b/luminance": -0.8}) == ["inverted-colours"]


@pytest.mark.parametrize("name", ILL)
def test_each_sentence_names_the_way_what_was_seen_and_what_to_change(name):
    rows = [{"step": GRACE + i, **SOUND, **ILL[name]} for i in (1, 2)]
    (finding,) = diagnose(History(rows))
    assert next(iter(ILL[name])).partition("/")[0] in finding.text
    assert any(character.isdigit() for character in finding.text)
    assert "model." in finding.text


def test_critics_of_patches_that_are_always_right_are_no_finding_of_a_translator():
    sure = {"critic_a/accuracy": 1.0, "critic_a/margin": 14.0}
    steps = range(GRACE + 1, GRACE + 6)
    alone = [{"step": step, **sure} for step in steps]
    assert [f.name for f in diagnose(History(alone))] == ["overwhelming-critic"]
    assert diagnose(History([{**row, **SOUND} for row in alone])) == []
