"""What `genkit sample` asks of diffusion models: the options of a call."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from genkit.errors import PipelineError, shown


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
    from genkit.config import is_whole, parse  # pydantic: not for a help text

    whole = not value.strip() or is_whole(value)  # of which YAML would drop nothing
    found = parse(value, f"--option {shown(text)}") if whole else ()
    if isinstance(found, list | dict | tuple):
        raise PipelineError(
            f"--option {shown(text)}: {shown(repr(value))} is no single value; write a number, a "
            "word, true or false"
        )
    if isinstance(found, str):
        try:
            number = float(found)
        except ValueError:
            return found
        return number if math.isfinite(number) else found
    return found
