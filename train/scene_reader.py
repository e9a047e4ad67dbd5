"""Train the reader of drawn scenes that ships in genkit/nn/pretrained.

    python train/scene_reader.py --out scenes.safetensors

Some minutes on one core. Prints how many whole scenes it reads rightly, as drawn, blurred and
noisy, writes the averaged weights and prints the SHA-256 that belongs into
genkit/nn/pretrained/scenes.py. The weights in the package are fixed: training them anew changes
every scene-score. It is due when the drawing of scenes changes (VERSION in
genkit/data/readers/scenes.py).
"""

from __future__ import annotations

import argparse
import hashlib
import math
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from genkit import random
from genkit.data.readers.scenes import ScenesData
from genkit.data.scenes import things
from genkit.data.scenes.things import COLORS, GROUNDS, SHAPES, SIZES, Scene
from genkit.evaluation.scenes import is_whole, read_scenes
from genkit.families.classifier import degraded
from genkit.images import to_float
from genkit.nn.scene_reader import CELL, SceneGrid, SceneReader

SIZE, BATCH, RATE, DECAY, DEGRADED = 32, 64, 4e-3, 0.05, 0.5


def main() -> None:
    """Train, print how much is read rightly, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="safetensors file to write")
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--scenes", type=int, default=60_000)
    arguments = parser.parse_args()
    torch.manual_seed(0)
    network = train(arguments.scenes, arguments.steps)
    for name, share in shares_read(network).items():
        print(f"2,000 fresh scenes, {name}: {share:.4f} read rightly as a whole")
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, arguments.out)
    content = arguments.out.read_bytes()
    print(f"{arguments.out}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


def train(count: int, steps: int) -> SceneReader:
    """A network with averaged weights."""
    rows = ScenesData(image_size=SIZE, train_count=count, pairs="all", captions=1).open("train")
    images = rows.values["image"]
    assert isinstance(images, Tensor)
    scenes = [things.scene(0, "train", i, "all") for i in range(count)]
    ground = torch.tensor([GROUNDS.index(scene.ground) for scene in scenes])
    wanted = torch.stack([cells_of(scene) for scene in scenes])
    network = SceneReader().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = torch.optim.swa_utils.AveragedModel(
        network, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
    )
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    begun = time.perf_counter()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = (
                RATE * min(1, (step + 1) / 200) * (1 + math.cos(math.pi * step / steps)) / 2
            )
        drawn = random.generator(0, "scene-reader", step)
        chosen = torch.randint(count, (BATCH,), generator=drawn)
        seen = to_float(images[chosen])
        grain = torch.randn(seen.shape, generator=drawn)
        seen = degraded(seen, torch.rand(BATCH, 4, generator=drawn), grain, DEGRADED)
        loss = loss_of(network(seen), wanted[chosen], ground[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(network)
        if step % 500 == 499:
            print(
                f"step {step + 1} of {steps}, loss {loss:.4f}, {time.perf_counter() - begun:.0f} s"
            )
    found: nn.Module = average.module
    assert isinstance(found, SceneReader)
    return found.eval()


def cells_of(scene: Scene) -> Tensor:
    """(6, G, G): whether the middle of a thing lies there; its shape, colour, size; x, y in it."""
    cells = SIZE // CELL
    found = torch.zeros(6, cells, cells)
    for thing in scene.things:
        x, y = thing.x * cells, thing.y * cells
        looks = SHAPES.index(thing.shape), COLORS.index(thing.color), SIZES.index(thing.size)
        found[:, int(y), int(x)] = torch.tensor([1, *looks, x - int(x), y - int(y)])
    return found


def loss_of(grid: SceneGrid, wanted: Tensor, ground: Tensor) -> Tensor:
    """Cross-entropies of what is there, and the distance of its place: a scalar."""
    there = wanted[:, 0] > 0
    loss = F.binary_cross_entropy_with_logits(grid.there, wanted[:, 0]) * 20
    for i, logits in enumerate((grid.shape, grid.color, grid.size), start=1):
        loss = loss + F.cross_entropy(logits.movedim(1, -1)[there], wanted[:, i][there].long())
    place = grid.place.movedim(1, -1)[there] - wanted[:, 4:].movedim(1, -1)[there]
    return loss + place.abs().mean() + F.cross_entropy(grid.ground, ground)


def shares_read(network: SceneReader) -> dict[str, float]:
    """How many of 2,000 scenes that it never saw are read rightly as a whole."""
    data = ScenesData(image_size=SIZE, pairs="all", captions=1)
    images = data.open("test").values["image"]
    assert isinstance(images, Tensor)
    scenes: Sequence[Scene] = [things.scene(0, "test", i, "all") for i in range(len(images))]
    unseen = data.open("unseen").values["image"]
    assert isinstance(unseen, Tensor)
    held = [things.scene(0, "unseen", i, "unseen") for i in range(len(unseen))]
    drawn = torch.rand(len(images), 4, generator=random.generator(0, "degraded"))
    grain = torch.randn(images.shape, generator=random.generator(0, "grain"))
    rough = degraded(to_float(images), drawn, grain, 1.0)
    found = {}
    for name, pictures, truth in (
        ("as drawn", to_float(images), scenes),
        ("held-out pairs", to_float(unseen), held),
        ("blurred and noisy", rough, scenes),
    ):
        read = read_scenes(network, pictures)
        found[name] = sum(map(is_whole, read, truth)) / len(truth)
    return found


if __name__ == "__main__":
    main()
