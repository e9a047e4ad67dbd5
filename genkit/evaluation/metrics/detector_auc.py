"""Classifier two-sample test: how well can a detector tell samples from real images?

Lopez-Paz & Oquab 2017 (arXiv:1610.06545). The detector is linear in the features (ridge regression
on standardised features), fitted on one half of both sets and tried on the other, both ways round.
Its AUC is the share of (sample, real) pairs that it ranks rightly: 0.5 where it can only guess, 1
where every sample is found out. It sees any difference that is linear in the features, such as the
traces of an upsampling layer that a Fréchet distance may pass over.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.evaluation.metric import Metric
from genkit.evaluation.view import Found, View

MEANING = {
    "detector-auc": "how often a linear detector tells a sample from a real image: 0.5 where it "
    "can only guess, 1 where it always can",
}
TITLE = {"detector-auc": "Told from real images"}
AIM = {"detector-auc": 0.5}  # less is chance
LIMIT = 10_000  # images of each set
RIDGE = 1e-2  # times the number of images


def measure(view: View) -> list[Found]:
    """ "detector-auc-<extractor>"."""
    if view.reference is None:
        return []
    mine = view.order("two-sample/samples", len(view.samples.rows))[:LIMIT]
    theirs = view.order("two-sample/reference", len(view.reference.rows))[:LIMIT]
    fake, real = view.samples.rows[mine], view.reference.rows[theirs]
    value, influence = detector_auc(fake, real)
    floor = None
    if view.floor is not None:
        base = view.floor.rows
        order = view.order("two-sample/floor", len(base))[:LIMIT]
        floor = detector_auc(base[order], real)[0]
    return [
        Found(
            f"detector-auc-{view.extractor.name}",
            value,
            "lower",
            influence,
            places=mine,
            count=len(mine),
            floor=floor,
            note=_note(view),
            protocol={
                "compared": [len(fake), len(real)],
                "detector": "ridge regression on standardised features, two halves by turns",
                "interval": "samples drawn again, detector held fixed",
            },
            most=1.0,
        )
    ]


def _note(view: View) -> str:
    shared = 0 if view.shared is None else view.shared.with_reference
    base = "0.5: can't be told from real images"
    if not shared:
        return base
    return f"{base}; {shared:,} samples are pictures of the reference"


def detector_auc(fake: Tensor, real: Tensor) -> tuple[float, Tensor]:
    """The mean AUC of both halves, and the influence of each of fake.

    Args:
        fake: (N, D) in random order.
        real: (M, D) in random order.

    Returns:
        In [0, 1], and (N,) float64: how often each sample is ranked above a real image.
    """
    halves = [(x[::2].double(), x[1::2].double()) for x in (fake, real)]
    shares = torch.empty(len(fake), dtype=torch.float64)
    for fitted, tried in ((0, 1), (1, 0)):
        score = _detector(halves[0][fitted], halves[1][fitted])
        shares[tried::2] = ranked_above(score(halves[0][tried]), score(halves[1][tried]))
    return shares.mean().item(), shares


def ranked_above(scores: Tensor, others: Tensor) -> Tensor:
    """For each of (N,) scores the share of (M,) others below it, a tie counting one half."""
    rising = others.sort().values
    below = torch.searchsorted(rising, scores, right=False)
    upto = torch.searchsorted(rising, scores, right=True)
    return (below + upto).double() / (2 * len(others))


def _detector(fake: Tensor, real: Tensor) -> _Linear:
    both = torch.cat([fake, real])
    mean, deviation = both.mean(0), both.std(0).clamp_min(1e-12)
    x = (both - mean) / deviation
    # Each set weighs the same, however many images it has.
    target = torch.cat([fake.new_ones(len(fake)), -real.new_ones(len(real))])
    weight = torch.cat([fake.new_full((len(fake),), 0.5 / len(fake)),
                        real.new_full((len(real),), 0.5 / len(real))])  # fmt: skip
    gram = x.T * weight @ x + RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
    return _Linear(mean, deviation, torch.linalg.solve(gram, x.T @ (weight * target)))


class _Linear:
    def __init__(self, mean: Tensor, deviation: Tensor, direction: Tensor) -> None:
        self.mean, self.deviation, self.direction = mean, deviation, direction

    def __call__(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.deviation @ self.direction


METRIC = Metric("detector-auc", measure, MEANING, order=90, needs=frozenset({"reference"}))
