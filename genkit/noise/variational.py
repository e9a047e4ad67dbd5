"""Learned variances and the variational bound they are learnt by.

Nichol & Dhariwal 2021 (arXiv:2102.09672), on the bound of Ho et al. 2020 (arXiv:2006.11239). A
network that predicts variances has 2C output channels: C for its prediction, C for v in [-1, 1].

Legend: T timesteps, B batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from genkit.noise.schedules import alpha_bars

HYBRID_WEIGHT = 1e-3  # lambda of eq. 16, of the whole bound: T times the mean over timesteps


@dataclass(frozen=True)
class Posterior:
    """q(x_{t-1} | x_t, x_0) of every timestep: Ho et al. 2020, eqs. 6 and 7; all (T,) float64.

    Attributes:
        on_image: Coefficient of x_0 in the mean.
        on_noisy: Coefficient of x_t in the mean.
        log_variance: log of the posterior's variance beta~_t; t = 0, where it is 0, has that of 1.
        log_beta: log beta_t, the largest variance that makes sense.
    """

    on_image: Tensor
    on_noisy: Tensor
    log_variance: Tensor
    log_beta: Tensor

    @classmethod
    def of(cls, betas: Tensor) -> Posterior:
        """From the schedule: (T,)."""
        kept = alpha_bars(betas)
        before = torch.cat([torch.ones_like(kept[:1]), kept[:-1]])
        variance = betas * (1 - before) / (1 - kept)
        return cls(
            on_image=betas * before.sqrt() / (1 - kept),
            on_noisy=(1 - before) * (1 - betas).sqrt() / (1 - kept),
            log_variance=torch.cat([variance[1:2], variance[1:]]).log(),
            log_beta=betas.log(),
        )


def learned_log_variance(v: Tensor, t: Tensor, posterior: Posterior) -> Tensor:
    """log of a step's variance between beta~_t (v = -1) and beta_t (v = 1): eq. 15.

    Args:
        v: (B, C, H, W), the network's second half.
        t: (B,) timesteps.
        posterior: Of the schedule.
    """
    share = (v + 1) / 2
    return share * _at(posterior.log_beta, t) + (1 - share) * _at(posterior.log_variance, t)


def bound_bits(
    x0: Tensor, x: Tensor, t: Tensor, predicted: Tensor, v: Tensor, posterior: Posterior
) -> Tensor:
    """The term of the variational bound at timestep t: (B,), bits per dimension.

    For t > 0 the KL divergence of the true step from the learnt one, for t = 0 minus the log
    likelihood of 8-bit pixels: Ho et al. 2020, eqs. 5 and 13.

    Args:
        x0: (B, C, H, W) in [-1, 1].
        x: x_t.
        t: (B,) timesteps.
        predicted: The x_0 that the network stands for. Its gradient is stopped by the caller where
            only variances shall learn from this (section 3.1).
        v: (B, C, H, W), the network's second half.
        posterior: Of the schedule.
    """
    true, learnt = (
        _at(posterior.on_image, t) * image + _at(posterior.on_noisy, t) * x
        for image in (x0, predicted)
    )
    log_variance = learned_log_variance(v, t, posterior)
    divergence = normal_kl(true, _at(posterior.log_variance, t), learnt, log_variance)
    decoded = -discretized_log_likelihood(x0, learnt, log_variance / 2)
    first = (t == 0)[:, None, None, None]
    return torch.where(first, decoded, divergence).flatten(1).mean(1) / math.log(2)


def normal_kl(mean: Tensor, log_variance: Tensor, other: Tensor, other_log: Tensor) -> Tensor:
    """KL(N(mean, var) || N(other, other_var)) of each element, in nats."""
    ratio = (log_variance - other_log).exp()
    return (other_log - log_variance + ratio + (mean - other).square() / other_log.exp() - 1) / 2


def discretized_log_likelihood(x: Tensor, mean: Tensor, log_std: Tensor) -> Tensor:
    """log of the mass that N(mean, std^2) gives to x's level of 256 in [-1, 1], in nats.

    The lowest and the highest level take the tails too: Ho et al. 2020, eq. 13.
    """
    below, above = ((x - mean + shift) * (-log_std).exp() for shift in (-1 / 255, 1 / 255))
    upper = torch.where(x > 0.999, 1.0, torch.special.ndtr(above))
    lower = torch.where(x < -0.999, 0.0, torch.special.ndtr(below))
    return (upper - lower).clamp(min=1e-12).log()


def _at(table: Tensor, t: Tensor) -> Tensor:
    """Values of timesteps as (B, 1, 1, 1) float32."""
    return table.to(t.device)[t].float()[:, None, None, None]
