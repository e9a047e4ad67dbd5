"""What there is to test and to measure on a GPU, in parts: `bash benchmarks/gpu.sh`.

Each part is a process of its own with a time of its own. What it finds is appended to
`$OUT/results.jsonl`, a line at a time; a part that stands there as done is not run again, one that
failed is. The most valuable come first, and the last, a real training, has the time that is left.

With GPU_REHEARSAL=1 everything runs at tiny size on a CPU, and no figure is written as a GPU's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import gpu_parts
from benchmarks.gpu_parts import PARTS, REHEARSAL, Part

ROOT = Path(__file__).resolve().parent.parent
# A CPU takes longer to begin a part than a GPU for all of it.
PATIENCE = 4.0 if REHEARSAL else 1.0
BUDGET = 540.0 * PATIENCE  # s, of all parts and what comes before them
LEAST = 0.5  # of its planned time: with less left, a part is not begun
OVERHEAD = 5.0  # s, to end what is running and to write the page


def results(out: Path) -> list[dict[str, Any]]:
    """The lines that stand in a folder of results, broken ones left out."""
    found = []
    path = out / "results.jsonl"
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def append(out: Path, row: dict[str, Any]) -> None:
    """Add one line."""
    with (out / "results.jsonl").open("a") as file:
        file.write(json.dumps({**row, "rehearsal": REHEARSAL}) + "\n")


def set_apart(out: Path) -> None:
    """Rename results that are a rehearsal's where this is none, or the reverse: they don't mix."""
    if any(row.get("rehearsal", False) != REHEARSAL for row in results(out)):
        apart = out / f"results-{'of-a-gpu' if REHEARSAL else 'of-a-rehearsal'}.jsonl"
        (out / "results.jsonl").replace(apart)
        print(f"earlier results are now in {apart.name}: theirs was another kind of machine")


def done(rows: Iterable[dict[str, Any]]) -> set[str]:
    """The names of the parts that have run to their end."""
    return {row["part"] for row in rows if row.get("status") == "done"}


def plan(names: Sequence[str] | None, rows: Sequence[dict[str, Any]]) -> list[tuple[Part, str]]:
    """Every part that is asked for, in order, and "" or why it is not run."""
    finished = done(rows)
    chosen = [part for part in PARTS if names is None or part.name in names]
    return [(part, "done before" if part.name in finished else "") for part in chosen]


def seconds_for(part: Part, left: float, still: Sequence[Part]) -> float | None:
    """How long a part may take, or None where that is too little to begin it.

    Args:
        part: Which.
        left: Until all must be over.
        still: The parts that come after it; the last one keeps the least that it needs.
    """
    kept = LEAST * still[-1].planned if still else 0.0
    allowed = left - OVERHEAD - kept
    if part.takes_the_rest:
        return allowed if allowed >= LEAST * part.planned else None
    allowed = min(PATIENCE * part.most, allowed)
    return allowed if allowed >= LEAST * part.planned else None


def run_part(part: Part, seconds: float, out: Path) -> str:
    """Run a part in a process group of its own; "" or why it failed."""
    deadline = time.time() + seconds
    environment = {**os.environ, "GPU_DEADLINE": str(deadline), "PYTHONUNBUFFERED": "1"}
    log = out / "log.txt"
    with log.open("a") as file:
        file.write(f"\n== {part.name}\n")
        file.flush()
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu", "--part", part.name, "--out", str(out)],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            preexec_fn=os.setpgrp,  # no session of its own, which would outlive the lease's end
        )
        why = ""
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            status, why = -1, f"not over after {seconds:.0f} s"
        finally:
            _end(process)
    if status and not why:
        tail = [line for line in log.read_text().splitlines() if line.strip()][-1:]
        why = f"status {status}: {' '.join(tail)[-300:]}"
    return why


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what is left of a part: its process group, which is its own."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def run_all(names: Sequence[str] | None, out: Path, started: float, budget: float) -> None:
    """Run the parts in order, each if there is time for it, and say what happens."""
    chosen = plan(names, results(out))
    for i, (part, why_not) in enumerate(chosen):
        still = [later for later, reason in chosen[i + 1 :] if not reason]
        left = started + budget - time.time()
        seconds = seconds_for(part, left, still)
        if why_not or seconds is None:
            why_not = why_not or f"{left:.0f} s are left of {budget:.0f}"
            print(f"{part.name}: not run, {why_not}", flush=True)
            if not why_not.startswith("done"):
                append(out, {"part": part.name, "status": "not run", "why": why_not})
            continue
        begun = time.time()
        why = run_part(part, seconds, out)
        took = round(time.time() - begun, 1)
        row: dict[str, Any] = {"part": part.name, "seconds": took}
        row |= {"status": "failed", "why": why} if why else {"status": "done"}
        append(out, row)
        print(f"{part.name}: {row['status']} in {took:.0f} s {why}", flush=True)


def listing(budget: float) -> str:
    """The parts, and how long they are planned to take and may take."""
    lines = [f"{'part':<14}{'planned':>8}{'at most':>9}   what"]
    for part in PARTS:
        most = "the rest" if part.takes_the_rest else f"{part.most:.0f} s"
        lines.append(f"{part.name:<14}{part.planned:>6.0f} s{most:>9}   {part.what}")
    total = sum(part.planned for part in PARTS)
    lines.append(f"{'in all':<14}{total:>6.0f} s{budget:>7.0f} s")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """List the parts, run one of them here, or run those that are asked for."""
    names = [part.name for part in PARTS]
    parser = argparse.ArgumentParser(prog="bash benchmarks/gpu.sh")
    parser.add_argument("--list", action="store_true", help="print the parts and run none")
    parser.add_argument("--only", nargs="+", metavar="PART", help=f"of {', '.join(names)}")
    parser.add_argument("--budget", type=float, default=BUDGET, help=f"seconds; {BUDGET:.0f}")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", "gpu-out")))
    parser.add_argument("--started", type=float, default=time.time(), help=argparse.SUPPRESS)
    parser.add_argument("--part", choices=names, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = set(options.only or ()) - set(names)
    if unknown:
        parser.error(f"--only: no {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    if options.list:
        print(listing(options.budget))
        return 0
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    if options.part:
        return _one(options.part, out)
    set_apart(out)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # which ends the part that is running
    run_all(options.only, out, options.started, options.budget)
    from benchmarks import gpu_page

    page = gpu_page.write(results(out), out)
    print(page.read_text())
    print(f"{page}; of a GPU, `python -m benchmarks.gpu_page {out.name}` files it under results/")
    return 0


def _one(name: str, out: Path) -> int:
    """One part, in this process; its rows are appended as they come."""
    part = next(part for part in PARTS if part.name == name)
    deadline = float(os.environ.get("GPU_DEADLINE", time.time() + part.most))
    try:
        for row in part.work(gpu_parts.Room(out, deadline)):
            append(out, {"part": name, **row})
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
