"""Which objective with which regulariser finds every mode of a mixture, and how exactly.

    OMP_NUM_THREADS=1 python -m benchmarks.mode_coverage ring grid

writes `benchmarks/results/mode-coverage.json` and `docs/objectives-{ring,grid}.png`. Every
objective meets every regulariser that `AdversarialConfig` lets it have, with one setting for all of
them, three seeds each. The runs of one regulariser are trained side by side, as one batched
computation: each has its own weights, and no number of one enters another.

Legend: R runs side by side, B points per batch, Z latent size, M modes.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import platform
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from genkit import random
from genkit.losses import adversarial
from genkit.losses.adversarial import Objective
from genkit.nn.spectral import spectral_normalize
from genkit.training.adversarial import AdversarialConfig

RESULTS = Path(__file__).parent / "results" / "mode-coverage.json"
DOCS = Path(__file__).parent.parent / "docs"
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
SEEDS = 3
SAMPLES = 10_000


# -- what is learnt --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixture:
    """Gaussians of equal weight and spread in the plane.

    Attributes:
        centres: (M, 2).
        std: Of each coordinate around its centre.
        scale: What networks see is a point times this, to be within about [-1, 1].
    """

    centres: Tensor
    std: float
    scale: float

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Points (count, 2), scaled."""
        mode = torch.randint(len(self.centres), (count,), generator=generator)
        noise = torch.randn(count, 2, generator=generator)
        return self.scale * (self.centres[mode] + self.std * noise)

    def judge(self, points: Tensor) -> dict[str, float]:
        """What scaled points (N, 2) cover.

        Returns:
            modes: Modes with a point within 3 std. shared: Modes with at least a tenth of their
            fair share N / M there. good: Share of points within 3 std of a mode; 1 - exp(-9/2) =
            0.989 for points of the mixture itself.
        """
        distance, nearest = torch.cdist(points / self.scale, self.centres).min(dim=1)
        good = distance < 3 * self.std
        found = torch.bincount(nearest[good], minlength=len(self.centres))
        enough = len(points) / len(self.centres) / 10
        return {
            "modes": int((found > 0).sum()),
            "shared": int((found >= enough).sum()),
            "good": good.float().mean().item(),
        }


def ring() -> Mixture:
    """8 modes on a circle of radius 2, std 0.02."""
    angle = torch.arange(8) * math.pi / 4
    return Mixture(2 * torch.stack([angle.cos(), angle.sin()], dim=1), 0.02, 1 / 2)


def grid() -> Mixture:
    """25 modes on a square from -4 to 4 in steps of 2, std 0.05."""
    line = torch.arange(-4.0, 5.0, 2.0)
    return Mixture(torch.cartesian_prod(line, line), 0.05, 1 / 4)


MIXTURES = {"ring": ring, "grid": grid}


# -- how -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """One setting for every objective and regulariser."""

    steps: int = 3000
    batch_size: int = 64
    latent_dim: int = 2
    width: int = 128
    layers: int = 3  # hidden, in both networks
    lr: float = 2e-3  # of both networks; falls to 0 by half a cosine
    betas: tuple[float, float] = (0.5, 0.99)
    ema_decay: float = 0.999  # with warm-up; the samples are the average's


def regularisers(gamma: float = 0.02) -> dict[str, dict[str, Any]]:
    """The options of each, as a config has them under `adversarial:`."""
    return {
        "none": {},
        "R1": {"r1_weight": gamma},
        "R1 + R2": {"r1_weight": gamma, "r2_weight": gamma},
        "WGAN-GP": {"gp_weight": 1.0},
        "spectral norm": {"spectral_norm": True},
        "clipping": {"clip_weights": 0.1},
    }


def permitted(options: dict[str, Any]) -> list[Objective]:
    """The objectives that genkit's config accepts together with these options."""
    return [objective for objective in OBJECTIVES if _accepts({"objective": objective, **options})]


def _accepts(options: dict[str, Any]) -> bool:
    try:
        AdversarialConfig.model_validate(options)
    except ValidationError:
        return False
    return True


# -- networks side by side -------------------------------------------------------------------------


Stacked = list[tuple[Tensor, Tensor] | nn.Module]


def perceptron(inputs: int, outputs: int, settings: Settings, activation: nn.Module) -> nn.Sequential:
    """Dense layers with an activation between any two."""
    sizes = [inputs, *[settings.width] * settings.layers]
    hidden = [m for a, b in zip(sizes, sizes[1:]) for m in (nn.Linear(a, b), activation)]
    return nn.Sequential(*hidden, nn.Linear(settings.width, outputs))


def stack(networks: Sequence[nn.Sequential]) -> Stacked:
    """The layers of R equal networks, weights stacked: (R, out, in) and (R, 1, out)."""
    return [
        (torch.stack([m.weight for m in layers]), torch.stack([m.bias for m in layers])[:, None])
        if isinstance(layers[0], nn.Linear)
        else layers[0]
        for layers in zip(*networks, strict=True)
    ]


def apply(layers: Stacked, x: Tensor) -> Tensor:
    """Each network on its own points: (R, B, in) -> (R, B, out)."""
    for layer in layers:
        x = layer(x) if isinstance(layer, nn.Module) else torch.baddbmm(layer[1], x, layer[0].mT)
    return x


class Players:
    """R generators and their critics, all with the same regulariser.

    Args:
        mixture: What they learn.
        options: Of `AdversarialConfig`, without the objective.
        objectives: One per run.
        seeds: One per run.
        settings: The same for all.
    """

    def __init__(
        self,
        mixture: Mixture,
        options: dict[str, Any],
        objectives: Sequence[Objective],
        seeds: Sequence[int],
        settings: Settings,
    ) -> None:
        self.mixture, self.settings, self.seeds = mixture, settings, seeds
        self.config = AdversarialConfig.model_validate({**options, "objective": objectives[0]})
        self.objectives = objectives
        self.generators, self.critics = [], []
        for seed in seeds:
            torch.manual_seed(random.key(seed, "init"))
            z, width = settings.latent_dim, settings
            self.generators.append(perceptron(z, 2, width, nn.ReLU()))
            self.critics.append(perceptron(2, 1, width, nn.LeakyReLU(0.2)))
            if self.config.spectral_norm:
                spectral_normalize(self.critics[-1])
        self.averages = copy.deepcopy(self.generators)
        self.draws = {seed: random.generator(seed, "train") for seed in seeds}
        self.optimizers = {
            name: torch.optim.Adam(_weights(nets), settings.lr, settings.betas, fused=True)
            for name, nets in {"generator": self.generators, "critic": self.critics}.items()
        }

    def train(self) -> None:
        """All steps."""
        for step in range(self.settings.steps):
            rate = self.settings.lr * (1 + math.cos(math.pi * step / self.settings.steps)) / 2
            for optimizer in self.optimizers.values():
                optimizer.param_groups[0]["lr"] = rate
            self.step(step)

    def step(self, step: int) -> None:
        """One update of each network."""
        real, z, share = self._draw()
        fake = apply(stack(self.generators), z)
        loss = self._critic_loss(real, fake.detach(), share)
        self._update("critic", loss)
        if self.config.clip_weights is not None:
            with torch.no_grad():
                for weight in _weights(self.critics):
                    weight.clamp_(-self.config.clip_weights, self.config.clip_weights)
        self._update("generator", self._generator_loss(real, fake))
        self._average(step)

    def samples(self, count: int = SAMPLES) -> Tensor:
        """Scaled points (R, count, 2) of the averaged generators."""
        z = {s: random.rows(s, "sample", [0], (count, self.settings.latent_dim))[0] for s in self.seeds}
        with torch.no_grad():
            return apply(stack(self.averages), torch.stack([z[s] for s in self.seeds]))

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Real points (R, B, 2), latents (R, B, Z), shares (R, B): alike for runs of one seed."""
        size = self.settings.batch_size
        drawn = {
            seed: (
                self.mixture.draw(size, draw),
                torch.randn(size, self.settings.latent_dim, generator=draw),
                torch.rand(size, generator=draw),
            )
            for seed, draw in self.draws.items()
        }
        real, z, share = zip(*(drawn[seed] for seed in self.seeds), strict=True)
        return torch.stack(real), torch.stack(z), torch.stack(share)

    def _critic_loss(self, real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
        """The sum over runs of each one's objective and penalty."""
        config, critics, runs = self.config, stack(self.critics), len(self.seeds)
        real, fake = (x.flatten(0, 1).requires_grad_(config.penalized) for x in (real, fake))
        both = torch.cat([x.unflatten(0, (runs, -1)) for x in (real, fake)], dim=1)
        l_r, l_f = apply(critics, both)[..., 0].chunk(2, dim=1)
        loss = _sum(self.objectives, adversarial.critic_loss, l_r, l_f)
        if config.r1_weight:
            loss = loss + runs * config.r1_weight * adversarial.gradient_penalty(l_r, real)
        if config.r2_weight:
            loss = loss + runs * config.r2_weight * adversarial.gradient_penalty(l_f, fake)
        if config.gp_weight:
            between = adversarial.interpolates(real.detach(), fake.detach(), share.flatten())
            between.requires_grad_()
            logits = apply(critics, between.unflatten(0, (runs, -1)))
            loss = loss + runs * config.gp_weight * adversarial.wgan_gp(logits, between)
        return loss

    def _generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        with torch.no_grad() if False else torch.enable_grad():
            critics = [
                layer if isinstance(layer, nn.Module) else (layer[0].detach(), layer[1].detach())
                for layer in stack(self.critics)
            ]
        l_f, l_r = apply(critics, fake)[..., 0], apply(critics, real)[..., 0]
        return _sum(self.objectives, adversarial.generator_loss, l_f, l_r)

    def _update(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()

    def _average(self, step: int) -> None:
        decay = min(self.settings.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(_weights(self.averages), _weights(self.generators), 1 - decay)


def _weights(networks: Iterable[nn.Module]) -> list[nn.Parameter]:
    return [p for network in networks for p in network.parameters()]


def _sum(objectives: Sequence[Objective], loss: Any, first: Tensor, second: Tensor) -> Tensor:
    """The sum over runs of a loss on their logits (R, B), each under its own objective."""
    total = first.new_zeros(())
    for objective in dict.fromkeys(objectives):
        rows = [i for i, name in enumerate(objectives) if name == objective]
        each = torch.vmap(partial(loss, objective))(first[rows], second[rows])
        total = total + each.sum()
    return total
