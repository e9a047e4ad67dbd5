"""The section `noise` of a config: which settings there are, and which go together.

`Timesteps`, `EDM` and `Flow` are told apart by `prediction`, which is what the network says. Each
gives the process that it describes, see process.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from genkit.config import Section
from genkit.noise.process import NoiseProcess
from genkit.noise.schedules import Schedule, alpha_bars
from genkit.noise.weights import Weighting

STEPS, ENDS = 1000, (1e-4, 0.02)  # T of the paper, and its first and last beta
GAMMA, DATA_STD = 5.0, 0.5
MOST_LEFT = 0.1  # of an image at the last timestep; Stable Diffusion has 0.068

Positive = Annotated[float, Field(gt=0)]
Beta = Annotated[float, Field(gt=0, lt=1)]


class NoiseConfig(Section):
    """What every way from image to noise has.

    Attributes:
        kind: What the network is trained on: the timesteps of a schedule, or continuous levels.
    """

    kind: ClassVar[Literal["timesteps", "edm", "flow"]]
    weighting: Weighting = "simple"  # of the errors at the noise levels
    gamma: Positive = GAMMA  # of min-snr
    low_discrepancy: bool = False  # the levels of a step are spread evenly over its batch

    @model_validator(mode="after")
    def _choices_fit(self) -> NoiseConfig:
        for problem in self._problems():
            raise ValueError(problem)
        return self

    def _problems(self) -> Iterator[str]:
        """A sentence for each rule of what goes with what that is broken."""
        if self.weighting != "min-snr" and self.gamma != GAMMA:
            yield f"gamma says nothing to weighting={self.weighting}; leave it out"


class _Evenly(NoiseConfig):
    """Levels that are drawn evenly, or most of them around one."""

    draws: Literal["uniform", "logit-normal"] = "uniform"  # of the levels in training
    draw_mean: float | None = None  # of the logit of sigma or t / T, 0 unless given; uniform: none
    draw_std: Positive | None = None  # of the same, 1 unless given
    data_std: Positive = DATA_STD  # of the images; only weighting=edm asks for it

    @model_validator(mode="after")
    def _normal_draws_have_moments(self) -> _Evenly:
        if self.draws == "logit-normal":
            mean = 0.0 if self.draw_mean is None else self.draw_mean
            self.settle(draw_mean=mean, draw_std=self.draw_std or 1.0)
        return self

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if self.draws == "uniform" and (self.draw_mean, self.draw_std) != (None, None):
            yield "draw_mean and draw_std say nothing to uniform draws; leave them out"
        if self.weighting != "edm" and self.data_std != DATA_STD:
            yield "data_std says something to prediction=edm and weighting=edm only; leave it out"


class Timesteps(_Evenly):
    """The T timesteps of a schedule: Ho et al. 2020, and what grew from it."""

    kind = "timesteps"
    prediction: Literal["epsilon", "sample", "v"] = "epsilon"  # what the network says
    schedule: Schedule = "linear"
    steps: Annotated[int, Field(ge=2, le=100_000)] = STEPS  # timesteps of the schedule
    beta_start: Beta | None = None  # 0.1 / steps unless given; cosine has none
    beta_end: Beta | None = None  # 20 / steps unless given; cosine has none
    zero_terminal_snr: bool = False  # the last timestep is pure noise
    learned_variance: bool = False  # with the hybrid loss of Nichol & Dhariwal
    variance: Literal["small", "large"] | None = None  # of `ddpm`, small unless learned

    @model_validator(mode="after")
    def _complete(self) -> Timesteps:
        """Fill in the ends of the schedule and the variance, and look at what is left at its end.

        Where T is not 1,000 the same noise is spread over T steps.
        """
        if self.schedule != "cosine":
            first, last = self._ends
            self.settle(beta_start=first, beta_end=last)
        if self.variance is None and not self.learned_variance:
            self.settle(variance="small")
        if not self.zero_terminal_snr:
            self._refuse_leftover()
        return self

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        first, last = self._ends
        if self.schedule == "cosine":
            if (self.beta_start, self.beta_end) != (None, None):
                yield "beta_start and beta_end say nothing to schedule=cosine; leave them out"
        elif last >= 1:
            yield (
                f"steps={self.steps} are too few for schedule={self.schedule}, whose beta_end "
                f"would be {last:g}; set schedule=cosine"
            )
        elif first >= last:
            yield f"beta_start={first:g} is not below beta_end={last:g}"
        if self.zero_terminal_snr and self.prediction == "epsilon":
            yield (
                "zero_terminal_snr with prediction=epsilon: at the last timestep the network sees "
                "pure noise and its own answer, which says nothing of the image; choose "
                "prediction=v or sample"
            )
        if self.learned_variance and self.draws != "uniform":
            yield (
                f"learned_variance with draws={self.draws}: its bound is a sum over timesteps, "
                "each drawn as often; leave draws out"
            )
        if self.learned_variance and self.variance is not None:
            yield "variance says nothing to learned_variance; leave it out"

    @property
    def lost_unclipped(self) -> bool:
        """Whether samples are lost where nothing holds them to the range of images: at the first
        timesteps an error of the network counts 10,000-fold."""
        return self.prediction == "epsilon" and self.schedule == "cosine"

    @property
    def _ends(self) -> tuple[float, float]:
        first, last = (end * STEPS / self.steps for end in ENDS)
        return self.beta_start or first, self.beta_end or last

    def _refuse_leftover(self) -> None:
        """Sampling begins at pure noise: next to nothing of the image may be left at the end."""
        left = alpha_bars(self.process().betas)[-1].sqrt().item()
        if left > MOST_LEFT:
            raise ValueError(
                f"the last timestep keeps {left:.2f} of the image, and sampling begins at pure "
                "noise: raise beta_end, or leave it out for schedule=cosine, or set "
                "zero_terminal_snr=true with prediction=v"
            )

    def process(self) -> NoiseProcess:
        """The process of these settings."""
        first, last = ENDS if self.schedule == "cosine" else self._ends
        return NoiseProcess(
            prediction=self.prediction,
            schedule=self.schedule,
            steps=self.steps,
            beta_start=first,
            beta_end=last,
            zero_terminal_snr=self.zero_terminal_snr,
            weighting=self.weighting,
            gamma=self.gamma,
            draws=self.draws,
            draw_mean=self.draw_mean or 0.0,
            draw_std=self.draw_std or 1.0,
            data_std=self.data_std,
            learned_variance=self.learned_variance,
            large_variance=self.variance == "large",
        )


class Flow(_Evenly):
    """The straight way from image to noise: Liu et al. 2022 (arXiv:2209.03003)."""

    kind = "flow"
    prediction: Literal["flow"] = "flow"  # what the network says: noise minus image
    shift: Positive = 1.0  # towards more noise, for pictures of many pixels; 3 at 1024 px

    def process(self) -> NoiseProcess:
        """The process of these settings."""
        return NoiseProcess(
            prediction=self.prediction,
            shift=self.shift,
            weighting=self.weighting,
            gamma=self.gamma,
            draws=self.draws,
            draw_mean=self.draw_mean or 0.0,
            draw_std=self.draw_std or 1.0,
            data_std=self.data_std,
        )


class EDM(NoiseConfig):
    """Noise of any size on the image: Karras et al. 2022 (arXiv:2206.00364)."""

    kind = "edm"
    prediction: Literal["edm"] = "edm"  # what the network says, as the paper's F
    draws: Literal["log-normal"] = "log-normal"  # of the levels in training
    draw_mean: float = -1.2  # of ln(sigma)
    draw_std: Positive = 1.2  # of the same
    data_std: Positive = DATA_STD  # of the images

    def process(self) -> NoiseProcess:
        """The process of these settings."""
        return NoiseProcess(
            prediction=self.prediction,
            weighting=self.weighting,
            gamma=self.gamma,
            draws=self.draws,
            draw_mean=self.draw_mean,
            draw_std=self.draw_std,
            data_std=self.data_std,
        )
