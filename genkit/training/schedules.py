"""Learning-rate schedules as functions of the step, so that a resume has nothing to restore."""

import math

from genkit.training.config import OptimConfig


def lr_factor(optim: OptimConfig, step: int, steps: int) -> float:
    """What the base learning rate is multiplied by at `step` (from 0) of `steps`: in [0, 1].

    Warm-up rises linearly to 1 over `warmup_steps`. After `constant_steps` more, or the share of
    `steps` that `constant` says, `linear` and `cosine` (half a period; Loshchilov & Hutter 2017,
    arXiv:1608.03983, eq. 5) fall so that the step after the last would have 0; `exponential` is
    divided by `lr_decay` every step. With `stair_steps` the linear fall is one of equal stairs, the
    last of which lies above 0: what those who count epochs do.
    """
    if step < optim.warmup_steps:
        return (step + 1) / (optim.warmup_steps + 1)
    start = optim.flat_steps(steps)
    if optim.schedule == "constant" or step < start:
        return 1.0
    if optim.schedule == "exponential":
        return optim.lr_decay ** (start - step)
    if optim.stair_steps:
        stair, stairs = ((n - start) // optim.stair_steps for n in (step, steps - 1))
        stairs += 1
        return max(0.0, 1 - (stair + 1) / (stairs + 1))
    done = min(1.0, (step - start) / max(1, steps - start))
    return 1 - done if optim.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
