"""CLIP's image embeddings, for CMMD and CLIPScore, and its text embeddings for the latter.

Radford et al. 2021 (arXiv:2103.00020), OpenAI's weights as transformers' `CLIPModel` has them:

- `clip-vitl14-336`: 336 px, the space of CMMD (Jayasumana et al. 2024, arXiv:2401.09603).
- `clip-vitb32`: 224 px, the space of CLIPScore (Hessel et al. 2021, arXiv:2104.08718).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.resize import centre_square, pillow_bicubic
from genkit.evaluation.weights import Weights, read_state, sha256_of

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HUB = "https://huggingface.co/openai/{}/resolve/{}/{}"
_B32 = ("clip-vit-base-patch32", "3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268")
_L14 = ("clip-vit-large-patch14-336", "ce19dc912ca5cd21c8a653c79e251e808ccabcd1")
PUBLISHED = {
    "clip-vitb32": Weights(
        "clip-vit-base-patch32.bin",
        (_HUB.format(*_B32, "pytorch_model.bin"),),
        "a63082132ba4f97a80bea76823f544493bffa8082296d62d71581a4feff1576f",
    ),
    "clip-vitl14-336": Weights(
        "clip-vit-large-patch14-336.bin",
        (_HUB.format(*_L14, "pytorch_model.bin"),),
        "c6032c2e0caae3dc2d4fba35535fa6307dbb49df59c7e182b1bc4b3329b81801",
    ),
}
VOCABULARY = Weights(
    "clip-vocab.json",
    (_HUB.format(*_B32, "vocab.json"),),
    "5047b556ce86ccaf6aa22b3ffccfc52d391ea4accdab9c2f2407da5b742d4363",
    is_network=False,
)
MERGES = Weights(
    "clip-merges.txt",
    (_HUB.format(*_B32, "merges.txt"),),
    "f526393189112391ce6f9795d4695f704121ce452c3aad1f5335cc41337eba85",
    is_network=False,
)
HEAD_WIDTH = 64  # channels of an attention head, in every CLIP of OpenAI
TOKENS = 77  # of a text


class ClipExtractor(Extractor):
    """Projected embeddings of length 1; also of texts."""

    layer = "projected image embedding, length 1"
    batch_size = 16

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
        from transformers import CLIPTokenizer

        vocabulary = json.loads(VOCABULARY.fetched(self.name).read_text(encoding="utf-8"))
        lines = MERGES.fetched(self.name).read_text(encoding="utf-8").splitlines()
        pairs = [tuple(line.split()) for line in lines if line and not line.startswith("#")]
        return CLIPTokenizer(vocab=vocabulary, merges=pairs)  # type: ignore[arg-type]


def is_published(extractor: Extractor, name: str) -> bool:
    """Whether it is the published CLIP of that name."""
    return isinstance(extractor, ClipExtractor) and extractor.name == name


def load_vitb32(path: Path | None = None, *, device: torch.device | str = "cpu") -> ClipExtractor:
    """`clip-vitb32`; see `load_clip`."""
    return load_clip("clip-vitb32", path, device=device)


def load_vitl14(path: Path | None = None, *, device: torch.device | str = "cpu") -> ClipExtractor:
    """`clip-vitl14-336`; see `load_clip`."""
    return load_clip("clip-vitl14-336", path, device=device)


def load_clip(
    name: str, path: Path | None = None, *, device: torch.device | str = "cpu"
) -> ClipExtractor:
    """One of `PUBLISHED` from `path`, else from the user's cache, else fetched there once.

    Raises:
        EvaluationError: There is no such file and none can be fetched, or it is not in the format.
    """
    from transformers import CLIPConfig, CLIPModel

    path = path or PUBLISHED[name].fetched(name)
    state, digest = read_state(path), sha256_of(path)
    try:
        config = CLIPConfig(**_shape(state))
        with torch.device("meta"):
            model = CLIPModel(config)
        model = model.to_empty(device="cpu")
        _put(model, state)
    except (RuntimeError, KeyError, ValueError, AttributeError, StopIteration) as error:
        reason = " ".join(str(error).split())[:160]
        raise EvaluationError(f"{path}: not weights of a CLIP ViT ({reason})") from None
    known = digest == PUBLISHED[name].sha256
    return ClipExtractor(model, name if known else f"{name}-{digest[:8]}", digest, device)


def _put(model: Any, state: dict[str, Tensor]) -> None:
    """The weights; position numbers, which older files hold, are the model's own."""
    positions = {name for name in state if name.endswith("position_ids")}
    kept = {name: value for name, value in state.items() if name not in positions}
    missing = model.load_state_dict(kept, strict=False)
    lacking = [key for key in missing.missing_keys if not key.endswith("position_ids")]
    if lacking or missing.unexpected_keys:
        raise ValueError(f"missing {lacking[:2]}, unexpected {missing.unexpected_keys[:2]}")
    for name, buffer in model.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.shape[-1]).expand_as(buffer))


def _shape(state: dict[str, Tensor]) -> dict[str, Any]:
    """What the sizes of the weights say of the architecture."""
    vision, text = ({k: v for k, v in state.items() if k.startswith(f"{part}_model.")}
                    for part in ("vision", "text"))  # fmt: skip
    patches = vision["vision_model.embeddings.patch_embedding.weight"]
    positions = vision["vision_model.embeddings.position_embedding.weight"]
    words = text["text_model.embeddings.token_embedding.weight"]
    side = round((len(positions) - 1) ** 0.5)
    return {
        "projection_dim": len(state["visual_projection.weight"]),
        "vision_config": _tower(vision, "vision_model")
        | {"image_size": side * patches.shape[-1], "patch_size": patches.shape[-1]},
        "text_config": _tower(text, "text_model")
        | {
            "vocab_size": len(words),
            "max_position_embeddings": len(text["text_model.embeddings.position_embedding.weight"]),
            # With this number the pooled token is the one with the highest id, as OpenAI has it.
            "eos_token_id": 2,
        },
    }


def _tower(state: dict[str, Tensor], name: str) -> dict[str, Any]:
    layers = {int(key.split(".")[3]) for key in state if f"{name}.encoder.layers." in key}
    hidden = state[f"{name}.encoder.layers.0.mlp.fc1.weight"]
    return {
        "hidden_size": hidden.shape[1],
        "intermediate_size": hidden.shape[0],
        "num_hidden_layers": len(layers),
        "num_attention_heads": hidden.shape[1] // HEAD_WIDTH,
        "hidden_act": "quick_gelu",
    }
