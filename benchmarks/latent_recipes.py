"""The default way of latent diffusion against the recipe of 2022, on drawn scenes.

    python -m benchmarks.latent_recipes --autoencoder RUN --text RUN --out DIR

Both train the same network on the same latents and texts: the one as configs/text-to-image/scenes
does (a flow, levels around the middle, Muon), in two thirds of the steps of the other, which
predicts epsilon on the scaled-linear schedule with Adam (Rombach et al. 2022, arXiv:2112.10752).
Three seeds each. The score is how often a picture shows all that its prompt says, one thing or two,
and how often each claim of it; the guidance is chosen for each run, on other prompts. Runs lie in
DIR and go on where they stopped.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.prompts import KINDS, SEED, Judge, prompts_of, scenes_of, shares
from genkit.evaluation.intervals import share_interval

STEPS = 3_900  # of the recipe of 2022
SHARE = 2 / 3  # of them that the default has
SAME = """
family: latent_diffusion
data: {kind: scenes, image_size: 32, batch_size: 64}
model: {widths: [96, 192], layers: 1, attention: [8, 4]}
optim: {schedule: cosine}
trainer: {log_every: 50}
"""
RECIPES = {
    "flow": ["optim.kind=muon", "optim.lr=2.0e-3"],
    "flow, Adam": ["optim.lr=1.0e-3"],
    "2022": [
        "noise.prediction=epsilon",
        "noise.schedule=scaled-linear",
        "noise.beta_start=0.00085",
        "noise.beta_end=0.012",
        "optim.lr=1.0e-3",
    ],
}
GUIDANCES = (2.0, 4.0, 6.0)


def trained(recipe: str, seed: int, steps: int, built_on: list[str], out: Path) -> Path:
    """The run of a recipe and a seed."""
    run = out / f"{recipe.replace(', ', '-').lower()}-{steps}-{seed}"
    config = out / "same.yaml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(SAME)
    command = [sys.executable, "-m", "genkit", "train", str(config), *RECIPES[recipe], *built_on]
    command += [f"trainer.seed={seed}", f"trainer.steps={steps}", "--out", str(run), "--resume"]
    subprocess.run(command, check=True, stdout=sys.stderr)
    return run


def score(run: Path, count: int) -> dict[str, Any]:
    """Shares of a run over `count` prompts of each kind, with the guidance it was given."""
    judge = Judge(str(run), steps=20)
    guidance, _ = judge.chosen(GUIDANCES)
    texts = [t for kind in KINDS for t in prompts_of(scenes_of(kind, "seen", SEED, count), SEED)]
    found = shares(judge.read(judge.made(texts, guidance)), texts)
    return found | {"guidance": guidance, "interval": share_interval(found["all"], len(texts))}


def main() -> None:
    """Train and score all, and print the scores and their means as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--autoencoder", required=True, help="a run of family autoencoder")
    parser.add_argument("--text", required=True, help="a run of family clip")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipes", nargs="+", choices=RECIPES, default=["flow", "2022"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS, help="of the recipe of 2022")
    parser.add_argument("--count", type=int, default=200, help="prompts of each kind")
    asked = parser.parse_args()
    built_on = [f"model.autoencoder={asked.autoencoder}", f"model.text={asked.text}"]
    table: dict[str, Any] = {}
    for seed in range(asked.seeds):
        for recipe in asked.recipes:
            steps = asked.steps if recipe == "2022" else round(asked.steps * SHARE)
            run = trained(recipe, seed, steps, built_on, asked.out)
            row = table.setdefault(recipe, {"steps": steps, "seeds": []})
            row["seeds"].append(score(run, asked.count))
    for row in table.values():
        values = [each["all"] for each in row["seeds"]]
        row["mean"], row["lowest"], row["highest"] = np.mean(values), min(values), max(values)
    print(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
