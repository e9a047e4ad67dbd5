"""All edits of some pictures: every attribute of each of them flipped, as the papers do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.changes import attributes, sheets
from genkit.evaluation.changes.attributes import Seen
from genkit.evaluation.changes.edits import Edit, Given, edited, picture
from genkit.evaluation.changes.value import Against
from genkit.evaluation.changes.work import by_row, stacked
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.results import Shown, Value
from genkit.evaluation.sets import pictures
from genkit.evaluation.task import Asked
from genkit.evaluation.usual import SEEN_RIGHTLY
from genkit.evaluation.values import measured_by
from genkit.images import to_float
from genkit.rows.base import Rows
from genkit.rows.columns import Flags
from genkit.rows.combine import picked
from genkit.rows.flags import likely, switched

HALF = 0.5  # above it a classifier sees an attribute
LIMIT = "by 99 % of training pictures, each measured by the moments of others"


class Editing:
    """All edits of some pictures: edit i * N + k flips attribute i of picture k."""

    def __init__(self, pipeline: Any, given: Given, asked: Asked) -> None:
        self.pipeline, self.given, self.asked = pipeline, given, asked
        flags = given.columns["attributes"]
        assert isinstance(flags, Flags)
        self.flags, self.names = flags, flags.names
        everyone = range(len(given))
        self.rows = torch.as_tensor(given.read(everyone, ("attributes",))["attributes"]) > 0
        self.edits = [
            Edit(k, name, not self.rows[k, i]) for i, name in enumerate(self.names)
            for k in everyone
        ]  # fmt: skip
        self.after = edited(pipeline, given, self.edits, asked)
        self.against = Against(given, {"call": dict(asked.call)} if asked.call else {})

    @property
    def one_each(self) -> Rows:
        """Every picture once, the first with its first attribute flipped, and so in turn."""
        count = len(self.given)
        places = [(k % len(self.names)) * count + k for k in range(count)]
        return picked(self.after, places, f"{count:,} edits of a {type(self.pipeline).__name__}")

    def attributes(self, judge: Extractor) -> tuple[list[Value], Tensor, list[str]]:
        """Values by a classifier; how sure it is of each edit, (A, N), NaN of attributes that it
        doesn't know; and which these are.
        """
        known = [i for i, name in enumerate(self.names) if name in (judge.flag_names or ())]
        if not known:
            raise EvaluationError(
                f"{judge.name}: knows {', '.join(judge.flag_names or ())} and none of the "
                f"attributes that the model edits, {', '.join(self.names)}; give a classifier of "
                "these"
            )
        names = tuple(self.names[i] for i in known)
        columns = [(judge.flag_names or ()).index(name) for name in names]

        def seen(rows: Rows, places: list[int] | range) -> Tensor:
            features = judge.of(pictures(rows, places))
            return judge.shares(features)[:, columns].float().cpu()

        count = len(self.given)
        before = by_row(count, lambda places: seen(self.given, places), self.given.name)
        edits = [i * count + k for i in known for k in range(count)]
        after = by_row(
            len(edits), lambda at: seen(self.after, [edits[i] for i in at]), self.after.name
        ).view(len(known), count, len(known))
        asked = torch.stack(
            [self._asked(name) for name in names]
        )[:, :, known]  # fmt: skip
        real = self.rows[:, known]
        found = Seen(names, real, before > HALF, asked, after > HALF)
        how = {**measured_by(judge), "layer": "shares of attributes, above .5"}
        against = replace(self.against, more={**self.against.more, **how})
        values = attributes.values(found, against)
        sure = torch.full((len(self.names), count), torch.nan)
        sure[known] = torch.stack([after[i, :, i] for i in range(len(known))])
        sure = torch.where(self.rows.T, 1 - sure, sure)
        unknown = [name for name in self.names if name not in names]
        said = f"{judge.name} does not know {', '.join(unknown)}: not measured after edits"
        notes = [said] if unknown else []
        if (right := (found.before == real).double().mean().item()) < SEEN_RIGHTLY:
            notes.append(
                f"{judge.name} sees {right:.0%} of the attributes of real pictures here rightly: "
                "what it sees after edits says little; give a classifier that knows such pictures"
            )
        return values, sure, notes

    def _asked(self, name: str) -> Tensor:
        """The rows (N, A) bool that flipping an attribute asks for."""
        on = ~self.rows[:, self.names.index(name)]
        both = [switched(self.flags, self.rows.long(), name, way) > 0 for way in (False, True)]
        return torch.where(on[:, None], both[1], both[0])

    def guesses(self) -> list[Value]:
        """Of a pipeline that guesses attributes and knows what is familiar to it."""
        if getattr(self.pipeline, "critic", None) is None:
            return []
        knows = getattr(self.pipeline, "familiarity", None) is not None

        def guess(places: range) -> Tensor:
            images = to_float(stacked(pictures(self.given, places)))
            shares = self.pipeline.guess(images).float().cpu()
            far = self.pipeline.unfamiliarity(images).float().cpu() if knows else shares[:, 0]
            return torch.cat([shares, far[:, None]], 1)

        found = by_row(len(self.given), guess, f"guesses of {self.given.name}")
        right = (likely(self.flags, found[:, :-1]) > 0) == self.rows  # as it edits by
        values = attributes.guesses(self.names, right, self.against)
        if knows:
            far = (found[:, -1] > self.pipeline.familiar_below).double()
            limit = {"familiar_below": self.pipeline.familiar_below, "limit": LIMIT}
            values.append(self.against.mean("unfamiliar-rate", far, "lower", most=1.0, **limit))
        return values

    def examples(self, rebuilt: Rows) -> Shown:
        """A few pictures with each attribute flipped."""
        count, few = len(self.given), range(min(sheets.EXAMPLES, len(self.given)))
        each = range(len(self.names))
        before, same = pictures(self.given, few), pictures(rebuilt, few)
        after = pictures(self.after, [i * count + k for k in few for i in each])
        rows = [
            ("", [before[k], same[k], *(after[k * len(self.names) + i] for i in each)]) for k in few
        ]
        title = "The first pictures of the test part, rebuilt, and with each attribute flipped"
        return sheets.shown("edits", title, rows, ("before", "rebuilt", *self.names))

    def extremes(self, sure: Tensor) -> list[Shown]:
        """The edits whose attribute the classifier is surest of, and those that it sees least.

        Args:
            sure: (A, N) in [0, 1], how sure it is of what was asked for.
        """
        found: list[Shown] = []
        for name, places in zip(("worst", "best"), sheets.extremes(sure.flatten()), strict=True):
            edits = [self.edits[place] for place in places]
            after = pictures(self.after, places) if places else []
            shares = [f"{float(sure.flatten()[place]):.2f}" for place in places]
            rows = [
                (f"{i}. {edit.words}\n{share}", [picture(self.given, edit.row), made])
                for i, (edit, share, made) in enumerate(zip(edits, shares, after, strict=True), 1)
            ]
            title = f"The {len(rows)} {name} of {sure.numel():,} edits, by what the classifier sees"
            if rows:
                found.append(sheets.shown(f"edits-{name}", title, rows, ("before", "after")))
        return found[::-1]
