"""Fréchet distance between two sets of features, as Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.evaluation.statistics import Gaussian


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|mu_a - mu_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)), never below 0.

    Dowson & Landau 1982 (J. Multivariate Anal. 12:450); as a measure of generated images Heusel et
    al. 2017 (arXiv:1706.08500), eq. 6. With S_b = F F^T the matrices S_a S_b and F^T S_a F have the
    same eigenvalues, and the second is symmetric: no matrix square root, no complex numbers.
    """
    factor = square_root_factor(b.covariance)
    product = factor.T @ a.covariance @ factor
    return _assemble(a, b, torch.linalg.eigvalsh(_symmetric(product)))


def square_root_factor(covariance: Tensor) -> Tensor:
    """F (D, R) with F F^T = covariance: Cholesky, or eigenvectors where that is singular.

    Fewer images than features give a singular covariance. Eigenvalues that only rounding made are
    left out: their square roots would add up to a bias.
    """
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if not failed:
        return factor
    values, vectors = torch.linalg.eigh(_symmetric(covariance))
    floor = values[-1].clamp_min(0) * len(values) * torch.finfo(values.dtype).eps
    kept = values > floor
    return vectors[:, kept] * values[kept].sqrt()


def frechet_replicates(features: Tensor, reference: Gaussian, weights: Tensor) -> Tensor:
    """The distance of each resample of the features: (R,) float64.

    Args:
        features: (N, D).
        reference: What they are measured against; held fixed.
        weights: (R, N) float64, how often each row is drawn; each row sums to N.
    """
    x = features.to(torch.float64)
    factor = square_root_factor(reference.covariance)
    projected = x @ factor  # so that F^T S F is the covariance of these rows
    drawn = [_replicate(x, projected, reference, w) for w in weights]
    return torch.stack(drawn) if drawn else weights.new_empty(0)


def _replicate(x: Tensor, projected: Tensor, reference: Gaussian, weight: Tensor) -> Tensor:
    count = weight.sum()
    mean = weight @ x / count
    trace = (weight @ x.square().sum(1) - count * mean.square().sum()) / (count - 1)
    drawn = weight > 0  # about 63 % of the rows
    scale = (weight[drawn] / (count - 1)).sqrt()[:, None]
    rows = (projected[drawn] - (weight @ projected / count)) * scale
    # Both Gram matrices have the same non-zero eigenvalues; take the smaller one.
    gram = rows.T @ rows if rows.shape[0] >= rows.shape[1] else rows @ rows.T
    root = _trace_of_root(torch.linalg.eigvalsh(gram))
    shift = (mean - reference.mean).square().sum()
    return (shift + trace + reference.covariance.trace() - 2 * root).clamp_min(0)


def _assemble(a: Gaussian, b: Gaussian, eigenvalues: Tensor) -> float:
    shift = (a.mean - b.mean).square().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * _trace_of_root(eigenvalues)
    return (shift + spread).clamp_min(0).item()


def _trace_of_root(eigenvalues: Tensor) -> Tensor:
    """Sum of square roots, without the eigenvalues that only rounding made."""
    floor = eigenvalues[-1].clamp_min(0) * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps
    return eigenvalues[eigenvalues > floor].sqrt().sum()


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2
