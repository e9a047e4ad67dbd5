"""An evaluation as a table: one line for each value, for papers and notebooks.

Where the model changes pictures, a column says what giving them back unchanged would reach.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genkit.evaluation.results import Value

HEAD = ("metric", "value", "95 % interval", "floor", "better")
_LATEX = {c: rf"\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
}  # fmt: skip


def head(values: Sequence[Value]) -> tuple[str, ...]:
    """What the columns are called."""
    return (*HEAD[:-1], *(("copying",) if _has_copying(values) else ()), HEAD[-1])


def rows(values: Sequence[Value]) -> list[tuple[str, ...]]:
    """The cells of each value as text, as `head` names them."""
    copied = _has_copying(values)
    return [
        (
            *(v.name, _number(v.value), interval(v) or "–", _number(v.floor)),
            *((_number(v.copying),) if copied else ()),
            v.better,
        )
        for v in values
    ]


def _has_copying(values: Sequence[Value]) -> bool:
    return any(value.copying is not None for value in values)


def interval(value: Value) -> str:
    """The ends of the 95 % interval; empty without one."""
    if value.low is None or value.high is None:
        return ""
    return f"{_number(value.low)} – {_number(value.high)}"


def markdown(values: Sequence[Value]) -> str:
    """A table of GitHub's Markdown."""
    names = head(values)
    lines = [names, ("---", *["---:"] * (len(names) - 2), "---"), *rows(values)]
    escaped = ([cell.replace("|", r"\|") for cell in line] for line in lines)
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


def latex(values: Sequence[Value]) -> str:
    """A tabular for the package booktabs."""
    body = [" & ".join(map(_latex, line)) + r" \\" for line in rows(values)]
    names = head(values)
    first = " & ".join(map(_latex, names)) + r" \\"
    columns = f"l{'r' * (len(names) - 2)}l"
    parts = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", first, r"\midrule", *body]
    return "\n".join([*parts, r"\bottomrule", r"\end{tabular}"]) + "\n"


def as_html(values: Sequence[Value]) -> str:
    """A table as notebooks show it."""
    first = "".join(f"<th>{html.escape(name)}</th>" for name in head(values))
    body = ("".join(f"<td>{html.escape(c)}</td>" for c in line) for line in rows(values))
    lines = "".join(f"<tr>{line}</tr>" for line in body)
    return f"<table><thead><tr>{first}</tr></thead><tbody>{lines}</tbody></table>"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in text).replace("–", "--")
