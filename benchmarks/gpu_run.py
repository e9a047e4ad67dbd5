"""One real training on a GPU, for the time that is left, with its pictures and their measures."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu_turns import ROOT
from genkit.errors import UNFINISHED

PACK = ROOT / ".gpu"  # what `gpu-pack.sh` packed

Row = dict[str, Any]


def chosen() -> tuple[str, list[str]]:
    """A config, and the words that go with it: the data that was packed, or drawn digits."""
    found = next((p for p in sorted((PACK / "data").glob("*")) if p.is_dir()), None)
    if found is not None and found.name == "mnist":
        return "configs/ddpm/mnist.yaml", [f"data.root={found}"]
    if found is not None and found.name == "cifar10":
        sooner = ["trainer.ema_decay=0.999", "optim.warmup_steps=500"]
        return "configs/ddpm/cifar10.yaml", [f"data.root={found}", *sooner]
    return "configs/ddpm/glyphs.yaml", ["data.train_count=60000"]


# As long as there is time, so at a constant rate, and nothing in between.
ENDLESS = [
    *("optim.schedule=constant", "optim.constant=0", "optim.constant_steps=0"),
    *("trainer.steps=1000000", "trainer.preview_every=1000000", "trainer.save_every=1000000"),
    "trainer.log_every=50",
]
TINY = [
    *("model.channels=[8,16]", "model.head_dim=8", "data.train_count=512", "data.test_count=128"),
    *("data.batch_size=16", "trainer.log_every=2", "trainer.preview_count=10"),
]


def asked(*, tiny: bool) -> tuple[str, list[str]]:
    """What `genkit train` is given: a config and what is changed in it."""
    if tiny:
        return "configs/ddpm/glyphs.yaml", [*ENDLESS[:-1], *TINY]
    config, words = chosen()
    return config, [*words, *ENDLESS, "data.batch_size=256"]


def run(out: Path, deadline: float, *, tiny: bool) -> Iterator[Row]:
    """Train, export, sample and, where its classes are digits, evaluate."""
    folder = Path(tempfile.mkdtemp()) / "run"
    config, words = asked(tiny=tiny)
    left = deadline - time.time()
    seconds = 45.0 if tiny else left - max(20.0, 0.25 * left)
    status = train_for(seconds, folder, config, words)
    if status not in (0, UNFINISHED):
        raise SystemExit(f"genkit train ended with {status}")
    yield {"kind": "run", "config": config, **seen(folder), "status_of_train": status}
    genkit("export", folder)
    grid, samples = out / "run-samples.png", folder / "samples.npz"
    digits = not config.endswith("cifar10.yaml")
    labels = ["--labels", "0-9"] if digits else []
    count = "100" if tiny else "1000"
    genkit("sample", folder, "--count", count, *labels, "--out", samples, "--grid", grid)
    yield {"kind": "run", "pictures": grid.name}
    if digits:
        genkit("evaluate", folder)
        yield {"kind": "run", "evaluation": measures(folder)}
    shutil.rmtree(folder, ignore_errors=True)


def train_for(seconds: float, folder: Path, config: str, words: Sequence[str]) -> int:
    """Train for some seconds, then ask for an end as a scheduler would; the exit status."""
    command = [sys.executable, "-m", "genkit", "train", config, "--out", str(folder), *words]
    process = subprocess.Popen(command, cwd=ROOT)
    try:
        return process.wait(timeout=max(1.0, seconds))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        return process.wait()


def seen(folder: Path) -> Row:
    """How far a run came, by the last line of its metrics that has a speed."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = [row for row in rows if "images_per_s" in row][-1]
    keys = ("step", "images", "seconds", "images_per_s", "loss/denoiser", "loader/wait")
    return {key: last[key] for key in keys if key in last}


def measures(folder: Path) -> Row:
    """What an evaluation found, by name."""
    path = next(folder.rglob("evaluation*.json"))
    found = json.loads(path.read_text())["metrics"]
    return {m["name"]: m["value"] for m in found if isinstance(m.get("value"), float)}


def genkit(*words: object) -> None:
    """A command that must end well."""
    command = [sys.executable, "-m", "genkit", *map(str, words)]
    subprocess.run(command, cwd=ROOT, check=True)
