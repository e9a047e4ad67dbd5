"""The sampler of EDM: Karras et al. 2022 (arXiv:2206.00364), algorithms 1 and 2."""

from __future__ import annotations

from typing import Any, Literal

import torch
from diffusers.configuration_utils import register_to_config
from diffusers.schedulers.scheduling_edm_euler import EDMEulerScheduler, EDMEulerSchedulerOutput
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor

from genkit.noise.schedules import karras_sigmas

_LARGEST_CHURN = 2**0.5 - 1  # of gamma: no step adds more noise than is there (algorithm 2)


class EDMHeunScheduler(EDMEulerScheduler):
    """Heun's method from sigma_max to 0, with as much fresh noise on the way as `s_churn` says.

    A step takes two evaluations and the last one: 2N - 1. Algorithm 2 adds noise at the beginning
    of a step, before the network is asked; here that happens at the end of the step before, since a
    scheduler of diffusers acts after the network only. The images are the same.

    Args:
        sigma_min: Of the steps, above the last, which is 0.
        sigma_max: Where they begin.
        sigma_data: Standard deviation of the images.
        sigma_schedule: "karras", eq. 5 with `rho`, or "exponential".
        num_train_timesteps: Steps until `set_timesteps` is called.
        prediction_type: "epsilon", the paper's; "v_prediction" turns the output's sign.
        rho: Of eq. 5; the larger, the more steps at little noise.
        s_churn: How much noise is added over all steps; 0 none (algorithm 1).
        s_min: Least sigma at which noise is added.
        s_max: Greatest sigma at which noise is added.
        s_noise: Standard deviation of the noise added; slightly above 1 makes up for lost detail.
    """

    order = 2
    _step_index: Any  # of the evaluation; None before the first
    num_inference_steps: Any

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        sigma_data: float = 0.5,
        sigma_schedule: Literal["karras", "exponential"] = "karras",
        num_train_timesteps: int = 1000,
        prediction_type: Literal["epsilon", "v_prediction"] = "epsilon",
        rho: float = 7.0,
        s_churn: float = 0.0,
        s_min: float = 0.0,
        s_max: float = float("inf"),
        s_noise: float = 1.0,
    ) -> None:
        super().__init__(
            sigma_min=sigma_min,
            sigma_max=sigma_max,
            sigma_data=sigma_data,
            sigma_schedule=sigma_schedule,
            num_train_timesteps=num_train_timesteps,
            prediction_type=prediction_type,
            rho=rho,
        )
        self.set_timesteps(num_train_timesteps)

    @property
    def init_noise_sigma(self) -> float:
        """Standard deviation of the first x: sigma_max, and what the first step adds to it."""
        return float((self._nominal[0] ** 2 + self._added[0] ** 2) ** 0.5)

    def set_timesteps(  # type: ignore[override]
        self, num_inference_steps: int, device: str | torch.device | None = None
    ) -> None:
        """Prepare N steps: `timesteps` (2N - 1,) is what the network is told at each evaluation."""
        config, steps = self.config, num_inference_steps
        self.num_inference_steps = steps
        low, high = config["sigma_min"], config["sigma_max"]
        if config["sigma_schedule"] == "karras":
            sigmas = karras_sigmas(steps, low, high, config["rho"])
        else:
            ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
            sigmas = self._compute_exponential_sigmas(ramp).double()
        gamma = min(config["s_churn"] / steps, _LARGEST_CHURN)
        within = (sigmas >= config["s_min"]) & (sigmas <= config["s_max"])
        raised = sigmas * (1 + gamma * within.double())  # a number times bools would be float32
        self._nominal = torch.cat([sigmas, sigmas.new_zeros(1)]).tolist()
        self._added = (config["s_noise"] * (raised**2 - sigmas**2).sqrt()).tolist()
        # Each step asks the network at its raised level, and but for the last at the next nominal.
        asked = torch.stack([raised, torch.cat([sigmas[1:], sigmas[-1:]])], 1).flatten()[:-1]
        self.sigmas = asked  # on the CPU, float64
        self.timesteps = self.precondition_noise(asked).float().to(device)
        self._step_index = None
        self._begin_index = None

    def scale_model_input(self, sample: Tensor, timestep: float | Tensor) -> Tensor:
        """c_in x, as the network sees it: (B, C, H, W)."""
        return self.precondition_inputs(sample, float(self.sigmas[self._now()]))

    def step(  # type: ignore[override]
        self,
        model_output: Tensor,
        timestep: float | Tensor,
        sample: Tensor,
        generator: Any = None,
        return_dict: bool = True,
    ) -> EDMEulerSchedulerOutput | tuple[Tensor, Tensor]:
        """What follows one evaluation: an Euler step, or after it the correction.

        Args:
            model_output: (B, C, H, W), of the network.
            timestep: Not asked for: evaluations are taken in order from the first or `begin_index`.
            sample: (B, C, H, W), x as this scheduler gave it.
            generator: Of the added noise: one, or one for each image.
            return_dict: As in diffusers.
        """
        now = self._now()
        sigma, x = float(self.sigmas[now]), sample.double()  # the authors compute in float64 too
        x0 = self.precondition_outputs(x, model_output.double(), sigma)
        slope = (x - x0) / sigma
        if now % 2 == 0:
            self._begun = x, slope, sigma
            x = x + (self._nominal[now // 2 + 1] - sigma) * slope
        else:
            begin, first, raised = self._begun
            x = begin + (sigma - raised) * (first + slope) / 2
            x = self._churned(x, self._added[now // 2 + 1], generator)
        self._step_index = now + 1
        x, x0 = x.to(sample.dtype), x0.to(sample.dtype)
        return EDMEulerSchedulerOutput(x, x0) if return_dict else (x, x0)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """x_0 + sigma eps at timesteps (B,): (B, C, H, W)."""
        sigma = (4 * timesteps.to(original_samples)).exp()
        return original_samples + sigma[:, None, None, None] * noise

    def _now(self) -> int:
        """The evaluation that it is at, from 0."""
        if self._step_index is None:
            self._step_index = self._begin_index or 0
        return int(self._step_index)

    @staticmethod
    def _churned(x: Tensor, std: float, generator: Any) -> Tensor:
        shape: Any = x.shape
        return x + std * randn_tensor(shape, generator, x.device, x.dtype) if std else x
