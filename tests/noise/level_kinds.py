"""Levels of each kind, and the predictions that are made at them."""

import torch

from genkit.noise import levels, schedules
from genkit.noise.levels import Level

U = torch.tensor([0.02, 0.3, 0.6, 0.95])
PRESERVING = levels.timestep_level(schedules.alpha_bars(schedules.betas("linear", 1000)), U)
EXPLODING = levels.log_normal_level(U, -1.2, 1.2, 0.5)
STRAIGHT = levels.flow_level(U)

# Each prediction at the levels it is made for.
FITTING = [
    *((prediction, PRESERVING) for prediction in ("epsilon", "sample", "v")),
    *((prediction, EXPLODING) for prediction in ("epsilon", "sample", "edm")),
    *((prediction, STRAIGHT) for prediction in ("epsilon", "sample", "flow")),
]
NAMES = [
    f"{prediction}-{'vp' if level is PRESERVING else 've' if level is EXPLODING else 'flow'}"
    for prediction, level in FITTING
]


def double(level):
    """The same in double precision, in which the sum that ties alpha to sigma is exact too."""
    sigma = level.sigma.double()
    alpha = {
        id(PRESERVING): (1 - sigma**2).sqrt(),
        id(EXPLODING): torch.ones_like(sigma),
        id(STRAIGHT): 1 - sigma,
    }[id(level)]
    return Level(alpha, sigma, level.time, level.data_std)


def drawn(count=2, shape=(4, 2, 3, 3)):
    """Tensors from one seed, the first as images in [-1, 1]."""
    generator = torch.Generator().manual_seed(0)
    first, *rest = (torch.randn(shape, generator=generator) for _ in range(count))
    return first.tanh(), *rest
