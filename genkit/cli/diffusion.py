"""What `genkit sample` asks of diffusion models: the options of a call, and pictures to edit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from genkit.errors import PipelineError

STRENGTH = 0.6  # of --init, when none is given


@dataclass(frozen=True)
class Options:
    """The options of a call, as the user gave them; None = not given."""

    scheduler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    guidance_interval: str | None = None
    guidance_rescale: float | None = None
    eta: float | None = None
    precision: str | None = None
    option: Sequence[str] | None = None
    compile: bool = False

    def of_call(self) -> dict[str, Any]:
        """Keywords of the pipeline's call, without those not given.

        Raises:
            PipelineError: An interval or option can't be read.
        """
        names = ("scheduler", "steps", "guidance", "guidance_rescale", "eta", "precision")
        given = {name: getattr(self, name) for name in names}
        if self.guidance_interval is not None:
            given["guidance_interval"] = _interval(self.guidance_interval)
        if self.option:
            given["options"] = dict(_pair(text) for text in self.option)
        return {name: value for name, value in given.items() if value is not None}

    def words(self) -> list[str]:
        """The command line that says the same."""
        return list(self._words())

    def _words(self) -> Iterator[str]:
        for name, value in vars(self).items():
            if name == "option":
                yield from (f"--option={text}" for text in value or ())
            elif name == "compile":
                yield from ["--compile"] if value else []
            elif value is not None:
                yield f"--{name.replace('_', '-')}={value}"

    def prepare(self, pipeline: Any) -> None:
        """Compile a pipeline if that was asked."""
        if not self.compile:
            return
        if not pipeline.in_steps:
            raise PipelineError(
                "--compile: this generator makes images in one pass, which is not worth compiling; "
                "leave it out"
            )
        pipeline.compile()


@dataclass(frozen=True)
class Edit:
    """A picture to begin with, as the user gave it; all None = none."""

    init: Path | None = None
    inpaint: Path | None = None
    mask: Path | None = None
    strength: float | None = None

    def check(self) -> None:
        """Raise unless these go together."""
        if self.init is not None and self.inpaint is not None:
            raise PipelineError("--init and --inpaint: give one picture to begin with, not two")
        if self.inpaint is not None and self.mask is None:
            raise PipelineError(
                "--inpaint: needs --mask FILE, a picture that is white where to make anew"
            )
        if self.mask is not None and self.inpaint is None:
            raise PipelineError("--mask: says where to change a picture; give it with --inpaint")
        if self.strength is not None and not self.is_asked:
            raise PipelineError("--strength: says how much of a picture to change; give --init")

    @property
    def is_asked(self) -> bool:
        """Whether there is a picture to begin with."""
        return self.init is not None or self.inpaint is not None

    def asked(self, pipeline: Any) -> dict[str, Any]:
        """Keywords of the pipeline's call: the picture, the mask and how much to change."""
        from genkit.pipelines import read_image, read_mask

        picture = self.init or self.inpaint
        if picture is None:
            return {}
        mask = None if self.mask is None else read_mask(self.mask, pipeline)
        default = STRENGTH if mask is None else 1.0
        strength = default if self.strength is None else self.strength
        return {"image": read_image(picture, pipeline), "mask": mask, "strength": strength}

    def words(self) -> list[str]:
        """The command line that says the same."""
        return [f"--{name}={value}" for name, value in vars(self).items() if value is not None]


def _interval(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        raise PipelineError(
            f"--guidance-interval {text}: write LOW,HIGH, for example 0.1,0.8"
        ) from None
    return low, high


def _pair(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise PipelineError(f"--option {text}: write NAME=VALUE, e.g. use_karras_sigmas=true")
    return name.strip(), _scalar(text, value)


def _scalar(text: str, value: str) -> Any:
    """A YAML scalar; numbers like 1e-4 too, which YAML 1.1 takes for text."""
    try:
        found = yaml.safe_load(value)
    except yaml.YAMLError:
        found = ()
    if isinstance(found, list | dict | tuple):
        raise PipelineError(
            f"--option {text}: {value!r} is no single value; write a number, a word, true or false"
        )
    if isinstance(found, str):
        try:
            number = float(found)
        except ValueError:
            return found
        return number if math.isfinite(number) else found
    return found
