"""What is compared with what, and the ratio that each arm must reach."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One side of a comparison.

    Attributes:
        label: What the table calls it.
        function: "module.name" in this package.
        arguments: Its keyword arguments.
        environment: Variables of its process.
        bar: Times as fast as the baseline it must be; None = for information.
    """

    label: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    bar: float | None = None


@dataclass(frozen=True)
class Comparison:
    """A baseline, and arms that do the same work.

    Attributes:
        name: For `--only`.
        work: What is timed.
        baseline: What the others are compared with.
        arms: The others.
    """

    name: str
    work: str
    baseline: Arm
    arms: tuple[Arm, ...]


ONE_THREAD = {"OMP_NUM_THREADS": "1"}  # what one core loads while the others train


def _step(size: int, fp32_bar: float, laps: int) -> Comparison:
    same = {"size": size, "laps": laps}
    fp32 = same | {"settings": {"trainer": {"precision": "fp32"}}}
    return Comparison(
        f"step-{size}",
        f"DCGAN training step, {size} px, batch 64",
        Arm("plain loop, fp32", "step.plain", same),
        (
            Arm("genkit, fp32", "step.trained", fp32, bar=fp32_bar),
            Arm("genkit, default", "step.trained", same, bar=1.6),
        ),
    )


def _input(name: str, work: str, *, stored: int | None = None, **shape: Any) -> Comparison:
    return Comparison(
        f"input-{name}",
        f"one image of a batch of 64, {work}",
        Arm("PIL transforms", "input.per_image", shape | {"stored": stored}, ONE_THREAD),
        (Arm("genkit", "input.in_memory", shape, ONE_THREAD, bar=30.0),),
    )


def _average(size: str, weights: str, bar: float) -> Comparison:
    return Comparison(
        f"average-{size}",
        f"moving average of {weights} weights",
        Arm("diffusers EMAModel", "average.diffusers", {"size": size}),
        (
            Arm("the same, foreach", "average.diffusers", {"size": size, "foreach": True}),
            Arm("genkit", "average.genkit", {"size": size}, bar=bar),
        ),
    )


def _monitor(size: int, laps: int) -> Comparison:
    same = {"size": size, "laps": laps}
    every_step = same | {"settings": {"trainer": {"log_every": 1}}}
    return Comparison(
        "monitor",
        f"DCGAN training step, {size} px, batch 64, default precision",
        Arm("not logged", "step.trained", same | {"logged": False}),
        (Arm("logged and monitored at each step", "step.trained", every_step),),
    )


def _processes(size: int, laps: int) -> Comparison:
    fp32 = {"trainer": {"precision": "fp32"}}
    same = {"size": size, "laps": laps, "settings": fp32}
    all_cores = {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": str(os.cpu_count())}
    return Comparison(
        "processes",
        f"DCGAN training step, {size} px, global batch 64, fp32, CPU",
        Arm("one process", "processes.one", same, all_cores),
        (Arm("two, half the threads each", "processes.two", same, bar=0.95),),
    )


COMPARISONS = (
    _step(32, 1.20, laps=20),
    _step(64, 1.10, laps=6),
    _input("grey-28", "28 px grey", size=28, channels=1),
    _input("grey-32", "28 px grey resized to 32", stored=28, size=32, channels=1),
    _input("grey-32-flip", "the same, flipped", stored=28, size=32, channels=1, flip=True),
    _input("colour-32", "32 px colour", size=32, channels=3),
    _input("colour-32-flip", "the same, flipped", size=32, channels=3, flip=True),
    _average("small", "4.4 M", 5.0),
    _average("cifar10", "35.7 M", 2.5),
    _monitor(32, laps=20),
    _processes(64, laps=6),
)
