"""How a diffusion model's noise becomes images: the options of a call, and their limits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from genkit.errors import PipelineError
from genkit.pipelines import schedulers

Precision = Literal["auto", "fp32", "bf16"]

# Parameters from which casting gains more than it costs, as measured for sampling on two CPU cores.
WORTH_CASTING = 1_000_000


@dataclass(frozen=True)
class Sampling:
    """How noise becomes images.

    Attributes:
        scheduler: One of `schedulers.SOLVERS`; None = dpmsolver++, edm_dpmsolver++ or flow_euler.
        steps: Of the scheduler; when none are given 20, or T where that is less, and with ddpm T.
        guidance: Classifier-free: out = without + guidance (with - without), where with and
            without are the outputs given the label and given none (Ho & Salimans 2022,
            arXiv:2207.12598). 1 = the label alone, at half the cost.
        guidance_interval: The part of the steps in which guidance holds, from 0 (pure noise) to 1;
            Kynkaanniemi et al. 2024 (arXiv:2404.07724).
        guidance_rescale: phi in [0, 1]: how far the guided output's spread is taken back to that of
            the output with the label (Lin et al. 2024, arXiv:2305.08891, eqs. 14-16).
        options: Further arguments of the scheduler's class, e.g. {"use_karras_sigmas": True}.
        precision: "bf16" for the network's forward pass; "auto" = bf16 where the hardware has it
            and the network is large enough to gain.
        eta: Of ddim: 0 no noise, 1 as much as DDPM's.
        strength: In (0, 1], of a picture that is given: the share of the steps that are taken from
            it under noise; 1 begins at pure noise.
    """

    scheduler: str | None = None
    steps: int = 20
    guidance: float = 1.0
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    guidance_rescale: float = 0.0
    options: Mapping[str, Any] | None = None
    precision: Precision = "auto"
    eta: float = 0.0
    strength: float = 0.6

    def make(self, exported: Any) -> Any:
        """A scheduler that runs the process of the exported one as asked here."""
        assert self.scheduler is not None
        return schedulers.make(self.scheduler, exported, self.options or {})

    def to_tree(self, *, with_picture: bool) -> dict[str, Any]:
        """These options as JSON gives them back; without a picture nothing of its strength."""
        interval = [float(end) for end in self.guidance_interval]
        tree = asdict(self) | {"options": dict(self.options or {}), "guidance_interval": interval}
        return tree if with_picture else {k: v for k, v in tree.items() if k != "strength"}

    @property
    def guiding(self) -> dict[str, Any]:
        """Arguments of `denoise.guided`."""
        scale, interval = self.guidance, self.guidance_interval
        return {"scale": scale, "interval": interval, "rescale": self.guidance_rescale}

    @property
    def step_eta(self) -> float | None:
        """Eta of the scheduler's step; None where the scheduler takes none."""
        return self.eta if self.scheduler == "ddim" else None

    def problems(
        self, timesteps: int | None, num_classes: int | None, *, null_label: bool = True
    ) -> Iterator[str]:
        """What is wrong with these options for a model, in words.

        Args:
            timesteps: T that it was trained on; None = continuous noise levels.
            num_classes: K; None = unconditional.
            null_label: Whether it was trained without labels too.
        """
        if not isinstance(self.steps, int) or self.steps < 1:
            yield f"steps: must be a whole number from 1 on, got {self.steps}"
        if timesteps is not None and self.steps > timesteps:
            yield (
                f"steps: {self.steps} is more than the {timesteps} timesteps of this model; "
                f"give {timesteps} or fewer"
            )
        yield from self._problems_of_guidance(num_classes)
        if self.guidance != 1 and not null_label:
            yield (
                "guidance: this model was never trained without its labels (model.label_drop: 0); "
                "leave guidance out"
            )
        if self.precision not in get_args(Precision):
            yield f"precision: {self.precision!r} is none; give one of auto, fp32, bf16"
        if self.eta and self.scheduler != "ddim":
            yield f"eta: is for ddim; with {self.scheduler} leave it out"
        if not 0 <= self.eta <= 1:
            yield f"eta: must be in 0 to 1, got {self.eta}"
        if not 0 < self.strength <= 1:
            yield f"strength: must be above 0 and at most 1, got {self.strength}"

    def _problems_of_guidance(self, num_classes: int | None) -> Iterator[str]:
        if len(self.guidance_interval) != 2:
            yield f"guidance_interval: must be two numbers, got {len(self.guidance_interval)}"
        low, high = self.guidance_interval
        if self.guidance != 1 and num_classes is None:
            yield "guidance: this model knows no classes to be guided by; leave guidance out"
        if not 0 <= self.guidance < math.inf:
            yield f"guidance: must be a number from 0 on, got {self.guidance}"
        if not 0 <= low < high <= 1:
            yield f"guidance_interval: must be low < high within 0 to 1, got {low}, {high}"
        if not 0 <= self.guidance_rescale <= 1:
            yield f"guidance_rescale: must be in 0 to 1, got {self.guidance_rescale}"
        if self.guidance == 1 and ((low, high) != (0, 1) or self.guidance_rescale):
            yield "guidance_interval and guidance_rescale say nothing to guidance=1; set guidance"


def complete(
    options: Mapping[str, Any], exported: Any, num_classes: int | None, *, null_label: bool = True
) -> Sampling:
    """Options of a call, checked and completed.

    Args:
        options: Attributes of `Sampling`; None = left out.
        exported: The scheduler of the model's process.
        num_classes: K; None = unconditional.
        null_label: Whether the model was trained without labels too.

    Raises:
        PipelineError: An option is unknown, out of range, or does not fit the model.
    """
    kind = schedulers.kind_of(exported)
    timesteps = exported.config["num_train_timesteps"] if kind == "timesteps" else 0
    asked = settle(options, kind, timesteps, num_classes, null_label=null_label)
    schedulers.make(asked.scheduler or schedulers.DEFAULTS[kind], exported, asked.options or {})
    return asked


def settle(
    options: Mapping[str, Any],
    kind: schedulers.Kind,
    steps: int,
    num_classes: int | None,
    *,
    null_label: bool = True,
) -> Sampling:
    """As `complete`, but for whether the scheduler that is named fits: its class is not imported.

    Args:
        options: Attributes of `Sampling`; None = left out.
        kind: What the model was trained on.
        steps: T, if these are timesteps.
        num_classes: K; None = unconditional.
        null_label: Whether the model was trained without labels too.
    """
    known = [f.name for f in fields(Sampling)]
    for name in options:
        if name not in known:
            raise PipelineError(f"{name}: no such option; {schedulers.nearest(name, known)}")
    timesteps = steps if kind == "timesteps" else None
    given = {name: value for name, value in options.items() if value is not None}
    scheduler = given.setdefault("scheduler", schedulers.DEFAULTS[kind])
    if timesteps is not None:
        # Ancestral sampling is as good as it gets only with as many steps as trained.
        few = min(Sampling.steps, timesteps)
        given.setdefault("steps", timesteps if scheduler == "ddpm" else few)
    asked = Sampling(**given)
    problem = next(asked.problems(timesteps, num_classes, null_label=null_label), None)
    if problem is not None:
        raise PipelineError(problem)
    return asked
