"""One rank of the two-process contract tests.

Trains on random images and leaves what it saw and learnt in `rank-<r>.pt`.
"""

from __future__ import annotations

from pathlib import Path

import torch
from families_at_hand import state, trainer

from genkit.family import resolve


def work(folder: Path, tree: dict) -> None:
    """Train, recording the rows of every step: their data set index, position and noise."""
    run = trainer(resolve(tree, "rank"), folder)
    seen = []
    step = run.step

    def recorded(batches):
        result = step(batches)
        if not run.rehearsing:
            seen.extend((b["index"], b["position"], run.noise("latent", b, (8,))) for b in batches)
        return result

    run.step = recorded
    begun = {key: value.clone() for key, value in state(run).items()}
    run.fit()
    torch.save({"state": state(run), "begun": begun, "seen": seen}, folder / f"rank-{run.rank}.pt")
    run.close()
