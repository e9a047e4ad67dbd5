"""One way of a translator, measured: beside true counterparts, there and back, as a set.

Every value comes beside that of returning the input, where that says something.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.evaluation.changes import counterparts, sheets, structure
from genkit.evaluation.changes.cycle import BETWEEN
from genkit.evaluation.changes.value import Against
from genkit.evaluation.changes.work import by_row, stacked
from genkit.evaluation.engine import features_of
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.results import Evaluation, Shown, Value, identity, versions
from genkit.evaluation.sets import as_image, pictures, shape_of
from genkit.evaluation.task import (
    Asked,
    asks_of_sets,
    in_pairs,
    joined,
    made,
    of_both,
    picture_of,
    some,
)
from genkit.evaluation.values import measured_by
from genkit.rows.base import MemoryRows, Rows
from genkit.rows.columns import Image

OWN = ("truth", "retrieval", "cycle", "structure", "copying")  # metrics of its own
QUICK = ("truth", "retrieval", "cycle")
HELD = 1 << 29  # bytes of translations that are held in memory, so that each is made once
LARGEST = 64  # px of pictures whose pixels are compared in retrieval
PIXELS = f"pixels, at most {LARGEST} px"
SIDE = structure.GRID * structure.SMALLEST  # px of pictures whose structure is compared, at least
LAYOUTS = 32  # pictures behind a structure distance: each is 32 inputs of an extractor


@dataclass(frozen=True)
class Way:
    """One way of a pipeline, and what it is measured by.

    Attributes:
        pipeline: Takes the column `taken`.
        name: Such as "a-to-b"; "" where there is one way only.
        taken: The column that the pipeline takes.
        given: Rows with that column, the pictures to translate.
        real: Rows with `image`, the pictures that translations should be like.
        asked: What is measured, its extractors loaded.
        wanted: Which of `OWN`.
        truth: Rows to translate and, row by row, their true counterparts; None = not known.
        back: The column that the pipeline takes for the way back; None = it has none.
    """

    pipeline: Any
    name: str
    taken: str
    given: Rows
    real: Rows
    asked: Asked
    wanted: set[str]
    truth: tuple[Rows, Rows] | None = None
    back: str | None = None

    def measured(self, *, in_pairs: bool = False) -> Evaluation:
        """All values of this way.

        Args:
            in_pairs: Whether translations are measured in pairs whatever is asked for, since the
                data is pairs.
        """
        parts: list[Evaluation] = []
        if self.truth is not None and (in_pairs or "truth" in self.wanted):
            parts.append(self._in_pairs())
        begun = time.monotonic()
        values = [*self._of_truth(), *self._cycle(), *self._structure()]
        own = Evaluation(
            samples=identity(self.translated),
            reference=identity(self.real),
            train=None,
            metrics=tuple(values),
            classes=None,
            notes=tuple(self._notes()),
            seconds=round(time.monotonic() - begun, 2),
            versions=versions(),
            pictures=tuple(self._pictures()) if self.asked.pictures else (),
        )
        parts.append(own)
        if asks_of_sets(self.asked):
            parts.append(self._of_sets())
        return joined(parts)

    # -- rows --------------------------------------------------------------------------------------

    @cached_property
    def inputs(self) -> Rows:
        """The pictures to translate, as `image`."""
        return as_image(self.given, self.taken)

    @cached_property
    def translated(self) -> Rows:
        """What becomes of them."""
        return self._made(self.given)

    @cached_property
    def beside_truth(self) -> Rows:
        """What becomes of those whose counterparts are known."""
        assert self.truth is not None
        same = self.truth[0] is self.given
        return self.translated if same else self._made(self.truth[0])

    @cached_property
    def returned(self) -> Rows:
        """What becomes of the translations on the way back."""
        assert self.back is not None
        return self._made(as_image(self.translated, "image", self.back))

    def _made(self, given: Rows) -> Rows:
        rows = made(self.pipeline, self.asked, given)
        images = as_image(rows, picture_of(self.pipeline.gives))
        column = given.columns[picture_of(given.columns)]
        size = column.size if isinstance(column, Image) else None
        fits = size is not None and len(given) * 3 * size[0] * size[1] <= HELD
        return held(images) if fits else images

    # -- values ------------------------------------------------------------------------------------

    @property
    def _extractors(self) -> Sequence[Extractor]:
        found = self.asked.request.get("extractors") or ()
        return [each for each in found if isinstance(each, Extractor)]

    def _against(self, rows: Rows) -> Against:
        return Against(rows, {"call": dict(self.asked.call)} if self.asked.call else {})

    def _in_pairs(self) -> Evaluation:
        """PSNR, SSIM and LPIPS to the true counterparts."""
        assert self.truth is not None
        given, truths = self.truth
        found = in_pairs(self.beside_truth, truths, self.asked)
        inputs = as_image(given, self.taken)
        if "copying" not in self.wanted or shape_of(inputs) != shape_of(truths):
            return found
        return beside(found, in_pairs(inputs, truths, self.asked))

    def _of_truth(self) -> list[Value]:
        if self.truth is None or not self.wanted & {"truth", "retrieval"}:
            return []
        given, truths = self.truth
        inputs, against = as_image(given, self.taken), self._against(truths)
        found = []
        if "truth" in self.wanted:
            own = _l1(self.beside_truth, truths)
            copied = _l1(inputs, truths).mean().item()
            found.append(against.mean("truth-l1", own, "lower", copying=copied))
        if "retrieval" in self.wanted and len(truths) > 1:
            for each in (None, *self._extractors):
                mine = _features(self.beside_truth, each)
                same, true = (_features(rows, each, keep=True) for rows in (inputs, truths))
                how = {"layer": PIXELS} if each is None else measured_by(each)
                by = replace(against, more={**against.more, **how})
                name = "pixels" if each is None else each.name
                found += _retrieval(name, mine, same, true, by)
        return found

    def _cycle(self) -> list[Value]:
        if self.back is None or "cycle" not in self.wanted:
            return []
        apart = _l1(self.returned, self.inputs)
        against = self._against(self.inputs)
        return [against.mean("cycle-l1", apart, "lower", between=BETWEEN)]

    def _structure(self) -> list[Value]:
        if "structure" not in self.wanted:
            return []
        before, after = some(self.inputs, LAYOUTS), some(self.translated, LAYOUTS)
        if self._too_small:
            return []
        found = []
        for each in self._extractors:
            one, other = (_layouts(rows, each) for rows in (before, after))
            apart = structure.distance(one, other)
            unlike = structure.distance(one, other.roll(1, 0)).mean().item()
            against = replace(self._against(self.inputs), more=measured_by(each))
            note = f"it is {unlike:.2f} between pictures that have nothing in common"
            name, count = f"structure-{each.name}", structure.GRID**2
            found.append(against.mean(name, apart, "lower", note=note, patches=count))
        return found

    @property
    def _too_small(self) -> bool:
        """Whether patches would have less than their smallest side."""
        return min(shape_of(some(self.inputs, LAYOUTS))[1:]) < SIDE

    def _notes(self) -> Iterator[str]:
        """What was asked for and is not measured."""
        if "structure" in self.wanted and self._extractors and self._too_small:
            yield f"structure is not measured: it takes pictures of {SIDE} px or more"

    def _of_sets(self) -> Evaluation:
        """Translations as a set against the pictures of the other kind."""
        found = of_both(self.translated, self.real, self.asked)
        if "copying" not in self.wanted:
            return found
        return beside(found, of_both(self.inputs, self.real, replace(self.asked, train=None)))

    # -- pictures ----------------------------------------------------------------------------------

    def _pictures(self) -> list[Shown]:
        """Some translations, and the best and the worst by what is known of them."""
        file = f"translations{f'-{self.name}' if self.name else ''}"
        sets = {"before": self.inputs, "after": self.translated}
        if self.back is not None and "cycle" in self.wanted:
            sets["and back"] = self.returned
        few = range(min(sheets.EXAMPLES, len(self.given)))
        found = [_sheet(file, f"The first translations {self.name}".strip(), sets, few)]
        if self.truth is not None:
            sets = {
                "before": as_image(self.truth[0], self.taken),
                "after": self.beside_truth,
                "truth": self.truth[1],
            }
            scores, what = _l1(self.beside_truth, self.truth[1]), "distance to the counterpart"
        elif self.back is not None and "cycle" in self.wanted:
            scores, what = _l1(self.returned, self.inputs), "distance after both ways"
        else:
            return found
        for name, places in zip(("best", "worst"), sheets.extremes(scores), strict=True):
            if places:
                title = f"The {len(places)} {name} translations {self.name} by their {what}"
                words = [f"{i}. {float(scores[place]):.3f}" for i, place in enumerate(places, 1)]
                found.append(_sheet(f"{file}-{name}", title, sets, places, words))
        return found


def beside(found: Evaluation, copied: Evaluation) -> Evaluation:
    """An evaluation of translations with the values of their inputs beside its own, by name."""
    same = {value.name: value.value for value in copied.metrics}
    metrics = tuple(replace(v, copying=same.get(v.name)) for v in found.metrics)
    seconds = round(found.seconds + copied.seconds, 2)
    return replace(found, metrics=metrics, seconds=seconds)


def held(images: Rows) -> Rows:
    """Pictures of one size that a model makes, made once and held in memory."""
    count = len(images)
    values: dict[str, Any] = {
        "image": by_row(count, lambda places: stacked(pictures(images, places)), images.name)
    }
    others = [name for name in images.columns if name != "image"]
    values |= images.read(range(count), others) if others else {}
    shape = values["image"].shape
    columns = {**images.columns, "image": Image(tuple(shape[2:]), shape[1])}
    return MemoryRows(images.name, columns, values, fingerprint=images.fingerprint)


def _retrieval(
    name: str, mine: Tensor, inputs: Tensor, truths: Tensor, against: Against
) -> list[Value]:
    ranks, same = counterparts.nearer(mine, truths), counterparts.nearer(inputs, truths)
    count, few = len(truths), counterparts.FEW
    found = []
    for most in (1, 5):
        for candidates in (count, few)[: 2 if count > few else 1]:
            among = "" if candidates == count else f"-of-{few}"
            share, copied = (counterparts.found_among(r, most, candidates) for r in (ranks, same))
            found.append(
                against.mean(
                    f"retrieval-{most}{among}-{name}", share, "higher", most=1.0,
                    copying=copied.mean().item(), candidates=candidates,
                )
            )  # fmt: skip
    return found


def _l1(one: Rows, other: Rows) -> Tensor:
    """Mean absolute difference of row i of both sets: (N,) float64."""

    def apart(places: range) -> Tensor:
        rows = zip(pictures(one, places), pictures(other, places), strict=True)
        return torch.cat([counterparts.l1(a[None], b[None]) for a, b in rows])

    return by_row(len(one), apart, one.name)


def _pixels(images: Tensor) -> Tensor:
    """(B, C, H, W) uint8 -> (B, D) float32 in [-0.5, 0.5], colours; large pictures made smaller."""
    values = images.expand(-1, 3, -1, -1).float() / 255 - 0.5
    if max(values.shape[2:]) > LARGEST:
        values = F.adaptive_avg_pool2d(values, LARGEST)
    return values.flatten(1)


def _features(rows: Rows, extractor: Extractor | None, *, keep: bool = False) -> Tensor:
    """(N, D) features; of real pictures they are kept for the next time. None = the pixels."""
    if extractor is not None:
        return features_of(rows, extractor, keep=keep)
    return by_row(len(rows), lambda at: _pixels(stacked(pictures(rows, at))), rows.name)


def _layouts(rows: Rows, extractor: Extractor) -> Tensor:
    return by_row(
        len(rows),
        lambda at: structure.of_patches(stacked(pictures(rows, at)), extractor),
        rows.name,
    )


def _sheet(
    file: str, title: str, sets: dict[str, Rows], places: Sequence[int], words: Sequence[str] = ()
) -> Shown:
    """Rows of pictures of several sets at these places."""
    columns = [pictures(rows, list(places)) for rows in sets.values()]
    rows = [
        (words[i] if words else "", [column[i] for column in columns]) for i in range(len(places))
    ]
    return sheets.shown(file, title, rows, list(sets))
