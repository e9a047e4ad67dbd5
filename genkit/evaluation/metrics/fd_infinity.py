"""FID-infinity: the Fréchet distance that infinitely many samples would have.

With N samples the distance is too large by about a constant over N, and by another one for every
model (Chong & Forsyth 2020, arXiv:1911.07023). A line through the distances of 15 parts of the
samples over 1/N meets 1/N = 0 at an estimate without that bias. The bias of the reference's own
count stays.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.evaluation.frechet import frechet_distance, frechet_influence
from genkit.evaluation.metric import Metric
from genkit.evaluation.moments import Gaussian, Moments
from genkit.evaluation.view import Found, View

MEANING = {
    "fid-infinity": "the FID that infinitely many samples would have",
    "fd-infinity": "the Fréchet distance that infinitely many samples would have",
}
TITLE = {
    "fid-infinity": "Fréchet distance of infinitely many",
    "fd-infinity": "Fréchet distance of infinitely many",
}
POINTS = 15
SMALLEST = 0.1  # of the samples: the smallest part; more than there are features in any case


def measure(view: View) -> list[Found]:
    """ "fid-infinity" or "fd-infinity-<extractor>"; nothing with too few samples for a line."""
    if view.samples.places is not None or too_few(view):
        return []
    order = view.order("fd-infinity", view.samples.count)
    value, influence = extrapolate(view.samples.rows, view.real, order)
    base = view.extractor.frechet_name
    return [
        Found(
            "fid-infinity" if base == "fid" else base.replace("fd-", "fd-infinity-", 1),
            value,
            "lower",
            influence,
            floor=_floor(view),
            protocol={
                "points": POINTS,
                "smallest_part": sizes(view.samples.count, len(view.real.mean))[0],
                "interval": "samples drawn again, reference held fixed",
            },
            least=-float("inf"),
        )
    ]


def _floor(view: View) -> float | None:
    if view.floor is None or view.floor.places is not None:
        return None
    if view.floor.count < 2 * len(view.real.mean):
        return None
    order = view.order("fd-infinity/floor", view.floor.count)
    return extrapolate(view.floor.rows, view.real, order)[0]


def too_few(view: View) -> str:
    """Why there is no line; empty if there is one."""
    count, dimensions = view.samples.count, len(view.real.mean)
    if count >= 2 * dimensions:
        return ""
    return f"fd-infinity needs {2 * dimensions:,} samples or more, twice the features"


def sizes(count: int, dimensions: int) -> list[int]:
    """How many samples each part has, rising to all of them."""
    least = max(round(SMALLEST * count), dimensions + 2)
    return torch.linspace(least, count, POINTS).round().long().tolist()


def extrapolate(
    features: Tensor, reference: Gaussian, order: Tensor | None = None
) -> tuple[float, Tensor]:
    """Intercept of the line, and the influence of each row on it.

    Args:
        features: (N, D).
        reference: What they are measured against.
        order: (N,) a random order, whose beginnings are the parts; None = as they are.

    Returns:
        The distance at 1/N = 0, and (N,) float64.
    """
    count, dimensions = features.shape
    parts = sizes(count, dimensions)
    order = torch.arange(count) if order is None else order
    total: Moments | None = None
    distances, done = [], 0
    for size in parts:
        part = Moments.of(features[order[done:size]])
        total = part if total is None else total.merge(part)
        distances.append(frechet_distance(total.gaussian, reference))
        done = size
    share = 1 / torch.tensor(parts, dtype=torch.float64)
    centred = share - share.mean()
    # The intercept of least squares is a weighted sum of the distances.
    weights = 1 / POINTS - share.mean() * centred / centred.square().sum()
    value = (weights * torch.tensor(distances, dtype=torch.float64)).sum().item()
    own = frechet_influence(features, Gaussian.of(features), reference)
    held = torch.zeros(count, dtype=torch.float64)
    for weight, size in zip(weights, parts, strict=True):
        held[order[:size]] += weight * count / size
    return value, (own - own.mean()) * held


METRIC = Metric("fd-infinity", measure, MEANING, order=20, why=too_few)
