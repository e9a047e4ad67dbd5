"""How near a picture is to one of many, against its neighbourhood among them.

The plain distance to the nearest picture can't tell a copy: typical pictures have near neighbours
and odd ones have not. So it is measured by the picture's own neighbourhood (Carlini et al. 2023,
arXiv:2301.13188, section 5.1, without their constant factor):

    closeness(x) = |x - first neighbour| / mean over its 50 nearest known pictures of |x - t|

Distances are Euclidean between the grey 32 px pictures of `digits.to_grey`: no network that might
overlook a copy. A copy with noise on it is found; one that is moved by a pixel or more is not.
"""

from __future__ import annotations

from torch import Tensor

NEIGHBOURS = 50


def closeness(distances: Tensor) -> Tensor:
    """0 for an exact copy, 1 where no picture stands out: (N,) float64.

    Args:
        distances: (N, 50), or all where there are fewer: to the nearest known pictures, rising.
    """
    return (distances[:, 0] / distances.mean(1)).nan_to_num(0.0).double()  # 0/0: copies only
