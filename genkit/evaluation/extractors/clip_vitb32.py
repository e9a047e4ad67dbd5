"""`clip-vitb32`: CLIP at 224 px, the space of CLIPScore; it also embeds texts.

The score on it: Hessel et al. 2021 (arXiv:2104.08718).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.evaluation.extractor import Entry, Extractor
from genkit.evaluation.processes import fetched
from genkit.evaluation.resize import centre_square, pillow_bicubic
from genkit.nn.pretrained import clip
from genkit.nn.pretrained.clip import MEAN, STD

USUAL = ("clip-score", "prompt-retrieval")
TOKENS = 77  # of a text
PROMPT = "A photo depicts {}"  # how CLIPScore says a caption


class ClipExtractor(Extractor):
    """Projected embeddings of length 1; also of texts.

    Attributes:
        prompt: How a caption is said to it, with {} where it goes.
        context: Tokens of a text that are read.
    """

    layer = "projected image embedding, length 1"
    batch_size = 16
    prompt: str = PROMPT
    context: int = TOKENS

    def __init__(self, model: Any, name: str, sha256: str, device: torch.device | str) -> None:
        self.name, self.sha256 = name, sha256
        self.size: int = model.config.vision_config.image_size
        self.resize = f"centre square, Pillow bicubic on 8 bits to {self.size} px, CLIP's mean"
        self._model = model.eval().requires_grad_(False).to(device)
        self._mean, self._std = (
            torch.tensor(channels, device=device)[:, None, None] for channels in (MEAN, STD)
        )

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 3, S, S) float32, S the network's size."""
        square = centre_square(images.expand(-1, 3, -1, -1))
        resized = pillow_bicubic(square, self.size).to(self._mean.device)
        return (resized / 255 - self._mean) / self._std

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, P) float32 of length 1, on the CPU."""
        pooled = self._model.vision_model(pixel_values=inputs.to(self._mean.device)).pooler_output
        return F.normalize(self._model.visual_projection(pooled)).float().cpu()

    @torch.inference_mode()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Texts, cut after 77 tokens -> (B, P) float32 of length 1, on the CPU."""
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=TOKENS, return_tensors="pt"
        ).to(self._mean.device)
        found = self._model.text_model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
        return F.normalize(self._model.text_projection(found.pooler_output)).float().cpu()

    @cached_property
    def tokenizer(self) -> Any:
        """CLIP's byte-pair encoding, from its two files in the user's cache."""
        files = (clip.VOCABULARY, clip.MERGES)
        return clip.tokenizer(*(fetched(file, self.name, elsewhere=False) for file in files))


def is_published(extractor: Extractor, name: str) -> bool:
    """Whether it is the published CLIP of that name."""
    return isinstance(extractor, ClipExtractor) and extractor.name == name


def load_clip(
    name: str, path: Path | None = None, *, device: torch.device | str = "cpu"
) -> ClipExtractor:
    """One of CLIP's networks from `path`, else from the user's cache, else fetched there once.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    found = clip.load(name, path or fetched(clip.PUBLISHED[name], name))
    own = name if found.is_published else f"{name}-{found.sha256[:8]}"
    return ClipExtractor(found.network, own, found.sha256, device)


def load(path: Path | None = None, *, device: torch.device | str = "cpu") -> ClipExtractor:
    """This network; see `load_clip`."""
    return load_clip("clip-vitb32", path, device=device)


EXTRACTOR = Entry(load, usual=USUAL)
