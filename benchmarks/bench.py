"""Run every comparison and write one table: `python -m benchmarks.bench`, or `make bench`.

Each arm runs in a process of its own, because allocator settings hold for a whole process. The arms
of a comparison take turns, in an order that moves on by one each round, so that a machine which
slows down or speeds up meets all of them alike. The figure is the ratio of the medians over rounds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.comparisons import COMPARISONS, Arm, Comparison
from genkit.provenance import provenance

ROOT = Path(__file__).resolve().parent.parent
ROUNDS = 3


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        comparison: Its name.
        work: What was timed.
        label: The arm's.
        seconds: Of each round.
        ratios: Times as fast as the baseline, in each round.
        ratio: Median of the baseline's seconds over the median of these.
        bar: What the ratio must reach, or None.
        lacks: What the machine has not that the bar is for; "" = nothing.
        facts: What else the arm said of itself.
        most: What some of the facts may be at most.
    """

    comparison: str
    work: str
    label: str
    seconds: tuple[float, ...]
    ratios: tuple[float, ...]
    ratio: float
    bar: float | None
    lacks: str
    facts: Mapping[str, Any]
    most: Mapping[str, float]

    @property
    def met(self) -> bool | None:
        """Whether the bar is reached and no fact is too large; None where none is for this."""
        if self.bar is None or self.lacks:
            return None
        return self.ratio >= self.bar and all(self.facts[k] <= v for k, v in self.most.items())


def order(count: int, turn: int) -> list[int]:
    """0..count-1, begun `turn` places later."""
    return [(i + turn) % count for i in range(count)]


def measure(comparison: Comparison, rounds: int) -> list[Row]:
    """The rows of one comparison, its baseline first."""
    arms = (comparison.baseline, *comparison.arms)
    measured: list[list[dict[str, Any]]] = [[] for _ in arms]
    for turn in range(rounds):
        done: list[tuple[Arm, dict[str, Any]]] = []
        for i in order(len(arms), turn):
            alike = (found for arm, found in done if arm.process == arms[i].process)
            found = next(alike, None) or run_arm(arms[i])
            done.append((arms[i], found))
            measured[i].append(found | {"seconds": found[arms[i].key]})
            seconds = scaled(measured[i][-1]["seconds"])
            print(f"{comparison.name}, round {turn + 1}: {arms[i].label} {seconds}", flush=True)
    times = [[one["seconds"] for one in of_arm] for of_arm in measured]
    return [
        compare(comparison, arm, times[0], own, _beside(of_arm[-1], measured[0][-1]))
        for arm, own, of_arm in zip(arms, times, measured, strict=True)
    ]


def _beside(facts: Mapping[str, Any], baseline: Mapping[str, Any]) -> dict[str, Any]:
    """An arm's facts, with how far its distance is from the baseline's, as a share of that."""
    if "distance" not in facts:
        return dict(facts)
    apart = abs(facts["distance"] / baseline["distance"] - 1)
    return {**facts, "distance_apart": apart}


def compare(
    comparison: Comparison,
    arm: Arm,
    baseline: Sequence[float],
    own: Sequence[float],
    facts: Mapping[str, Any],
) -> Row:
    """An arm's row from the seconds of each round, its own and the baseline's."""
    return Row(
        comparison=comparison.name,
        work=comparison.work,
        label=arm.label,
        seconds=tuple(own),
        ratios=tuple(b / s for b, s in zip(baseline, own, strict=True)),
        ratio=statistics.median(baseline) / statistics.median(own),
        bar=arm.bar,
        lacks="bf16" if arm.needs_bf16 and not facts.get("bf16_in_hardware", True) else "",
        facts={name: fact for name, fact in facts.items() if name != "seconds"},
        most=arm.most,
    )


def run_arm(arm: Arm) -> dict[str, Any]:
    """What an arm measured, in a process of its own.

    Raises:
        SystemExit: It failed; its own words are shown.
    """
    command = [sys.executable, "-m", "benchmarks.arm", arm.function, json.dumps(arm.arguments)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, **arm.environment}, capture_output=True, text=True
    )
    if done.returncode:
        raise SystemExit(f"{done.stderr}\n{arm.function} {arm.arguments}: failed, see above")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


# -- the table -------------------------------------------------------------------------------------

HEADER = ("work", "arm", "median", "ratio", "of each round", "bar", "met")


def table(rows: Sequence[Row]) -> str:
    """The rows in Markdown, columns aligned."""
    lines = [HEADER, *(cells(row, first=_is_first(rows, i)) for i, row in enumerate(rows))]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADER))]
    drawn = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([drawn[0], rule, *drawn[1:]])


def _is_first(rows: Sequence[Row], i: int) -> bool:
    return i == 0 or rows[i - 1].comparison != rows[i].comparison


def cells(row: Row, *, first: bool) -> tuple[str, ...]:
    """One row's words; the first of a comparison is its baseline."""
    precision = row.facts.get("precision")
    label = (
        row.label if precision is None or precision in row.label else f"{row.label}: {precision}"
    )
    if "distance" in row.facts:
        label += f", distance {row.facts['distance']:.7g}"
    for fact in row.most:
        label += f", {fact.replace('_', ' ')} {row.facts[fact]:g}"
    if first:
        return row.work, label, scaled(statistics.median(row.seconds)), "1", "", "", ""
    return (
        "",
        label,
        scaled(statistics.median(row.seconds)),
        f"{row.ratio:.2f}",
        f"{min(row.ratios):.2f} to {max(row.ratios):.2f}",
        "" if row.bar is None else f"{row.bar:.2f}",
        {True: "yes", False: "no", None: f"needs {row.lacks}" if row.lacks else ""}[row.met],
    )


def scaled(seconds: float) -> str:
    """Seconds in the unit that suits: "0.92 s", "5.4 ms", "1.1 µs"."""
    for factor, unit in ((1.0, "s"), (1e3, "ms")):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


# -- results ---------------------------------------------------------------------------------------


def machine(rows: Sequence[Row], load: Sequence[float]) -> dict[str, Any]:
    """Where and with what this was measured; `load` is the load average at its start."""
    found = provenance()
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        **found["hardware"],
        "threads": max((row.facts["threads"] for row in rows), default=None),
        "load_before": round(load[0], 2),
        "packages": found["packages"],
        "commit": found["commit"],
        "dirty": found["dirty"],
    }


def report(rows: Sequence[Row], where: Mapping[str, Any], rounds: int) -> str:
    """The Markdown page of one sitting."""
    packages = ", ".join(f"{name} {version}" for name, version in where["packages"].items())
    devices = ", ".join(where["devices"]) or "no GPU"
    commit = f"{where['commit'] or 'no checkout'}{', with changes' if where['dirty'] else ''}"
    return f"""# Speed, {where["date"]}

- {where["cpu"]}, {where["cores"]} cores, {where["memory_gb"]} GB; {devices}
- {where["threads"]} threads, but one for input and half of them for each of two processes
- load average at the start {where["load_before"]}
- {packages}
- commit {commit}
- {rounds} rounds; the ratio is of the medians; how to read it: ../README.md

{table(rows)}
"""


def write(folder: Path, rows: Sequence[Row], where: Mapping[str, Any], rounds: int) -> Path:
    """Write `<date>-<processor>.json` and `.md` into a folder; returns the second.

    Earlier results of the same day stay: later ones end in `-2`, `-3` and so on.
    """
    folder.mkdir(parents=True, exist_ok=True)
    processor = re.sub(r"[^a-z0-9]+", "-", where["cpu"].lower()).strip("-")
    name = f"{where['date']}-{processor}"
    names = itertools.chain([name], (f"{name}-{number}" for number in itertools.count(2)))
    stem = next(folder / name for name in names if not (folder / f"{name}.md").exists())
    found = [{**vars(row), "met": row.met} for row in rows]
    content = {"machine": where, "rounds": rounds, "rows": found}
    stem.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")
    page = stem.with_suffix(".md")
    page.write_text(report(rows, where, rounds))
    return page


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what was asked for, print the table and write it."""
    names = [comparison.name for comparison in COMPARISONS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"of every arm; {ROUNDS}")
    parser.add_argument("--only", nargs="+", metavar="NAME", help=f"of {', '.join(names)}")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results")
    options = parser.parse_args(arguments)
    unknown = set(options.only or ()) - set(names)
    if unknown:
        parser.error(f"--only: no {', '.join(sorted(unknown))}; there are: {', '.join(names)}")
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: at least 1")
    load = os.getloadavg()
    rows: list[Row] = []
    for comparison in COMPARISONS:
        if options.only is None or comparison.name in options.only:
            rows += measure(comparison, options.rounds)
    page = write(options.out, rows, machine(rows, load), options.rounds)
    print(f"\n{table(rows)}\n\n{page} and the .json beside it")


if __name__ == "__main__":
    main()
