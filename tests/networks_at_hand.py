"""Seeded networks in the formats of the published weights, for tests without a download."""

from benchmarks.evaluation import save_torchscript, seeded_inception
from benchmarks.evaluation import smooth as smooth_pictures

__all__ = ["save_torchscript", "seeded_inception", "smooth_pictures"]
