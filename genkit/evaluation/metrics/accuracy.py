"""Class accuracy: does a sample show the class it was asked for?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genkit.evaluation.extractor import Extractor
from genkit.evaluation.extractors.digits import DigitsExtractor
from genkit.evaluation.metric import Metric
from genkit.evaluation.metrics import modes
from genkit.evaluation.sets import shape_of
from genkit.evaluation.view import Found, View
from genkit.rows.base import Rows
from genkit.rows.columns import are_numbers

MEANING = {
    "accuracy": "share of samples that show the class that was asked for",
}
TITLE = {"accuracy": "Named rightly"}
KNOWN_DIGITS = 0.9  # accuracy on the reference below which its classes are not digits


def classes_of(view: View) -> tuple[Tensor, Tensor] | str:
    """The class that samples and reference images show, or why there is none."""
    if not fits(view.extractor) or view.reference is None:
        return "needs a classifier that knows the classes and reference images: no class accuracy"
    if view.sample_set.class_numbers is None:
        return "the samples have no labels: no class accuracy"
    if view.reference_set is None or view.reference_set.class_numbers is None:
        return "the reference has no labels: no class accuracy"
    if not isinstance(view.extractor, DigitsExtractor):
        known = _numbers(view.reference_set, view.extractor)
        if not bool((known >= 0).any()):
            return f"{view.extractor.name} knows none of the reference's classes: no class accuracy"
        both = (view.samples.rows, view.reference.rows)
        shown, real = (known[_named(view.extractor, features)] for features in both)
        return shown, real
    if view.reference_set.class_names == modes.NAMES:
        if shape_of(view.sample_set)[0] != 3:
            return "the samples are grey: no modes and no class accuracy"
        named = modes.modes_shown(view.sample_set, view.extractor)
        return named, modes.modes_shown(view.reference_set, view.extractor, keep=True)
    shown = view.extractor.classify(view.samples.rows)
    real = view.extractor.classify(view.reference.rows)
    right = hits(real, view.reference_set.class_numbers).mean().item()
    if right < KNOWN_DIGITS:
        return (
            f"the digits classifier names {right:.0%} of the reference rightly, so its classes "
            "are not the ten digits: no class accuracy"
        )
    return shown, real


def fits(extractor: Extractor) -> bool:
    """Whether an extractor names classes: the digits, or those that it learnt with their names."""
    return isinstance(extractor, DigitsExtractor) or extractor.class_names is not None


def _numbers(reference: Rows, extractor: Extractor) -> Tensor:
    """Of each class (K,) of a trained classifier its number in the reference; -1 = not there."""
    mine, names = extractor.class_names or (), reference.class_names
    if names is None:
        return torch.arange(len(mine))
    as_said = [int(name) if are_numbers(names) else i for i, name in enumerate(names)]
    number = dict(zip(names, as_said, strict=True))
    return torch.tensor([number.get(name, -1) for name in mine])


def _named(extractor: Extractor, features: Tensor) -> Tensor:
    """The class (N,) that a trained classifier names."""
    logits = extractor.logits(features)
    assert logits is not None
    return logits.argmax(1)


def measure(view: View) -> list[Found]:
    """The accuracy of the samples; its floor is that of the reference images."""
    found = classes_of(view)
    if isinstance(found, str) or view.sample_set.class_numbers is None:
        return []
    assert view.reference_set is not None
    assert view.reference_set.class_numbers is not None
    named, real_named = found
    right = hits(named, view.sample_set.class_numbers)
    return [
        Found(
            "accuracy",
            right.mean().item(),
            "higher",
            right,
            floor=hits(real_named, view.reference_set.class_numbers).mean().item(),
            protocol={"interval": "samples drawn again"},
            most=1.0,
        )
    ]


def table(view: View) -> list[dict[str, Any]] | None:
    """Accuracy by class; no table of the 1,000 classes of stacked digits."""
    found, labels = classes_of(view), view.sample_set.class_numbers
    if isinstance(found, str) or labels is None or modes.applies(view):
        return None
    return per_class(found[0], labels)


def hits(named: Tensor, labels: Tensor) -> Tensor:
    """(N,) float64, 1 where the named class (N,) is the label (N,)."""
    return (named == labels).double()


def per_class(named: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """For each class that occurs: its accuracy and how many images ask for it."""
    right = hits(named, labels)
    rows = []
    for label in sorted(set(labels.tolist())):
        mine = right[labels == label]
        rows.append({"class": str(label), "accuracy": mine.mean().item(), "count": len(mine)})
    return rows


METRIC = Metric(
    "accuracy",
    measure,
    MEANING,
    order=120,
    needs=frozenset({"reference"}),
    fits=fits,
    hint="give --extractor digits, or a run of family classifier that learnt these classes",
    is_quick=True,
    why=lambda view: str(classes_of(view)),
    table=table,
)
