"""`inception-v3`: the network of FID from pytorch-fid's weights; torch-fidelity has the same file.

They translate the TensorFlow graph of 2015-12-05 that Heusel et al. 2017 (arXiv:1706.08500) used,
as does the file of `inception-v3-torchscript`, and a distance on either is a *FID*. Here batch
norms are folded, and the layout is the fastest on CPUs.

Another file of the same format works too, but distances on it are called
`fd-inception-v3-<first 8 digits of its SHA-256>`, never `fid`. So are those in bf16: features move
by a sixth of their length and the distance by 1-2 %, so they're a preview and are named as such.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from genkit.evaluation.extractor import Entry, Extractor, Precision
from genkit.evaluation.processes import fetched
from genkit.evaluation.resize import Resize, resize
from genkit.nn.pretrained import inception
from genkit.nn.pretrained.weights import Loaded

HOW: dict[Resize, str] = {
    "clean": "clean-fid: PIL bicubic on float per channel to 299 px, clipped to 0..255",
    "legacy-pytorch": "pytorch-fid: bilinear without antialias to 299 px",
    "legacy-tensorflow": "TensorFlow 1: bilinear without antialias, top left aligned, to 299 px",
}


class InceptionExtractor(Extractor):
    """Either network as an `Extractor`; with pytorch-fid's weights also logits.

    Args:
        network: (B, 3, 299, 299) in [-1, 1] -> (B, 2048).
        head: Weight of the 1,008 logits, (1008, 2048), without the bias, as the Inception Score has
            it; None where the file doesn't hold it.
        name: "inception-v3" for the published weights.
        sha256: Of the file.
        how: The resize.
        precision: Of the network.
        device: Where it runs.
    """

    layer = "pool3 (2048 units)"
    batch_size = 32

    def __init__(
        self,
        network: nn.Module,
        head: Tensor | None,
        *,
        name: str,
        sha256: str,
        how: Resize = "clean",
        precision: Precision = "fp32",
        device: torch.device | str = "cpu",
    ) -> None:
        self.name = name if precision == "fp32" else f"{name}-bf16-preview"
        self.sha256, self.precision, self.resize = sha256, precision, HOW[how]
        self._how: Resize = how
        self._dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        self._network = network.eval().to(device, self._dtype)
        self._head = head
        self._device = torch.device(device)

    @property
    def frechet_name(self) -> str:
        """ "fid" for published weights in fp32, else "fd-" and the extractor's name."""
        return "fid" if self.name == "inception-v3" else f"fd-{self.name}"

    @property
    def has_classes(self) -> bool:
        """Whether the file holds the logits' weights."""
        return self._head is not None

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 3, 299, 299) float32 in [-1, 1]."""
        rgb = images.to(self._device).expand(-1, 3, -1, -1)
        return resize(rgb, inception.SIZE, self._how).sub_(128).div_(128)

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, 3, 299, 299) -> (B, 2048) float32 on the CPU."""
        x = inputs.to(self._device, self._dtype, memory_format=torch.channels_last)
        return self._network(x).flatten(1).float().cpu()

    def logits(self, features: Tensor) -> Tensor | None:
        """(B, 2048) -> (B, 1008) unbiased logits, or None where the file has none."""
        return None if self._head is None else features @ self._head.T


def load(
    path: Path | None = None,
    *,
    how: Resize = "clean",
    precision: Precision = "fp32",
    device: torch.device | str = "cpu",
) -> InceptionExtractor:
    """The extractor from `path`, else from the user's cache, else fetched there once.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    found = inception.load(path or fetched(inception.PUBLISHED, "inception-v3"))
    assert isinstance(found.network, inception.InceptionV3)
    return InceptionExtractor(
        found.network,
        found.network.fc.weight.detach().clone(),
        name=name_of(found),
        sha256=found.sha256,
        how=how,
        precision=precision,
        device=device,
    )


def name_of(found: Loaded) -> str:
    """ "inception-v3" for published weights; others have the beginning of their hash behind it."""
    return "inception-v3" if found.is_published else f"inception-v3-{found.sha256[:8]}"


EXTRACTOR = Entry(load, usual=("fd", "fd-infinity", "kid", "is", "prdc"))
