"""Intra-class Fréchet distance: the distance within each class, averaged.

A conditional model may have the right images of all classes together and confuse or collapse the
single ones; the mean over classes of their own distances sees it (Miyato & Koyama 2018,
arXiv:1802.05637, section 5.1, "intra FID"). A class has fewer images, so the value is larger than
the distance of the whole, and compares only with the same counts per class.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.errors import shown
from genkit.evaluation.frechet import frechet_distance, frechet_influence
from genkit.evaluation.metric import Metric
from genkit.evaluation.moments import Gaussian
from genkit.evaluation.view import Found, View

MEANING = {
    "fid-class": "the FID within each class, averaged",
    "fd-class": "Fréchet distance within each class, averaged: sees classes that are confused or "
    "collapsed",
}
TITLE = {
    "fid-class": "Fréchet distance within classes",
    "fd-class": "Fréchet distance within classes",
}
SMALLEST = 10  # images of a class, in both sets


def measure(view: View) -> list[Found]:
    """ "fid-class" or "fd-class-<extractor>", where both sets have the same classes."""
    if problem(view) or view.reference is None or view.reference_set is None:
        return []
    labels, real_labels = view.sample_set.class_numbers, view.reference_set.class_numbers
    assert labels is not None
    assert real_labels is not None
    classes = labels.unique()
    influence = torch.empty(len(labels), dtype=torch.float64)
    total = 0.0
    for label in classes.tolist():
        mine = labels == label
        rows = view.samples.rows[mine]
        sample = Gaussian.of(rows)
        real = Gaussian.of(view.reference.rows[real_labels == label])
        total += frechet_distance(sample, real)
        own = frechet_influence(rows, sample, real)
        # A class is a part of the images, so one of its images weighs the more.
        influence[mine] = (own - own.mean()) * len(labels) / len(rows) / len(classes)
    return [
        Found(
            view.extractor.frechet_name.replace("fd-", "fd-class-", 1)
            if view.extractor.frechet_name != "fid"
            else "fid-class",
            total / len(classes),
            "lower",
            influence,
            floor=_floor(view, real_labels),
            note=_note(view, labels, real_labels),
            protocol={
                "classes": len(classes),
                "interval": "samples drawn again within their class; bias not included",
            },
        )
    ]


def _floor(view: View, real_labels: Tensor) -> float | None:
    """Of training images, where these have the same classes and enough of each."""
    if view.floor is None or view.floor_set is None or view.floor_set.class_numbers is None:
        return None
    assert view.reference is not None
    labels, distances = view.floor_set.class_numbers, []
    for label in real_labels.unique().tolist():
        train, real = (labels == label), (real_labels == label)
        if min(int(train.sum()), int(real.sum())) < SMALLEST:
            return None
        pair = view.floor.rows[train], view.reference.rows[real]
        distances.append(frechet_distance(*(Gaussian.of(rows) for rows in pair)))
    return sum(distances) / len(distances)


def problem(view: View) -> str:
    """Why there is no such distance; empty if there is one."""
    labels = view.sample_set.class_numbers
    real = None if view.reference_set is None else view.reference_set.class_numbers
    if labels is None or real is None:
        return "samples or reference have no labels: no distance by class"
    counts = [dict(zip(*(t.tolist() for t in x.unique(return_counts=True)), strict=True))
              for x in (labels, real)]  # fmt: skip
    few = [c for c, n in counts[0].items() if min(n, counts[1].get(c, 0)) < SMALLEST]
    if few:
        mine, real_ones = (count.get(few[0], 0) for count in counts)
        names = view.sample_set.class_names
        called = few[0] if names is None else shown(names[few[0]])
        return (
            f"class {called} has {mine:,} samples and {real_ones:,} reference images, fewer than "
            f"{SMALLEST} in a set: no distance by class"
        )
    return ""


def _note(view: View, labels: Tensor, real_labels: Tensor) -> str:
    least = int(min(x.unique(return_counts=True)[1].min() for x in (labels, real_labels)))
    dimensions = len(view.real.mean)
    if least > dimensions:
        return ""
    return f"a class has {least} images, fewer than features ({dimensions}): far too large"


METRIC = Metric("fd-class", measure, MEANING, order=30, needs=frozenset({"reference"}), why=problem)
