"""The Inception network of FID, from either of the two published translations of its weights.

Both files translate the TensorFlow graph of 2015-12-05 that Heusel et al. 2017 (arXiv:1706.08500)
used, and a distance on either is a *FID*:

- `inception-v3`: pytorch-fid's (torch-fidelity's is the same file), run with folded batch norms in
  the layout that is fastest on CPUs.
- `inception-v3-torchscript`: the TorchScript file of StyleGAN2-ADA, which clean-fid uses.

Another file of the same format works too, but distances on it are called
`fd-inception-v3-<first 8 digits of its SHA-256>`, never `fid`. So are those in bf16: features move
by a sixth of their length and the distance by 1-2 %, so they're a preview and are named as such.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from genkit.errors import EvaluationError
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.inception_network import SIZE, InceptionV3
from genkit.evaluation.resize import Resize, resize
from genkit.evaluation.weights import Weights, read_state, sha256_of

PUBLISHED = Weights(
    "pt_inception-2015-12-05-6726825d.pth",
    (
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
    ),
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
TORCHSCRIPT = Weights(
    "inception-2015-12-05.pt",
    (
        "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/"
        "inception-2015-12-05.pt",
    ),
    "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
)
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
        precision: Literal["fp32", "bf16"] = "fp32",
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
        return resize(rgb, SIZE, self._how).sub_(128).div_(128)

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, 3, 299, 299) -> (B, 2048) float32 on the CPU."""
        x = inputs.to(self._device, self._dtype, memory_format=torch.channels_last)
        return self._network(x).flatten(1).float().cpu()

    def logits(self, features: Tensor) -> Tensor | None:
        """(B, 2048) -> (B, 1008) unbiased logits, or None where the file has none."""
        return None if self._head is None else features @ self._head.T


def load_inception(
    path: Path | None = None,
    *,
    how: Resize = "clean",
    precision: Literal["fp32", "bf16"] = "fp32",
    device: torch.device | str = "cpu",
) -> InceptionExtractor:
    """`inception-v3` from `path`, else from the user's cache, else fetched there once.

    Raises:
        EvaluationError: There is no such file and none can be fetched, or it is not in the format.
    """
    path = path or PUBLISHED.fetched("inception-v3")
    network = InceptionV3()
    state = read_state(path)
    digest = sha256_of(path)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise EvaluationError(
            f"{path}: not weights of the FID Inception network ({_first(error)}); fetch "
            f"{PUBLISHED.urls[0]}, or name a TorchScript file as "
            "--extractor inception-v3-torchscript"
        ) from None
    head = network.fc.weight.detach().clone()
    return InceptionExtractor(
        network.eval().fold(),
        head,
        name=_name(digest, PUBLISHED),
        sha256=digest,
        how=how,
        precision=precision,
        device=device,
    )


def load_torchscript(
    path: Path | None = None,
    *,
    how: Resize = "clean",
    device: torch.device | str = "cpu",
) -> InceptionExtractor:
    """`inception-v3-torchscript`, found in the same way.

    Raises:
        EvaluationError: There is no such file and none can be fetched, or it is not in the format.
    """
    path = path or TORCHSCRIPT.fetched("inception-v3-torchscript")
    try:
        with warnings.catch_warnings():
            # torch announces the end of TorchScript; these weights exist in no other form.
            warnings.simplefilter("ignore", FutureWarning)
            layers = torch.jit.load(str(path), map_location=torch.device(device)).layers
        digest = sha256_of(path)
    except (OSError, RuntimeError, ValueError, AttributeError) as error:
        raise EvaluationError(
            f"{path}: not a TorchScript Inception file ({_first(error)}); "
            f"fetch it from {TORCHSCRIPT.urls[0]}"
        ) from None
    name = _name(digest, TORCHSCRIPT)
    return InceptionExtractor(layers, None, name=name, sha256=digest, how=how, device=device)


def _name(digest: str, published: Weights) -> str:
    return "inception-v3" if digest == published.sha256 else f"inception-v3-{digest[:8]}"


def _first(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
