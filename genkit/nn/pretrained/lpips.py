"""LPIPS: distance of two images as people see it.

Zhang et al. 2018 (arXiv:1801.03924), version 0.1, by the authors' package `lpips`; its trunks are
torchvision's AlexNet and VGG-16, fetched and checked as all weights here are.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from genkit.errors import WeightsError
from genkit.nn.pretrained import vgg
from genkit.nn.pretrained.weights import Loaded, Weights, read_state, sha256_of, shortened

Trunk = Literal["alex", "vgg"]
TRUNKS: dict[Trunk, Weights] = {
    "alex": Weights(
        "alexnet-owt-7be5be79.pth",
        ("https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",),
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    ),
    "vgg": vgg.PUBLISHED,
}
SMALLEST = {"alex": 31, "vgg": 16}  # px, side of an image that reaches the last layer


def load(trunk: Trunk = "alex", path: Path | None = None) -> Loaded:
    """The distance of two batches (B, 3, H, W) in [-1, 1]: (B, 1, 1, 1).

    Args:
        trunk: "alex", the authors' choice for measuring; "vgg" is more usual as a loss.
        path: Weights of the trunk; by default the published ones, from the user's cache.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is another network.
    """
    import lpips

    path = path or TRUNKS[trunk].fetched(f"lpips-{trunk}")
    state, digest = read_state(path), sha256_of(path)
    with warnings.catch_warnings():
        # The package names torchvision's options as they were called before 0.13.
        warnings.simplefilter("ignore", UserWarning)
        network: Any = lpips.LPIPS(net=trunk, pnet_rand=True, verbose=False)
    _put_trunk(network.net, state, path)
    network = network.eval().requires_grad_(False)
    return Loaded(network, digest, digest == TRUNKS[trunk].sha256)


def _put_trunk(network: Any, state: dict[str, Tensor], path: Path) -> None:
    """torchvision's `features.<n>` into the slices of the package, which keep the numbers."""
    wanted = {name: name.split(".", 1)[1] for name in network.state_dict()}
    try:
        network.load_state_dict({name: state[f"features.{end}"] for name, end in wanted.items()})
    except (KeyError, RuntimeError) as error:
        reason = shortened(error, 120)
        raise WeightsError(f"{path}: not torchvision's weights of that trunk ({reason})") from None
