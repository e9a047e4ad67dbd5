"""The arms of `benchmarks/gpu.py`: `python -m benchmarks.gpu_arms '{"function": …}'`.

Each builds what is to be timed and then works in steps as `gpu_turns.turns` asks for them.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks import diffusion, step
from benchmarks.gpu_turns import Answer, turns
from benchmarks.timing import this_device
from genkit.data import Loader
from genkit.family import load, resolve
from genkit.images import to_float
from genkit.pipelines import Denoising
from genkit.rows.base import image_rows
from genkit.rows.batch import Batch, DataInfo

Settings = Mapping[str, Mapping[str, Any]]
WARMUP = 3
LOG_EVERY = 50  # genkit's default

SNGAN: dict[str, dict[str, Any]] = {  # configs/dcgan/cifar10-residual.yaml
    "model": {"kind": "residual", "latent_dim": 128, "width": None},
    "adversarial": {"objective": "hinge", "spectral_norm": True, "critic_steps": 5},
    "optim": {"betas": [0.0, 0.9]},
}


# -- training --------------------------------------------------------------------------------------


class Paced:
    """A loader whose batches are taken as turns are asked for."""

    def __init__(self, loader: Loader, images: int) -> None:
        self.loader, self.images = loader, images
        self.trainer: Any = None

    def steps(
        self, first_step: int = 0, *, rank: int = 0, processes: int = 1, accumulation: int = 1
    ) -> Generator[list[Batch], None, None]:
        """The loader's own batches; the process ends with the last turn."""
        self._batches = self.loader.steps(
            first_step, rank=rank, processes=processes, accumulation=accumulation
        )
        yield next(self._batches)  # the rehearsed one
        device = self.trainer.device
        for _ in turns(device, self.facts, warmup=WARMUP, others={"count": self.count}):
            yield next(self._batches)
        os._exit(0)

    def facts(self) -> Answer:
        """What a table says of the run."""
        networks = self.trainer.bare_networks.values()
        return {
            "images": self.images,
            "precision": self.trainer.casting.precision,
            "weights": sum(p.numel() for network in networks for p in network.parameters()),
            "memory_gb": torch.cuda.max_memory_allocated() / 1e9
            if self.trainer.device.type == "cuda"
            else None,
        }

    def count(self) -> Answer:
        """Operations and bytes of one step, its optimizer and average included."""
        from benchmarks.gpu_counts import Counts
        from genkit.training.kernels import uncompiled

        with uncompiled(self.trainer.casting.compiled), Counts(self.trainer.device) as counts:
            self.trainer.train_step(next(self._batches))
        return {"flops": counts.flops, "bytes": counts.bytes, "operations": counts.operations}


def trained(tree: dict[str, Any], settings: Settings, pixels: torch.Tensor) -> None:
    """Run `Trainer.fit` on a config's tree, pixels in memory, at the pace of turns."""
    for section, values in settings.items():
        tree.setdefault(section, {}).update(values)
    config = resolve(tree, "benchmark")
    source = image_rows("random", pixels)
    loader = Loader(source, config.data, config.trainer.seed, device=this_device())
    with tempfile.TemporaryDirectory() as folder:
        trainer = load(config.family).trainer(config, DataInfo.of(source), Path(folder))
        trainer.loader = Paced(loader, trainer.global_batch)
        trainer.loader.trainer = trainer
        trainer.fit()


def denoiser(network: diffusion.Network, batch_size: int, settings: Settings) -> None:
    """Arm: genkit's training of a denoiser."""
    tree = diffusion.config(network, batch_size, steps=10**6)
    tree["trainer"] |= step.run_length(10**6, LOG_EVERY)
    size, colours = diffusion.SIZES[network], diffusion.COLOURS[network]
    trained(tree, settings, step.random_images(size, max(2048, 2 * batch_size), colours))


def example(
    network: diffusion.Network, batch_size: int, precision: Any = "bf16", compiled: bool = False
) -> None:
    """Arm: the loop of diffusers' example, its images on the device as floats."""
    device = this_device()
    torch.manual_seed(0)
    made = diffusion.network_of(network).to(device)
    loop = diffusion.PlainLoop(made, precision=precision, compiled=compiled)
    batches = itertools.cycle(diffusion.float_images(network, batch_size, device))
    facts = {"images": batch_size, "precision": "fp32" if precision == "no" else precision}
    for _ in turns(device, facts, warmup=WARMUP):
        images = next(batches)
        timesteps = torch.randint(0, diffusion.TIMESTEPS, (batch_size,), device=device)
        loop.step(images, torch.randn(images.shape, device=device), timesteps)


def gan(
    size: int, batch_size: int, settings: Settings, width: int = 64, residual: bool = False
) -> None:
    """Arm: genkit's training of DCGAN, or of SNGAN's residual networks."""
    tree = step.dcgan(size, batch_size, width, steps=10**6, log_every=LOG_EVERY)
    for section, values in SNGAN.items() if residual else ():
        tree.setdefault(section, {}).update(values)
    if residual:
        del tree["model"]["width"]
        tree["model"] |= {"width": width} if width < 64 else {}
    trained(tree, settings, step.random_images(size, 4096))


def plain_gan(size: int, batch_size: int, width: int = 64) -> None:
    """Arm: the public DCGAN loop."""
    device = this_device()
    torch.manual_seed(0)
    networks = step.plain_generator(size, width), step.plain_critic(size, width)
    loop = step.PlainLoop(*(network.to(device) for network in networks))
    pixels = to_float(step.random_images(size, 4 * batch_size)).to(device)
    reals = itertools.cycle(pixels.split(batch_size))
    for _ in turns(device, {"images": batch_size, "precision": "fp32"}, warmup=WARMUP):
        loop.step(next(reals), torch.randn(batch_size, step.LATENT, 1, 1, device=device))


def loading(size: int, batch_size: int, flip: bool = True) -> None:
    """Arm: genkit's loader alone, from memory onto the device."""
    device = this_device()
    tree = step.dcgan(size, batch_size, 64, steps=10**6)
    tree["data"]["flip"] = flip
    config = resolve(tree, "benchmark")
    source = image_rows("random", step.random_images(size, 50_000 if size == 32 else 512))
    batches = Loader(source, config.data, 0, device=device).steps()
    for _ in turns(device, {"images": batch_size, "precision": "fp32"}, warmup=WARMUP):
        next(batches)


# -- sampling and features -------------------------------------------------------------------------


def sampling(
    network: diffusion.Network,
    count: int,
    batch_size: int,
    steps: int,
    library: Literal["genkit", "diffusers"],
    precision: Literal["fp32", "bf16"],
    compiled: bool = False,
) -> None:
    """Arm: a step makes `count` pictures by so many DDIM steps, to PIL."""
    from benchmarks import sampling as arms

    device = this_device()
    torch.manual_seed(0)
    made = diffusion.network_of(network).to(device).eval()
    make: Callable[[int], object]
    if library == "diffusers":
        make = _of_diffusers(arms.peer(made), steps, device, precision)
    else:
        ours = Denoising(scheduler=arms.PROCESS.scheduler(), unet=made)
        if compiled:
            ours.compile()
        options: dict[str, Any] = {"scheduler": "ddim", "steps": steps, "precision": precision}

        def make(number: int) -> object:
            return ours(number, seed=0, batch_size=number, **options)

    for _ in turns(device, {"images": count, "precision": precision}, warmup=1):
        for size in _parts(count, batch_size):
            make(size)


def _of_diffusers(
    pipeline: Any, steps: int, device: torch.device, precision: str
) -> Callable[[int], object]:
    # A pipeline of bf16 weights ends in an error: numpy has no such numbers.
    def make(number: int) -> object:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            return pipeline(number, num_inference_steps=steps).images

    return make


def _parts(count: int, size: int) -> Iterator[int]:
    for start in range(0, count, size):
        yield min(size, count - start)


def features(images: int, precision: Any, library: Literal["genkit", "clean-fid"]) -> None:
    """Arm: a step takes PNG files of 32 px to Inception's features, seeded weights."""
    from benchmarks import evaluation as arms

    device = this_device()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = arms._files(folder, images)
        network = arms.seeded_inception()
        work = arms.features_work(library, network, folder, files, precision, device)
        for _ in turns(device, {"images": images, "precision": precision}, warmup=1):
            work()


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    globals()[asked["function"]](**asked["arguments"])
