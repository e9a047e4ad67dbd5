"""References of which only mean and covariance are kept, in files as other tools write them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genkit.errors import EvaluationError, shown
from genkit.evaluation.engine import features_of
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.moments import Gaussian, moments_of
from genkit.evaluation.results import writing
from genkit.files import write_whole
from genkit.rows.base import Rows
from genkit.rows.files import open_arrays, open_path

MADE_BY = ("layer", "resize", "precision")  # of the extractor, besides its weights
ROUNDING = 1e-5  # of the largest entry: files may hold float32
TEXTS = ("name", "fingerprint", "extractor_sha256", *MADE_BY)


@dataclass(frozen=True)
class ReferenceStatistics:
    """A reference of which only the Gaussian is known; it serves the Fréchet distance alone.

    Attributes:
        name: Of the reference set, or the file.
        fingerprint: SHA-256 of the set that was measured, else of the file.
        count: Images behind it; None where the file doesn't say.
        gaussian: Mean and covariance.
        extractor_sha256: Weights that gave the features; None where the file doesn't say.
        made_by: Layer, resize and precision of the extractor, those that the file says.
    """

    name: str
    fingerprint: str
    count: int | None
    gaussian: Gaussian
    extractor_sha256: str | None
    made_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def unknown(self) -> str:
        """What the file doesn't say of how it was made; empty if it says all."""
        if self.extractor_sha256 is not None and self.made_by.keys() >= set(MADE_BY):
            return ""
        return (
            f"{self.name}: the file does not say from which weights and resize its statistics "
            "come; the value means something only if they are the same"
        )

    def gaussian_for(self, extractor: Extractor) -> Gaussian:
        """Mean and covariance, unless they are known to come from other weights."""
        known = self.extractor_sha256
        if known is not None and known != extractor.sha256:
            raise EvaluationError(
                f"{self.name}: these statistics come from the weights {known[:16]}…, and "
                f"{extractor.name} has {extractor.sha256[:16]}…; compute them again"
            )
        for name, value in self.made_by.items():
            mine = getattr(extractor, name)
            if value != mine:
                raise EvaluationError(
                    f"{self.name}: {name} of these statistics is {value!r}, and that of "
                    f"{extractor.name} {mine!r}; compute them again, or give --resize"
                )
        return self.gaussian


class NoReference(ReferenceStatistics):
    """No real images at all: only what needs none is measured (`Metric.alone`)."""

    def __init__(self) -> None:
        nothing = Gaussian(torch.empty(0), torch.empty(0, 0))
        super().__init__("no reference", "", 0, nothing, None)

    @property
    def unknown(self) -> str:
        """Nothing that a reader would miss."""
        return ""


def save_statistics(path: Path, images: Rows, extractor: Extractor) -> None:
    """Write the statistics of a set as .npz: mu, sigma and what they were computed from."""
    gaussian = moments_of(features_of(images, extractor, keep=True)).gaussian
    held = {
        "mu": gaussian.mean.numpy(),
        "sigma": gaussian.covariance.numpy(),
        "name": np.array(images.name),
        "fingerprint": np.array(images.fingerprint),
        "count": np.array(len(images)),
        "extractor_sha256": np.array(extractor.sha256),
        **{name: np.array(getattr(extractor, name)) for name in MADE_BY},
    }
    if path.suffix != ".npz":
        path = path.with_name(f"{path.name}.npz")  # as numpy does
    with writing(path):
        write_whole(path, lambda file: np.savez(file, **held))  # type: ignore[arg-type]


def load_statistics(path: Path) -> ReferenceStatistics:
    """Statistics from an .npz with `mu` (D,) and `sigma` (D, D), as pytorch-fid and clean-fid."""
    arrays = open_arrays(path, ("mu", "sigma", "count", *TEXTS))
    if not {"mu", "sigma"} <= arrays.keys():
        raise EvaluationError(f"{path}: expected `mu` and `sigma`, found {sorted(arrays)}")
    if any(arrays[name].dtype.kind == "c" for name in ("mu", "sigma")):
        raise EvaluationError(f"{shown(path)}: mu or sigma holds complex numbers; write it anew")
    try:
        mean, covariance = (torch.from_numpy(arrays[k].astype(np.float64)) for k in ("mu", "sigma"))
        count = int(arrays["count"].item()) if "count" in arrays else None
    except (ValueError, TypeError):
        raise EvaluationError(f"{path}: mu, sigma or count are no numbers; write it anew") from None
    if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
        shapes = f"{tuple(mean.shape)} and {tuple(covariance.shape)}"
        raise EvaluationError(f"{path}: mu and sigma are {shapes}, expected (D,) and (D, D)")
    if not (mean.isfinite().all() and covariance.isfinite().all()):
        raise EvaluationError(f"{path}: mu or sigma holds NaN or infinite values; write it anew")
    _refuse_no_covariance(path, covariance)
    texts = {k: str(arrays[k].item()) for k in TEXTS if k in arrays and arrays[k].ndim == 0}
    return ReferenceStatistics(
        name=texts.get("name", path.name),
        fingerprint=texts.get("fingerprint") or hashlib.sha256(path.read_bytes()).hexdigest(),
        count=count,
        gaussian=Gaussian(mean, covariance),
        extractor_sha256=texts.get("extractor_sha256"),
        made_by={name: texts[name] for name in MADE_BY if name in texts},
    )


def _refuse_no_covariance(path: Path, matrix: Tensor) -> None:
    """What a distance would take for one and give a number for that means nothing."""
    if not len(matrix):
        raise EvaluationError(f"{shown(path)}: mu and sigma are empty; write it anew")
    most = matrix.abs().max().item()
    if (matrix - matrix.T).abs().max().item() > ROUNDING * most:
        raise EvaluationError(
            f"{shown(path)}: sigma is not symmetric, so it is no covariance; write it anew"
        )
    least = torch.linalg.eigvalsh((matrix + matrix.T) / 2)[0].item()
    if least < -ROUNDING * most:
        raise EvaluationError(
            f"{shown(path)}: sigma has a negative eigenvalue ({least:.3g}), so it is no "
            "covariance; write it anew"
        )


def read_reference(path: Path, split: str | None = None) -> Rows | ReferenceStatistics:
    """What a path holds: images, or statistics (.npz with `mu` and `sigma`).

    Args:
        path: The folder, file or pattern of shards.
        split: Only this part of the images; None = all of them.
    """
    if path.suffix == ".npz" and {"mu", "sigma"} <= open_arrays(path).keys():
        return load_statistics(path)
    return open_path(path, split)
