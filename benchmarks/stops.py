"""Trainings that get signals: see `benchmarks.kills`."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from benchmarks.outcomes import state_of
from genkit.errors import UNFINISHED
from genkit.launch.signals import STOPPING
from genkit.training import checkpoints


def signals(file: Path, times: int) -> Iterator[tuple[str, bool]]:
    """A line for each combination, and whether all went well."""
    for processes in (1, 2):
        for workers in (0, 2):
            for whom in ("one", "all"):
                case = f"{processes} processes, {workers} workers, to {whom}"
                run = Path(case.replace(" ", "").replace(",", "-"))
                settings = ["data.memory=never", f"data.workers={workers}"]
                begun = [
                    sys.executable,
                    "-m",
                    "genkit",
                    "train",
                    str(file),
                    "--out",
                    str(run),
                    "--resume",
                ]
                command = [*begun, "--processes", str(processes), *settings]
                problems = [p for i in range(times) if (p := stopped(command, run, whom, i))]
                last = checkpoints.steps(run / "checkpoints")[-1]
                same = is_unbroken(command, run, last + 3)
                said = f"{case}: {times - len(problems)} of {times} stopped as documented"
                said += f", {last} steps, weights equal: {same} {problems or ''}"
                yield said, same and not problems


def stopped(command: list[str], run: Path, whom: str, i: int) -> str:
    """What is wrong with a run that got the i-th signal; "" if nothing."""
    number = STOPPING[i % len(STOPPING)]
    with Path("said").open("w") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
    # Until it has logged a step; every fifth time until it has begun at all.
    sign = re.compile(r"classes" if i % 5 == 4 else r"step \d+ of")
    while process.poll() is None and not sign.search(Path("said").read_text()):
        time.sleep(0.01)
    time.sleep(random.Random(i).uniform(0, 0.5))
    for pid in [process.pid] if whom == "one" else [*family_of(process.pid)]:
        send(pid, number)
    try:
        status = process.wait(120)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"{number.name}: still there after two minutes"
    text = Path("said").read_text()
    step = re.search(r"stopped at step (\d+) of", text)
    kept = checkpoints.steps(run / "checkpoints")
    at_step = step is not None and kept and kept[-1] == int(step[1])
    early = i % 5 == 4 and "stopped before a first step" in text
    if status == UNFINISHED and "Traceback" not in text and (at_step or early):
        return ""
    return f"{number.name}: status {status}, checkpoints {kept[-2:]}, {text[-300:]!r}"


def family_of(pid: int) -> set[int]:
    """A process and all beneath it, whatever their sessions."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        found, grown = found | more, bool(more)
    return found


def send(pid: int, number: int) -> None:
    """A signal, if the process is still there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def is_unbroken(command: list[str], run: Path, steps: int) -> bool:
    """Whether the run ends at that step with the state of one that nothing stopped."""
    whole = run.with_name(f"{run.name}-whole")
    for folder in (run, whole):
        words = [str(whole) if word == str(run) else word for word in command]
        words = command if folder == run else words
        subprocess.run([*words, f"trainer.steps={steps}"], check=True, capture_output=True)
    return state_of(run) == state_of(whole)
