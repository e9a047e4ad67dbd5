"""One step of any scheduler: what it is shown, what it takes of the network's output, and a trial.

Legend: B batch, C channels.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from genkit.errors import PipelineError, shown
from genkit.pipelines import schedulers
from genkit.pipelines.sampling import Sampling

log = logging.getLogger("genkit")

_OVERSHOOT = 40.0
# What diffusers' schedulers raise, only once they run, on options that make no sense to them.
_CHOKES = (
    *(ValueError, TypeError, IndexError, KeyError, AttributeError, ArithmeticError),
    *(RuntimeError, AssertionError, NotImplementedError),
)


def network_input(scheduler: Any, x: Tensor, time: Tensor) -> Tensor:
    """x (B, C, H, W) as the network sees it."""
    scales = hasattr(scheduler, "scale_model_input")
    return scheduler.scale_model_input(x, time) if scales else x


def step(scheduler: Any, output: Tensor, time: Tensor, x: Tensor, **extra: Any) -> Tensor:
    """The next x (B, C, H, W), by the network's output (B, C or 2C, H, W)."""
    learned = str(scheduler.config.get("variance_type", "")).startswith("learned")
    taken = output if learned else output[:, : x.shape[1]]
    try:
        following: Tensor = scheduler.step(taken, time, x, **extra).prev_sample
    except torch.OutOfMemoryError:
        raise
    except _CHOKES as error:
        raise PipelineError(
            f"{type(scheduler).__name__}: its step at time {float(time):g} fails ({_why(error)}); "
            "choose another scheduler, or leave its options out"
        ) from error
    return following


def step_back(scheduler: Any, output: Tensor, place: int, x: Tensor) -> Tensor:
    """x (B, C, H, W) before a step of a deterministic scheduler, by x after it.

    Args:
        scheduler: An `ExactDDIMScheduler`, or diffusers' Euler steps of a flow.
        output: (B, C or 2C, H, W) of the network for `x` at the time of the step.
        place: Of the step, from 0, the noisiest.
        x: After it.
    """
    taken = output[:, : x.shape[1]]
    if hasattr(scheduler, "step_back"):
        before: Tensor = scheduler.step_back(taken, scheduler.timesteps[place], x)
        return before
    length = scheduler.sigmas[place] - scheduler.sigmas[place + 1]
    return x + length.to(x.device) * taken


def step_arguments(
    scheduler: Any, eta: float | None, generators: Sequence[torch.Generator]
) -> dict[str, Any]:
    """Further arguments of a scheduler's step: a generator for each image, eta if there is one."""
    accepted = inspect.signature(scheduler.step).parameters
    keyed: dict[str, Any] = {"generator": [*generators]} if "generator" in accepted else {}
    return keyed if eta is None else keyed | {"eta": eta}


def check_options(scheduler: Any, sampling: Sampling, channels: int, outputs: int) -> None:
    """Raise unless a scheduler with options of the user's takes its first steps to finite numbers.

    Many options are looked at only when a scheduler runs, and then its own errors say nothing of
    where they come from.

    Args:
        scheduler: Made for `sampling`; it is used up.
        sampling: The options of a call.
        channels: C.
        outputs: Channels of the network's output.
    """
    if not sampling.options:
        return
    why = "leads to numbers that are not finite"
    try:
        finite = _runs(scheduler, sampling, channels, outputs)
    except PipelineError as error:
        finite, why = False, _why(error.__cause__ or error)
    except _CHOKES as error:
        finite, why = False, _why(error)
    if not finite:
        given = ", ".join(f"{name}={value}" for name, value in sampling.options.items())
        raise PipelineError(
            f"scheduler {sampling.scheduler}: does not run with {given} ({why}); leave that out or "
            "choose another value"
        )


def warn_of_overshoot(exported: Any, sampling: Sampling) -> None:
    """Say, once in a process, where Heun's method begins with a step that it can't take.

    On the cosine schedule pure noise has sigma 20,000, and the next of a few steps 13. Heun's
    correction multiplies what the network changes its mind by between the two, some 1 / sigma_1, by
    sigma_0 / sigma_1. Measured on Gaussian data of deviation .25: beyond 40 for sigma_0 /
    sigma_1^2 the images come out a twentieth to four times too varied.

    Args:
        exported: The scheduler of the model's process.
        sampling: The options of a call.
    """
    if sampling.scheduler != "heun" or not _overshoots(exported, sampling, sampling.steps):
        return
    trained = exported.config["num_train_timesteps"]
    enough = next((n for n in range(10, trained, 10) if not _overshoots(exported, sampling, n)), 0)
    more = f"give {enough} steps or more, " if enough > sampling.steps else ""
    _say(
        f"heun overshoots in {sampling.steps} steps on this model's schedule, so its images come "
        f"out too varied: {more}or take scheduler dpmsolver++"
    )


@cache
def _say(text: str) -> None:
    log.warning(text)


def _overshoots(exported: Any, sampling: Sampling, steps: int) -> bool:
    made = sampling.make(exported)
    schedulers.set_steps(made, steps, torch.device("cpu"))
    levels = made.sigmas[1::2]  # each but the first stands there twice
    first, second = float(made.sigmas[0]), float(levels[0])
    return second > 0 and first / second**2 > _OVERSHOOT


def _why(error: BaseException) -> str:
    return shown(" ".join(str(error).split()), 200) or type(error).__name__


def _runs(scheduler: Any, sampling: Sampling, channels: int, outputs: int) -> bool:
    """Whether numbers are finite after two steps, or as many as there are; takes all of them."""
    generators = [torch.Generator().manual_seed(0)]
    extra = step_arguments(scheduler, sampling.step_eta, generators)
    schedulers.set_steps(scheduler, sampling.steps, torch.device("cpu"))
    x = torch.randn(1, channels, 4, 4, generator=generators[0])
    x = x * getattr(scheduler, "init_noise_sigma", 1.0)
    finite = bool(scheduler.timesteps.isfinite().all())
    for done, time in enumerate(scheduler.timesteps):
        seen = network_input(scheduler, x, time)
        output = torch.zeros(1, outputs, 4, 4)
        output[:, :channels] = seen / 2
        x = step(scheduler, output, time, x, **extra)
        if done < 2 * getattr(scheduler, "order", 1):
            finite = finite and bool(x.isfinite().all())
        else:
            x = x.nan_to_num(0).clamp(-1, 1)  # no model goes on like this: only indices count now
    return finite
