"""Edits beside their right answers: errors inside and outside the region that changes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genkit.evaluation.changes import regions, sheets
from genkit.evaluation.changes.edits import Edit, Given, edited, flags_of
from genkit.evaluation.changes.value import Against
from genkit.evaluation.changes.work import by_row, stacked
from genkit.evaluation.results import Shown, Value
from genkit.evaluation.sets import pictures
from genkit.evaluation.task import Asked
from genkit.rows.base import Rows
from genkit.rows.columns import Class
from genkit.rows.combine import picked

UNIQUE = "unique"  # of the column `truth`: there is only one right answer
HALF = 0.5  # of the error of copying


def measured(
    pipeline: Any, truth: Rows, asked: Asked
) -> tuple[list[Value], list[str], list[Shown]]:
    """Errors inside and outside the changed region; notes; the best and the worst edits."""
    truth = _spread(truth, asked.count)
    given = Given(truth, flags_of(pipeline))
    column = truth.columns["edited"]
    assert isinstance(column, Class)
    words = column.names or ()
    small = truth.read(range(len(truth)), ("edited", "to", "truth"))
    which, to = torch.as_tensor(small["edited"]), torch.as_tensor(small["to"])
    kept = [k for k in range(len(truth)) if words[which[k]] in flags_of(pipeline).names]
    edits = [Edit(k, words[which[k]], bool(to[k])) for k in kept]
    after = edited(pipeline, given, edits, asked)

    def errors(places: range) -> Tensor:
        rows = truth.read([kept[i] for i in places], ("image", "target"))
        before, target = (stacked(rows[name]) for name in ("image", "target"))
        return regions.of_edits(before, stacked(pictures(after, places)), target)

    found = by_row(len(edits), errors, after.name)
    names = [edit.name for edit in edits]
    kinds = truth.columns["truth"]
    assert isinstance(kinds, Class)
    unique = (torch.as_tensor(small["truth"]) == (kinds.names or ()).index(UNIQUE))[kept]
    against = Against(truth, {"call": dict(asked.call)} if asked.call else {})
    values, notes = _values(found, names, unique, against)
    if left := len(truth) - len(kept):
        notes.append(f"{left} of {len(truth)} counterfactuals change what the model can't edit")
    shown = _best_and_worst(truth, edits, after, found, unique) if asked.pictures else []
    return values, notes, shown


def _spread(rows: Rows, count: int | None) -> Rows:
    """So many rows from all over, since edits of one attribute may lie together; None = all."""
    if count is None or count >= len(rows):
        return rows
    return picked(rows, torch.linspace(0, len(rows) - 1, count).long())


def _values(
    found: Tensor, names: list[str], unique: Tensor, against: Against
) -> tuple[list[Value], list[str]]:
    """The values of (M, 3) errors: of all edits, then of each attribute."""
    inside, copied, outside = found.unbind(1)
    unique = unique & ~inside.isnan()
    how: dict[str, Any] = {"region": regions.REGION, "edits": "those with a unique right answer"}
    values, each, halved, judged = list[Value](), list[Value](), list[str](), list[str]()
    for part in (None, *dict.fromkeys(names)):
        mine = torch.tensor([part in (None, name) for name in names])
        one = mine & unique
        into = values if part is None else each
        if one.any():
            a, b = inside[one], copied[one]
            into.append(
                against.mean("inside-error", a, "lower", part=part, copying=b.mean().item(), **how)
            )
            into.append(against.ratio("inside-ratio", a, b, part=part, copying=1.0, **how))
            if part is not None:
                judged.append(part)
                halved += [part] if into[-1].value <= HALF else []
            if not (rest := outside[one]).isnan().all():
                into.append(
                    against.mean("outside-error", rest, "lower", part=part, copying=0.0, **how)
                )
    more = f": {', '.join(halved)}" if halved else ""
    notes = [
        f"inside the changed region the error is at most half that of copying for {len(halved)} of "
        f"{len(judged)} attributes that have a unique right answer{more}"
    ] if judged else []  # fmt: skip
    if same := int(inside.isnan().sum()):
        notes.append(
            f"{same} counterfactuals have no changed region: they differ from the picture before "
            f"by less than {regions.SEEN}/255"
        )
    return [*values, *each], notes


def _best_and_worst(
    truth: Rows, edits: list[Edit], after: Rows, found: Tensor, unique: Tensor
) -> list[Shown]:
    """The edits with the lowest and the highest error over that of copying."""
    ratio = torch.where(unique, found[:, 0] / found[:, 1], torch.nan)
    shown = []
    for name, places in zip(("best", "worst"), sheets.extremes(ratio), strict=True):
        if not places:
            continue
        known = truth.read([edits[place].row for place in places], ("image", "target"))
        made = pictures(after, places)
        rows = [
            (
                f"{i + 1}. {edits[place].words}\n{float(ratio[place]):.2f}",
                [known["image"][i], made[i], known["target"][i]],
            )
            for i, place in enumerate(places)
        ]
        title = f"The {len(rows)} {name} edits by their error inside the change, copying = 1"
        above = ("before", "after", "truth")
        shown.append(sheets.shown(f"edits-{name}", title, rows, above))
    return shown
