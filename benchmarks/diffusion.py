"""Arms: one training step of DDPM, in the plain public form and in genkit's trainer.

The plain loop has the form of diffusers' example of unconditional training: Accelerate around a
`UNet2DModel`, `DDPMScheduler.add_noise`, the mean squared error, AdamW as the example sets it,
clipped gradients, `EMAModel`, the loss read at each step. Both train one and the same network.

Networks: "small" has 4.44 M weights (64, 128 and 128 channels at 32, 16 and 8 px, a residual block
each, attention at 16 px and in the middle, heads 8 wide as diffusers' class has them by default),
"cifar10" the 35.75 M of Ho et al. 2020 (arXiv:2006.11239), "dit-s" and "dit-b" the transformers of
Peebles & Xie 2023 (arXiv:2212.09748) with patches of 2 px.

Legend: B batch, C image channels, S size in px.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import DDPMScheduler
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor

from benchmarks.step import IMAGES, LOG_EVERY, Measured, random_images, run_length
from benchmarks.timing import Clock, Laps, this_device
from genkit.data import Loader
from genkit.families import ddpm
from genkit.family import load, resolve
from genkit.images import to_float
from genkit.machine import keep_freed_memory
from genkit.rows.base import image_rows
from genkit.rows.batch import DataInfo

Network = Literal["small", "cifar10", "dit-s", "dit-b", "tiny", "dit-tiny"]
TIMESTEPS = 1000

MODELS: dict[Network, dict[str, Any]] = {
    "small": {"channels": [64, 128, 128], "layers": 1, "attention": [16], "head_dim": 8},
    "cifar10": {},
    "dit-s": {"kind": "dit"},
    "dit-b": {"kind": "dit", "width": 768, "heads": 12},
    "dit-tiny": {"kind": "dit", "width": 16, "layers": 2, "heads": 2, "patch_size": 4},
    "tiny": {"channels": [8, 16], "layers": 1, "attention": [8], "head_dim": 8},  # for tests
}
COLOURS: dict[Network, int] = {name: 3 if name[:3] in ("cif", "dit") else 1 for name in MODELS}
SIZES: dict[Network, int] = {name: 16 if "tiny" in name else 32 for name in MODELS}


def network_of(network: Network) -> Any:
    """diffusers' `UNet2DModel` or `DiTTransformer2DModel` with first weights, on the CPU."""
    kind = ddpm.DiT if MODELS[network].get("kind") == "dit" else ddpm.UNet
    return kind(**MODELS[network]).make(SIZES[network], COLOURS[network], COLOURS[network], None)


def float_images(network: Network, batch_size: int, device: torch.device) -> tuple[Tensor, ...]:
    """Four batches of random images in [-1, 1] on a device."""
    pixels = random_images(SIZES[network], 4 * batch_size, COLOURS[network])
    return to_float(pixels).to(device).split(batch_size)


def as_diffusers_runs_it(network: Any) -> Any:
    """The network itself, with diffusers' attention in place of genkit's."""
    for module in network.modules():
        if isinstance(module, Attention):
            plain: Any = AttnProcessor2_0
            module.set_processor(plain())
    return network


# -- the plain loop --------------------------------------------------------------------------------


class PlainLoop:
    """The training loop of diffusers' example, one `step` at a time.

    Args:
        network: A `UNet2DModel`, or a `DiTTransformer2DModel`.
        precision: As the example's `--mixed_precision`; None = as Accelerate is configured.
        compiled: Whether Accelerate compiles the network.
    """

    def __init__(
        self,
        network: Any,
        precision: Literal["no", "bf16", "fp16"] | None = None,
        *,
        compiled: bool = False,
    ) -> None:
        backend = "inductor" if compiled else None
        self.accelerator = Accelerator(mixed_precision=precision, dynamo_backend=backend)
        labels = network.config.get("num_embeds_ada_norm")  # of a transformer: the one for none
        self.given = {} if labels is None else {"class_labels": labels}
        self.average = EMAModel(
            network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75
        )
        self.average.to(self.accelerator.device)
        self.scheduler: Any = DDPMScheduler(num_train_timesteps=TIMESTEPS, beta_schedule="linear")
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        rate = get_scheduler("constant", optimizer=optimizer)
        self.network, self.optimizer, self.rate = self.accelerator.prepare(
            as_diffusers_runs_it(network), optimizer, rate
        )
        self.network.train()

    def step(self, images: Tensor, noise: Tensor, timesteps: Tensor) -> float:
        """The loss, after one update.

        Args:
            images: (B, C, S, S) in [-1, 1].
            noise: As `images`, N(0, 1).
            timesteps: (B,) int64.
        """
        noisy = self.scheduler.add_noise(images, noise, timesteps)
        with self.accelerator.accumulate(self.network):
            given = {k: torch.full_like(timesteps, value) for k, value in self.given.items()}
            output = self.network(noisy, timesteps, **given).sample
            loss = F.mse_loss(output.float(), noise.float())
            self.accelerator.backward(loss)
            if self.accelerator.sync_gradients:
                self.accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.rate.step()
            self.optimizer.zero_grad()
        if self.accelerator.sync_gradients:
            self.average.step(self.network.parameters())
        return loss.detach().item()


def plain(*, network: Network, batch_size: int, warmup: int = 2, laps: int = 8) -> Measured:
    """Arm: the plain loop on images that already lie on the device as floats."""
    device = this_device()
    torch.manual_seed(0)
    loop = PlainLoop(network_of(network).to(device))
    batches = itertools.cycle(float_images(network, batch_size, device))

    def work() -> None:
        images = next(batches)
        timesteps = torch.randint(0, TIMESTEPS, (batch_size,), device=device)
        loop.step(images, torch.randn(images.shape, device=device), timesteps)

    seconds = Laps(device, warmup=warmup, count=laps).time(work)
    return {"seconds": seconds, "precision": "fp32", "device": device.type}


# -- genkit ----------------------------------------------------------------------------------------


def trained(
    *,
    network: Network,
    batch_size: int,
    warmup: int = 2,
    laps: int = 8,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Measured:
    """Arm: `Trainer.fit` as `genkit train` runs it, from an in-memory data set.

    Args:
        network: Which.
        batch_size: B.
        warmup: Steps left out.
        laps: Their number.
        settings: Sections of a run's config, laid over the benchmark's.
    """
    keep_freed_memory()
    device = this_device()
    timed = Laps(device, warmup=warmup, count=laps)
    tree = config(network, batch_size, steps=timed.steps + 1)
    for section, values in (settings or {}).items():
        tree.setdefault(section, {}).update(values)
    resolved = resolve(tree, "benchmark")
    pixels = random_images(SIZES[network], max(IMAGES, batch_size), COLOURS[network])
    source = image_rows("random", pixels)
    loader = Clock(Loader(source, resolved.data, resolved.trainer.seed, device=device), timed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = load("ddpm").trainer(resolved, DataInfo.of(source), Path(folder))
        trainer.loader = loader
        trainer.fit()
        trainer.close()
    return {"seconds": timed.seconds, "precision": trainer.casting.precision, "device": device.type}


def config(network: Network, batch_size: int, *, steps: int) -> dict[str, dict[str, Any]]:
    """A DDPM run's config as a tree: the plain loop's settings, nothing saved before its end."""
    tree: dict[str, Any] = {
        "family": "ddpm",
        "data": {
            "kind": "custom",
            "image_size": SIZES[network],
            "channels": COLOURS[network],
            "batch_size": batch_size,
        },
        "model": dict(MODELS[network]),
        "noise": {"steps": TIMESTEPS},
        "preview": {"steps": 1},
        "optim": {"lr": 1e-4, "betas": [0.95, 0.999], "weight_decay": 1e-6, "warmup_steps": 0},
        "trainer": {
            "grad_clip": 1.0,
            "ema_decay": 0.9999,
            "preview_count": 1,
            **run_length(steps, LOG_EVERY),
        },
    }
    return tree
