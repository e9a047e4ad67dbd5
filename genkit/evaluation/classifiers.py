"""A trained classifier as an extractor: its hidden units as features, its answers beside them.

Any run or export of `family: classifier` is one, by its path; the one that ships is `faces`. One of
`family: clip` is one too: see `trained_clip`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.errors import EvaluationError, WeightsError, shown
from genkit.evaluation.extractor import Extractor
from genkit.nn.classifiers import Classifier, shares
from genkit.nn.pretrained.weights import sha256_of, shortened

INDEX, COMPONENT = "model_index.json", "classifier"  # of an export
WEIGHTS = "diffusion_pytorch_model.safetensors"
PIPELINE, CLIP = "ClassificationPipeline", "ImageTextPipeline"
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


class ClassifierExtractor(Extractor):
    """A `Classifier` as an `Extractor` that can also say which class or attributes it sees.

    Args:
        network: With its weights.
        name: Part of the names of values.
        sha256: Of the file of weights.
        device: Where the network runs.
    """

    batch_size = 256

    def __init__(
        self, network: Classifier, name: str, sha256: str, device: torch.device | str = "cpu"
    ) -> None:
        said: Any = network.config
        self.name, self.sha256 = name, sha256
        self.size, self.channels = tuple(said["size"]), said["channels"]
        self.answers = said["answers"]
        names = None if said["names"] is None else tuple(said["names"])
        self.class_names = names if self.answers == "label" else None
        self.flag_names = names if self.answers == "attributes" else None
        self.layer = f"hidden ({said['units']} units after ReLU)"
        colour = "luma BT.601; " if self.channels == 1 else ""
        self.resize = "{}antialiased bicubic to {} x {} px where they differ".format(
            colour, *self.size
        )
        self._network = network.eval().requires_grad_(False).to(device)
        self._device = torch.device(device)

    @property
    def has_classes(self) -> bool:
        """Whether it answers with one of several classes."""
        return self.answers == "label"

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> the network's pictures, float32 in [-1, 1]."""
        pixels = images.to(self._device).to(torch.float32).div_(255)
        if self.channels == 1 and pixels.shape[1] == 3:
            pixels = torch.einsum("bchw,c->bhw", pixels, pixels.new_tensor(_LUMA))[:, None]
        pixels = pixels.expand(-1, self.channels, -1, -1)
        if pixels.shape[2:] != self.size:
            pixels = F.interpolate(pixels, self.size, mode="bicubic", antialias=True).clamp(0, 1)
        return pixels * 2 - 1

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """Pictures (B, C, S, S) -> hidden units (B, D) float32 on the CPU."""
        return self._network.features(inputs.to(self._device)).cpu()

    @torch.inference_mode()
    def logits(self, features: Tensor) -> Tensor:
        """(B, D) features -> (B, K) on the CPU."""
        return self._network.head(features.to(self._device)).cpu()

    def shares(self, features: Tensor) -> Tensor:
        """(B, D) features -> how sure it is of each attribute, (B, A) in [0, 1].

        Raises:
            EvaluationError: It knows classes and no attributes.
        """
        return super().shares(features) if self.has_classes else shares(
            self.logits(features), "attributes"
        )  # fmt: skip


def is_trained(name: str) -> bool:
    """Whether the name of an extractor is that of a run or an export: a folder."""
    return os.path.isdir(name)


def load_trained(name: str, *, device: torch.device | str = "cpu") -> Extractor:
    """The classifier or CLIP of a run folder, of its export or of its `best/`.

    Raises:
        EvaluationError: It is none, has no export, or holds a model of another kind.
        WeightsError: The weights can't be read.
    """
    folder, where = _export(Path(name)), shown(name)
    try:
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        kind = index["_class_name"]
    except (OSError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise EvaluationError(f"extractor {where}: {INDEX} can't be read ({error})") from None
    if kind == CLIP:
        from genkit.evaluation.trained_clip import load_trained_clip

        return load_trained_clip(folder, device=device)
    if kind != PIPELINE:
        raise EvaluationError(
            f"extractor {where}: an export of a {shown(kind, 80)}, which names no classes or "
            "attributes and reads no texts; give a run of family classifier or clip"
        )
    part = folder / COMPONENT
    try:
        network = Classifier.from_pretrained(str(part), use_safetensors=True)
        sha256 = sha256_of(part / WEIGHTS)
    except (OSError, ValueError, TypeError, RuntimeError, LookupError) as error:
        raise WeightsError(
            f"extractor {where}: no classifier can be made of {shown(part)} ({shortened(error)}); "
            "export again"
        ) from None
    return ClassifierExtractor(network, f"classifier-{sha256[:8]}", sha256, device)


def _export(folder: Path) -> Path:
    for place in (folder, folder / "export"):
        if (place / INDEX).is_file():
            return place
    where = shown(folder)
    if (folder / "config.yaml").is_file():
        raise EvaluationError(
            f"extractor {where}: this run has no export; make one: genkit export {where}"
        )
    raise EvaluationError(
        f"extractor {where}: neither a run folder nor an export (no config.yaml, no {INDEX}); give "
        "one of family classifier or clip"
    )
