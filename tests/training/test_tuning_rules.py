"""A loss on test pictures that rises again is said, and one that falls is not."""

from __future__ import annotations

import pytest

from genkit.training.diagnosis import History, diagnose


def findings(values, settings=None):
    rows = [{"step": 100 * i, "held-out/middle": value} for i, value in enumerate(values, 1)]
    return diagnose(History(rows, settings or {}))


@pytest.mark.parametrize("values", [[0.5, 0.4, 0.3, 0.3], [0.5, 0.4, 0.41, 0.405], [0.4, 0.5]])
def test_a_loss_that_falls_or_stands_is_no_finding(values):
    assert not findings(values)


def test_a_loss_that_rises_again_names_the_step_and_the_rank():
    (found,) = findings([0.5, 0.4, 0.43, 0.44], {"model.learn.rank": 16})
    assert found.name == "learnt-by-heart"
    assert "at middle noise was 0.4 at step 200 and is 0.44 now" in found.text
    assert "a model.learn.rank below 16" in found.text
    (plain,) = findings([0.5, 0.4, 0.43, 0.44])
    assert "rank" not in plain.text


# -- near copies -----------------------------------------------------------------------------------


def copies(*rates, settings=None):
    rows = [{"step": 100 * i, "near-copies/rate": rate} for i, rate in enumerate(rates, 1)]
    return diagnose(History(rows, settings or {}))


@pytest.mark.parametrize("rates", [[0, 0, 0], [0.5], [0.5, 0.1], [0, 0.5, 0.2, 0.5]])
def test_few_near_copies_or_those_of_one_preview_are_no_finding(rates):
    assert not copies(*rates)


def test_previews_that_copy_training_pictures_say_since_when_and_what_to_do():
    (found,) = copies(0, 0, 0.25, 0.5, settings={"model.learn.rank": 16})
    assert found.name == "copied-pictures"
    assert "50 % of the previews (at step 100 it was 0 %) are near copies" in found.text
    assert "a model.learn.rank below 16" in found.text
    (always,) = copies(1.0, 1.0)
    assert "100 % of the previews are near copies" in always.text
