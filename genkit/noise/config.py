"""The section `noise` of a config: which settings there are, and which go together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, model_validator

from genkit.config import Section
from genkit.noise.predictions import Prediction
from genkit.noise.process import Draws, NoiseProcess
from genkit.noise.schedules import Schedule, alpha_bars
from genkit.noise.weights import Weighting

STEPS, ENDS = 1000, (1e-4, 0.02)  # T of the paper, and its first and last beta
GAMMA, DATA_STD = 5.0, 0.5
MOST_LEFT = 0.1  # of an image at the last timestep; Stable Diffusion has 0.068


class NoiseConfig(Section):
    """The way from image to noise, and what the network says of it. See process.py."""

    prediction: Prediction = "epsilon"  # what the network says
    schedule: Schedule | None = None  # epsilon, sample, v; None = linear
    steps: Annotated[int, Field(ge=2)] = STEPS  # timesteps of the schedule
    beta_start: Annotated[float, Field(gt=0, lt=1)] | None = None  # None = 0.1 / steps
    beta_end: Annotated[float, Field(gt=0, lt=1)] | None = None  # None = 20 / steps
    zero_terminal_snr: bool = False  # the last timestep is pure noise
    weighting: Weighting = "simple"  # of the errors at the noise levels
    gamma: Annotated[float, Field(gt=0)] = GAMMA  # of min-snr
    draws: Draws | None = None  # of the levels in training; None = uniform, edm: log-normal
    draw_mean: float | None = None  # of ln(sigma), None = -1.2; of logit(sigma or t / T), None = 0
    draw_std: Annotated[float, Field(gt=0)] | None = None  # of the same, None = 1.2 and 1
    low_discrepancy: bool = False  # the levels of a step are spread evenly over its batch
    data_std: Annotated[float, Field(gt=0)] = DATA_STD  # of the images; only edm asks for it
    learned_variance: bool = False  # with the hybrid loss of Nichol & Dhariwal
    variance: Literal["small", "large"] | None = None  # of the noise that `ddpm` adds; None = small

    @model_validator(mode="after")
    def _choices_fit(self) -> NoiseConfig:
        for problem in (*self._problems(), *self._without_meaning()):
            if problem is not None:
                raise ValueError(problem)
        if self.prediction not in ("edm", "flow") and not self.zero_terminal_snr:
            self._refuse_leftover()
        return self

    def _refuse_leftover(self) -> None:
        """Sampling begins at pure noise: next to nothing of the image may be left at the end."""
        left = alpha_bars(self.process().betas)[-1].sqrt().item()
        if left > MOST_LEFT:
            raise ValueError(
                f"the last timestep keeps {left:.2f} of the image, and sampling begins at pure "
                "noise: raise beta_end, or set schedule=cosine, or zero_terminal_snr=true with "
                "prediction=v"
            )

    def _problems(self) -> list[str | None]:
        """Each rule of what goes with what: its sentence if it is broken."""
        continuous = self.prediction in ("edm", "flow")
        fitting = ("log-normal",) if self.prediction == "edm" else ("uniform", "logit-normal")
        return [
            f"schedule={self.schedule} says nothing to prediction={self.prediction}, which has "
            "continuous levels; leave it out, or choose prediction=epsilon, sample or v"
            if continuous and self.schedule is not None
            else None,
            "zero_terminal_snr with prediction=epsilon: at the last timestep the network sees pure "
            "noise and its own answer, which says nothing of the image; choose prediction=v or "
            "sample"
            if self.zero_terminal_snr and self.prediction == "epsilon"
            else None,
            f"zero_terminal_snr says nothing to prediction={self.prediction}, whose noise is not "
            "cut short; leave it out"
            if self.zero_terminal_snr and continuous
            else None,
            f"learned_variance needs timesteps; prediction={self.prediction} has none: choose "
            "epsilon, sample or v"
            if self.learned_variance and continuous
            else None,
            f"learned_variance with draws={self.draws}: its bound is a sum over timesteps, "
            "each drawn as often; leave draws out"
            if self.learned_variance and self.draws not in (None, "uniform")
            else None,
            f"draws={self.draws} doesn't fit prediction={self.prediction}; choose "
            f"{' or '.join(fitting)}"
            if self.draws is not None and self.draws not in fitting
            else None,
            "draw_mean and draw_std say nothing to uniform draws; leave them out"
            if (self.draws or fitting[0]) == "uniform"
            and (self.draw_mean, self.draw_std) != (None, None)
            else None,
            f"steps={self.steps} are too few for schedule={self.schedule or 'linear'}, whose "
            f"beta_end would be {self._betas[1]:g}; set schedule=cosine"
            if self._has_ends and self._betas[1] >= 1
            else None,
            f"beta_start={self._betas[0]:g} is not below beta_end={self._betas[1]:g}"
            if self._has_ends and self._betas[0] >= self._betas[1]
            else None,
        ]

    def _without_meaning(self) -> Iterator[str]:
        """A sentence for each setting that would change nothing."""
        continuous = self.prediction in ("edm", "flow")
        by_data_std = "edm" in (self.prediction, self.weighting)
        if not self._has_ends and (self.beta_start, self.beta_end) not in ((None, None), ENDS):
            chosen = f"prediction={self.prediction}" if continuous else "schedule=cosine"
            yield f"beta_start and beta_end say nothing to {chosen}; leave them out"
        if continuous and self.steps != STEPS:
            yield f"steps={self.steps} says nothing to prediction={self.prediction}; leave it out"
        if self.weighting != "min-snr" and self.gamma != GAMMA:
            yield f"gamma says nothing to weighting={self.weighting}; leave it out"
        if not by_data_std and self.data_std != DATA_STD:
            yield "data_std says something to prediction=edm and weighting=edm only; leave it out"
        if self.variance is not None and (continuous or self.learned_variance):
            other = "learned_variance" if self.learned_variance else f"prediction={self.prediction}"
            yield f"variance says nothing to {other}; leave it out"

    @property
    def _has_ends(self) -> bool:
        return self.prediction not in ("edm", "flow") and self.schedule != "cosine"

    @property
    def _betas(self) -> tuple[float, float]:
        """First and last beta. Where T is not 1,000 the same noise is spread over T steps."""
        scale = STEPS / self.steps if self._has_ends else 1.0
        first, last = (end * scale for end in ENDS)
        return (
            first if self.beta_start is None else self.beta_start,
            last if self.beta_end is None else self.beta_end,
        )

    @property
    def kind(self) -> Literal["timesteps", "edm", "flow"]:
        """What the network is trained on: the timesteps of a schedule, or continuous levels."""
        continuous: dict[str, Literal["edm", "flow"]] = {"edm": "edm", "flow": "flow"}
        return continuous.get(self.prediction, "timesteps")

    def process(self) -> NoiseProcess:
        """The process of these settings."""
        draws = self.draws or ("log-normal" if self.prediction == "edm" else "uniform")
        mean, std = (-1.2, 1.2) if draws == "log-normal" else (0.0, 1.0)
        return NoiseProcess(
            prediction=self.prediction,
            schedule=self.schedule or "linear",
            steps=self.steps,
            beta_start=self._betas[0],
            beta_end=self._betas[1],
            zero_terminal_snr=self.zero_terminal_snr,
            weighting=self.weighting,
            gamma=self.gamma,
            draws=draws,
            draw_mean=mean if self.draw_mean is None else self.draw_mean,
            draw_std=std if self.draw_std is None else self.draw_std,
            data_std=self.data_std,
            learned_variance=self.learned_variance,
            large_variance=self.variance == "large",
        )
