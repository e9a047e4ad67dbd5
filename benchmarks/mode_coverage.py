"""Which objective with which regulariser finds every mode of a mixture, and how exactly.

    OMP_NUM_THREADS=1 python -m benchmarks.mode_coverage        # two hours on one core
    python -m benchmarks.mode_coverage ring --only "R1 + R2"    # some of it

Every objective meets every regulariser that `AdversarialConfig` lets it have, three seeds each,
with one setting for all that learn a mixture. Results go to `results/mode-coverage.json` as they
come, and runs found there with the same settings are not repeated; pictures to
`docs/objectives-ring.png` and `docs/objectives-grid.png`.

The runs of one regulariser are trained side by side, as one batched computation: each has its own
weights, and no number of one enters another.

Legend: R runs side by side, B points per batch, Z latent size, M modes, N points.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from benchmarks.side_by_side import apply, stack, weights
from genkit import random
from genkit.losses import adversarial
from genkit.losses.adversarial import Objective
from genkit.machine import keep_freed_memory
from genkit.nn.spectral import spectral_normalize
from genkit.provenance import hardware
from genkit.training.adversarial import AdversarialConfig

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "mode-coverage.json"
POINTS = ROOT / "runs" / "mode-coverage"  # samples for the pictures; not kept in git
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
SEEDS = (0, 1, 2)
SAMPLES = 10_000
DRAWN = 2_500  # of seed 0, in a picture

Measured = dict[str, Any]


# -- what is learnt --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mixture:
    """Gaussians of equal weight and spread in the plane, and what depends on them.

    Attributes:
        centres: (M, 2).
        std: Of each coordinate around its centre.
        scale: Networks see a point times this, within about [-1, 1].
        octaves: Of sines and cosines that a critic sees besides; see `Waves`.
        gamma: Weight of R1 and of R2.
        steps: Updates of each network.
    """

    centres: tuple[tuple[float, float], ...]
    std: float
    scale: float
    octaves: int
    gamma: float
    steps: int

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Points (count, 2), scaled."""
        mode = torch.randint(len(self.centres), (count,), generator=generator)
        noise = torch.randn(count, 2, generator=generator)
        return self.scale * (torch.tensor(self.centres)[mode] + self.std * noise)

    def judge(self, points: Tensor) -> dict[str, float]:
        """What scaled points (N, 2) cover.

        Returns:
            modes: Those with a point within 3 std. shared: Those with at least a tenth of their
            fair share, N / M points. good: Share of the points within 3 std of some centre;
            1 - exp(-9 / 2) = 0.989 of the mixture's own.
        """
        distance, nearest = torch.cdist(points / self.scale, torch.tensor(self.centres)).min(dim=1)
        good = distance < 3 * self.std
        found = torch.bincount(nearest[good], minlength=len(self.centres))
        fair = len(points) / len(self.centres)
        return {
            "modes": int((found > 0).sum()),
            "shared": int((found >= fair / 10).sum()),
            "good": round(good.float().mean().item(), 4),
        }


RING = Mixture(
    centres=tuple((2 * math.cos(math.pi * i / 4), 2 * math.sin(math.pi * i / 4)) for i in range(8)),
    std=0.02,
    scale=1 / 2,
    octaves=0,
    gamma=0.02,
    steps=4_000,
)
GRID = Mixture(
    centres=tuple((2.0 * i, 2.0 * j) for i in range(-2, 3) for j in range(-2, 3)),
    std=0.05,
    scale=1 / 4,
    octaves=3,
    gamma=0.005,
    steps=18_000,
)
MIXTURES = {"ring": RING, "grid": GRID}


# -- how -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """The same for both mixtures, every objective and every regulariser."""

    batch_size: int = 64
    latent_dim: int = 2
    width: int = 128
    hidden_layers: int = 3  # of generator (ReLU) and critic (leaky ReLU, 0.2)
    critic_steps: int = 1
    lr: float = 2e-3  # of both networks; falls to 0 by half a cosine
    betas: tuple[float, float] = (0.5, 0.99)
    ema_decay: float = 0.999  # with warm-up; what is judged are samples of the average
    gp_weight: float = 0.1  # WGAN-GP
    clip_weights: float = 0.3


def regularisers(mixture: Mixture, settings: Settings) -> dict[str, Measured]:
    """The options of each, as a config has them under `adversarial:`."""
    return {
        "none": {},
        "R1": {"r1_weight": mixture.gamma},
        "R1 + R2": {"r1_weight": mixture.gamma, "r2_weight": mixture.gamma},
        "WGAN-GP": {"gp_weight": settings.gp_weight},
        "spectral norm": {"spectral_norm": True},
        "clipping": {"clip_weights": settings.clip_weights},
    }


def permitted(options: Measured) -> list[Objective]:
    """The objectives that genkit's config accepts together with these options."""
    return [objective for objective in OBJECTIVES if _accepts({**options, "objective": objective})]


def _accepts(options: Measured) -> bool:
    try:
        AdversarialConfig.model_validate(options)
    except ValidationError:
        return False
    return True


# -- networks --------------------------------------------------------------------------------------


class Waves(nn.Module):
    """(..., 2) with sin(pi 2^k x) and cos(pi 2^k x) of each coordinate, k < octaves.

    From plain coordinates a dense network is slow to learn what changes within a small part of
    its input: Tancik et al. 2020 (arXiv:2006.10739).
    """

    def __init__(self, octaves: int) -> None:
        super().__init__()
        self.frequencies = math.pi * 2.0 ** torch.arange(octaves)

    def forward(self, x: Tensor) -> Tensor:
        """(..., 2) -> (..., 2 + 4 octaves)."""
        angles = (x[..., None] * self.frequencies).flatten(-2)
        return torch.cat([x, angles.sin(), angles.cos()], dim=-1)


def generator(settings: Settings) -> nn.Sequential:
    """z (..., Z) -> a point (..., 2)."""
    return nn.Sequential(*_dense(settings.latent_dim, 2, settings, nn.ReLU()))


def critic(mixture: Mixture, settings: Settings) -> nn.Sequential:
    """A point (..., 2) -> a logit (..., 1)."""
    inputs = 2 + 4 * mixture.octaves
    return nn.Sequential(Waves(mixture.octaves), *_dense(inputs, 1, settings, nn.LeakyReLU(0.2)))


def _dense(inputs: int, outputs: int, settings: Settings, activation: nn.Module) -> list[nn.Module]:
    sizes = [inputs, *[settings.width] * settings.hidden_layers]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), activation)]
    return [*hidden, nn.Linear(settings.width, outputs)]


# -- training --------------------------------------------------------------------------------------


class Runs:
    """R generators against their critics, all with the same regulariser.

    Runs of one seed begin with the same weights and draw the same points and latents.

    Args:
        mixture: What they learn.
        settings: The same for all.
        options: Of the regulariser.
        objectives: Of each run.
        seeds: Of each run.
    """

    def __init__(
        self,
        mixture: Mixture,
        settings: Settings,
        options: Measured,
        objectives: Sequence[Objective],
        seeds: Sequence[int],
    ) -> None:
        self.mixture, self.settings = mixture, settings
        self.objectives, self.seeds = objectives, seeds
        self.config = AdversarialConfig.model_validate({**options, "objective": objectives[0]})
        self.generators, self.critics = [], []
        for seed in seeds:
            torch.manual_seed(random.key(seed, "init"))
            self.generators.append(generator(settings))
            self.critics.append(critic(mixture, settings))
            if self.config.spectral_norm:
                spectral_normalize(self.critics[-1])
        self.averages = copy.deepcopy(self.generators)
        self.draws = {seed: random.generator(seed, "train") for seed in seeds}
        self.critic_adam, self.generator_adam = (
            torch.optim.Adam(weights(networks), settings.lr, settings.betas, fused=True)
            for networks in (self.critics, self.generators)
        )

    def train(self) -> None:
        """All steps."""
        steps = self.mixture.steps
        for step in range(steps):
            for adam in (self.critic_adam, self.generator_adam):
                rate = self.settings.lr * (1 + math.cos(math.pi * step / steps)) / 2
                adam.param_groups[0]["lr"] = rate
            self.step(step)

    def step(self, step: int) -> None:
        """The critic's updates, then the generator's on the points of the last of them."""
        for _ in range(self.settings.critic_steps):
            real, z, share = self._draw()
            fake = apply(stack(self.generators), z)
            _update(self.critic_adam, self._critic_loss(real, fake.detach(), share))
            self._clip()
        _update(self.generator_adam, self._generator_loss(real, fake))
        self._average(step)

    def samples(self, count: int = SAMPLES) -> Tensor:
        """Scaled points (R, count, 2) of the averaged generators."""
        shape = (count, self.settings.latent_dim)
        z = torch.stack([random.rows(seed, "sample", [0], shape)[0] for seed in self.seeds])
        with torch.no_grad():
            return apply(stack(self.averages), z)

    def _draw(self) -> tuple[Tensor, Tensor, Tensor]:
        """Real points (R, B, 2), latents (R, B, Z), shares (R, B)."""
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
        """The sum over runs of objective and penalties."""
        config, runs, critics = self.config, len(self.seeds), stack(self.critics)
        real, fake = (x.flatten(0, 1).requires_grad_(config.penalized) for x in (real, fake))
        both = torch.cat([x.unflatten(0, (runs, -1)) for x in (real, fake)], dim=1)
        l_r, l_f = apply(critics, both)[..., 0].chunk(2, dim=1)
        loss = self._objectives(adversarial.critic_loss, l_r, l_f)
        # A penalty's mean is over all runs.
        if config.r1_weight:
            loss = loss + runs * config.r1_weight * adversarial.gradient_penalty(l_r, real)
        if config.r2_weight:
            loss = loss + runs * config.r2_weight * adversarial.gradient_penalty(l_f, fake)
        if config.gp_weight:
            between = adversarial.interpolates(real.detach(), fake.detach(), share.flatten())
            logits = apply(critics, between.requires_grad_().unflatten(0, (runs, -1)))
            loss = loss + runs * config.gp_weight * adversarial.wgan_gp(logits, between)
        return loss

    def _generator_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        with torch.no_grad():
            critics = stack(self.critics)
        l_r, l_f = apply(critics, real)[..., 0], apply(critics, fake)[..., 0]
        return self._objectives(adversarial.generator_loss, l_f, l_r)

    def _objectives(self, loss: Callable[..., Tensor], first: Tensor, second: Tensor) -> Tensor:
        """The sum over runs of a loss on logits (R, B), each under its own objective."""
        total = torch.zeros(())
        for objective in dict.fromkeys(self.objectives):
            rows = [i for i, name in enumerate(self.objectives) if name == objective]
            each = torch.vmap(partial(loss, objective))(first[rows], second[rows])
            total = total + each.sum()
        return total

    def _clip(self) -> None:
        limit = self.config.clip_weights
        if limit is not None:
            with torch.no_grad():
                for weight in weights(self.critics):
                    weight.clamp_(-limit, limit)

    def _average(self, step: int) -> None:
        decay = min(self.settings.ema_decay, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(weights(self.averages), weights(self.generators), 1 - decay)


def _update(adam: torch.optim.Optimizer, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    adam.step()


# -- measuring -------------------------------------------------------------------------------------


def measure(mixture: Mixture, options: Measured, settings: Settings) -> tuple[Measured, Tensor]:
    """What every permitted objective covers with one regulariser.

    Returns:
        By objective a value per seed of what `Mixture.judge` counts, with the seconds of one run;
        and points (objectives, DRAWN, 2) of seed 0, to the scale of the mixture.
    """
    objectives = permitted(options)
    pairs = [(objective, seed) for objective in objectives for seed in SEEDS]
    runs = Runs(mixture, settings, options, [o for o, _ in pairs], [s for _, s in pairs])
    begun = time.process_time()
    runs.train()
    seconds = (time.process_time() - begun) / len(pairs)
    points = runs.samples()
    judged = [mixture.judge(each) for each in points]
    table: Measured = {}
    for objective in objectives:
        own = [verdict for verdict, (o, _) in zip(judged, pairs, strict=True) if o == objective]
        table[objective] = {name: [verdict[name] for verdict in own] for name in own[0]}
    first = [i for i, (_, seed) in enumerate(pairs) if seed == SEEDS[0]]
    measured = {"options": options, "seconds_per_run": round(seconds, 1), "objectives": table}
    return measured, points[first, :DRAWN] / mixture.scale


def median(cell: Measured) -> tuple[int, int, float]:
    """Modes, modes with their share, and share of good points: the medians over seeds."""
    modes, shared, good = (statistics.median(cell[name]) for name in ("modes", "shared", "good"))
    return int(modes), int(shared), good


def table(measured: Measured) -> str:
    """Medians in Markdown: a row per objective, "modes (shared) good %" per regulariser."""
    header = ["objective", *measured]
    lines = [header, ["---"] * len(header)]
    for objective in OBJECTIVES:
        cells = [unit["objectives"].get(objective) for unit in measured.values()]
        lines.append([objective, *(_words(cell) if cell else "refused" for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _words(cell: Measured) -> str:
    modes, shared, good = median(cell)
    return f"{modes} ({shared}) {100 * good:.0f} %"


# -- pictures --------------------------------------------------------------------------------------


def draw(name: str, measured: Measured) -> Path:
    """Points of seed 0 for every combination: a column per regulariser, a row per objective."""
    import matplotlib.pyplot as plt

    centres = np.array(MIXTURES[name].centres)
    reach = 1.25 * np.abs(centres).max()
    figure, axes = plt.subplots(
        *(len(OBJECTIVES), len(measured)), figsize=(1.5 * len(measured), 1.6 * len(OBJECTIVES))
    )
    for column, (regulariser, unit) in enumerate(measured.items()):
        points = dict(zip(unit["objectives"], np.load(_points(name, regulariser)), strict=True))
        for row, objective in enumerate(OBJECTIVES):
            panel = axes[row, column]
            panel.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_color("#dddddd")
            if row == 0:
                panel.set_title(regulariser, fontsize=9)
            if column == 0:
                panel.set_ylabel(objective, fontsize=8)
            if objective not in points:
                panel.text(0, 0, "refused", ha="center", va="center", fontsize=8, color="#888888")
                continue
            panel.scatter(*centres.T, s=26, facecolors="none", edgecolors="#e8a33d", linewidths=0.6)
            panel.scatter(*points[objective].T, s=0.25, color="#1f4e8c", linewidths=0)
            cell = unit["objectives"][objective]
            words = f"{cell['modes'][0]} modes, {100 * cell['good'][0]:.0f} %"
            panel.set_xlabel(words, fontsize=7, labelpad=2)
    figure.tight_layout(pad=0.4)
    path = ROOT / "docs" / f"objectives-{name}.png"
    figure.savefig(path, dpi=120, facecolor="white")
    plt.close(figure)
    return path


def _points(mixture: str, regulariser: str) -> Path:
    return POINTS / f"{mixture} {regulariser}.npy"


# -- the command -----------------------------------------------------------------------------------


def main() -> None:
    """Measure what isn't there yet, then print the tables and draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mixtures", nargs="*", default=list(MIXTURES), metavar="ring|grid")
    parser.add_argument("--only", metavar="REGULARISER", help="one column of the table")
    arguments = parser.parse_args()
    keep_freed_memory()
    settings = Settings()
    for name in arguments.mixtures:
        wanted = regularisers(MIXTURES[name], settings)
        for regulariser in [arguments.only] if arguments.only else wanted:
            _measure_once(name, regulariser, wanted[regulariser], settings)
        results = _read()["mixtures"][name]["regularisers"]
        measured = {
            regulariser: results[regulariser] for regulariser in wanted if regulariser in results
        }
        print(table(measured))
        print(draw(name, measured))


def _measure_once(name: str, regulariser: str, options: Measured, settings: Settings) -> None:
    mixture = {key: value for key, value in asdict(MIXTURES[name]).items() if key != "centres"}
    held = json.loads(json.dumps({"mixture": mixture, "settings": asdict(settings)}))
    before = _read()["mixtures"].get(name, {})
    if _same(before, held) and regulariser in before["regularisers"]:
        return
    unit, points = measure(MIXTURES[name], options, settings)
    print(name, regulariser, unit, flush=True)
    POINTS.mkdir(parents=True, exist_ok=True)
    np.save(_points(name, regulariser), points.numpy())
    results = _read()  # again: another process may have measured another mixture meanwhile
    before = results["mixtures"].get(name, {})
    kept = before["regularisers"] if _same(before, held) else {}
    results["mixtures"][name] = {**held, "regularisers": {**kept, regulariser: unit}}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def _same(before: Measured, held: Measured) -> bool:
    return all(before.get(key) == value for key, value in held.items())


def _read() -> Measured:
    if RESULTS.exists():
        held: Measured = json.loads(RESULTS.read_text())
        return held
    machine = {name: hardware()[name] for name in ("cpu", "cores")}
    return {
        "what": "modes covered (shared: with a tenth of their share) and share of good points, "
        f"of {SAMPLES} samples, for seeds {SEEDS}",
        "machine": {**machine, "torch": torch.__version__, "threads": torch.get_num_threads()},
        "mixtures": {},
    }


if __name__ == "__main__":
    main()
