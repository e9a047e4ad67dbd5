"""A run survives kill -9 at any instant: what was complete resumes to the unbroken result."""

from __future__ import annotations

import fcntl
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from families_at_hand import tiny

from genkit.config import to_tree
from genkit.training import checkpoints

STEPS = {1: 60, 20: 1_000}  # by the number of kills: long enough to be killed so often


def command(config: Path, out: Path, processes: int, *, resume: bool) -> list[str]:
    options = ["--out", str(out), "--processes", str(processes), *(["--resume"] * resume)]
    return [sys.executable, "-m", "genkit", "train", str(config), *options]


def run_config(folder: Path, steps: int) -> Path:
    config = tiny(
        "cgan",
        data__batch_size=8,
        trainer__steps=steps,
        trainer__save_every=2,
        trainer__log_every=2,
        trainer__preview_every=10,
    )
    path = folder / "config-of-the-run.yaml"
    path.write_text(yaml.safe_dump(to_tree(config)))
    return path


def final_state(out: Path, steps: int) -> dict:
    return checkpoints.load(out / "checkpoints", steps)[0]


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def unlocked(run: Path) -> bool:
    """Whether no process trains in the folder any more."""
    if not (run / ".lock").exists():
        return True
    with (run / ".lock").open() as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def kill_and_resume(folder: Path, processes: int, kills: int) -> None:
    config = run_config(folder, STEPS[kills])
    subprocess.run(command(config, folder / "whole", processes, resume=False), check=True)
    chance = random.Random(processes)
    survived = []
    for _ in range(kills):
        run = subprocess.Popen(
            command(config, folder / "killed", processes, resume=bool(survived)),
            start_new_session=True,
        )
        metrics = folder / "killed" / "metrics.jsonl"
        before = metrics.stat().st_mtime_ns if metrics.exists() else 0
        while run.poll() is None and not (
            metrics.exists() and metrics.stat().st_mtime_ns != before
        ):
            time.sleep(0.005)  # until this process trains: imports take seconds, steps do not
        time.sleep(chance.uniform(0, 0.15))
        run.kill()  # the ranks of several processes die with their launcher
        run.wait()
        while not unlocked(folder / "killed"):
            time.sleep(0.01)
        survived.append(checkpoints.steps(folder / "killed" / "checkpoints"))
    subprocess.run(command(config, folder / "killed", processes, resume=True), check=True)
    whole, killed = (final_state(folder / name, STEPS[kills]) for name in ("whole", "killed"))
    assert same(whole, killed), survived


@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_killed_once_resumes_to_the_same_weights(tmp_path, processes):
    kill_and_resume(tmp_path, processes, kills=1)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("processes", [1, 2])
def test_a_run_killed_at_twenty_instants_resumes_to_the_same_weights(tmp_path, processes):
    kill_and_resume(tmp_path, processes, kills=20)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_two_processes_end_cleanly_thirty_times_in_a_row(tmp_path):
    config = run_config(tmp_path, 10)
    for i in range(30):
        out = tmp_path / str(i)
        done = subprocess.run(
            command(config, out, 2, resume=False),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
        assert "terminate called" not in done.stderr
