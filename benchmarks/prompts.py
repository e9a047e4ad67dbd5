"""How often a text-to-image run shows what a prompt says, on drawn scenes.

    python -m benchmarks.prompts RUN                      # 200 prompts a kind
    python -m benchmarks.prompts RUN --sheet sheet.png    # and the first eight of each, as pictures

Prompts tell all there is of scenes that no training drew: one thing, and two with where one lies
from the other; of pairs of colour and shape that were seen, and of held-out ones. The guidance is
chosen on prompts of another seed. Beside each share stands that of the autoencoder, through which
the true picture of the same prompt went, and what the reader makes of the true picture itself.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genkit.data.scenes.captions import captions, claims
from genkit.data.scenes.drawing import picture
from genkit.data.scenes.things import Pairs, Scene, scene
from genkit.evaluation.extractors.scenes import SceneExtractor
from genkit.evaluation.intervals import share_interval
from genkit.evaluation.scenes import CLAIMS, judged, read_scenes
from genkit.images import png_of, to_float, to_uint8
from genkit.images.sheets import Line, in_lines, sheet
from genkit.pipelines import load_pipeline

KINDS, PAIRS = ("one", "two"), ("seen", "unseen")
SEED, OTHER_SEED = 2_000_000, 3_000_000  # of worlds that no training draws from
CHOSEN_ON = 60  # prompts of each kind that guidance is chosen on
SHOWN = 8


def scenes_of(kind: str, pairs: Pairs, seed: int, count: int) -> list[Scene]:
    """Scenes of a kind."""
    return [scene(seed, f"prompts-{kind}", i, pairs, kind) for i in range(count)]


def prompts_of(scenes: Sequence[Scene], seed: int) -> list[str]:
    """What tells everything of each."""
    return [captions(each, seed, "prompts", i, 1)[0] for i, each in enumerate(scenes)]


def shares(read: Iterable[Scene], prompts: Sequence[str]) -> dict[str, float]:
    """How often all is shown, and each kind of claim by itself."""
    table: dict[str, list[bool]] = {"all": []}
    for shown, text in zip(read, prompts, strict=True):
        prompt = claims(text)
        table["all"].append(prompt.holds(shown))
        for claim, right in judged(prompt, shown).items():
            table.setdefault(claim, []).append(right)
    return {name: float(np.mean(table[name])) for name in ("all", *CLAIMS) if name in table}


class Judge:
    """A run, and what reads its pictures."""

    def __init__(self, run: str, steps: int) -> None:
        self.pipeline: Any = load_pipeline(run)
        self.reader = SceneExtractor()
        self.steps, self.side = steps, self.pipeline.shape[1]

    def made(self, prompts: Sequence[str], guidance: float) -> Tensor:
        """Pictures (N, C, H, W) uint8 of prompts."""
        images: Tensor = self.pipeline(
            len(prompts), caption=list(prompts), guidance=guidance, steps=self.steps, seed=0,
            output="tensor",
        )  # fmt: skip
        return to_uint8(images * 2 - 1)

    def read(self, images: Tensor) -> list[Scene]:
        """What pictures (N, C, H, W) uint8 show."""
        with torch.no_grad():
            return read_scenes(self.reader.network, self.reader.prepare(images))

    @torch.no_grad()
    def through(self, images: Tensor) -> Tensor:
        """The same pictures after the autoencoder."""
        vae = self.pipeline.vae
        back = [
            vae.decode(vae.encode(part).latent_dist.mean).sample
            for part in to_float(images).split(64)
        ]
        return to_uint8(torch.cat(back).clamp(-1, 1))

    def chosen(self, candidates: Sequence[float]) -> tuple[float, dict[float, float]]:
        """The guidance with the largest share of prompts of another seed, and all shares."""
        texts = [
            text
            for kind in KINDS
            for text in prompts_of(scenes_of(kind, "seen", OTHER_SEED, CHOSEN_ON), OTHER_SEED)
        ]
        found = {g: shares(self.read(self.made(texts, g)), texts)["all"] for g in candidates}
        return max(found, key=lambda g: found[g]), found


def measure(run: str, candidates: Sequence[float], count: int, steps: int) -> dict[str, Any]:
    """All shares of a run, with the pictures of the first prompts under "lines"."""
    judge = Judge(run, steps)
    guidance, tried = judge.chosen(candidates)
    lines, found = [], {"guidance": guidance, "tried": tried, "count": count, "steps": steps}
    for kind in KINDS:
        for pairs in PAIRS:
            scenes = scenes_of(kind, pairs, SEED, count)  # type: ignore[arg-type]
            texts = prompts_of(scenes, SEED)
            true = torch.from_numpy(
                np.stack([picture(s, judge.side, SEED, kind, i) for i, s in enumerate(scenes)])
            )
            made = judge.made(texts, guidance)
            of_run = shares(judge.read(made), texts)
            ceiling = shares(judge.read(judge.through(true)), texts)["all"]
            found[f"{kind} {pairs}"] = {
                "run": of_run,
                "interval": share_interval(of_run["all"], count),
                "autoencoder": ceiling,
                "reader": shares(judge.read(true), texts)["all"],
                "share of the autoencoder's": of_run["all"] / max(ceiling, 1e-9),
            }
            lines += [
                Line(image[None], in_lines(text))
                for image, text in zip(made[:SHOWN], texts, strict=False)
            ]
    return found | {"lines": lines}


def main() -> None:
    """Print all shares as JSON, and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", help="a run or export of family latent_diffusion on scenes")
    parser.add_argument("--guidance", type=float, nargs="+", default=[1, 2, 3, 4, 6, 8])
    parser.add_argument("--count", type=int, default=200, help="prompts of each kind")
    parser.add_argument("--steps", type=int, default=20, help="of the sampler")
    parser.add_argument("--sheet", type=Path, help="a .png file")
    asked = parser.parse_args()
    found = measure(asked.run, asked.guidance, asked.count, asked.steps)
    lines = found.pop("lines")
    if asked.sheet is not None:
        asked.sheet.write_bytes(png_of(sheet(lines, scale=2)))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
