"""Pictures as the noise that they come from: deterministic samplers, backwards.

Legend: N pictures, C channels, H W size in px, Z S S a latent's shape, or that of the pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from genkit.errors import PipelineError
from genkit.images import to_uint8
from genkit.pipelines import schedulers
from genkit.pipelines.base import fitting, parts
from genkit.pipelines.denoise import Noise
from genkit.pipelines.given import Given
from genkit.pipelines.sampling import Sampling
from genkit.rows.base import Rows

WAYS: Mapping[schedulers.Kind, str] = {"timesteps": "ddim", "flow": "flow_euler"}
LEAST_ERROR = 1e-10  # mean square of what counts as equal: 100 dB


@dataclass(frozen=True)
class Inverted:
    """Pictures as noise, and how near it leads back to them under their own condition.

    Attributes:
        noise: (N, Z, S, S) float32 on the CPU: `pipeline(noise=...)` begins with it.
        back: (N, C, H, W) uint8, what comes back.
        psnr: (N,) float64 in dB, of what comes back against the picture; at most 100.
        l1: (N,) float64, mean absolute difference of the same, in [0, 1].
        scheduler: By which both were made, and pictures of the noise are to be.
        steps: Likewise.
    """

    noise: Tensor
    back: Tensor
    psnr: Tensor
    l1: Tensor
    scheduler: str
    steps: int


def inverted(
    pipeline: Any, given: Rows | None = None, *, batch_size: int = 64, **asked: Any
) -> Inverted:
    """The noise of pictures: see `denoise.invert`; each is made of it again, to say how near.

    Both are by what the pictures show, with guidance 1: guided answers change more within a step,
    and then little comes back.

    Args:
        pipeline: A `Denoising` or `TextToImage`.
        given: Rows that hold pictures, and what they show.
        batch_size: Pictures at a time.
        asked: As in a call: image=, and what it shows as caption= or label=; scheduler, steps,
            options and precision.

    Raises:
        PipelineError: There is no way back, or what is asked for says nothing to it.
    """
    asked = {**asked, "scheduler": _way(pipeline.scheduler, asked.get("scheduler"))}
    rows, options = pipeline.asked(given, **asked)
    _check(rows, options)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for part in parts(range(rows.count), batch_size):
        values = rows.read(part, rows.taken)
        with fitting(len(part), pipeline.device), pipeline.generating():
            shown = rows.batch(values, pipeline.device)
            noise = pipeline.noise_of(shown, options)
            image = shown.pop("image")
            back = pipeline.generate(Noise(noise, []), shown, options)["image"]
        error = (back - image).double() / 2
        found.append((noise.float().cpu(), to_uint8(back).cpu(), error.cpu()))
    noises, backs, errors = (torch.cat(each) for each in zip(*found, strict=True))
    square = errors.square().mean((1, 2, 3)).clamp_min(LEAST_ERROR)
    return Inverted(
        noises,
        backs,
        -10 * square.log10(),
        errors.abs().mean((1, 2, 3)),
        options.scheduler,
        options.steps,
    )


def _way(exported: Any, asked: str | None) -> str:
    """The scheduler that has a way back, where another one is asked for an error."""
    kind = schedulers.kind_of(exported)
    if kind not in WAYS:
        raise PipelineError(
            "invert: the way back is that of ddim (models on timesteps) or flow_euler (flows), and "
            "this model was trained on EDM's noise levels; change pictures by image= and strength= "
            "(--init PICTURE --strength SHARE)"
        )
    if asked not in (None, WAYS[kind]):
        raise PipelineError(
            f"scheduler: {asked} has no way back to noise, which ddim (models on timesteps) and "
            f"flow_euler (flows) have; give {WAYS[kind]}, or leave it out"
        )
    return WAYS[kind]


def _check(rows: Given, options: Sampling) -> None:
    """Raise where something is asked for that says nothing to the way back."""
    if "image" not in rows.taken:
        raise PipelineError("image: give the pictures to invert: image=, or rows that hold some")
    noisy = bool(options.eta or (options.options or {}).get("stochastic_sampling"))
    if noisy:
        raise PipelineError(
            "eta, stochastic_sampling: noise that is added on the way has no way back; leave them "
            "out"
        )
    strange = sorted({"mask", "negative"} & {*rows.taken})
    strange += ["strength"] if options.strength != Sampling.strength else []
    strange += ["guidance"] if options.guidance != 1 else []
    if strange:
        raise PipelineError(
            f"{strange[0]}: says nothing to an inversion, which is by what pictures show alone; "
            "leave it out here, and give it to the call that makes pictures of the noise"
        )
