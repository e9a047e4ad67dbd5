"""Learning-rate factors at the points where they are known."""

import math
from pathlib import Path

import pytest

from genkit.family import load_config
from genkit.training.config import OptimConfig
from genkit.training.schedules import lr_factor

CONFIGS = Path(__file__).parents[2] / "configs"


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


def test_a_share_of_the_run_scales_with_its_steps():
    share = factors(4, schedule="linear", constant=0.5)
    assert share == factors(4, schedule="linear", constant_steps=2)
    assert OptimConfig(constant=0.29).flat_steps(100) == 29
    assert OptimConfig(constant=0.6154, warmup_steps=3).flat_steps(1) == 3  # a step is left


# Steps at the full rate of the shipped runs as they were measured.
MEASURED = {
    "cgan/glyphs": 2_200,
    "cgan/mnist": 6_000,
    "dcgan/stacked": 4_000,
    "ddpm/folder": 150 + 800,
    "ddpm/glyphs": 150 + 550,
    "ddpm/mnist-fast": 200 + 750,
    "ddpm/mnist": 200 + 2_000,
}


@pytest.mark.parametrize("name", MEASURED)
def test_the_share_of_a_shipped_config_is_the_number_of_steps_that_was_measured(name):
    config = load_config(CONFIGS / f"{name}.yaml", [])
    assert config.optim.flat_steps(config.trainer.steps) == MEASURED[name]


@pytest.mark.parametrize("name", MEASURED)
def test_fewer_steps_alone_shorten_a_shipped_run(name):
    load_config(CONFIGS / f"{name}.yaml", ["trainer.steps=600"])


def test_one_thing_is_not_said_twice():
    with pytest.raises(ValueError, match="both say when the rate begins to fall; set one of"):
        OptimConfig(schedule="linear", constant=0.5, constant_steps=2)
    for settings in ({"constant": 0.0}, {"constant_steps": 0}):
        OptimConfig(**{"schedule": "linear", "constant": 0.5, "constant_steps": 2} | settings)


def test_stairs_of_an_epoch_are_those_of_cyclegans_published_code():
    # 100 epochs of 3 steps at the full rate, then 100 in which epoch e has 1 - (e - 99) / 101.
    optim = OptimConfig(schedule="linear", constant=0.5, stair_steps=3)
    found = [lr_factor(optim, step, 600) for step in range(600)]
    assert found[:300] == [1.0] * 300
    for epoch, factor in ((100, 0.9901), (150, 0.4950), (199, 0.0099)):
        assert found[3 * epoch : 3 * epoch + 3] == pytest.approx([factor] * 3, abs=5e-5)


def test_stairs_that_do_not_divide_the_fall_stay_within_zero_and_one():
    optim = OptimConfig(schedule="linear", constant_steps=3, stair_steps=4)
    found = [lr_factor(optim, step, 12) for step in range(12)]
    assert found == sorted(found, reverse=True)
    assert min(found) > 0


def test_stairs_without_a_linear_fall_are_refused():
    with pytest.raises(ValueError, match="stair_steps=3 says nothing to schedule=cosine"):
        OptimConfig(schedule="cosine", stair_steps=3)
