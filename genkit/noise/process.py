"""A noise process: everything that training needs to know of the way from image to noise.

One object joins the prediction, the levels it is trained at, their weights and the loss, and names
the diffusers scheduler that runs the same process backwards.

Legend: B batch, C channels, T timesteps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any, Literal

import torch
from torch import Tensor

from genkit.errors import ConfigError
from genkit.noise import levels, predictions, schedules, variational
from genkit.noise.levels import Level
from genkit.noise.predictions import Prediction
from genkit.noise.schedules import Schedule
from genkit.noise.weights import Weighting, weight

Draws = Literal["uniform", "log-normal", "logit-normal"]
Network = Callable[[Tensor, Tensor], Tensor]

_DIFFUSERS_SCHEDULES = {
    "linear": "linear",
    "scaled-linear": "scaled_linear",
    "cosine": "squaredcos_cap_v2",
    "sigmoid": "sigmoid",
}
_DIFFUSERS_PREDICTIONS = {"epsilon": "epsilon", "sample": "sample", "v": "v_prediction"}


@dataclass(frozen=True)
class NoiseProcess:
    """How images are noised, what is predicted, and how it is weighted.

    Attributes:
        prediction: "epsilon", "sample" and "v" use the timesteps of a schedule, "edm" and "flow"
            continuous levels.
        schedule: Of timesteps; "edm" and "flow" have none.
        steps: T.
        beta_start: First beta of the schedule.
        beta_end: Last beta of the schedule.
        zero_terminal_snr: Whether the last timestep is made pure noise.
        weighting: Of the levels in the loss.
        gamma: Of min-snr.
        draws: How levels are drawn: "uniform" or "logit-normal" (timesteps, flow), "log-normal"
            (edm).
        draw_mean: Mean of ln(sigma) (edm), or of the logit of sigma (flow) or of t / T.
        draw_std: Its standard deviation.
        data_std: Of the images; used by edm, and by the edm weighting.
        shift: Of a flow, towards more noise; 1 = none.
        learned_variance: Whether the network has C more channels, for variances.
        large_variance: Whether ancestral sampling adds noise of variance beta, not the posterior's:
            Ho et al. 2020, section 3.2.
    """

    prediction: Prediction = "epsilon"
    schedule: Schedule = "linear"
    steps: int = 1000
    beta_start: float = 1e-4
    beta_end: float = 0.02
    zero_terminal_snr: bool = False
    weighting: Weighting = "simple"
    gamma: float = 5.0
    draws: Draws = "uniform"
    draw_mean: float = -1.2
    draw_std: float = 1.2
    data_std: float = 0.5
    shift: float = 1.0
    learned_variance: bool = False
    large_variance: bool = False

    @classmethod
    def of_scheduler(cls, config: Mapping[str, Any], **training: Any) -> NoiseProcess:
        """The process that a diffusers scheduler runs backwards.

        Args:
            config: The scheduler's.
            training: What it doesn't say: weighting, draws and the like.

        Raises:
            ConfigError: It has betas of its own, or a schedule or prediction that is unknown.
        """
        kind = config.get("prediction_type", "epsilon")
        if kind == "flow_prediction" or ("prediction_type" not in config and "shift" in config):
            shift = config.get("flow_shift", config.get("shift", 1.0))
            return cls(prediction="flow", shift=shift, **training)
        schedule = _named(_DIFFUSERS_SCHEDULES, config.get("beta_schedule"), "schedule")
        if config.get("trained_betas") is not None:
            raise ConfigError("the scheduler has betas of its own, which no schedule here gives")
        return cls(
            prediction=_named(_DIFFUSERS_PREDICTIONS, kind, "prediction"),
            schedule=schedule,
            steps=config["num_train_timesteps"],
            beta_start=config["beta_start"],
            beta_end=config["beta_end"],
            zero_terminal_snr=bool(config.get("rescale_betas_zero_snr")),
            **training,
        )

    @cached_property
    def betas(self) -> Tensor:
        """(T,) float64; of a prediction that uses timesteps."""
        betas = schedules.betas(self.schedule, self.steps, self.beta_start, self.beta_end)
        return schedules.with_zero_terminal_snr(betas) if self.zero_terminal_snr else betas

    @cached_property
    def _level(self) -> Callable[[Tensor], Level]:
        if self.prediction == "edm":
            return partial(
                levels.log_normal_level,
                mean=self.draw_mean,
                std=self.draw_std,
                data_std=self.data_std,
            )
        if self.prediction == "flow":
            return partial(levels.flow_level, shift=self.shift)
        return partial(_timestep_level, self)

    @cached_property
    def _posterior(self) -> variational.Posterior:
        return variational.Posterior.of(self.betas)

    def level(self, u: Tensor) -> Level:
        """The noise of uniform numbers u (B,) in [0, 1)."""
        if self.draws == "logit-normal":
            u = levels.logit_normal(u, self.draw_mean, self.draw_std)
        return replace(self._level(u), data_std=self.data_std)

    def loss(self, network: Network, x0: Tensor, eps: Tensor, u: Tensor) -> Tensor:
        """The mean weighted squared error of a network's output, with the bound's term if learnt.

        Args:
            network: Called with noisy images (B, C, H, W) and times (B,).
            x0: Images (B, C, H, W) in [-1, 1].
            eps: N(0, 1), as `x0`.
            u: (B,) in [0, 1): chooses the levels.
        """
        level = self.level(u)
        x = predictions.add_noise(x0, eps, level)
        output = network(predictions.network_input(self.prediction, x, level), level.time).float()
        bound: Tensor | float = 0.0
        if self.learned_variance:
            output, v = output.chunk(2, dim=1)
            bound = self._bound(output.detach(), v, x0, x, level)
        wanted = predictions.target(self.prediction, x0, eps, level)
        weights = weight(self.weighting, self.prediction, level, self.gamma)
        return (weights * (output - wanted).square()).mean() + bound

    def _bound(self, output: Tensor, v: Tensor, x0: Tensor, x: Tensor, level: Level) -> Tensor:
        """lambda T times the mean of the bound's terms: Nichol & Dhariwal 2021, eq. 16."""
        image = predictions.to_sample(self.prediction, output, x, level)
        terms = variational.bound_bits(x0, x, level.time, image, v, self._posterior)
        return variational.HYBRID_WEIGHT * self.steps * terms.mean()

    def scheduler(self) -> Any:
        """The diffusers scheduler of this process: what an export holds."""
        from diffusers import (
            DDPMScheduler,
            EDMDPMSolverMultistepScheduler,
            FlowMatchEulerDiscreteScheduler,
        )

        if self.prediction == "edm":
            return EDMDPMSolverMultistepScheduler(sigma_data=self.data_std)
        if self.prediction == "flow":
            return FlowMatchEulerDiscreteScheduler(shift=self.shift)
        fixed = "fixed_large" if self.large_variance else "fixed_small"
        return DDPMScheduler(
            num_train_timesteps=self.steps,
            beta_start=self.beta_start,
            beta_end=self.beta_end,
            beta_schedule=_DIFFUSERS_SCHEDULES[self.schedule],
            rescale_betas_zero_snr=self.zero_terminal_snr,
            prediction_type=_DIFFUSERS_PREDICTIONS[self.prediction],
            variance_type="learned_range" if self.learned_variance else fixed,
            # "leading", the default, never visits the last timestep, where sampling begins.
            timestep_spacing="trailing",
        )


def _named(names: Mapping[str, str], theirs: Any, what: str) -> Any:
    """Our name for a choice of diffusers'."""
    for ours, name in names.items():
        if name == theirs:
            return ours
    raise ConfigError(
        f"the scheduler's {what} is {theirs!r}; known are {', '.join(names.values())}"
    )


def _timestep_level(process: NoiseProcess, u: Tensor) -> Level:
    return levels.timestep_level(_alpha_bars(process, u.device), u)


@lru_cache(maxsize=16)
def _alpha_bars(process: NoiseProcess, device: torch.device) -> Tensor:
    """(T,) on a device, moved there once: a move in each step would wait for the step before."""
    return schedules.alpha_bars(process.betas).to(device)
