"""One step of CLIP on one rank: its loss, and the gradient that every weight was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from families_at_hand import trainer

from genkit.family import resolve

KINDS = ("contrastive", "sigmoid")


def one_step(run: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss of the first step, and the gradients behind it; weights stay."""
    seen: dict[str, torch.Tensor] = {}
    update = run._update

    def record(names: Any) -> None:
        for network in names:
            for key, parameter in run.bare_networks[network].named_parameters():
                seen[f"{network}.{key}"] = parameter.grad.clone()
        update(names)

    run._update = record
    steps = run.loader.steps(
        rank=run.rank, processes=run.processes, accumulation=run.batches_per_step
    )
    return float(run.step(next(steps))["loss/clip"]), seen


def work(folder: Path, tree: dict[str, Any]) -> None:
    """The first step of two processes; leaves what it saw in `rank-<r>.pt`."""
    run = trainer(resolve(tree, "rank"), folder)
    run.wrap()
    loss, gradients = one_step(run)
    torch.save({"loss": loss, "gradients": gradients}, folder / f"rank-{run.rank}.pt")
    run.close()
