"""The way from noise to images and back, of a pipeline that denoises.

Legend: B batch, C channels, H W height and width in px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genkit.errors import PipelineError
from genkit.noise import predictions
from genkit.noise.levels import FLOW_TIME
from genkit.pipelines import schedulers
from genkit.pipelines.base import fitting

_UNITS = {"timesteps": "timestep", "edm": "noise level sigma", "flow": "time, 1 = noise"}


@dataclass(frozen=True)
class Trajectory:
    """The way from noise to images, as (frames, B, C, H, W) in [-1, 1].

    Attributes:
        noisy: The images on their way, as the network sees them, and as they end.
        predicted: What the network takes them for.
        noised: The way there: the final images under evenly growing noise.
        noisy_at: How noisy each frame of `noisy` is, in words; the last is "image".
        noised_at: The same of `noised`.
        unit: What these say: the timestep, the time, or the noise level.
    """

    noisy: Tensor
    predicted: Tensor
    noised: Tensor
    noisy_at: tuple[str, ...]
    noised_at: tuple[str, ...]
    unit: str


def trajectory(
    pipeline: Any, count: int = 4, frames: int = 10, *, seed: int = 0, **asked: Any
) -> Trajectory:
    """Images 0..count-1 of a seed on their way, and the same under growing noise.

    Args:
        pipeline: A `Denoising`.
        count: B, at least 1.
        frames: At least 2, evenly spread over the steps; the last is the finished image.
        seed: As in a call.
        asked: As in a call.
    """
    if count < 1 or frames < 2:
        raise PipelineError(
            f"trajectory: needs 1 image and 2 frames or more, got {count} and {frames}"
        )
    rows, options = pipeline.asked(None, **asked)
    given = rows.batch(rows.read(range(count), rows.taken), pipeline.device)
    ways: list[tuple[Tensor, Tensor]] = []
    times: list[str] = []

    def watch(seen: Tensor, output: Tensor, x: Tensor, time: Tensor) -> None:
        ways.append((seen.cpu(), predicted_image(pipeline.scheduler, output, seen, x, time).cpu()))
        times.append(_said(pipeline.scheduler, time))

    def shown(x: Tensor) -> Tensor:
        pictures: Tensor = pipeline.decoded(x.float().to(pipeline.device)).cpu()
        return pictures

    noise = pipeline.begin(range(count), seed, given, options)
    eps = noise.x.clone()
    with fitting(count, pipeline.device), pipeline.generating():
        final = pipeline.generate(noise, given, options, watch)["image"]
        chosen = torch.linspace(0, len(ways), frames).round().long().tolist()
        noisy, predicted = (
            torch.stack([shown(ways[i][k]) if i < len(ways) else final.cpu() for i in chosen])
            for k in (0, 1)
        )
        known = pipeline.encoded(final).cpu()
        noised = torch.stack([shown(x) for x in _noised(pipeline.scheduler, known, eps, frames)])
    noisy_at = tuple([*times, "image"][i] for i in chosen)
    between = schedulers.times_between(pipeline.scheduler, frames)
    noised_at = tuple(_said(pipeline.scheduler, time) for time in between)
    unit = _UNITS[schedulers.kind_of(pipeline.scheduler)]
    return Trajectory(noisy, predicted.clamp(-1, 1), noised, noisy_at, noised_at, unit)


def _said(scheduler: Any, time: Tensor) -> str:
    """How noisy a network with this scheduler is told at `time` that its images are."""
    kind, value = schedulers.kind_of(scheduler), float(time.reshape(-1)[0])
    if kind == "timesteps":
        return f"{value:.0f}"
    return f"{math.exp(4 * value):.2g}" if kind == "edm" else f"{value / FLOW_TIME:.2f}"


def predicted_image(
    scheduler: Any, output: Tensor, seen: Tensor, x: Tensor, time: Tensor
) -> Tensor:
    """The image (B, C, H, W) that a network takes x for, or its latent; not clipped.

    Args:
        scheduler: That of the export: which process and which prediction.
        output: Of the network.
        seen: What the network was shown.
        x: As the scheduler holds it.
        time: Of the step.
    """
    level = schedulers.level_at(scheduler, time.expand(len(x)))
    # On timesteps every scheduler shows the network alpha x_0 + sigma eps, however it holds x.
    state = seen if schedulers.kind_of(scheduler) == "timesteps" else x
    prediction = schedulers.prediction_of(scheduler)
    return predictions.to_sample(prediction, output[:, : x.shape[1]], state, level)


def _noised(scheduler: Any, images: Tensor, eps: Tensor, frames: int) -> Tensor:
    """Images (B, C, H, W) under growing noise: (frames, B, C, H, W)."""
    prediction, rows = schedulers.prediction_of(scheduler), []
    for time in schedulers.times_between(scheduler, frames):
        level = schedulers.level_at(scheduler, time.expand(len(images)))
        x = predictions.add_noise(images, eps, level)
        rows.append(predictions.network_input(prediction, x, level))
    return torch.stack(rows)
