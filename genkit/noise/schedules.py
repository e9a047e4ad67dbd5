"""Noise schedules: how fast timesteps 0..T-1 turn an image into noise.

Step t keeps the share 1 - beta_t of the signal's variance; what is left of the image after it is
abar_t, the product of the shares so far: Ho et al. 2020 (arXiv:2006.11239), eqs. 2 and 4.

Legend: T timesteps.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

Schedule = Literal["linear", "scaled-linear", "cosine", "sigmoid"]

_COSINE_OFFSET = 0.008
_LARGEST_BETA = 0.999


def betas(schedule: Schedule, steps: int, start: float = 1e-4, end: float = 0.02) -> Tensor:
    """beta of every timestep: (T,) float64 in (0, 1).

    Args:
        schedule: "linear" in beta (Ho et al. 2020, section 4); "scaled-linear" in sqrt(beta)
            (Rombach et al. 2022, arXiv:2112.10752, whose code calls it linear); "cosine" in abar
            (Nichol & Dhariwal 2021, arXiv:2102.09672, eq. 17); "sigmoid" between the two ends over
            [-6, 6] (Xu et al. 2022, arXiv:2203.02923).
        steps: T.
        start: First beta; cosine has none.
        end: Last beta; cosine has none.
    """
    match schedule:
        case "linear":
            return torch.linspace(start, end, steps, dtype=torch.float64)
        case "scaled-linear":
            return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64).square()
        case "sigmoid":
            rise = torch.linspace(-6, 6, steps, dtype=torch.float64).sigmoid()
            return rise * (end - start) + start
        case "cosine":
            ends = torch.arange(steps + 1, dtype=torch.float64) / steps
            angle = (ends + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * math.pi / 2
            kept = angle.cos().square()
            return (1 - kept[1:] / kept[:-1]).clamp(max=_LARGEST_BETA)


def alpha_bars(betas: Tensor) -> Tensor:
    """abar_t = prod over s <= t of (1 - beta_s): (T,), falling. Ho et al. 2020, eq. 4."""
    return (1 - betas).cumprod(0)


def with_zero_terminal_snr(betas: Tensor) -> Tensor:
    """Betas (T,) whose last timestep is pure noise: Lin et al. 2024 (arXiv:2305.08891), alg. 1.

    sqrt(abar) is shifted until its last value is 0 and scaled until its first is what it was.
    """
    root = alpha_bars(betas).sqrt()
    root = (root - root[-1]) * root[0] / (root[0] - root[-1])
    kept = root.square()
    shares = torch.cat([kept[:1], kept[1:] / kept[:-1]])
    return 1 - shares


def karras_sigmas(steps: int, low: float = 0.002, high: float = 80.0, rho: float = 7.0) -> Tensor:
    """Noise levels from high to low: (steps,) float64. Karras et al. 2022 (2206.00364), eq. 5."""
    share = torch.linspace(0, 1, steps, dtype=torch.float64)
    ends = high ** (1 / rho), low ** (1 / rho)
    return (ends[0] + share * (ends[1] - ends[0])) ** rho
