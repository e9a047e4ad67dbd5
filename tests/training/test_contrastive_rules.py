"""Each finding about pictures and texts: rows in which it is there, and rows in which it is not."""

from __future__ import annotations

import pytest

from genkit.training.diagnosis import GRACE, History, diagnose

SETTINGS = {"loss.largest_scale": 100.0}
SOUND = {
    "accuracy/clip": 0.6,
    "guessing/clip": 1 / 128,
    "equal/clip": 0.02,
    "scale/clip": 40.0,
    "rank/clip": 0.3,
}
ILL = {
    "no-contrast": {"accuracy/clip": 0.01},
    "clamped-temperature": {"scale/clip": 99.9},
    "low-rank": {"rank/clip": 0.02},
    "equal-captions": {"equal/clip": 0.9},
}


def names(changes, looks=3, after=GRACE, settings=SETTINGS):
    steps = range(after + 1, after + 6)
    rows = [
        {"step": step, **SOUND, **(changes if step > after + 5 - looks else {})} for step in steps
    ]
    return [finding.name for finding in diagnose(History(rows, settings))]


@pytest.mark.parametrize("name", ILL)
def test_it_is_found_where_three_looks_agree_and_not_before(name):
    assert names(ILL[name]) == [name]
    assert names(ILL[name], looks=2) == []


def test_sound_numbers_have_no_finding():
    assert names({}) == []


@pytest.mark.parametrize("name", ["no-contrast", "clamped-temperature", "low-rank"])
def test_the_first_steps_are_left_out(name):
    assert names(ILL[name], after=GRACE - 10) == []


def test_equal_captions_are_said_from_the_start():
    assert names(ILL["equal-captions"], after=0) == ["equal-captions"]


def test_where_guessing_finds_much_twice_of_it_is_asked_for():
    # Half of the texts are equal: finding 40 % is no feat.
    assert "no-contrast" in names({"accuracy/clip": 0.4, "guessing/clip": 0.25})
    assert "no-contrast" not in names({"accuracy/clip": 0.6, "guessing/clip": 0.25})


def test_the_largest_value_is_that_of_the_run():
    assert names({"scale/clip": 99.9}, settings={"loss.largest_scale": 200.0}) == []


def test_of_a_run_that_learns_nothing_it_is_said_that_it_learns_nothing():
    assert names({"accuracy/clip": 0.01, "rank/clip": 0.02}) == ["no-contrast"]
