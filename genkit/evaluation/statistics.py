"""References of which only mean and covariance are kept, in files as other tools write them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genkit.errors import EvaluationError
from genkit.evaluation.engine import features_of
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.moments import Gaussian, moments_of
from genkit.evaluation.sets import ImageSet, open_arrays


@dataclass(frozen=True)
class ReferenceStatistics:
    """A reference of which only the Gaussian is known; it serves the Fréchet distance alone.

    Attributes:
        name: Of the reference set, or the file.
        fingerprint: SHA-256 of the set that was measured, else of the file.
        count: Images behind it; None where the file doesn't say.
        gaussian: Mean and covariance.
        extractor_sha256: Weights that gave the features; None where the file doesn't say.
    """

    name: str
    fingerprint: str
    count: int | None
    gaussian: Gaussian
    extractor_sha256: str | None

    def gaussian_for(self, extractor: Extractor) -> Gaussian:
        """Mean and covariance, unless they are known to come from other weights."""
        known = self.extractor_sha256
        if known is not None and known != extractor.sha256:
            raise EvaluationError(
                f"{self.name}: these statistics come from the weights {known[:16]}…, and "
                f"{extractor.name} has {extractor.sha256[:16]}…; compute them again"
            )
        return self.gaussian


def save_statistics(path: Path, images: ImageSet, extractor: Extractor) -> None:
    """Write the statistics of a set as .npz: mu, sigma and what they were computed from."""
    gaussian = moments_of(features_of(images, extractor, keep=True)).gaussian
    np.savez(
        path,
        mu=gaussian.mean.numpy(),
        sigma=gaussian.covariance.numpy(),
        name=np.array(images.name),
        fingerprint=np.array(images.fingerprint),
        count=np.array(len(images)),
        extractor_sha256=np.array(extractor.sha256),
    )


def load_statistics(path: Path) -> ReferenceStatistics:
    """Statistics from an .npz with `mu` (D,) and `sigma` (D, D), as pytorch-fid and clean-fid."""
    arrays = open_arrays(path)
    if not {"mu", "sigma"} <= arrays.keys():
        raise EvaluationError(f"{path}: expected `mu` and `sigma`, found {sorted(arrays)}")
    mean, covariance = (torch.from_numpy(arrays[k].astype(np.float64)) for k in ("mu", "sigma"))
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        shapes = f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
        raise EvaluationError(f"{path}: mu and sigma are {shapes}, expected (D,) and (D, D)")
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise EvaluationError(f"{path}: mu or sigma holds NaN or infinite values; write it anew")
    texts: dict[str, Any] = {k: v.item() for k, v in arrays.items() if v.ndim == 0}
    return ReferenceStatistics(
        name=str(texts.get("name", path.name)),
        fingerprint=str(texts.get("fingerprint") or hashlib.sha256(path.read_bytes()).hexdigest()),
        count=int(texts["count"]) if "count" in texts else None,
        gaussian=Gaussian(mean, covariance),
        extractor_sha256=str(texts["extractor_sha256"]) if "extractor_sha256" in texts else None,
    )


def read_reference(path: Path) -> ImageSet | ReferenceStatistics:
    """What a path holds: images (folder, .npz, .tar), or statistics (.npz with `mu`, `sigma`)."""
    if path.suffix == ".npz" and {"mu", "sigma"} <= open_arrays(path, only_names=True).keys():
        return load_statistics(path)
    return ImageSet.from_path(path)
