"""One rank of the two-process contract tests: `python -m rank_at_work FOLDER CONFIG_JSON`.

Trains on random images and leaves what it saw and learnt in `rank-<r>.pt`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from families_at_hand import state, trainer

from genkit.family import resolve
from genkit.launch import is_launched, leave


def work(folder: Path, tree: dict) -> None:
    """Train, recording the rows of every step: their data set index, position and noise."""
    run = trainer(resolve(tree, "rank"), folder)
    seen = []
    step = run.step

    def recorded(batches):
        result = step(batches)
        if not run._rehearsing:
            seen.extend((b["index"], b["position"], run.noise("latent", b, (8,))) for b in batches)
        return result

    run.step = recorded
    begun = {key: value.clone() for key, value in state(run).items()}
    run.fit()
    torch.save({"state": state(run), "begun": begun, "seen": seen}, folder / f"rank-{run.rank}.pt")
    run.close()


if __name__ == "__main__":
    work(Path(sys.argv[1]), json.loads(sys.argv[2]))
    if is_launched():
        leave()
