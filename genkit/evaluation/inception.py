"""The Inception network of FID, from the TorchScript file that clean-fid and StyleGAN2-ADA use.

The file is a translation of the TensorFlow graph of 2015-12-05 that Heusel et al. 2017
(arXiv:1706.08500) used. It is found by its SHA-256, in the user's cache or where `--inception`
points, and fetched once if neither has it. Another file of the same format works too, but its
distances are then called `fd-inception-<first 8 digits of its SHA-256>`, never `fid`.
"""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.files import DownloadError, cache_folder, download

FILE = "inception-2015-12-05.pt"
URL = f"https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/{FILE}"
# As k-diffusion and other public tools check it.
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
SIZE = 299  # px, side of the input


class InceptionExtractor:
    """The TorchScript network as an `Extractor`."""

    layer = "pool3 (2048 units)"
    resize = "clean-fid: PIL bicubic on float per channel to 299 px, clipped to 0..255"

    def __init__(self, layers: torch.nn.Module, sha256: str, device: torch.device | str) -> None:
        # cleanfid.resize is the library's own definition of the resize.
        from cleanfid.resize import make_resizer

        self.name = "inception" if sha256 == SHA256 else f"inception-{sha256[:8]}"
        self.sha256 = sha256
        self._layers = layers
        self._device = torch.device(device)
        self._resize = make_resizer("PIL", False, "bicubic", (SIZE, SIZE))

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 2048) float32, sixteen images at a time."""
        return torch.cat([self._forward(chunk) for chunk in torch.split(images, 16)])

    def _forward(self, images: Tensor) -> Tensor:
        rgb = images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()  # (B, H, W, 3)
        resized = torch.from_numpy(np.stack([self._resize(image) for image in rgb]))
        x = (resized.permute(0, 3, 1, 2).to(self._device) - 128) / 128
        # The permuted view is already channels_last, the fastest layout for this network on CPUs.
        return self._layers(x).flatten(1).float().cpu()


def load_inception(
    path: Path | None = None, *, device: torch.device | str = "cpu"
) -> InceptionExtractor:
    """The network from `path`, else from the user's cache, else fetched there once.

    Raises:
        EvaluationError: There is no such file and none can be fetched, or it is not in the format.
    """
    path = path or cached_file()
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with warnings.catch_warnings():
            # torch announces the end of TorchScript; the published weights exist in no other form.
            warnings.simplefilter("ignore", FutureWarning)
            network = torch.jit.load(str(path), map_location=torch.device(device)).eval()
        return InceptionExtractor(network.layers, digest, device)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise EvaluationError(
            f"{path}: not a TorchScript Inception file ({str(error).splitlines()[0]}); "
            f"fetch it from {URL}"
        ) from None


def cached_file() -> Path:
    """The published file in the user's cache, its SHA-256 checked; fetched if it isn't there."""
    path = cache_folder() / "inception" / FILE
    if not path.exists():
        try:
            download([URL], path, SHA256)
        except DownloadError as error:
            raise EvaluationError(
                f"fid needs the Inception weights and they can't be fetched ({error}): put {URL} "
                f"at {path}, name a copy of it with --inception PATH, or set GENKIT_CACHE if that "
                "folder can't be written"
            ) from None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != SHA256:
        raise EvaluationError(
            f"{path}: SHA-256 is {digest[:16]}…, expected {SHA256[:16]}…; "
            f"delete it, then it is fetched again from {URL}"
        )
    return path
