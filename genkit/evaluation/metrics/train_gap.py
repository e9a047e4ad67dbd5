"""Are the samples nearer to the training images than to unseen ones, as a distribution?

The Fréchet distance to unseen images minus that to as many training images. A model that
generalises is as far from both, so the gap is about 0; one that repeats its training set is nearer
to that, and the gap is above 0. Single copies are what `near-copy-rate` finds.
"""

from __future__ import annotations

import math

from genkit.evaluation.frechet import frechet_distance, frechet_influence
from genkit.evaluation.metric import Metric
from genkit.evaluation.moments import Gaussian
from genkit.evaluation.view import Found, View, as_many

MEANING = {
    "train-gap": "distance to unseen images minus distance to as many training images: about 0 "
    "where nothing is learnt by heart",
}
TITLE = {"train-gap": "Nearer to training images"}
AIM = {"train-gap": 0.0}  # less is chance


def measure(view: View) -> list[Found]:
    """ "train-gap-<extractor>", where there are training and unseen images."""
    if view.floor is None or view.reference is None:
        return []
    if view.reference_set is None:
        return []
    order = view.order("gap", len(view.reference.rows))
    alike = as_many(view.reference_set, view.sample_set, order)  # as the training images are
    count = min(len(view.floor.rows), len(alike))
    some = view.order("gap/train", len(view.floor.rows))[:count]
    others = alike[view.order("gap/unseen", len(alike))[:count]]
    learned = Gaussian.of(view.floor.rows[some])
    unseen = Gaussian.of(view.reference.rows[others])
    sample, rows = view.sample_gaussian, view.samples.rows
    return [
        Found(
            f"train-gap-{view.extractor.name}",
            frechet_distance(sample, unseen) - frechet_distance(sample, learned),
            "lower",
            frechet_influence(rows, sample, unseen) - frechet_influence(rows, sample, learned),
            places=view.samples.places,
            note="about 0 where nothing is learnt by heart",
            protocol={
                "compared": count,
                "interval": "samples drawn again, both sets held fixed",
            },
            least=-math.inf,
        )
    ]


METRIC = Metric("train-gap", measure, MEANING, order=100, needs=frozenset({"reference", "train"}))
