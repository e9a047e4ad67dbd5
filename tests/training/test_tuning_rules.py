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
