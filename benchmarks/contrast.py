"""Arms: one step of CLIP in the loop of transformers' examples, by open_clip, in genkit's trainer.

The towers are the same `CLIPModel` in the first and the last, of the size that PERF.md measured:
32 px, patches of 4, width 128, 4 layers each, 64 pairs, 32 tokens. The plain loop is that of
transformers' contrastive image-text example: captions are tokenized for each batch and filled up to
the context, `return_loss=True`, AdamW as torch builds it, the loss read with `.item()`.

open_clip is no dependency, so its arm is in no comparison; with `pip install open_clip_torch` it is
timed by `python -m benchmarks.arm contrast.open_clip '{"laps": 8}'`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F

from benchmarks.step import Measured, random_images
from benchmarks.timing import Laps, this_device
from benchmarks.translators import trained
from genkit.data.scenes.things import COLORS, SHAPES
from genkit.images import to_float
from genkit.nn.image_text import Tower, towers
from genkit.nn.tokens import learnt
from genkit.rows.base import MemoryRows
from genkit.rows.columns import Image, Raw, Text

SIZE, BATCH, CONTEXT, VOCABULARY = 32, 64, 32, 1024
WIDTH, LAYERS, HEADS = 128, 4, 4
IMAGES = 512  # random ones with captions, in memory


def captions(count: int) -> list[str]:
    """Texts as long as those of drawn scenes, about 20 tokens."""
    words = [*COLORS, *SHAPES, "small", "big", "left", "right", "above", "below", "on", "a"]
    return [
        " ".join(words[(7 * i + 3 * k * k + k) % len(words)] for k in range(14))
        for i in range(count)
    ]


def plain(*, warmup: int = 3, laps: int) -> Measured:
    """Arm: transformers' loop."""
    device = this_device()
    torch.manual_seed(0)
    tower = Tower(WIDTH, LAYERS, HEADS)
    sizes = {"side": SIZE, "patch": 4, "embed": 128}
    network = towers(tower, tower, vocabulary=VOCABULARY, context=CONTEXT, **sizes).to(device)
    texts = captions(IMAGES)
    tokenizer, _ = learnt(texts, VOCABULARY, CONTEXT)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-4, (0.9, 0.98), 1e-6, 0.2)
    images = to_float(random_images(SIZE, IMAGES)).to(device).split(BATCH)
    said = [texts[i : i + BATCH] for i in range(0, IMAGES, BATCH)]
    pairs = itertools.cycle(zip(images, said, strict=True))

    def step() -> float:
        pixels, words = next(pairs)
        ids = tokenizer(
            words, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt"
        ).to(device)
        optimizer.zero_grad()
        loss = network(**ids, pixel_values=pixels, return_loss=True).loss
        loss.backward()
        optimizer.step()
        return float(loss.item())

    seconds = Laps(device, warmup=warmup, count=laps).time(step)
    return {"seconds": seconds, "precision": "fp32", "device": device.type}


def open_clip(*, warmup: int = 3, laps: int) -> Measured:
    """Arm: open_clip's towers of the same sizes, with its loss and its clamp."""
    import open_clip as theirs  # type: ignore[import-not-found]

    device = this_device()
    torch.manual_seed(0)
    vision = {"image_size": SIZE, "patch_size": 4, "width": WIDTH, "layers": LAYERS,
              "head_width": WIDTH // HEADS}  # fmt: skip
    text = {"context_length": CONTEXT, "vocab_size": VOCABULARY, "width": WIDTH, "heads": HEADS,
            "layers": LAYERS}  # fmt: skip
    network = theirs.CLIP(128, vision, text, quick_gelu=True).to(device)
    texts = captions(IMAGES)
    tokenizer, _ = learnt(texts, VOCABULARY, CONTEXT)
    optimizer = torch.optim.AdamW(network.parameters(), 5e-4, (0.9, 0.98), 1e-6, 0.2)
    images = to_float(random_images(SIZE, IMAGES)).to(device).split(BATCH)
    said = [texts[i : i + BATCH] for i in range(0, IMAGES, BATCH)]
    pairs = itertools.cycle(zip(images, said, strict=True))
    truth = torch.arange(BATCH, device=device)

    def step() -> float:
        pixels, words = next(pairs)
        ids = tokenizer(
            words, padding="max_length", truncation=True, max_length=CONTEXT, return_tensors="pt"
        )["input_ids"].to(device)
        optimizer.zero_grad()
        seen, told, scale = network(pixels, ids)
        logits = scale * seen @ told.T
        loss = (F.cross_entropy(logits, truth) + F.cross_entropy(logits.T, truth)) / 2
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            network.logit_scale.clamp_(0, math.log(100))
        return float(loss.item())

    seconds = Laps(device, warmup=warmup, count=laps).time(step)
    return {"seconds": seconds, "precision": "fp32", "device": device.type}


def trained_clip(
    *, warmup: int = 3, laps: int, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> Measured:
    """Arm: `Trainer.fit` as `genkit train` runs it, without an average."""
    tree: dict[str, Any] = {
        "family": "clip",
        "data": {"kind": "custom", "image_size": SIZE, "batch_size": BATCH},
        "model": {"width": WIDTH, "layers": LAYERS, "heads": HEADS, "context": CONTEXT,
                  "text_width": WIDTH, "text_layers": LAYERS, "text_heads": HEADS,
                  "vocabulary": VOCABULARY},
    }  # fmt: skip
    columns = {"image": Image((SIZE, SIZE), 3), "caption": Text()}
    values: dict[str, Raw] = {"image": random_images(SIZE, IMAGES), "caption": captions(IMAGES)}
    return trained(tree, MemoryRows("random", columns, values), warmup, laps, settings)
