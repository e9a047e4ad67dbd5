"""The comparison of runs as text: Markdown, LaTeX, CSV and JSON.

Names, notes and protocols come from files that anybody may have written: in every form they are
text, and no part of a name becomes markup, a command or a formula of a spreadsheet.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from genkit.errors import shown
from genkit.report.compare import Column, Comparison, aim
from genkit.report.parts import Metric
from genkit.report.record import Record
from genkit.report.words import number

_LONGEST = 2000  # characters of a protocol
_MORE = ("copying", "part")  # of values of models that change pictures


def markdown(
    records: Sequence[Record], comparison: Comparison, *, digits: int | None = None
) -> str:
    """A table of GitHub's Markdown, best values bold, and how each column was measured below it."""
    columns = comparison.columns
    best = [column.best(digits) for column in columns]
    head = ["run", *(_markdown(column.title) for column in columns)]
    rule = ["---", *("---:" for _ in columns)]
    rows = []
    for i, record in enumerate(records):
        cells = [_cell(c.cells[i], digits, "**{}**" if i in b else "{}")
                 for c, b in zip(columns, best, strict=True)]  # fmt: skip
        rows.append([_markdown(record.name), *cells])
    lines = [f"| {' | '.join(row)} |" for row in (head, rule, *rows)]
    how = [f"- {_markdown(c.title)}: {_markdown(c.protocol)}" for c in columns]
    return "\n".join([*lines, "", *how]) + "\n"


def latex(records: Sequence[Record], comparison: Comparison, *, digits: int | None = None) -> str:
    """A tabular for the package booktabs, best values bold; arrows say which way is good."""
    columns = comparison.columns
    best = [column.best(digits) for column in columns]
    head = ["", *(_latex(column.title) + _arrow(column) for column in columns)]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(columns)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
    ]
    for i, record in enumerate(records):
        cells = [_latex_cell(c.cells[i], digits, r"\textbf{{{}}}" if i in b else "{}")
                 for c, b in zip(columns, best, strict=True)]  # fmt: skip
        lines.append(" & ".join([_latex(record.name), *cells]) + r" \\")
    how = [f"% {shown(c.title)}: {shown(c.protocol, _LONGEST)}" for c in columns]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", *how]) + "\n"


def as_csv(records: Sequence[Record], comparison: Comparison) -> str:
    """A line for each value, with its interval, floor and protocol."""
    text = io.StringIO()
    rows = values(records, comparison)
    more = [name for name in _MORE if any(name in row for row in rows)]
    fields = ["run", "metric", "value", "low", "high", "floor", *more, "better", "note", "protocol"]
    writer = csv.DictWriter(text, fields, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        protocol = json.dumps(row["protocol"], sort_keys=True)
        writer.writerow({key: _cell_of_csv(v) for key, v in (row | {"protocol": protocol}).items()})
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
                none = {name for name in _MORE if getattr(metric, name) is None}
                row = metric.model_dump(exclude={"name", *none})
                found.append({"run": record.name, "metric": metric.name, **row})
    return found


# -- cells -----------------------------------------------------------------------------------------


def _cell(metric: Metric | None, digits: int | None, form: str) -> str:
    """The value in that form, and its interval."""
    if metric is None:
        return "–"
    ends = metric.interval
    between = "" if ends is None else f" ({number(ends[0], digits)} – {number(ends[1], digits)})"
    return form.format(number(metric.value, digits)) + between


def _latex_cell(metric: Metric | None, digits: int | None, form: str) -> str:
    text = _cell(metric, digits, form)
    return text.replace(" – ", "--").replace("–", "--").replace(",", "{,}")


def _arrow(column: Column) -> str:
    """Which way is good, or which value is right."""
    right = aim(column.name)
    if right is not None:
        return rf" $\rightarrow$ {right:g}"
    return {"lower": r" $\downarrow$", "higher": r" $\uparrow$", None: ""}[column.better]


def _cell_of_csv(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula gets an apostrophe before it."""
    if not isinstance(value, str):
        return value
    text = shown(value, _LONGEST) if not value.startswith("{") else value
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _markdown(text: str) -> str:
    return _escaped(shown(text, _LONGEST), {c: rf"\{c}" for c in "\\`*_[]<>|"})


def _latex(text: str) -> str:
    return _escaped(shown(text, _LONGEST), _IN_LATEX)


_IN_LATEX = {c: rf"\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "·": r"$\cdot$",
}


def _escaped(text: str, words: Mapping[str, str]) -> str:
    return "".join(words.get(c, c) for c in text)
