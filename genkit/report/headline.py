"""What an evaluation says at a glance: two or three numbers in words, and what warns of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from genkit.report import words
from genkit.report.compare import aim
from genkit.report.parts import Evaluation, Metric

_MOST = 3
# What is shown large, the first of a line that was measured; a line each until there are three.
_LEAD = (
    ("fid", "fd"),
    ("attribute-accuracy", "truth-l1"),
    ("preservation-error", "retrieval-1"),
    ("inside-ratio",),
    ("accuracy", "modes"),
    ("recall",),
    ("psnr",),
    ("ssim",),
    ("lpips",),
    ("precision",),
    ("kid", "cmmd"),
    ("clip-score",),
    ("near-copy-rate",),
)
# Of the remark of `metrics/accuracy.py`, and of the warning of `evaluation/usual.py`.
_NOT_DIGITS = ("its classes are not the ten digits", "not known to be grey digits")
_FOUND = "inside the changed region"  # of the note of edits whose right answer is known
_PLAIN = (
    *("by construction", "learnt by heart", "can't be told from real images"),
    "that have nothing in common",
)


@dataclass(frozen=True)
class Note:
    """What a reader must know of some values."""

    mark: str  # "a", "b", ... beside the values
    text: str
    names: list[str]
    warns: bool  # and does not only say what is right


@dataclass(frozen=True)
class Tile:
    """A value shown large."""

    title: str
    metric: Metric
    real: str  # what real images reach, beside it
    notes: list[Note]


def notes_of(found: Evaluation) -> list[Note]:
    """The notes of all metrics, each once; last what is said of the whole evaluation."""
    texts: dict[str, list[str]] = {}
    for metric in found.metrics:
        if metric.note:
            texts.setdefault(metric.note, []).append(metric.name)
    for text in found.notes:
        texts.setdefault(text, []).extend(_meant(text, found.metrics))
    return [
        Note(_letter(i) if names else "", text, names, not _is_plain(text))
        for i, (text, names) in enumerate(texts.items())
    ]


def _is_plain(text: str) -> bool:
    """Whether a note only says what is right, or what was found."""
    return text.endswith(_PLAIN) or text.startswith(_FOUND)


def _meant(text: str, metrics: Iterable[Metric]) -> list[str]:
    """The metrics that a note of the whole evaluation is about."""
    if not any(words in text for words in _NOT_DIGITS):
        return []
    return [m.name for m in metrics if m.protocol.get("extractor") == "digits"]


def _letter(position: int) -> str:
    return chr(ord("a") + position) if position < 26 else str(position + 1)


def marks(metric: Metric, notes: Sequence[Note]) -> list[Note]:
    """The notes that are about a metric."""
    return [note for note in notes if metric.name in note.names]


def tiles(found: Evaluation, notes: Sequence[Note]) -> list[Tile]:
    """The two or three values to begin with."""
    shown: list[Metric] = []
    for names in _LEAD:
        first = next((m for n in names for m in found.metrics if _is_called(m, n)), None)
        if first is not None and len(shown) < _MOST:
            shown.append(first)
    for metric in found.metrics:  # of a metric of one's own, say
        if metric not in shown and not shown and metric.value is not None:
            shown.append(metric)
    return [Tile(words.title(m.name), m, real_images(m), marks(m, notes)) for m in shown]


def _is_called(metric: Metric, name: str) -> bool:
    """Whether it is that metric, by whatever extractor, and no variant of it."""
    return metric.value is not None and words.known_as(metric.name) == name


def real_images(metric: Metric) -> str:
    """What real images reach, and of a distance how many times that it is; else what copying the
    input does.
    """
    if metric.floor is None and metric.copying is not None:
        return f"copying the input: {words.number(metric.copying)}"
    if metric.floor is None:
        right = aim(metric.name)
        return "" if right is None else f"{right:g} is right"
    if metric.protocol.get("floor") == "of guessing":
        return f"guessing: {words.number(metric.floor)}"
    reached, times = words.number(metric.floor), words.against_floor(metric)
    return f"{times} the {reached} of real images" if times else f"real images reach {reached}"
