"""Inception Score: are single samples sure of their class, and are all classes there?

Salimans et al. 2016 (arXiv:1606.03498), section 4: exp of the mean divergence of p(y|x) from p(y),
between 1 and the number of classes, the mean of ten parts of the samples. It sees no real image, so
it can't tell a model of other classes, and on small images it says little (Barratt & Sharma 2018,
arXiv:1801.01973).
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from genkit.evaluation.metric import Metric
from genkit.evaluation.view import Found, View

MEANING = {
    "is": "Inception Score: how sure single samples are of their class while all classes are there",
}
TITLE = {"is": "Inception Score"}
SPLITS = 10
USUAL_COUNT = 50_000


class Score(NamedTuple):
    """The score and what each image contributes."""

    value: float
    splits: Tensor  # (S,) float64
    influence: Tensor  # (N,) float64


def measure(view: View) -> list[Found]:
    """ "is" on Inception's 1,008 logits, else "is-<extractor>"; nothing without a classifier."""
    logits = view.extractor.logits(view.samples.rows)
    if logits is None or view.samples.places is not None:
        return []
    order = view.order("is", len(logits))
    found = inception_score(logits[order])
    base = None if view.floor is None else view.extractor.logits(view.floor.rows)
    if base is not None:
        base = base[view.order("is", len(base))]
    name, count = view.extractor.name, len(logits)
    usual = "" if count == USUAL_COUNT else f"{count:,} samples, {USUAL_COUNT:,} are usual"
    return [
        Found(
            "is" if view.extractor.frechet_name == "fid" else f"is-{name}",
            found.value,
            "higher",
            found.influence[order.argsort()],
            floor=None if base is None else inception_score(base).value,
            note=usual,
            protocol={
                "splits": SPLITS,
                "classes": logits.shape[1],
                "interval": "samples drawn again",
            },
            least=1.0,
            most=float(logits.shape[1]),
        )
    ]


def inception_score(logits: Tensor, splits: int = SPLITS) -> Score:
    """The mean score of consecutive parts of (N, K) logits, in float64."""
    log_p = logits.double().log_softmax(1)
    count = len(log_p)
    ends = [part * count // splits for part in range(splits + 1)]
    scores, influence = [], []
    for begin, end in pairwise(ends):
        part = log_p[begin:end]
        if not len(part):
            continue
        log_marginal = part.logsumexp(0) - math.log(len(part))
        divergence = (part.exp() * (part - log_marginal)).sum(1)
        scores.append(divergence.mean().exp())
        # The marginal's own change adds up to nothing: probabilities always sum to one.
        influence.append(scores[-1] * (divergence - divergence.mean()))
    values = torch.stack(scores)
    return Score(values.mean().item(), values, torch.cat(influence))


METRIC = Metric(
    "is",
    measure,
    MEANING,
    order=60,
    fits=lambda extractor: extractor.has_classes,
    hint="give --extractor inception-v3, which has classes",
    alone=True,
)
