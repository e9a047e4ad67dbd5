"""Fréchet distance between two sets of features, as Gaussians."""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.evaluation.moments import Gaussian

CHUNK = 1024  # rows of features held as float64


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """|mu_a - mu_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2)), never below 0.

    Dowson & Landau 1982 (J. Multivariate Anal. 12:450); as a measure of generated images Heusel et
    al. 2017 (arXiv:1706.08500), eq. 6. With S_b = F F^T the matrices S_a S_b and F^T S_a F have the
    same eigenvalues, and the second is symmetric: no matrix square root, no complex numbers. Where
    a set has no more rows than features, S_a = X^T X with few rows, and the trace is the sum of the
    singular values of X F: no root is taken of an eigenvalue that should be 0.
    """
    few, other = (b, a) if a.rows is None else (a, b)
    if few.rows is None:
        factor = square_root_factor(b)
        product = factor.T @ a.covariance @ factor
        root = _sum_of_roots(torch.linalg.eigvalsh(_symmetric(product)))
    else:
        root = torch.linalg.svdvals(few.rows @ square_root_factor(other)).sum()
    shift = (a.mean - b.mean).square().sum()
    spread = a.covariance.trace() + b.covariance.trace() - 2 * root
    return (shift + spread).clamp_min(0).item()


def frechet_influence(features: Tensor, sample: Gaussian, reference: Gaussian) -> Tensor:
    """How each row moves the distance: (n,) float64.

    The derivative of the distance towards a set with more of that row (Hampel 1974, JASA 69:383).
    With c = x - mu and T the matrix of the optimal transport from the samples to the reference,

        2 (mu - mu_ref) . c + c^T (I - T) c

    up to a constant. T = F (F^T S F)^(-1/2) F^T for S_ref = F F^T.

    Args:
        features: (n, D), the rows behind `sample`, or some of them.
        sample: Their mean and covariance.
        reference: What they are measured against; held fixed.
    """
    transport = _transport_factor(sample, reference)
    found = sample.mean.new_empty(len(features))
    for part, into in zip(features.split(CHUNK), found.split(CHUNK), strict=True):
        centred = part.to(torch.float64) - sample.mean
        linear = 2 * (centred @ (sample.mean - reference.mean))
        into[:] = linear + centred.square().sum(1) - (centred @ transport).square().sum(1)
    return found


def _transport_factor(sample: Gaussian, reference: Gaussian) -> Tensor:
    """H (D, R) with T = H H^T."""
    factor = square_root_factor(reference)
    projected = factor.T @ sample.covariance @ factor
    values, vectors = torch.linalg.eigh(_symmetric(projected))
    kept = values > _rounding(values)
    return factor @ (vectors[:, kept] * values[kept].pow(-0.25))


def square_root_factor(gaussian: Gaussian) -> Tensor:
    """F (D, R) with F F^T = covariance: the rows, Cholesky, or eigenvectors of a singular matrix.

    Eigenvalues that only rounding made are left out: their square roots would add up to a bias.
    """
    if gaussian.rows is not None:
        return gaussian.rows.T
    factor, failed = torch.linalg.cholesky_ex(gaussian.covariance)
    if not failed:
        return factor
    values, vectors = torch.linalg.eigh(_symmetric(gaussian.covariance))
    kept = values > _rounding(values)
    return vectors[:, kept] * values[kept].sqrt()


def _sum_of_roots(eigenvalues: Tensor) -> Tensor:
    """Sum of square roots, without the eigenvalues that only rounding made."""
    return eigenvalues[eigenvalues > _rounding(eigenvalues)].sqrt().sum()


def _rounding(eigenvalues: Tensor) -> Tensor:
    """What rounding makes of an eigenvalue 0, from all of them, rising; 0 of none."""
    if not len(eigenvalues):  # a set without any spread
        return eigenvalues.new_zeros(())
    return eigenvalues[-1].clamp_min(0) * len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.T) / 2
