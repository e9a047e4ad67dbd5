"""What a denoising network predicts, and how each prediction becomes the others.

With x = alpha x_0 + sigma eps:

| prediction | the network's target      | x_0 of an output F    | source                      |
| ---------- | ------------------------- | --------------------- | --------------------------- |
| epsilon    | eps                       | (x - sigma F) / alpha | Ho 2020, eq. 15             |
| sample     | x_0                       | F                     |                             |
| v          | alpha eps - sigma x_0     | alpha x - sigma F     | Salimans & Ho 2022, app. D  |
| edm        | (x_0 - c_skip x) / c_out  | c_skip x + c_out F    | Karras 2022, eq. 7          |
| flow       | eps - x_0                 | x - sigma F           | Liu 2022, eq. 1             |

(arXiv: 2006.11239, 2202.00512, 2206.00364, 2209.03003.)

`v` needs alpha^2 + sigma^2 = 1, `edm` alpha = 1, `flow` alpha + sigma = 1. The sign of `flow` is
that of diffusers' schedulers, whose time runs from noise down to the image.

All tensors are (B, C, H, W).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from genkit.noise.levels import Level

Prediction = Literal["epsilon", "sample", "v", "edm", "flow"]


def add_noise(x0: Tensor, eps: Tensor, level: Level) -> Tensor:
    """x = alpha x_0 + sigma eps."""
    return level.alpha * x0 + level.sigma * eps


def network_input(prediction: Prediction, x: Tensor, level: Level) -> Tensor:
    """x as the network sees it: scaled to unit variance by "edm" (c_in), as it is by the others."""
    if prediction != "edm":
        return x
    return x / (level.sigma.square() + level.data_std**2).sqrt()


def target(prediction: Prediction, x0: Tensor, eps: Tensor, level: Level) -> Tensor:
    """What the network should give for `add_noise(x0, eps, level)`."""
    match prediction:
        case "epsilon":
            return eps
        case "sample":
            return x0
        case "v":
            return level.alpha * eps - level.sigma * x0
        case "edm":
            skip, out = _edm_scales(level)
            return (x0 - skip * add_noise(x0, eps, level)) / out
        case "flow":
            return eps - x0


def to_sample(prediction: Prediction, output: Tensor, x: Tensor, level: Level) -> Tensor:
    """The image x_0 that a network's output for x stands for."""
    match prediction:
        case "epsilon":
            return (x - level.sigma * output) / level.alpha
        case "sample":
            return output
        case "v":
            return level.alpha * x - level.sigma * output
        case "edm":
            skip, out = _edm_scales(level)
            return skip * x + out * output
        case "flow":
            return x - level.sigma * output


def to_epsilon(prediction: Prediction, output: Tensor, x: Tensor, level: Level) -> Tensor:
    """The noise eps that a network's output for x stands for; sigma > 0 for "sample", "edm"."""
    match prediction:
        case "epsilon":
            return output
        case "v":
            return level.sigma * x + level.alpha * output
        case "flow":
            return x + level.alpha * output
    return (x - level.alpha * to_sample(prediction, output, x, level)) / level.sigma


def convert(
    output: Tensor, x: Tensor, level: Level, *, source: Prediction, goal: Prediction
) -> Tensor:
    """The output of a network of one prediction as that of another, for the same x and level."""
    if source == goal:
        return output
    x0 = to_sample(source, output, x, level)
    return target(goal, x0, to_epsilon(source, output, x, level), level)


def gain(prediction: Prediction, level: Level) -> Tensor:
    """|d x_0 / d output|: how far an error of the output carries into x_0. (B, 1, 1, 1)."""
    match prediction:
        case "epsilon":
            return level.sigma / level.alpha
        case "sample":
            return torch.ones_like(level.sigma)
        case "v" | "flow":
            return level.sigma
        case "edm":
            return _edm_scales(level)[1]


def _edm_scales(level: Level) -> tuple[Tensor, Tensor]:
    """c_skip and c_out: Karras et al. 2022, table 1."""
    total = level.sigma.square() + level.data_std**2
    return level.data_std**2 / total, level.sigma * level.data_std / total.sqrt()
