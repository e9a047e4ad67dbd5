"""A trained CLIP as an extractor: any run or export of `family: clip`, by its path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genkit.errors import WeightsError, shown
from genkit.evaluation.extractors.clip_vitb32 import USUAL, ClipExtractor
from genkit.images import to_float
from genkit.nn import image_text, tokens
from genkit.nn.pretrained.weights import sha256_of, shortened

_WEIGHTS = "model.safetensors"


class TrainedClip(ClipExtractor):
    """Embeddings of length 1, of pictures and texts, as `ImageTextPipeline` gives them.

    Args:
        model: A `CLIPModel`.
        tokenizer: Its tokenizer.
        normalisation: Of the channels of its pictures.
        sha256: Of the file of weights.
        device: Where the network runs.
    """

    batch_size = 256
    usual = USUAL
    prompt = "{}"  # a caption as it is, which is what it learnt from

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        normalisation: image_text.Normalisation,
        sha256: str,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(model, f"clip-{sha256[:8]}", sha256, device)
        self.tokenizer = tokenizer
        self.context = int(model.config.text_config.max_position_embeddings)
        self.resize = f"middle square, antialiased bicubic to {self.size} px, its own mean"
        self._normalisation, self._device = normalisation, torch.device(device)

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 3, S, S) float32, S the network's size."""
        pixels = to_float(images.to(self._device))
        return self._normalisation(image_text.square(pixels, self.size))

    @torch.inference_mode()
    def features(self, inputs: Tensor) -> Tensor:
        """(B, 3, S, S) -> (B, P) float32 of length 1, on the CPU."""
        return image_text.embedded_pictures(self._model, inputs.to(self._device)).cpu()

    @torch.inference_mode()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """Texts -> (B, P) float32 of length 1, on the CPU."""
        ids = tokens.tokens(self.tokenizer, texts, self.context)
        return image_text.embedded_texts(self._model, ids.to(self._device)).cpu()


def load_trained_clip(folder: Path, *, device: torch.device | str = "cpu") -> TrainedClip:
    """The extractor of an export of family clip.

    Raises:
        WeightsError: The export can't be read.
    """
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    try:
        sha256 = sha256_of(folder / "clip" / _WEIGHTS)
        model = CLIPModel.from_pretrained(
            folder / "clip", use_safetensors=True, dtype=torch.float32, **options
        )
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", **options)
        pixels = CLIPImageProcessor.from_pretrained(folder / "image_processor", **options)
    except (OSError, ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
        raise WeightsError(
            f"extractor {shown(folder)}: no CLIP can be made of it ({shortened(error)}); export "
            "again"
        ) from None
    said = image_text.Normalisation(tuple(pixels.image_mean), tuple(pixels.image_std))
    return TrainedClip(model, tokenizer, said, sha256, device)
