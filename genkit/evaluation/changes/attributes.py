"""Attributes after an edit, as a classifier sees them: is what was asked for there, and the rest?

AttGAN's protocol as STGAN's public code has it (He et al. 2019, arXiv:1711.10678, section V; Liu et
al. 2019, arXiv:1904.09709, section 4): each attribute of each test picture is flipped. Accuracy is
the share of pictures whose flipped attribute the classifier sees as asked for. The preservation
error is the mean over the other attributes of the share that it sees otherwise: than the row that
the edit asks for, or, as these papers count, than the picture's own row, where attributes that an
exclusive group forces off are errors too.

Legend: N pictures, A attributes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from genkit.evaluation.changes.value import Against
from genkit.evaluation.results import Value

MEANING = {
    "attribute-accuracy": "in what share of edits the classifier sees the attribute as it was "
    "asked for",
    "preservation-error": "how often the classifier sees one of the other attributes otherwise "
    "than the edit asks for; what it excludes is meant to go",
    "preservation-error-original": "the same against the attributes before the edit, as papers "
    "count: what an edit must switch off is an error too",
    "guess-accuracy": "how often the model's own classifier guesses an attribute of a picture "
    "rightly",
    "unfamiliar-rate": "the share of real pictures that the model takes for unlike those that it "
    "was trained on; meant to be about .01",
}
TITLE = {
    "attribute-accuracy": "Attributes as asked for",
    "preservation-error": "Other attributes lost",
    "preservation-error-original": "Other attributes changed",
    "guess-accuracy": "Attributes guessed rightly",
    "unfamiliar-rate": "Taken for unfamiliar",
}


@dataclass(frozen=True)
class Seen:
    """Attributes of N pictures and of A edits of each; edit i flips attribute i.

    Attributes:
        names: A words.
        real: (N, A) bool, what the data says.
        before: (N, A) bool, what the classifier sees in the pictures.
        asked: (A, N, A) bool, the rows that the edits ask for.
        after: (A, N, A) bool, what the classifier sees in the edits.
    """

    names: tuple[str, ...]
    real: Tensor
    before: Tensor
    asked: Tensor
    after: Tensor


def accuracy(names: tuple[str, ...], seen: Tensor, asked: Tensor) -> Tensor:
    """Whether the attribute of each edit is seen as asked for: (A, N, A) twice -> (A, N) float64.

    Args:
        names: A words.
        seen: What the classifier sees; (A, N, A), or what broadcasts to it.
        asked: What was asked for.
    """
    hits = seen.expand_as(asked) == asked
    return torch.stack([hits[i, :, i] for i in range(len(names))]).double()


def preservation(seen: Tensor, meant: Tensor) -> Tensor:
    """The share of the other attributes that are seen otherwise than meant: (A, N) float64.

    Args:
        seen: What the classifier sees; (A, N, A), or what broadcasts to it.
        meant: (A, N, A) what the others should be, or what broadcasts to it.
    """
    wrong = (seen != meant).double()
    edits, others = wrong.shape[0], 1 - torch.eye(wrong.shape[-1], dtype=torch.float64)
    return (wrong * others[:edits, None, :]).sum(2) / others.sum(1)[:edits, None]


def values(seen: Seen, against: Against) -> list[Value]:
    """The values of all edits, first over all attributes, then of each.

    The floor of accuracy is the classifier's own on the pictures as they are; that of the
    preservation errors what a perfect edit would be given by the same classifier.
    """
    asked, forced = seen.asked, seen.asked != seen.real
    own = seen.before == seen.real  # (N, A), where the classifier is right
    right = own.T.double()
    lost = preservation(own.logical_not()[None].expand_as(asked), torch.zeros_like(asked))
    counted = preservation(own.logical_not()[None] | forced, torch.zeros_like(asked))
    still = seen.before[None].expand_as(asked)
    real = seen.real[None].expand_as(asked)
    table = (
        ("attribute-accuracy", accuracy(seen.names, seen.after, asked), right,
         accuracy(seen.names, still, asked)),
        ("preservation-error", preservation(seen.after, asked), lost, preservation(still, asked)),
        ("preservation-error-original", preservation(seen.after, real), counted,
         preservation(still, real)),
    )  # fmt: skip
    found, of_each = list[Value](), list[Value]()
    for name, mine, floor, copying in table:
        better: Literal["lower", "higher"] = "lower"
        if name == "attribute-accuracy":
            better = "higher"
        parts: list[tuple[str | None, Tensor, Tensor, Tensor]]
        parts = [(None, mine.mean(0), floor, copying)]
        parts += [(a, mine[i], floor[i], copying[i]) for i, a in enumerate(seen.names)]
        made = [
            against.mean(
                name, numbers, better, part=part, most=1.0,
                floor=least.mean().item(), copying=same.mean().item(),
            )
            for part, numbers, least, same in parts
        ]  # fmt: skip
        found.append(made[0])
        of_each += made[1:]
    return [*found, *of_each]


def guesses(names: tuple[str, ...], right: Tensor, against: Against) -> list[Value]:
    """How often a model's own guesses (N, A) bool are right: of all, then of each attribute."""
    hits = right.double()
    parts: list[tuple[str | None, Tensor]]
    parts = [(None, hits.mean(1)), *((a, hits[:, i]) for i, a in enumerate(names))]
    return [
        against.mean("guess-accuracy", numbers, "higher", part=part, most=1.0)
        for part, numbers in parts
    ]
