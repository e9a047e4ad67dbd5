"""Spectral normalisation: every weight of a network divided by its largest singular value.

Miyato et al. 2018 (arXiv:1802.05957), eq. 7 and algorithm 1: the value is sigma = u'Wv after one
power iteration per forward in training; in evaluation u and v rest.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


class FullPrecision(nn.Module):
    """A parametrization computed outside autocast.

    On CUDA the matrix-vector products of a power iteration would run in the autocast type, and
    sigma be known to 2 or 3 digits.

    Args:
        inner: The parametrization: weight -> weight.
    """

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, weight: Tensor) -> Tensor:
        """The weight in the type it is kept in."""
        with torch.autocast(weight.device.type, enabled=False):
            normalised: Tensor = self.inner(weight)
        return normalised

    def right_inverse(self, weight: Tensor) -> Tensor:
        """What is kept when a weight is assigned: that weight."""
        return weight


def is_spectral(network: nn.Module) -> bool:
    """Whether some layer of a network has been given spectral norm."""
    return any(isinstance(module, FullPrecision) for module in network.modules())


def spectral_normalize(network: nn.Module) -> None:
    """Put spectral norm on each convolution, dense layer and embedding of a network, in place.

    Kernels are taken as a matrix of outputs x (inputs, height, width). The weights proper are then
    called `parametrizations.weight.original`, and u and v are part of the state.
    """
    for layer in list(network.modules()):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            spectral_norm(layer, n_power_iterations=1, eps=1e-12)
            parametrizations: Any = layer.parametrizations
            steps = parametrizations.weight
            steps[0] = FullPrecision(steps[0])
