"""Features of whole sets and their moments, in float64 whatever the extractor gives."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.extractors import Extractor
from genkit.evaluation.sets import ImageSet, open_arrays
from genkit.files import cache_folder, write_whole

BATCH = 256


class Gaussian(NamedTuple):
    """A mean (D,) and a covariance (D, D), float64."""

    mean: Tensor
    covariance: Tensor


@dataclass(frozen=True)
class Moments:
    """Count, mean (D,) and centred scatter (D, D) of features, float64; parts can be merged.

    Merging is the pairwise update of Chan, Golub & LeVeque 1979 (STAN-CS-79-773), which loses no
    digits to a large mean as sums of squares do. So streams and processes add up to one pass.
    """

    count: int
    mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """The moments of (N, D) features of any float type."""
        x = features.to(torch.float64)
        mean = x.mean(0) if len(x) else x.new_zeros(x.shape[1])
        centred = x - mean
        return cls(len(x), mean, centred.T @ centred)

    def merge(self, other: Moments) -> Moments:
        """The moments of both sets together."""
        count = self.count + other.count
        if not count:
            return self
        shift = other.mean - self.mean
        between = torch.outer(shift, shift) * (self.count * other.count / count)
        mean = self.mean + shift * (other.count / count)
        return Moments(count, mean, self.scatter + other.scatter + between)

    @property
    def gaussian(self) -> Gaussian:
        """Mean and unbiased covariance (divided by N - 1)."""
        if self.count < 2:
            raise EvaluationError(f"a covariance needs at least 2 images, got {self.count}")
        return Gaussian(self.mean, self.scatter / (self.count - 1))


def moments_of(features: Tensor, chunk: int = 4096) -> Moments:
    """The moments of (N, D) features, part by part so that float64 copies stay small."""
    parts = [Moments.of(part) for part in torch.split(features, chunk)]
    total = parts[0]
    for part in parts[1:]:
        total = total.merge(part)
    return total


def features_of(images: ImageSet, extractor: Extractor, *, keep: bool = False) -> Tensor:
    """Features of every image in order: (N, D) float32.

    Args:
        images: The set; an empty one is an error.
        extractor: What gives the features.
        keep: Keep them in the user's cache, by content of the set and weights of the extractor.
    """

    def extract() -> Tensor:
        parts = [extractor.features(batch) for batch, _ in images.batches(BATCH)]
        if not parts:
            raise EvaluationError(f"{images.name}: no images to evaluate")
        return torch.cat(parts)

    if keep:
        identity = (images.fingerprint, extractor.sha256, extractor.layer, extractor.resize)
        digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()
        features = remember(cache_folder() / "features" / f"{digest}.safetensors", extract)
    else:
        features = extract()
    bad = int((~features.isfinite().all(1)).sum())
    if bad:
        raise EvaluationError(
            f"{images.name}: {extractor.name} gave NaN or infinite features for {bad} of "
            f"{len(features)} images; look at these images and at the weights file"
        )
    return features


def remember(path: Path, make: Callable[[], Tensor]) -> Tensor:
    """The tensor of that safetensors file; made, and kept there if the folder can be written.

    A file that is broken is made anew. Without a writable cache the work is repeated next time and
    nothing else changes.
    """
    try:
        return load(path.read_bytes())["features"]
    except (OSError, SafetensorError, KeyError):
        made = make()
    with contextlib.suppress(OSError):
        write_whole(path, save({"features": made.contiguous()}))
    return made


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
