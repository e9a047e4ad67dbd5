"""Arms: one DCGAN training step, in the plain public form and in genkit's trainer.

The plain loop is the form that most DCGAN code descends from (Radford et al. 2016,
arXiv:1511.06434; layers, order and settings of the PyTorch example): NCHW, fp32, Adam as torch
builds it by default, binary cross entropy on a sigmoid, the critic updated on real and generated
images in two passes, then the generator on the same generated images with the critic not frozen,
and every number read with `.item()` at each step. Layer for layer these are genkit's networks.

Legend: B batch, Z latent size, C image channels, S size in px.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.timing import Clock, Laps, this_device
from genkit.data import Loader
from genkit.family import load, resolve
from genkit.images import to_float
from genkit.machine import keep_freed_memory
from genkit.rows.base import image_rows
from genkit.rows.batch import DataInfo

LATENT = 100
COLOURS = 3
IMAGES = 1024  # random ones, in memory
LOG_EVERY = 10  # steps; five times as often as a run logs by default

Measured = dict[str, Any]  # what an arm gives: "seconds" of one step, image or update, and facts


# -- the plain loop --------------------------------------------------------------------------------


def plain_generator(size: int, width: int = 64) -> nn.Module:
    """z (B, Z, 1, 1) -> (B, C, S, S) in [-1, 1]; S a power of two from 16 on."""
    levels = int(math.log2(size)) - 3
    top = width << levels
    layers = [nn.ConvTranspose2d(LATENT, top, 4, 1, 0, bias=False), *_norm_relu(top)]
    for i in range(levels):
        inputs, outputs = top >> i, top >> (i + 1)
        layers.append(nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False))
        layers += _norm_relu(outputs)
    layers += [nn.ConvTranspose2d(width, COLOURS, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers).apply(_initialise)


def _norm_relu(channels: int) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]


def plain_critic(size: int, width: int = 64) -> nn.Module:
    """(B, C, S, S) in [-1, 1] -> probabilities of being real (B, 1, 1, 1)."""
    levels = int(math.log2(size)) - 3
    layers = [nn.Conv2d(COLOURS, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for i in range(levels):
        inputs, outputs = width << i, width << (i + 1)
        layers.append(nn.Conv2d(inputs, outputs, 4, 2, 1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)]
    layers += [nn.Conv2d(width << levels, 1, 4, 1, 0, bias=False), nn.Sigmoid()]
    return nn.Sequential(*layers).apply(_initialise)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


class PlainLoop:
    """The training loop of the public examples, one `step` at a time.

    Args:
        generator: As `plain_generator` gives it.
        critic: As `plain_critic` gives it.
    """

    def __init__(self, generator: nn.Module, critic: nn.Module) -> None:
        self.generator, self.critic = generator, critic
        self.criterion = nn.BCELoss()
        self.critic_adam, self.generator_adam = (
            torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999))
            for network in (critic, generator)
        )

    def step(self, real: Tensor, noise: Tensor) -> tuple[float, ...]:
        """Both losses, and the critic's mean on real and, before and after its update, on fake.

        Args:
            real: (B, C, S, S) in [-1, 1].
            noise: (B, Z, 1, 1).
        """
        self.critic.zero_grad()
        label = torch.full((len(real),), 1.0, device=real.device)
        output = self.critic(real).view(-1)
        loss_real = self.criterion(output, label)
        loss_real.backward()
        mean_real = output.mean().item()
        fake = self.generator(noise)
        label.fill_(0.0)
        output = self.critic(fake.detach()).view(-1)
        loss_fake = self.criterion(output, label)
        loss_fake.backward()
        mean_before = output.mean().item()
        critic_loss = loss_real + loss_fake
        self.critic_adam.step()

        self.generator.zero_grad()
        label.fill_(1.0)
        output = self.critic(fake).view(-1)
        generator_loss = self.criterion(output, label)
        generator_loss.backward()
        mean_after = output.mean().item()
        self.generator_adam.step()
        return critic_loss.item(), generator_loss.item(), mean_real, mean_before, mean_after


def plain(
    *, size: int, batch_size: int = 64, width: int = 64, warmup: int = 3, laps: int = 20
) -> Measured:
    """Arm: the plain loop on images that already lie on the device as floats."""
    device = this_device()
    torch.manual_seed(0)
    generator, critic = plain_generator(size, width), plain_critic(size, width)
    loop = PlainLoop(generator.to(device), critic.to(device))
    reals = to_float(random_images(size, 4 * batch_size)).to(device).split(batch_size)
    batches = itertools.cycle(reals)

    def work() -> None:
        loop.step(next(batches), torch.randn(batch_size, LATENT, 1, 1, device=device))

    seconds = Laps(device, warmup=warmup, count=laps).time(work)
    return {"seconds": seconds, "precision": "fp32", "device": device.type}


# -- genkit ----------------------------------------------------------------------------------------


def trained(
    *,
    size: int,
    batch_size: int = 64,
    width: int = 64,
    warmup: int = 3,
    laps: int = 20,
    lap_length: int = 1,
    logged: bool = True,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Measured:
    """Arm: `Trainer.fit` as `genkit train` runs it, from an in-memory data set.

    Args:
        size: S.
        batch_size: B of one process.
        width: Channels next to the image.
        warmup: Steps left out.
        laps: Their number.
        lap_length: Steps in one. What a run does every n steps is only seen by laps of n.
        logged: Whether to log every `LOG_EVERY` steps, or only at the end.
        settings: Sections of a run's config, laid over the benchmark's.
    """
    keep_freed_memory()
    device = this_device()
    timed = Laps(device, warmup=warmup, count=laps, length=lap_length)
    steps = timed.steps + 1
    tree = dcgan(size, batch_size, width, steps=steps, log_every=LOG_EVERY if logged else steps)
    for section, values in (settings or {}).items():
        tree.setdefault(section, {}).update(values)
    config = resolve(tree, "benchmark")
    source = image_rows("random", random_images(size, IMAGES))
    loader = Clock(Loader(source, config.data, config.trainer.seed, device=device), timed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = load("dcgan").trainer(config, DataInfo.of(source), Path(folder))
        trainer.loader = loader
        trainer.fit()
        trainer.close()
    return {"seconds": timed.seconds, "precision": trainer.casting.precision, "device": device.type}


def dcgan(
    size: int, batch_size: int, width: int, *, steps: int, log_every: int = LOG_EVERY
) -> dict[str, dict[str, Any]]:
    """A DCGAN run's config as a tree: colour images, nothing saved before its end."""
    tree: dict[str, Any] = {
        "family": "dcgan",
        "data": {
            "kind": "custom",
            "image_size": size,
            "channels": COLOURS,
            "batch_size": batch_size,
        },
        "model": {"latent_dim": LATENT, "width": width},
        "trainer": run_length(steps, log_every),
    }
    return tree


def run_length(steps: int, log_every: int) -> dict[str, int]:
    """Settings of a trainer that saves and draws nothing before its last step."""
    end = math.ceil(steps / log_every) * log_every
    return {
        "steps": steps,
        "log_every": log_every,
        "save_every": end,
        "preview_every": end,
    }


def random_images(size: int, count: int, channels: int = COLOURS) -> Tensor:
    """Noise as pixels: (count, channels, S, S) uint8."""
    keyed = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, size, size), generator=keyed, dtype=torch.uint8)
