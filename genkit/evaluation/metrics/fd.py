"""Fréchet distance of samples and real images; the mathematics are in `evaluation/frechet.py`."""

from __future__ import annotations

from genkit.evaluation.frechet import frechet_distance, frechet_influence
from genkit.evaluation.metric import Metric
from genkit.evaluation.view import Found, View, gaussian_of

MEANING = {
    "fid": "Fréchet distance on the Inception features of the original paper: how far the "
    "distribution of the samples is from that of real images",
    "fd": "Fréchet distance: how far the distribution of the samples is from that of real images",
}
TITLE = {"fid": "Fréchet distance", "fd": "Fréchet distance"}


def measure(view: View) -> list[Found]:
    """The distance of the samples, "fid" or "fd-<extractor>"."""
    sample = view.sample_gaussian
    return [
        Found(
            view.extractor.frechet_name,
            frechet_distance(sample, view.real),
            "lower",
            frechet_influence(view.samples.rows, sample, view.real),
            places=view.samples.places,
            floor=None
            if view.floor is None
            else frechet_distance(gaussian_of(view.floor), view.real),
            note=_note(view),
            protocol={"interval": "samples drawn again, reference held fixed; bias not included"},
        )
    ]


def _note(view: View) -> str:
    dimensions, count, other = len(view.real.mean), view.samples.count, view.reference_count
    lines = []
    if count <= dimensions or (other is not None and other <= dimensions):
        lines.append(
            f"fewer images than features ({dimensions}): the covariance is singular and the "
            "distance far too large; use more samples"
        )
    if other != count:
        lines.append(f"{count} samples against {other or 'an unknown number of'} images")
    return "; ".join(lines)


METRIC = Metric("fd", measure, MEANING, order=10, is_quick=True, takes_moments=True)
