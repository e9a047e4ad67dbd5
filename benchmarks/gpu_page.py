"""One page of what `benchmarks/gpu.sh` found: `python -m benchmarks.gpu_page FOLDER`.

The page of a GPU goes to `results/<date>-<card>.md`, its lines beside it as `.jsonl`. That of a
rehearsal stays in its folder and holds no figure, since a CPU's say nothing of a GPU.
"""

from __future__ import annotations

import re
import shutil
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
GOALS = """\
Goals: at least 1.5 times diffusers' loop; at least 70 % of the floor, which is the matrix work at
the card's own rate for large products and the other operations' bytes at its copy bandwidth (in
eager PyTorch each reads its inputs and writes its outputs; compiled code may pass below it); 25 %
of the card's bf16 peak for the DDPM step with `compile` and `channels_last`, 40 % for a DiT-B; the
loader never the limit."""

Row = Mapping[str, Any]


def write(rows: Sequence[Row], folder: Path) -> Path:
    """Write `page.md` into a folder of results; returns it."""
    page = folder / "page.md"
    page.write_text(text(rows))
    return page


def is_rehearsal(rows: Iterable[Row]) -> bool:
    """Whether some figure is a CPU's."""
    return any(row.get("rehearsal") for row in rows)


def file(folder: Path, results: Path = RESULTS) -> Path:
    """Put the page of a GPU among the results, with its pictures and lines; returns it.

    Raises:
        SystemExit: It is a rehearsal's, or the card is not known.
    """
    from benchmarks.gpu import results as lines

    rows = lines(folder)
    card = next((row["card"] for row in rows if row.get("kind") == "card"), None)
    if is_rehearsal(rows) or card is None:
        raise SystemExit(
            f"{folder.name}: a rehearsal, or no part `card` in it; only what a GPU gave is filed: "
            "run `bash benchmarks/gpu.sh` on one"
        )
    date = datetime.now(timezone.utc).date().isoformat()
    name = f"{date}-{re.sub(r'[^a-z0-9]+', '-', card.lower()).strip('-')}"
    page = results / f"{name}.md"
    page.write_text(text(rows, pictures=f"{name}.png"))
    shutil.copy(folder / "results.jsonl", results / f"{name}.jsonl")
    if (folder / "run-samples.png").exists():
        shutil.copy(folder / "run-samples.png", results / f"{name}.png")
    return page


def text(rows: Sequence[Row], pictures: str = "run-samples.png") -> str:
    """The page."""
    rehearsal = is_rehearsal(rows)
    card = next((row for row in rows if row.get("kind") == "card"), {})
    title = card.get("card", "A GPU")
    if rehearsal:
        title = "Rehearsal on a CPU: no figure, none would be a GPU's"
    show = _hidden if rehearsal else _shown
    blocks = [f"# {title}", _about(rows, card, show), GOALS]
    works = dict.fromkeys(row["work"] for row in rows if row.get("kind") == "speed")
    for work in works:
        of_it = [row for row in rows if row.get("work") == work]
        blocks += [f"## {work}", speed_table(of_it, card, show)]
        blocks += [table for row in of_it if (table := profile_table(row, show))]
    blocks += [_tests(rows), _run(rows, show, pictures), _parts(rows)]
    return "\n\n".join(block for block in blocks if block) + "\n"


Show = Callable[[float | None, str], str]


def _shown(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _hidden(value: float | None, form: str) -> str:
    return "" if value is None else "ran"


def _about(rows: Sequence[Row], card: Row, show: Show) -> str:
    machine = next((row for row in rows if row.get("kind") == "machine"), {})
    packages = ", ".join(f"{name} {v}" for name, v in machine.get("packages", {}).items())
    commit = machine.get("commit") or "no checkout"
    return "\n".join(
        [
            f"- bf16 products of 8,192²: {show(_in(card, 'bf16_flops', 1e12), '.0f')} TFLOP/s; "
            f"by the data sheet {show(_in(card, 'sheet_flops', 1e12), '.0f')}",
            f"- copies: {show(_in(card, 'bytes_per_s', 1e12), '.2f')} TB/s, read and written",
            f"- {packages}",
            f"- commit {commit}{', with changes' if machine.get('dirty') else ''}",
        ]
    )


def _in(row: Row, key: str, unit: float) -> float | None:
    value = row.get(key)
    return None if value is None else value / unit


# -- speed -----------------------------------------------------------------------------------------


def speed_table(rows: Sequence[Row], card: Row, show: Show = _shown) -> str:
    """Images/s of every arm, the ratio to the first, shares of the card's peak and of the floor."""
    counted = next((row["count"] for row in rows if row.get("count")), None)
    first = _seconds(rows[0])
    lines = [
        "| arm | images/s | ratio | of each round | ms a step | bf16 peak, measured | by the sheet "
        "| of the floor |",
        "|---" * 8 + "|",
    ]
    for row in rows:
        seconds = _seconds(row)
        if seconds is None:
            lines.append(f"| {row['arm']} | failed: {row.get('failed', 'no lap')} |{' |' * 6}")
            continue
        shares = _shares(counted, seconds, card)
        ratios = [a / b for a, b in zip(rows[0].get("laps", ()), row["laps"], strict=False)]
        between = f"{show(min(ratios), '.2f')} to {show(max(ratios), '.2f')}" if ratios else ""
        cells = [
            f"{row['arm']}: {row.get('precision', '?')}",
            show(row["images"] / seconds, ",.0f"),
            show(first / seconds if first else None, ".2f"),
            between,
            show(seconds * 1e3, ".2f"),
            *(show(share, ".0%") for share in shares),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _seconds(row: Row) -> float | None:
    """Of a step: the median of its laps."""
    return statistics.median(row["laps"]) if row.get("laps") else None


def _shares(counted: Row | None, seconds: float, card: Row) -> list[float | None]:
    """Of the measured peak, of the sheet's, and of the floor."""
    if not counted or not card.get("bf16_flops"):
        return [None, None, None]
    matrix = counted["flops"] / card["bf16_flops"]
    traffic = counted["bytes"] / card["bytes_per_s"]
    sheet = card.get("sheet_flops")
    by_sheet = counted["flops"] / sheet / seconds if sheet else None
    return [matrix / seconds, by_sheet, (matrix + traffic) / seconds]


def profile_table(row: Row, show: Show = _shown) -> str:
    """Where a step of an arm goes, in ms, and its largest kernels."""
    found = row.get("profile")
    if not found:
        return ""
    counted, kinds = row.get("count"), ("matrix", "layout", "other", "idle")
    parts = ", ".join(f"{kind} {show(found[kind] * 1e3, '.2f')}" for kind in kinds)
    largest = "; ".join(f"`{name}` {show(s * 1e3, '.2f')}" for name, s in found["top"][:5])
    lines = [f"- {row['arm']}, ms of a step by the profiler: {parts}", f"  - largest: {largest}"]
    if counted:
        lines.append(
            f"  - counted: {show(counted['flops'] / 1e9, ',.0f')} GFLOP, "
            f"{show(counted['bytes'] / 1e9, ',.1f')} GB of other operations, "
            f"{show(counted['operations'], ',')} operations"
        )
    return "\n".join(lines)


# -- the rest --------------------------------------------------------------------------------------


def _tests(rows: Sequence[Row]) -> str:
    found = [row for row in rows if row.get("kind") == "tests"]
    if not found:
        return ""
    last = found[-1]
    lines = [f"## Tests\n\n{last['passed']} passed, {last['skipped']} skipped"]
    lines += [f"- failed: {name}: {why}" for name, why in last["failed_tests"]]
    return "\n".join(lines)


def _run(rows: Sequence[Row], show: Show, pictures: str) -> str:
    found: dict[str, Any] = {}
    for row in rows:
        if row.get("kind") == "run":
            found |= row
    if not found:
        return ""
    lines = [
        f"## A real run\n\n`{found.get('config')}`: {show(found.get('images'), ',')} images in "
        f"{show(found.get('seconds'), '.0f')} s, {show(found.get('images_per_s'), ',.0f')} "
        f"images/s, {show(found.get('loader/wait'), '.1%')} of it waiting for batches"
    ]
    measures = found.get("evaluation", {})
    lines += [f"- {name}: {show(value, '.4g')}" for name, value in measures.items()]
    if "pictures" in found:
        lines.append(f"\n![Samples of that run]({pictures})")
    return "\n".join(lines)


def _parts(rows: Sequence[Row]) -> str:
    lines = ["## Parts", "", "| part | | seconds |", "|---|---|---|"]
    last = {row["part"]: row for row in rows if "status" in row}
    for name, row in last.items():
        said = f"{row['status']} {row.get('why', '')}".strip()
        lines.append(f"| {name} | {said} | {row.get('seconds', '')} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(file(Path(sys.argv[1])))
