"""What is left of the generator's gradient while its critic grows sure.

    OMP_NUM_THREADS=1 python -m benchmarks.vanishing_gradients      # seconds

The experiment of Arjovsky & Bottou 2017 (arXiv:1701.04862), section 2.2.1, in the plane: the
generator stays as it is, far from the data, and the critic alone is trained. As it nears the
optimum, the gradient of the minimax generator vanishes, that of the non-saturating one does not.
Writes `results/vanishing-gradients.json` and `docs/objectives-vanishing.png`.

Legend: B points per batch, Z latent size.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from genkit import random
from genkit.losses.adversarial import Objective, critic_loss, generator_loss
from genkit.provenance import hardware

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "vanishing-gradients.json"
PICTURE = ROOT / "docs" / "objectives-vanishing.png"
COMPARED: tuple[Objective, Objective] = ("minimax", "non-saturating")
LOOKS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)  # updates of the critic
SEEDS = (0, 1, 2, 3, 4)
LATENT, WIDTH, BATCH = 8, 64, 256
CENTRE, STD = 2.0, 0.05  # of the data: a Gaussian around (2, 2); the generator's points are near 0

Look = dict[str, float]


def experiment(seed: int, looks: tuple[int, ...] = LOOKS) -> list[Look]:
    """The critic trained for as many updates as the last of `looks`, and what it then leaves.

    Returns:
        At each look: `updates`; `critic`, its loss, which is 0 for the optimum on disjoint sets;
        `logit`, its mean on generated points; by objective the L2 norm of the generator's gradient.
    """
    torch.manual_seed(random.key(seed, "init"))
    generator, critic = network(LATENT, 2), network(2, 1)
    adam = torch.optim.Adam(critic.parameters(), lr=1e-3, fused=True)
    draw = random.generator(seed, "train")
    z = torch.randn(1024, LATENT, generator=random.generator(seed, "look"))
    looked = []
    for updates in range(looks[-1] + 1):
        loss = critic_loss("minimax", *logits(critic, generator, draw))
        if updates in looks:
            logit = critic(generator(z))
            norms = {str(name): gradient_norm(name, logit, generator) for name in COMPARED}
            state = {"critic": loss.item(), "logit": logit.mean().item()}
            looked.append({"updates": updates, **state, **norms})
        adam.zero_grad()
        loss.backward()
        adam.step()
    return looked


def network(inputs: int, outputs: int) -> nn.Sequential:
    """A small dense network."""
    hidden = [nn.Linear(inputs, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(WIDTH, outputs))


def logits(critic: nn.Module, generator: nn.Module, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """The critic on fresh real and generated points: (B, 1) each."""
    real = CENTRE + STD * torch.randn(BATCH, 2, generator=draw)
    with torch.no_grad():
        fake = generator(torch.randn(BATCH, LATENT, generator=draw))
    return critic(real), critic(fake)


def gradient_norm(objective: Objective, logit: Tensor, generator: nn.Module) -> float:
    """L2 norm of an objective's gradient in the generator's weights."""
    loss = generator_loss(objective, logit.double())  # 1 - sigma(l) = 0 in float32 for l < -17
    gradients = torch.autograd.grad(loss, list(generator.parameters()), retain_graph=True)
    return torch.cat([g.flatten() for g in gradients]).norm().item()


def medians(runs: list[list[Look]]) -> list[Look]:
    """The looks of several seeds as one."""
    return [
        {name: statistics.median(look[name] for look in looks) for name in looks[0]}
        for looks in zip(*runs, strict=True)
    ]


def plot(runs: list[list[Look]]) -> None:
    """Both norms over the critic's updates: medians, and lines for each seed."""
    import matplotlib.pyplot as plt

    figure, panel = plt.subplots(figsize=(5.4, 3.2))
    colors = dict(zip(COMPARED, ("#b5452c", "#1f4e8c"), strict=True))
    for objective, color in colors.items():
        for run in runs:
            panel.plot(*_line(run, objective), color=color, alpha=0.25, linewidth=0.8)
        panel.plot(*_line(medians(runs), objective), color=color, linewidth=2, label=objective)
    panel.set(xscale="symlog", yscale="log", xlim=(0, LOOKS[-1]))
    panel.set(xlabel="updates of the critic, generator frozen", ylabel="norm of its gradient")
    panel.grid(color="#eeeeee")
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(PICTURE, dpi=120, facecolor="white")


def _line(run: list[Look], objective: Objective) -> tuple[list[float], list[float]]:
    return [look["updates"] for look in run], [look[objective] for look in run]


def main() -> None:
    """Measure, write and draw."""
    runs = [experiment(seed) for seed in SEEDS]
    machine: dict[str, Any] = {"cpu": hardware()["cpu"], "torch": torch.__version__}
    middle = medians(runs)
    results = {"machine": machine, "medians": middle, "seeds": runs}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    plot(runs)
    for look in middle:
        ratio = look["non-saturating"] / look["minimax"]
        print(" ".join(f"{name} {value:.4g}" for name, value in look.items()), f"ratio {ratio:.4g}")


if __name__ == "__main__":
    main()
