"""The sections that every run has: optimizer, trainer, evaluation, and all of them together.

A family adds its own by subclassing `RunConfig`, see `genkit/families/dcgan.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, PrivateAttr, field_validator, model_validator

from genkit.config import AnyData, CodeName, Fraction, MayChange, NonNegative, Positive, Section
from genkit.config.data import buckets_of, of_kind, reader_of
from genkit.errors import ConfigError, shown

_ROUNDING = 1e-9  # so that 0.29 of 100 steps are 29


class OptimConfig(Section):
    """Adam and its learning-rate schedule."""

    lr: Annotated[float, Field(gt=0)] = 2e-4
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    schedule: Literal["constant", "linear", "cosine", "exponential"] = "constant"  # of lr
    warmup_steps: NonNegative = 0  # linear rise from 0
    constant: Fraction = 0.0  # share of trainer.steps at full rate before the fall
    constant_steps: NonNegative = 0  # the same as a number of steps
    lr_decay: Annotated[float, Field(ge=1)] = 1.0  # exponential: what a step divides the rate by
    stair_steps: NonNegative = 0  # linear: steps between falls, such as an epoch; 0 = all fall

    @model_validator(mode="after")
    def _decay_fits(self) -> OptimConfig:
        if (self.schedule == "exponential") != (self.lr_decay > 1):
            raise ValueError("schedule=exponential and lr_decay above 1 need each other")
        return self

    @model_validator(mode="after")
    def _stairs_fit(self) -> OptimConfig:
        if self.stair_steps and self.schedule != "linear":
            raise ValueError(
                f"stair_steps={self.stair_steps} says nothing to schedule={self.schedule}; leave "
                "it out, or set schedule=linear"
            )
        return self

    @model_validator(mode="after")
    def _said_once(self) -> OptimConfig:
        if self.constant and self.constant_steps:
            raise ValueError(
                f"constant={self.constant} and constant_steps={self.constant_steps} both say when "
                "the rate begins to fall; set one of them to 0"
            )
        return self

    def flat_steps(self, steps: int) -> int:
        """Steps before the rate falls: the warm-up, and those at the full rate."""
        return self.warmup_steps + self.constant_steps + int(self.constant * steps + _ROUNDING)


class TrainerConfig(Section):
    """Length, precision and cadence of a run. Every interval counts optimizer steps."""

    steps: MayChange[Positive] = 100_000  # of the optimizer
    seed: int = 0  # names every random draw of the run
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"  # auto: bf16 where it pays
    grad_accumulation: MayChange[Positive] = 1  # micro-batches per optimizer step
    grad_clip: Annotated[float, Field(gt=0)] | None = None  # max global L2 norm; null = no clipping
    ema_decay: Fraction | None = 0.999  # null = keep no average
    ema_warmup: bool = True  # decay at step t is at most (1 + t) / (10 + t)
    log_every: MayChange[Positive] = 50  # steps between rows of metrics.jsonl
    preview_every: MayChange[Positive] = 1_000  # steps between sheets of samples
    preview_count: Annotated[int, Field(ge=1, le=10_000)] = 64  # samples on a sheet, at most
    save_every: MayChange[Positive] = 5_000  # steps between checkpoints
    keep_last: MayChange[Positive] = 3  # checkpoints kept
    memory_format: Literal["auto", "contiguous", "channels_last"] = "auto"  # auto: last for GANs
    compile: MayChange[bool] = False  # torch.compile: faster steps after a slow start
    deterministic: bool = False  # GPUs: bit-identical runs, slower
    overfit_batch: bool = False  # every step sees the batch of step 0: a first check
    trackers: MayChange[tuple[Literal["tensorboard", "wandb"], ...]] = ()  # get the metrics too

    def is_logged(self, step: int) -> bool:
        """Whether the numbers up to this step make a row of metrics."""
        return step % self.log_every == 0 or step == self.steps

    @model_validator(mode="after")
    def _intervals_fit(self) -> TrainerConfig:
        if self.save_every % self.log_every:
            raise ValueError(
                f"save_every={self.save_every} must be a multiple of log_every={self.log_every}, "
                "so that losses are checked before every checkpoint"
            )
        return self


class EvaluationConfig(Section):
    """Metrics during training, on samples of the averaged weights."""

    every: MayChange[Positive | None] = None  # steps; null = only after training
    count: MayChange[Annotated[int, Field(ge=100, le=10_000_000)]] = 2_000  # samples
    extractor: MayChange[CodeName] = "auto"  # auto = digits or faces where real images are such
    best_by: str = "frechet"  # the metric that best/ is chosen by; frechet = its distance


class RunConfig(Section):
    """One training run. A family subclasses it and adds `model` and, if it must, more sections."""

    data_kind: ClassVar[str] = "glyphs"  # of a `data` section that names no kind
    takes_buckets: ClassVar[bool] = False  # whether pictures of one step may differ from another's

    family: str
    data: AnyData = Field(default_factory=dict)  # type: ignore[assignment]
    optim: OptimConfig = OptimConfig()
    trainer: TrainerConfig = TrainerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    _code_of_a_file: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @classmethod
    def section_of(cls, name: str, tree: Any) -> type[Section] | None:
        """Which section `data` is in this tree."""
        return reader_of(tree, cls.data_kind) if name == "data" and tree else None

    @field_validator("data", mode="before")
    @classmethod
    def _of_its_kind(cls, tree: Any) -> Any:
        return of_kind(tree, cls.data_kind)

    @model_validator(mode="after")
    def _schedule_fits(self) -> RunConfig:
        optim, steps = self.optim, self.trainer.steps
        for name in ("constant", "constant_steps") if optim.schedule == "constant" else ():
            if value := getattr(optim, name):
                raise ValueError(
                    f"optim.{name}={value} says nothing to optim.schedule=constant; set it to 0, "
                    "or choose linear or cosine"
                )
        flat = optim.flat_steps(steps)
        if optim.schedule != "constant" and flat >= steps:
            raise ValueError(
                f"optim.warmup_steps={optim.warmup_steps} and {flat - optim.warmup_steps} more at "
                f"the full rate leave no step of trainer.steps={steps} to fall in; ask for more "
                "steps, lower optim.warmup_steps, or say the others as a share: "
                "optim.constant_steps=0 optim.constant=0.5"
            )
        return self

    @model_validator(mode="after")
    def _one_shape(self) -> RunConfig:
        if buckets_of(self.data) is not None and not self.takes_buckets:
            raise ValueError(
                f"data.buckets: family {self.family} learns from pictures of one shape; leave it "
                "out"
            )
        return self

    def came_from_file(self, code: Mapping[str, str]) -> None:
        """Note the settings that name code, where nobody but a file gave them."""
        self._code_of_a_file = code

    def refuse_code_of_a_file(self) -> None:
        """Refuse what would import code that a file names: files travel with repositories.

        Raises:
            ConfigError: A file named a module that no installed package of genkit's offers.
        """
        for dotted, code in self._code_of_a_file.items():
            raise ConfigError(
                f"{dotted}: {shown(code)} names code, and a file may not choose code to run; if "
                f"you trust it, say so yourself: add {dotted}={shown(code)} to the command"
            )

    @property
    def batches_per_step(self) -> int:
        """Micro-batches that one optimizer step takes on one process."""
        return self.trainer.grad_accumulation

    @property
    def batches_in_words(self) -> str:
        """What `batches_per_step` is the product of."""
        return f"trainer.grad_accumulation={self.trainer.grad_accumulation}"

    def global_batch(self, processes: int) -> int:
        """Images that one optimizer step takes over all processes."""
        return self.data.batch_size * self.batches_per_step * processes

    def batch_in_words(self, processes: int) -> str:
        """What `global_batch` is the product of, and each number in it."""
        size = f"data.batch_size={self.data.batch_size}"
        return f"{size} x {self.batches_in_words} x {processes} processes"

    @property
    def sampling_options(self) -> dict[str, Any]:
        """Of the pipeline, for what is drawn during training; a family may say more."""
        return {}


C = TypeVar("C", bound=RunConfig)
