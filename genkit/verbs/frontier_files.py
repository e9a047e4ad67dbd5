"""The files of a frontier: its rows as JSON with the Pareto set marked, and their picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genkit.files import write_whole
from genkit.training.checkpoints import explained

Content = dict[str, Any]  # of frontier.json
Row = dict[str, Any]  # of its "rows"


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each (speed, quality) is in the Pareto set; more is better in both.

    A point is out if another is at least as good in both and better in one; equal points stay.
    """

    def beaten(speed: float, quality: float) -> bool:
        return any(s >= speed and q >= quality and (s, q) != (speed, quality) for s, q in points)

    return [not beaten(*point) for point in points]


def value_of(row: Row, metric: str) -> float:
    """A metric of a row."""
    value: float = next(m["value"] for m in row["metrics"] if m["name"] == metric)
    return value


def write_frontier(run: Path, content: Content) -> None:
    """Both files, the rows by speed and the Pareto set marked."""
    rows: list[Row] = content["rows"]
    rows.sort(key=lambda row: -row["images_per_s"])
    points = [(row["images_per_s"], -value_of(row, content["quality"])) for row in rows]
    for row, is_best in zip(rows, pareto(points), strict=True):
        row["pareto"] = is_best
    text = json.dumps(content, indent=1, allow_nan=False)
    with explained(f"{run / 'frontier.json'}"):
        write_whole(run / "frontier.json", text + "\n")
        write_whole(run / "frontier.png", lambda file: draw(content, file))


_COLOURS = ("#1f5fbf", "#c2410c", "#0f766e", "#7c3aed", "#a16207", "#be185d", "#475569")


def draw(content: Content, file: Any) -> None:
    """Quality against images/s, both on log axes, as PNG.

    A colour per scheduler, bf16 hollow; the Pareto set large, labelled and joined by a line.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, StrMethodFormatter

    rows, quality = content["rows"], content["quality"]
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    axes = figure.subplots()
    axes.set(xscale="log", yscale="log", xlabel="images/s", ylabel=f"{quality} (lower is better)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(LogLocator(subs=()))
    axes.grid(color="#dde1e7", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    best = [row for row in rows if row["pareto"]]
    path = [[row["images_per_s"], value_of(row, quality)] for row in best]
    axes.plot(*zip(*path, strict=True), color="#9aa3af", linewidth=1, zorder=1, label="Pareto set")
    for slot, name in enumerate(sorted({row["scheduler"] for row in rows})):
        colour = _COLOURS[slot % len(_COLOURS)]
        for kind in ("fp32", "bf16"):
            own = [r for r in rows if (r["scheduler"], r["precision"]) == (name, kind)]
            if own:
                x, y = [r["images_per_s"] for r in own], [value_of(r, quality) for r in own]
                inside = colour if kind == "fp32" else "white"
                label = f"{name}, {kind}"
                sizes = [64 if row["pareto"] else 24 for row in own]
                axes.scatter(x, y, s=sizes, color=inside, edgecolors=colour, zorder=2, label=label)
    for row in best:
        guided = "" if row["guidance"] == 1 else f", g {row['guidance']:g}"
        place = (row["images_per_s"], value_of(row, quality))
        words = f"{row['scheduler']} {row['steps']}{guided}"
        # Nothing lies below and to the right of the Pareto set.
        axes.annotate(words, place, (6, -5), textcoords="offset points", fontsize=8, va="top")
    axes.margins(x=0.1, y=0.08)
    axes.legend(frameon=False, fontsize=8, markerscale=0.7)
    figure.savefig(file, format="png", dpi=140, facecolor="white", metadata={"Software": None})
