"""Arms: images from a denoising network, by diffusers' DDIMPipeline and by genkit's pipeline.

Both get the same network, the same scheduler and the same noise, and end with a list of pictures.
So that pictures can be compared, the network has first learnt a little: white rectangles on black.
One that has learnt nothing answers noise with noise, and DDIM makes a small difference in its
output a large one. Steps must divide the 1000 timesteps: for others diffusers' DDIM takes itself to
be at timesteps between those that it visits, which genkit's does not.

Legend: B batch, C image channels, S size in px.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMPipeline
from torch import Tensor

from benchmarks.diffusion import COLOURS, SIZES, Network, as_diffusers_runs_it, network_of
from benchmarks.step import Measured
from benchmarks.timing import Laps, now, this_device
from genkit import random
from genkit.machine import keep_freed_memory
from genkit.noise.process import NoiseProcess
from genkit.pipelines import Denoising
from genkit.pipelines.sampling import Precision

PROCESS = NoiseProcess()  # Ho et al. 2020 (arXiv:2006.11239): epsilon, linear, 1000 timesteps
SEED = 0


# -- the network -----------------------------------------------------------------------------------


def taught(network: Network, steps: int) -> Any:
    """The `UNet2DModel`, on this machine's device, after so many updates on rectangles."""
    device = this_device()
    torch.manual_seed(SEED)
    made = network_of(network).to(device)
    scheduler: Any = PROCESS.scheduler()
    adam = torch.optim.Adam(made.parameters(), lr=3e-4)
    for _ in range(steps):
        images = rectangles(8, SIZES[network]).expand(-1, COLOURS[network], -1, -1).to(device)
        noise, times = torch.randn_like(images), torch.randint(0, PROCESS.steps, (8,)).to(device)
        output = made(scheduler.add_noise(images, noise, times), times).sample
        adam.zero_grad()
        F.mse_loss(output, noise).backward()
        adam.step()
    return made.eval()


def rectangles(count: int, size: int) -> Tensor:
    """One white rectangle on black each: (count, 1, S, S) of -1 and 1."""
    ends = torch.randint(0, size, (count, 2, 2)).sort(dim=-1).values  # axis, first and last px
    places = torch.arange(size)
    down, across = ((places >= e[:, :1]) & (places <= e[:, 1:]) for e in ends.unbind(1))
    return (down[:, None, :, None] & across[:, None, None, :]).float() * 2 - 1


# -- against diffusers -----------------------------------------------------------------------------


def diffusers(
    *,
    network: Network = "small",
    batch_size: int = 64,
    steps: int = 5,
    lessons: int = 30,
    warmup: int = 1,
    laps: int = 3,
) -> Measured:
    """Arm: diffusers' pipeline; seconds of one batch."""
    device = this_device()
    pipeline = peer(taught(network, lessons))
    timed = Laps(device, warmup=warmup, count=laps)
    seconds = timed.time(lambda: peer_pictures(pipeline, batch_size, steps))
    return {"seconds": seconds, "precision": "fp32", "device": device.type}


def peer(made: Any) -> Any:
    """diffusers' pipeline of a network, whose attention becomes diffusers' too."""
    pipeline: Any = DDIMPipeline(as_diffusers_runs_it(made), PROCESS.scheduler())
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def peer_pictures(pipeline: Any, batch_size: int, steps: int) -> list[Any]:
    """Its pictures of the noise that genkit draws for the same images."""
    generators = [random.generator(SEED, "latent", i) for i in range(batch_size)]
    made = pipeline(batch_size, generators, num_inference_steps=steps)
    pictures: list[Any] = made.images
    return pictures


def genkit(
    *,
    network: Network = "small",
    batch_size: int = 64,
    steps: int = 5,
    lessons: int = 30,
    warmup: int = 1,
    laps: int = 3,
    precision: Precision = "auto",
) -> Measured:
    """Arm: genkit's pipeline as `genkit sample` runs it; seconds of one batch.

    "max_difference" and "mean_difference" are those to diffusers' pictures, in 255ths.
    """
    keep_freed_memory()
    device = this_device()
    made = taught(network, lessons)
    pipeline = Denoising(scheduler=PROCESS.scheduler(), unet=made)
    options: dict[str, Any] = {"scheduler": "ddim", "steps": steps, "precision": precision}

    def pictures() -> Any:
        return pipeline(batch_size, seed=SEED, batch_size=batch_size, **options)

    seconds = Laps(device, warmup=warmup, count=laps).time(pictures)
    ours, theirs = (
        np.stack([np.asarray(picture, dtype=np.int16) for picture in made_by])
        for made_by in (pictures(), peer_pictures(peer(made), batch_size, steps))
    )
    difference = np.abs(ours - theirs)
    return {
        "seconds": seconds,
        "precision": pipeline.options(**options).precision,
        "device": device.type,
        "max_difference": int(difference.max()),
        "mean_difference": round(float(difference.mean()), 4),
    }


# -- what is not the network -----------------------------------------------------------------------


def parts(
    *,
    network: Network = "small",
    batch_size: int = 16,
    steps: int = 50,
    warmup: int = 1,
    laps: int = 2,
    precision: Precision = "auto",
) -> Measured:
    """Arm: seconds of one batch of genkit's pipeline, and "network_seconds", the network's of them.

    Both are of the same calls, since the rest is smaller than what one process differs from another
    by. Pictures are made, as in the other arms.
    """
    keep_freed_memory()
    device = this_device()
    torch.manual_seed(SEED)
    made = network_of(network).to(device).eval()
    pipeline = Denoising(scheduler=PROCESS.scheduler(), unet=made)
    marks: list[float] = []
    made.register_forward_pre_hook(lambda *_: marks.append(now(device)))
    made.register_forward_hook(lambda *_: marks.append(now(device)))
    options: dict[str, Any] = {"scheduler": "ddim", "steps": steps, "precision": precision}
    whole, inside = [], []
    for lap in range(warmup + laps):
        marks.clear()
        begun = now(device)
        pipeline(batch_size, seed=SEED, batch_size=batch_size, **options)
        if lap >= warmup:
            whole.append(now(device) - begun)
            inside.append(sum(marks[1::2]) - sum(marks[::2]))
    return {
        "seconds": statistics.median(whole),
        "network_seconds": statistics.median(inside),
        "precision": pipeline.options(**options).precision,
        "device": device.type,
    }
