"""Schedulers by name: which solver fits what a network was trained to predict.

They are classes of diffusers, or of ours in the same form.

A network trained on timesteps (epsilon, sample, v), on EDM's noise levels or on a flow is denoised
by schedulers of its own kind; `make` refuses the others and names those that fit.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import torch
from torch import Tensor

from genkit.errors import PipelineError
from genkit.noise.levels import FLOW_TIME, Level
from genkit.noise.predictions import Prediction

Kind = Literal["timesteps", "edm", "flow"]
_ALL = ("epsilon", "sample", "v_prediction")


@dataclass(frozen=True)
class Solver:
    """A scheduler's class, and what it is for.

    Attributes:
        name: The class.
        kind: Of networks that it denoises.
        what: In words.
        predictions: Those it takes, of a network trained on timesteps.
        options: What sets it apart from others of its class.
        evaluations: Of the network per step.
        module: That has the class.
    """

    name: str
    kind: Kind
    what: str
    predictions: tuple[str, ...] = _ALL
    options: Mapping[str, Any] = field(default_factory=dict)
    evaluations: int = 1
    module: str = "diffusers"


SOLVERS: dict[str, Solver] = {
    "ddpm": Solver(
        "DDPMScheduler", "timesteps", "ancestral, for as many steps as trained: Ho 2020, alg. 2"
    ),
    "ddim": Solver(
        "ExactDDIMScheduler",
        "timesteps",
        "order 1; eta=1 adds noise: Song 2021",
        module="genkit.pipelines.ddim",
    ),
    "dpmsolver++": Solver("DPMSolverMultistepScheduler", "timesteps", "order 2: Lu 2022, alg. 2"),
    "dpmsolver++_sde": Solver(
        "DPMSolverMultistepScheduler",
        "timesteps",
        "order 2 with noise: Lu 2022",
        options={"algorithm_type": "sde-dpmsolver++"},
    ),
    "unipc": Solver("UniPCMultistepScheduler", "timesteps", "order 2, corrected to 3: Zhao 2023"),
    "deis": Solver("DEISMultistepScheduler", "timesteps", "order 2 exponential: Zhang 2022"),
    "euler": Solver("EulerDiscreteScheduler", "timesteps", "order 1: Karras 2022"),
    "euler_a": Solver(
        "EulerAncestralDiscreteScheduler",
        "timesteps",
        "order 1 with noise",
        predictions=("epsilon", "v_prediction"),
    ),
    "heun": Solver(
        "HeunDiscreteScheduler",
        "timesteps",
        "order 2, two evaluations a step: Karras 2022, alg. 1",
        predictions=("epsilon", "v_prediction"),
        evaluations=2,
    ),
    "edm_euler": Solver("EDMEulerScheduler", "edm", "order 1: Karras 2022"),
    "edm_heun": Solver(
        "EDMHeunScheduler",
        "edm",
        "order 2, two evaluations a step; s_churn adds noise: Karras 2022, algs. 1 and 2",
        evaluations=2,
        module="genkit.pipelines.edm_heun",
    ),
    "edm_dpmsolver++": Solver("EDMDPMSolverMultistepScheduler", "edm", "order 2: Lu 2022"),
    "flow_euler": Solver("FlowMatchEulerDiscreteScheduler", "flow", "order 1: Liu 2022"),
    "flow_heun": Solver(
        "FlowMatchHeunDiscreteScheduler",
        "flow",
        "order 2, two evaluations a step",
        evaluations=2,
    ),
    "flow_dpmsolver++": Solver(
        "DPMSolverMultistepScheduler",
        "flow",
        "order 2: Lu 2022",
        options={"use_flow_sigmas": True, "prediction_type": "flow_prediction"},
    ),
}
DEFAULTS: dict[Kind, str] = {
    "timesteps": "dpmsolver++",
    "edm": "edm_dpmsolver++",
    "flow": "flow_euler",
}
# What a schedule is; the rest of a scheduler's config is how it is run.
_SCHEDULE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "timestep_spacing",
    "rescale_betas_zero_snr",
    "sigma_min",
    "sigma_max",
    "sigma_data",
    "sigma_schedule",
    "rho",
    "shift",
)
# Of that, and of what solvers add to it, what a network can't be sampled otherwise than trained.
_TRAINED = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"),
    *("prediction_type", "rescale_betas_zero_snr", "sigma_data", "use_flow_sigmas"),
)
# Other spacings of noise levels than that of timesteps.
_SPACINGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas")
# How the image that a network predicts is held to the range of images.
_QUANTILE = ("dynamic_thresholding_ratio", "sample_max_value")
_CLIPPING = ("clip_sample", "clip_sample_range", "thresholding", *_QUANTILE)


def kind_of(scheduler: Any) -> Kind:
    """What a network with this scheduler was trained on."""
    name = type(scheduler).__name__
    if name.startswith("EDM"):
        return "edm"
    is_flow = name.startswith("FlowMatch") or scheduler.config.get("use_flow_sigmas")
    return "flow" if is_flow else "timesteps"


def names_for(scheduler: Any) -> list[str]:
    """Schedulers that fit a network whose export holds `scheduler`."""
    return [name for name in SOLVERS if _misfit(name, scheduler) is None]


def make(name: str, exported: Any, options: Mapping[str, Any]) -> Any:
    """A scheduler that runs the process of the exported one.

    Args:
        name: One of `SOLVERS`.
        exported: The scheduler of the export: which schedule and which prediction.
        options: Further arguments of the scheduler's class.

    Raises:
        PipelineError: There is no such scheduler or option, or it doesn't fit the network.
    """
    if name not in SOLVERS:
        raise PipelineError(f"scheduler: no {name!r}; {nearest(name, list(SOLVERS))}")
    if (why := _misfit(name, exported)) is not None:
        fitting = ", ".join(names_for(exported))
        raise PipelineError(f"scheduler: {name} {why}; choose one of {fitting}")
    solver = SOLVERS[name]
    kind = _class(solver.module, solver.name)
    accepted = _options(solver.module, solver.name)
    _check_options(name, options, accepted)
    config = {k: v for k, v in exported.config.items() if k in _SCHEDULE and k in accepted}
    if solver.kind == "flow":  # which one class calls otherwise than the others
        shift = exported.config.get("shift", exported.config.get("flow_shift", 1.0))
        config["shift" if "shift" in accepted else "flow_shift"] = shift
    if config.get("beta_schedule") == "sigmoid":
        # Of all these classes DDPM's alone has the formula; every one takes a table.
        config["trained_betas"] = exported.betas.tolist()
    own = (*_CLIPPING, *(("variance_type",) if name == "ddpm" else ()))
    # A solver that is exported and knows no clipping clips nothing, and latents are no pictures.
    config |= {"clip_sample": False} if "clip_sample" in accepted else {}
    config |= {k: exported.config[k] for k in own if k in exported.config and k in accepted}
    clips = "thresholding" not in options and _clips_by_threshold(exported, accepted)
    if clips:
        config["thresholding"] = True
    try:
        scheduler = kind(**config | dict(solver.options) | dict(options))
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise PipelineError(f"scheduler {name}: {' '.join(str(error).split())}") from None
    if clips:
        limit = exported.config["clip_sample_range"]
        scheduler._threshold_sample = lambda images: images.clamp(-limit, limit)
    return scheduler


def _check_options(name: str, options: Mapping[str, Any], accepted: tuple[str, ...]) -> None:
    for option in options:
        if option not in accepted:
            raise PipelineError(
                f"scheduler {name}: no option {option!r}; {nearest(option, accepted)}"
            )
        if option in _SPACINGS and SOLVERS[name].kind == "flow":
            raise PipelineError(
                f"scheduler {name}: {option} spaces the noise levels of timesteps, and a flow has "
                "its own; leave it out"
            )
        if option in _TRAINED:
            raise PipelineError(
                f"scheduler {name}: {option} is as the model was trained; leave it out"
            )
    by_quantile = [each for each in options if each in _QUANTILE]
    if by_quantile and not options.get("thresholding"):
        raise PipelineError(
            f"scheduler {name}: {by_quantile[0]} says nothing without thresholding; add "
            "--option thresholding=true, or leave it out"
        )


def _clips_by_threshold(exported: Any, accepted: tuple[str, ...]) -> bool:
    """Whether the model's images are clipped and the solver has another hook for that.

    At the first timesteps of the cosine schedule an error of epsilon counts 10,000-fold in the
    image: without clipping, as the schedule's paper has it, samples are lost there and then.
    """
    clipped = exported.config.get("clip_sample") and not exported.config.get("thresholding")
    return bool(clipped) and "clip_sample" not in accepted and "thresholding" in accepted


def evaluations(name: str, steps: int) -> int:
    """Evaluations of the network that so many steps take."""
    each = SOLVERS[name].evaluations
    return steps * each - (each - 1)  # the last step of a two-stage solver has one


def prediction_of(exported: Any) -> Prediction:
    """What a network with this scheduler predicts."""
    kind = kind_of(exported)
    if kind != "timesteps":
        return kind
    named: str = exported.config.get("prediction_type", "epsilon")
    return "v" if named == "v_prediction" else named  # type: ignore[return-value]


def level_at(exported: Any, time: Tensor) -> Level:
    """The noise that a network with this scheduler is told of by `time` (B,)."""
    kind, time = kind_of(exported), time.double()
    if kind == "edm":
        sigma = (4 * time).exp()
        return _level(torch.ones_like(sigma), sigma, time, exported.config["sigma_data"])
    if kind == "flow":
        sigma = time / FLOW_TIME
        return _level(1 - sigma, sigma, time)
    kept = exported.alphas_cumprod.double().to(time.device)[time.round().long()]
    return _level(kept.sqrt(), (1 - kept).sqrt(), time)


def times_between(exported: Any, count: int) -> Tensor:
    """Times (count,) of evenly growing noise, from almost none to the most."""
    config, kind = exported.config, kind_of(exported)
    if kind == "edm":
        low, high = (math.log(config[name]) / 4 for name in ("sigma_min", "sigma_max"))
        return torch.linspace(low, high, count)
    if kind == "flow":
        return torch.linspace(1, FLOW_TIME, count)
    return torch.linspace(0, config["num_train_timesteps"] - 1, count).round()


def set_steps(scheduler: Any, steps: int, device: torch.device, *, begin: int = 0) -> None:
    """Prepare a scheduler for so many steps, of which it will take those from `begin` on.

    A scheduler that isn't told where it begins looks for its first timestep in its list; where
    rounding has made several of it, it finds a later one and runs over the end of the list.
    """
    order = getattr(scheduler, "order", 1)
    if type(scheduler).__name__ == "FlowMatchEulerDiscreteScheduler":
        # By itself it spends its last step between a thousandth of the noise and none. (So does
        # the one of Heun, whose last step is of order 1 and does better by being short.)
        scheduler.set_timesteps(sigmas=[1 - i / steps for i in range(steps)], device=device)
    else:
        scheduler.set_timesteps(steps, device=device)
        _drop_surplus(scheduler, len(scheduler.timesteps) - (steps * order - (order - 1)))
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(begin * order)


def _drop_surplus(scheduler: Any, count: int) -> None:
    """Drop timesteps beyond those asked for.

    Where T, T - T / steps, ... meets rounding, as for T = 1000 in 61 steps, diffusers' trailing
    timesteps go on to one more, -1, which stands for pure noise.
    """
    if count <= 0:
        return
    scheduler.timesteps = scheduler.timesteps[:-count]
    if hasattr(scheduler, "sigmas"):
        sigmas = scheduler.sigmas
        scheduler.sigmas = torch.cat([sigmas[: -1 - count], sigmas[-1:]])


def add_noise(scheduler: Any, images: Tensor, eps: Tensor, time: Tensor) -> Tensor:
    """Images (B, C, S, S) as the scheduler has them at one of its timesteps."""
    times = time.expand(len(images))
    if hasattr(scheduler, "add_noise"):
        noisy: Tensor = scheduler.add_noise(images, eps, times)
    else:
        noisy = scheduler.scale_noise(images, times, eps)
    return noisy


def _level(alpha: Tensor, sigma: Tensor, time: Tensor, data_std: float = 0.5) -> Level:
    a, s = (x.float().reshape(-1, 1, 1, 1) for x in (alpha, sigma))
    return Level(a, s, time.float(), data_std)


def _misfit(name: str, exported: Any) -> str | None:
    """Why a scheduler can't run the process of the exported one, or None."""
    solver, kind, config = SOLVERS[name], kind_of(exported), exported.config
    if solver.kind != kind:
        trained = {"timesteps": "timesteps", "edm": "EDM's noise levels", "flow": "a flow"}[kind]
        return f"does not fit this model, which was trained on {trained}"
    if kind != "timesteps":
        return None
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in solver.predictions:
        return f"does not take networks that predict {prediction}"
    accepted = _options(solver.module, solver.name)
    if config.get("rescale_betas_zero_snr") and "rescale_betas_zero_snr" not in accepted:
        return "can't begin at pure noise (zero terminal SNR)"
    steep = prediction == "epsilon" and config.get("beta_schedule") == "squaredcos_cap_v2"
    if steep and not {"clip_sample", "thresholding"} & set(accepted):
        return (
            "cannot clip images, without which samples of epsilon on the cosine schedule are lost"
        )
    return None


@cache
def _options(module: str, name: str) -> tuple[str, ...]:
    return tuple(inspect.signature(_class(module, name).__init__).parameters)[1:]


def _class(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def nearest(name: str, known: list[str] | tuple[str, ...]) -> str:
    """What was probably meant, or what there is."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
