"""Learning-rate factors at the points where they are known."""

import math

import pytest

from genkit.training.config import OptimConfig
from genkit.training.schedules import lr_factor


def factors(steps: int, **options) -> list[float]:
    return [lr_factor(OptimConfig(**options), step, steps) for step in range(steps)]


def test_constant_stays_at_one():
    assert factors(5) == [1.0] * 5


def test_warm_up_rises_linearly_to_one():
    assert factors(6, warmup_steps=3) == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_linear_falls_so_that_the_step_after_the_last_has_zero():
    assert factors(4, schedule="linear") == [1.0, 0.75, 0.5, 0.25]
    assert factors(4, schedule="linear", constant_steps=2) == [1.0, 1.0, 1.0, 0.5]


def test_cosine_is_half_way_in_the_middle():
    found = factors(8, schedule="cosine")
    assert found[0] == 1.0
    assert math.isclose(found[4], 0.5)
    assert math.isclose(found[2], (1 + math.cos(math.pi / 4)) / 2)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_factors_lie_between_zero_and_one(schedule):
    found = factors(50, schedule=schedule, warmup_steps=7, constant_steps=5)
    assert all(0 <= f <= 1 for f in found)


def test_exponential_divides_by_the_same_number_every_step():
    found = factors(4, schedule="exponential", lr_decay=2.0, constant_steps=1)
    assert found == [1.0, 1.0, 0.5, 0.25]
