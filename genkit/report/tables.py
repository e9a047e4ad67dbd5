"""The comparison of runs as text: Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from genkit.report.compare import Column, Comparison
from genkit.report.record import Metric, Record
from genkit.report.words import number


def markdown(records: Sequence[Record], comparison: Comparison) -> str:
    """A table of GitHub's Markdown, and how each column was measured below it."""
    head = ["run", *(_title(column) for column in comparison.columns)]
    rule = ["---", *("---:" for _ in comparison.columns)]
    rows = [[r.name, *(_cell(c.cells[i]) for c in comparison.columns)]
            for i, r in enumerate(records)]  # fmt: skip
    lines = [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]
    how = [f"- {_title(column)}: {column.protocol}" for column in comparison.columns]
    return "\n".join([*lines, "", *how]) + "\n"


def latex(records: Sequence[Record], comparison: Comparison) -> str:
    """A tabular for the package booktabs; arrows say which way is good."""
    arrows = {"lower": r" $\downarrow$", "higher": r" $\uparrow$", None: ""}
    head = ["", *(_escaped(_title(c)) + arrows[c.better] for c in comparison.columns)]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(comparison.columns)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    for i, record in enumerate(records):
        cells = [_latex_cell(column.cells[i]) for column in comparison.columns]
        lines.append(" & ".join([_escaped(record.name), *cells]) + r" \\")
    how = [f"% {_title(column)}: {column.protocol}" for column in comparison.columns]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *how]) + "\n"


def as_csv(records: Sequence[Record], comparison: Comparison) -> str:
    """A line for each value, with its interval, floor and protocol."""
    text = io.StringIO()
    rows = values(records, comparison)
    fields = ["run", "metric", "value", "low", "high", "floor", "better", "note", "protocol"]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(row | {"protocol": json.dumps(row["protocol"], sort_keys=True)})
    return text.getvalue()


def as_json(records: Sequence[Record], comparison: Comparison) -> str:
    """The same as a list of objects."""
    return json.dumps(values(records, comparison), indent=1) + "\n"


def values(records: Sequence[Record], comparison: Comparison) -> list[dict[str, Any]]:
    """Every value of every run, column by column."""
    found = []
    for column in comparison.columns:
        for record, metric in zip(records, column.cells, strict=True):
            if metric is not None:
                row = metric.model_dump(exclude={"name"})
                found.append({"run": record.name, "metric": metric.name, **row})
    return found


def _title(column: Column) -> str:
    return f"{column.name} ({column.letter})" if column.letter else column.name


def _cell(metric: Metric | None) -> str:
    if metric is None:
        return "–"
    ends = "" if metric.low is None else f" ({number(metric.low)} – {number(metric.high)})"
    return number(metric.value) + ends


def _latex_cell(metric: Metric | None) -> str:
    if metric is None:
        return "--"
    ends = "" if metric.low is None else f" ({number(metric.low)}--{number(metric.high)})"
    return (number(metric.value) + ends).replace(",", "{,}")


def _escaped(text: str) -> str:
    return "".join(rf"\{c}" if c in "&%$#_{}" else c for c in text)
