"""Noise levels: x = alpha x_0 + sigma eps, and how training draws (alpha, sigma).

Every draw is a function of a uniform number u in [0, 1), so that the same keyed numbers serve all
of them, and spreading u evenly over a batch (`low_discrepancy`) spreads the levels.

Legend: B batch, T timesteps.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

FLOW_TIME = 1000.0  # what a flow's network is told is 1000 sigma, as diffusers' schedulers have it


@dataclass(frozen=True)
class Level:
    """The noise in a batch.

    Attributes:
        alpha: (B, 1, 1, 1), of the image in x = alpha x_0 + sigma eps.
        sigma: (B, 1, 1, 1), of the noise.
        time: (B,), what the network is told: timestep, ln(sigma) / 4 or 1000 sigma.
        data_std: Standard deviation of the images, for the prediction and the weighting "edm".
    """

    alpha: Tensor
    sigma: Tensor
    time: Tensor
    data_std: float = 0.5

    @property
    def snr(self) -> Tensor:
        """alpha^2 / sigma^2: (B, 1, 1, 1), infinite without noise."""
        return (self.alpha / self.sigma).square()


def low_discrepancy(first: Tensor, position: Tensor, count: int) -> Tensor:
    """u (B,) in [0, 1), evenly spaced over the global batch from one random start.

    Kingma et al. 2021 (arXiv:2107.00630), appendix I.1: the mean over a batch varies less.

    Args:
        first: (B,) in [0, 1): the start, the same in every row.
        position: (B,), of each row in the global batch.
        count: Rows of the global batch.
    """
    return (first + position / count) % 1


def logit_normal(u: Tensor, mean: float, std: float) -> Tensor:
    """Uniform u (B,) -> values in (0, 1) with logit ~ N(mean, std^2), in float64.

    Esser et al. 2024 (arXiv:2403.03206), eq. 19. Handed to a level in place of u it trains most
    where sigma, or the timestep as a share of T, is near sigmoid(mean).
    """
    return (mean + std * _normal_quantile(u)).sigmoid()


def timestep_level(alpha_bars: Tensor, u: Tensor) -> Level:
    """The level of a timestep of a variance-preserving schedule: uniform u, each equally likely.

    Ho et al. 2020 (arXiv:2006.11239), eq. 4: alpha = sqrt(abar_t), sigma = sqrt(1 - abar_t).

    Args:
        alpha_bars: (T,).
        u: (B,) in [0, 1).
    """
    t = (u.double() * len(alpha_bars)).long().clamp(max=len(alpha_bars) - 1)
    kept = alpha_bars.to(u.device)[t]
    return Level(_spread(kept.sqrt()), _spread((1 - kept).sqrt()), t)


def log_normal_level(u: Tensor, mean: float, std: float, data_std: float) -> Level:
    """ln(sigma) ~ N(mean, std^2), alpha = 1: Karras et al. 2022 (arXiv:2206.00364), table 1."""
    log_sigma = mean + std * _normal_quantile(u)
    sigma = log_sigma.exp()
    ones = torch.ones_like(sigma)
    return Level(_spread(ones), _spread(sigma), (log_sigma / 4).float(), data_std)


def flow_level(u: Tensor, shift: float = 1.0) -> Level:
    """sigma = u, alpha = 1 - sigma: Liu et al. 2022 (arXiv:2209.03003), eq. 1.

    With a shift s it is s u / (1 + (s - 1) u): Esser et al. 2024 (arXiv:2403.03206), eq. 23,
    where s is the square root of how many times as many pixels a picture has as one that needs no
    shift: it takes more noise to hide it.
    """
    u = u.double()
    sigma = (shift * u / (1 + (shift - 1) * u)).clamp(min=1e-6)
    return Level(_spread(1 - sigma), _spread(sigma), (FLOW_TIME * sigma).float())


def _normal_quantile(u: Tensor) -> Tensor:
    """The standard normal's value below which a share u lies; u = 0 is moved off minus infinity."""
    return torch.special.ndtri(u.double().clamp(1e-9, 1 - 1e-9))


def _spread(values: Tensor) -> Tensor:
    """(B,) -> (B, 1, 1, 1) float32, to multiply images with."""
    return values.float()[:, None, None, None]
