"""This checkout against another: `python -m benchmarks.against OTHER --rounds 5`.

OTHER is a folder with another commit, as `git worktree add OTHER COMMIT` makes it. Every arm that
times genkit runs in both in turn, each time in a process of its own, and the two change places from
round to round, so that a machine which slows down meets both alike. What counts is the ratio of the
medians: below 1 this checkout is the slower one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.bench import ROOT
from benchmarks.comparisons import COMPARISONS, Arm

PEERS = ("plain", "per_image", "diffusers", "pytorch", "cleanfid", "scipy")  # arms of others


def own_arms(only: Sequence[str]) -> list[tuple[str, Arm]]:
    """The arms that time genkit, each process once, of the comparisons named; none named = all."""
    found: dict[str, tuple[str, Arm]] = {}
    for comparison in COMPARISONS:
        for arm in (comparison.baseline, *comparison.arms):
            is_own = arm.function.rpartition(".")[2] not in PEERS
            if is_own and (not only or comparison.name in only):
                found.setdefault(repr(arm.process), (f"{comparison.name}: {arm.label}", arm))
    return list(found.values())


def seconds(tree: Path, arm: Arm) -> float:
    """What an arm takes in a checkout.

    Raises:
        SystemExit: It failed; its own words are shown.
    """
    command = [sys.executable, "-m", "benchmarks.arm", arm.function, json.dumps(arm.arguments)]
    environment = {**os.environ, **arm.environment, "PYTHONPATH": str(tree)}
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{tree}: {arm.function} {arm.arguments} failed, see above")
    return float(json.loads(done.stdout.splitlines()[-1])[arm.key])


def compare(other: Path, arm: Arm, rounds: int) -> tuple[float, list[float]]:
    """How many times as fast this checkout is: by the medians of all rounds, and in each round."""
    times: dict[Path, list[float]] = {other: [], ROOT: []}
    for turn in range(rounds):
        for tree in (other, ROOT) if turn % 2 else (ROOT, other):
            times[tree].append(seconds(tree, arm))
    each = [before / now for before, now in zip(times[other], times[ROOT], strict=True)]
    return statistics.median(times[other]) / statistics.median(times[ROOT]), each


def main() -> None:
    """Print a line for each arm: its ratio, and those of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("other", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=(), help="names of comparisons")
    options = parser.parse_args()
    print("| arm | times as fast | of each round |\n| --- | --- | --- |")
    for label, arm in own_arms(options.only):
        ratio, each = compare(options.other.resolve(), arm, options.rounds)
        rounds = " ".join(f"{one:.2f}" for one in each)
        print(f"| {label} | {ratio:.3f} | {rounds} |", flush=True)


if __name__ == "__main__":
    main()
