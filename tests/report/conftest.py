"""Run folders as training, sampling and evaluation leave them, with drawn pictures."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """A function that writes a whole run folder and returns it."""

    def make(name: str = "cgan-glyphs", *, seed: int = 0, evaluated: bool = True) -> Path:
        return write_run(tmp_path / "runs" / name, seed=seed, evaluated=evaluated)

    return make


def write_run(run: Path, *, seed: int = 0, evaluated: bool = True) -> Path:
    draw = np.random.default_rng(seed)
    (run / "previews").mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump(config(lr=2e-4 * (1 + seed)), sort_keys=False))
    (run / "provenance.json").write_text(json.dumps(provenance()))
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(draw)))
    for step in range(500, 5500, 500):
        sheet(draw, 8, 8).save(run / "previews" / f"step-{step:06d}.png")
    sheet(draw, 10, 10).save(run / "samples-grid.png")
    if evaluated:
        sheet(draw, 2, 16).save(run / "nearest.png")
        (run / "evaluation.json").write_text(json.dumps(evaluation(draw)))
    return run


def sheet(draw: np.random.Generator, lines: int, columns: int, size: int = 28) -> Image.Image:
    """Digits on black at random places: something that a reader can tell apart."""
    picture = Image.new("L", (columns * (size + 2) + 2, lines * (size + 2) + 2), 255)
    pen = ImageDraw.Draw(picture)
    for i in range(lines * columns):
        left, top = 2 + i % columns * (size + 2), 2 + i // columns * (size + 2)
        pen.rectangle((left, top, left + size - 1, top + size - 1), fill=0)
        place = (left + 9 + int(draw.integers(-3, 4)), top + 6 + int(draw.integers(-3, 4)))
        pen.text(place, str(i // columns % 10), fill=int(draw.integers(150, 256)))
    return picture


def config(lr: float = 2e-4) -> dict[str, Any]:
    return {
        "family": "cgan",
        "data": {"kind": "synthetic", "name": "glyphs", "image_size": 28, "batch_size": 64},
        "optim": {"lr": lr, "betas": [0.5, 0.999]},
        "trainer": {"steps": 5000, "seed": 0, "precision": "auto"},
        "model": {"kind": "conv", "latent_dim": 64},
    }


def provenance() -> dict[str, Any]:
    return {
        "genkit": "0.1.0",
        "commit": "0123456789abcdef",
        "dirty": True,
        "command": ["genkit", "train", "configs/cgan/glyphs.yaml"],
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T03:08:17+00:00",
        "steps": 5000,
        "seconds": 252.0,
        "processes": 1,
        "precision": "bf16",
        "packages": {"torch": "2.15.0", "diffusers": "0.42.1"},
        "hardware": {"cpu": "Some CPU", "cores": 2, "memory_gb": 8.0, "devices": []},
        "data": {"name": "synthetic:glyphs:train", "count": 10_000, "fingerprint": "ab" * 32},
        "parameters": {"generator": 1_234_567, "critic": 654_321},
    }


def rows(draw: np.random.Generator) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    for step in range(50, 5050, 50):
        noise = draw.normal(0, 0.15, 2)
        row = {
            "step": step,
            "images": 64 * step,
            "seconds": step * 0.05,
            "images_per_s": 1280 + 40 * float(noise[0]),
            "lr": 2e-4,
            "loss/generator": 0.7 + 1.4 * (1 - math.exp(-step / 900)) + float(noise[0]),
            "loss/critic": 1.4 * math.exp(-step / 1500) + 0.4 + float(noise[1]) / 2,
        }
        if step % 100 == 0:
            row |= watched(step, draw)
        if step % 1000 == 0:
            row["eval/fd-digits"] = 2 + 60 * math.exp(-step / 800)
        found.append(row)
    return found


def watched(step: int, draw: np.random.Generator) -> dict[str, float]:
    """What the training doctor logs of a sound run."""
    noise = np.exp(draw.normal(size=3) / 3)
    found = {
        "critic/accuracy": 0.87 + 0.13 * math.exp(-step / 600),
        "critic/margin": 1.7 + 5 * math.exp(-step / 300),
        "gradient/generator": 4 * float(noise[0]),
        "gradient/critic": 30 * float(noise[1]),
        "update/generator": 0.01 * math.exp(-step / 2000),
        "update/critic": 0.004 * math.exp(-step / 2000) * float(noise[2]),
        "ema/lag/generator": 0.1,
        "ema/follow/generator": 1.0,
        "loader/wait": 0.01 * float(noise[0]),
    }
    if step % 500 == 0:
        found |= {
            "diversity/overall": 1 - 0.6 * math.exp(-step / 300),
            "diversity/within-class": 0.97 - 0.6 * math.exp(-step / 300),
            "diversity/narrowest-class": 0.9 - 0.6 * math.exp(-step / 300),
            "diversity/label-entropy": 2.2 - 1.5 * math.exp(-step / 200),
        }
    return found


def evaluation(draw: np.random.Generator, samples: int = 2000) -> dict[str, Any]:
    protocol = {
        "extractor": "digits",
        "extractor_sha256": "c0ffee" * 10,
        "layer": "penultimate, 64 wide",
        "resize": "bilinear to 32 px",
        "samples": samples,
        "reference": "synthetic:glyphs:test",
        "reference_count": 2000,
        "reference_sha256": "be" * 32,
        "interval": "95 % bootstrap, 200 resamples: resampled samples",
    }
    table = [
        ("fd-digits", 3.1, 2.9, 3.4, "lower", 0.9, ""),
        ("precision-digits", 0.81, 0.79, 0.83, "higher", 0.78, ""),
        ("recall-digits", 0.7, 0.68, 0.72, "higher", 0.79, ""),
        ("accuracy", 0.981, 0.974, 0.987, "higher", 0.995, ""),
        ("near-copy-rate", 0.008, 0.005, 0.012, "lower", 0.01, ""),
    ]
    names = ("name", "value", "low", "high", "better", "floor", "note")
    metrics = [dict(zip(names, row, strict=True)) | {"protocol": protocol} for row in table]
    classes = [
        {"class": str(i), "accuracy": 1 - float(draw.random()) / 20, "count": samples // 10}
        for i in range(10)
    ]
    identity = {"name": "synthetic:glyphs:test", "count": 2000, "sha256": "be" * 32}
    return {
        "format": 1,
        "samples": {"name": "samples.npz", "count": samples, "sha256": "aa" * 32},
        "reference": identity,
        "train": identity | {"name": "synthetic:glyphs:train", "count": 10_000},
        "metrics": metrics,
        "classes": classes,
        "notes": [],
        "seconds": 12.3,
        "versions": {"genkit": "0.1.0"},
    }
