"""CLIP's towers of images and texts, OpenAI's weights as transformers' `CLIPModel` has them.

Radford et al. 2021 (arXiv:2103.00020): ViT-L/14 at 336 px and ViT-B/32 at 224 px.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from genkit.errors import WeightsError
from genkit.nn.pretrained.weights import Loaded, Weights, read_state, sha256_of, shortened

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
)
MERGES = Weights(
    "clip-merges.txt",
    (_HUB.format(*_B32, "merges.txt"),),
    "f526393189112391ce6f9795d4695f704121ce452c3aad1f5335cc41337eba85",
)
HEAD_WIDTH = 64  # channels of an attention head, in every CLIP of OpenAI


def load(name: str, path: Path | None = None) -> Loaded:
    """One of `PUBLISHED` from `path`, else from the user's cache, else fetched there once.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    from transformers import CLIPConfig, CLIPModel

    path = path or PUBLISHED[name].fetched(name)
    state, digest = read_state(path), sha256_of(path)
    try:
        config = CLIPConfig(**_shape(state))
        with torch.device("meta"):
            model: Any = CLIPModel(config)
        model = model.to_empty(device="cpu")
        _put(model, state)
    except (RuntimeError, KeyError, ValueError, AttributeError, StopIteration) as error:
        raise WeightsError(f"{path}: not weights of a CLIP ViT ({shortened(error)})") from None
    model = model.eval().requires_grad_(False)
    return Loaded(model, digest, digest == PUBLISHED[name].sha256)


def tokenizer(vocabulary: Path | None = None, merges: Path | None = None) -> Any:
    """CLIP's byte-pair encoding, from its two files; by default those of the user's cache.

    Raises:
        WeightsError: A file is not there and can't be fetched.
    """
    from transformers import CLIPTokenizer

    words = json.loads((vocabulary or VOCABULARY.fetched("CLIP")).read_text(encoding="utf-8"))
    lines = (merges or MERGES.fetched("CLIP")).read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split()) for line in lines if line and not line.startswith("#")]
    return CLIPTokenizer(vocab=words, merges=pairs)  # type: ignore[arg-type]


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
