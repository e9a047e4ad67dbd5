"""Arms: one step of CycleGAN and of AttGAN, in the public order of passes and in genkit's trainer.

The networks are genkit's own in both. The plain loops are stated from the papers and the order in
which their authors' code calls the networks: fp32, Adam as torch builds it by default, each pass on
its own, critics frozen while the generators learn. Their pictures lie on the device as floats.

Zhu et al. 2017 (arXiv:1703.10593): both generators, then both critics, whose pictures come from a
pool of 50. He et al. 2019 (arXiv:1711.10678): one update of the critic with WGAN-GP, one of encoder
and decoder, and every number read with `.item()`, as the public ports do.

Legend: B batch, S side in px, A attributes.
"""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.step import LOG_EVERY, Measured, random_images, run_length
from benchmarks.timing import Clock, Laps, this_device
from genkit.data import Loader
from genkit.family import load, resolve
from genkit.images import to_float
from genkit.machine import keep_freed_memory
from genkit.nn.editors import AttributeCritic, EditDecoder, EditEncoder
from genkit.nn.translators import PatchCritic, ResnetTranslator
from genkit.rows.base import MemoryRows, Rows, image_rows
from genkit.rows.batch import DataInfo
from genkit.rows.columns import Flags, Image
from genkit.rows.combine import unpaired

IMAGES = 256  # random ones of each kind, in memory
ATTRIBUTES = 13
POOL = 50


def adam(networks: Iterable[nn.Module], lr: float = 2e-4) -> torch.optim.Adam:
    """As the public loops build it."""
    weights = [parameter for network in networks for parameter in network.parameters()]
    return torch.optim.Adam(weights, lr, (0.5, 0.999))


def _learning(networks: Iterable[nn.Module], learns: bool) -> None:
    for network in networks:
        network.requires_grad_(learns)


# -- CycleGAN --------------------------------------------------------------------------------------


class PlainCycle:
    """The public order of passes, one `step` at a time.

    Args:
        a_to_b: The generators.
        b_to_a: The way back.
        critic_a: Of pictures of A.
        critic_b: Of pictures of B.
    """

    def __init__(
        self, a_to_b: nn.Module, b_to_a: nn.Module, critic_a: nn.Module, critic_b: nn.Module
    ) -> None:
        self.a_to_b, self.b_to_a = a_to_b, b_to_a
        self.critics = {"a": critic_a, "b": critic_b}
        self.generator_adam = adam([a_to_b, b_to_a])
        self.critic_adam = adam(self.critics.values())
        self.pools: dict[str, list[Tensor]] = {"a": [], "b": []}

    def step(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """The losses of the generators and of each critic, scalars without graph.

        Args:
            a: (B, C, S, S) in [-1, 1].
            b: As `a`.
        """
        fake_b = self.a_to_b(a)
        back_a = self.b_to_a(fake_b)
        fake_a = self.b_to_a(b)
        back_b = self.a_to_b(fake_a)

        _learning(self.critics.values(), False)
        self.generator_adam.zero_grad()
        identity = F.l1_loss(self.a_to_b(b), b) + F.l1_loss(self.b_to_a(a), a)
        verdicts = [self.critics["b"](fake_b).logits, self.critics["a"](fake_a).logits]
        fooled = sum(F.mse_loss(each, torch.ones_like(each)) for each in verdicts)
        cycle = F.l1_loss(back_a, a) + F.l1_loss(back_b, b)
        generators = fooled + 10 * cycle + 5 * identity
        generators.backward()
        self.generator_adam.step()

        _learning(self.critics.values(), True)
        self.critic_adam.zero_grad()
        found = {"generators": generators.detach()}
        for side, real, fake in (("b", b, fake_b), ("a", a, fake_a)):
            found[f"critic_{side}"] = self._critic(side, real, self._pooled(side, fake.detach()))
        self.critic_adam.step()
        return found

    def _critic(self, side: str, real: Tensor, fake: Tensor) -> Tensor:
        on_real, on_fake = (self.critics[side](each).logits for each in (real, fake))
        loss = F.mse_loss(on_real, torch.ones_like(on_real))
        loss = (loss + F.mse_loss(on_fake, torch.zeros_like(on_fake))) / 2
        loss.backward()
        return loss.detach()

    def _pooled(self, side: str, fakes: Tensor) -> Tensor:
        pool, shown = self.pools[side], []
        for fake in fakes:
            if len(pool) < POOL:
                pool.append(fake.clone())
                shown.append(fake)
            elif random.random() < 0.5:
                place = random.randrange(POOL)
                shown.append(pool[place])
                pool[place] = fake.clone()
            else:
                shown.append(fake)
        return torch.stack(shown)


def plain_cycle(
    *, size: int, batch_size: int = 1, width: int = 64, blocks: int = 9, warmup: int = 2, laps: int
) -> Measured:
    """Arm: the public order of passes."""
    device = this_device()
    torch.manual_seed(0)
    generators = [ResnetTranslator(3, 3, width, blocks).to(device) for _ in range(2)]
    critics = [PatchCritic(3, width, 3).to(device) for _ in range(2)]
    loop = PlainCycle(*generators, *critics)
    sides = [to_float(random_images(size, 8 * batch_size)).to(device).flip(i) for i in (0, 3)]
    pairs = zip(*(itertools.cycle(side.split(batch_size)) for side in sides), strict=False)
    seconds = Laps(device, warmup=warmup, count=laps).time(lambda: loop.step(*next(pairs)))
    return {"seconds": seconds, "precision": "fp32", "device": device.type}


def trained_cycle(
    *,
    size: int,
    batch_size: int = 1,
    width: int = 64,
    blocks: int = 9,
    warmup: int = 2,
    laps: int,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Measured:
    """Arm: `Trainer.fit` as `genkit train` runs it, without an average, as in the paper."""
    tree: dict[str, Any] = {
        "family": "cyclegan",
        "data": {"kind": "unpaired", "root": ".", "image_size": size, "batch_size": batch_size},
        "model": {"width": width, "blocks": blocks, "critic_width": width, "pool": POOL},
    }
    sides = [image_rows(f"random {i}", random_images(size, IMAGES).flip(i)) for i in (0, 3)]
    return trained(tree, unpaired(sides[0], sides[1]), warmup, laps, settings)


# -- AttGAN ----------------------------------------------------------------------------------------


class PlainEditor:
    """The public order of passes of AttGAN, one `step` at a time.

    Args:
        encoder: Of pictures.
        decoder: Of maps and attributes.
        critic: With both heads.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, critic: nn.Module) -> None:
        self.encoder, self.decoder, self.critic = encoder, decoder, critic
        self.editor_adam, self.critic_adam = adam([encoder, decoder]), adam([critic])

    def step(self, image: Tensor, flags: Tensor) -> dict[str, float]:
        """One update of the critic, then one of encoder and decoder; their losses.

        Args:
            image: (B, C, S, S) in [-1, 1].
            flags: (B, A) in {0, 1}.
        """
        asked = flags[torch.randperm(len(flags))]
        return self.critic_step(image, flags, asked) | self.editor_step(image, flags, asked)

    def critic_step(self, image: Tensor, flags: Tensor, asked: Tensor) -> dict[str, float]:
        """WGAN-GP, and the attributes of real pictures."""
        _learning([self.critic], True)
        fake = self.decoder(self.encoder(image), asked - 0.5).detach()
        real, made = self.critic(image), self.critic(fake)
        distance = real.logits.mean() - made.logits.mean()
        penalty = self._penalty(image, fake)
        named = F.binary_cross_entropy_with_logits(real.classes, flags)
        loss = -distance + 10 * penalty + named
        self.critic_adam.zero_grad()
        loss.backward()
        self.critic_adam.step()
        terms = {"critic": loss, "distance": distance, "penalty": penalty, "named": named}
        return {name: term.item() for name, term in terms.items()}

    def editor_step(self, image: Tensor, flags: Tensor, asked: Tensor) -> dict[str, float]:
        """The verdict on edited pictures, their attributes, and pictures given back."""
        _learning([self.critic], False)
        maps = self.encoder(image)
        fake, back = self.decoder(maps, asked - 0.5), self.decoder(maps, flags - 0.5)
        made = self.critic(fake)
        fooled, kept = -made.logits.mean(), F.l1_loss(back, image)
        named = F.binary_cross_entropy_with_logits(made.classes, asked)
        loss = fooled + 10 * named + 100 * kept
        self.editor_adam.zero_grad()
        loss.backward()
        self.editor_adam.step()
        terms = {"editor": loss, "fooled": fooled, "asked": named, "kept": kept}
        return {name: term.item() for name, term in terms.items()}

    def _penalty(self, real: Tensor, fake: Tensor) -> Tensor:
        share = torch.rand(len(real), 1, 1, 1, device=real.device)
        between = (real + share * (fake - real)).requires_grad_(True)
        logits = self.critic(between).logits
        (slope,) = torch.autograd.grad(logits.sum(), between, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()


def plain_editor(
    *, size: int, batch_size: int = 32, width: int = 64, warmup: int = 2, laps: int
) -> Measured:
    """Arm: the public order of passes."""
    device = this_device()
    torch.manual_seed(0)
    levels = min(5, size.bit_length() - 3)
    networks = (
        EditEncoder(3, width, levels),
        EditDecoder(ATTRIBUTES, 3, width, levels, 1, 1),
        AttributeCritic((size, size), ATTRIBUTES, 3, width, levels, 16 * width),
    )
    loop = PlainEditor(*(network.to(device) for network in networks))
    images = to_float(random_images(size, 4 * batch_size)).to(device).split(batch_size)
    flags = _flags(4 * batch_size).float().to(device).split(batch_size)
    pairs = itertools.cycle(zip(images, flags, strict=True))
    seconds = Laps(device, warmup=warmup, count=laps).time(lambda: loop.step(*next(pairs)))
    return {"seconds": seconds, "precision": "fp32", "device": device.type}


def trained_editor(
    *,
    size: int,
    batch_size: int = 32,
    width: int = 64,
    warmup: int = 2,
    laps: int,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> Measured:
    """Arm: `Trainer.fit`; one update of the critic for one of encoder and decoder, no average."""
    tree: dict[str, Any] = {
        "family": "attgan",
        "data": {"kind": "custom", "image_size": size, "batch_size": batch_size},
        "model": {
            "width": width,
            "head_width": 16 * width,
            "shortcut_layers": 1,
            "inject_layers": 1,
        },
        "adversarial": {"critic_steps": 1},
    }
    columns = {
        "image": Image((size, size), 3),
        "attributes": Flags(tuple(f"a{i}" for i in range(ATTRIBUTES))),
    }
    values = {"image": random_images(size, IMAGES), "attributes": _flags(IMAGES)}
    return trained(tree, MemoryRows("random", columns, values), warmup, laps, settings)


def _flags(count: int) -> Tensor:
    keyed = torch.Generator().manual_seed(0)
    return torch.randint(0, 2, (count, ATTRIBUTES), generator=keyed, dtype=torch.uint8)


# -- both ------------------------------------------------------------------------------------------


def trained(
    tree: dict[str, Any],
    rows: Rows,
    warmup: int,
    laps: int,
    settings: Mapping[str, Mapping[str, Any]] | None,
) -> Measured:
    """What an arm of genkit's measures: the steps of a run on rows in memory."""
    keep_freed_memory()
    device = this_device()
    timed = Laps(device, warmup=warmup, count=laps)
    tree["trainer"] = {**run_length(timed.steps + 1, LOG_EVERY), "ema_decay": None}
    for section, values in (settings or {}).items():
        tree.setdefault(section, {}).update(values)
    config = resolve(tree, "benchmark")
    with tempfile.TemporaryDirectory() as folder:
        trainer = load(config.family).trainer(
            config, DataInfo.of(rows), Path(folder), examples=lambda: rows
        )
        loader = Loader(trainer.rows(rows), config.data, config.trainer.seed, device=device)
        trainer.loader = Clock(loader, timed)
        trainer.fit()
        trainer.close()
    return {"seconds": timed.seconds, "precision": trainer.casting.precision, "device": device.type}
