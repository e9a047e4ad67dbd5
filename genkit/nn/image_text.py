"""CLIP's two towers as transformers' `CLIPModel` at any size, with its authors' first weights.

Radford et al. 2021 (arXiv:2103.00020), section 2.4; first weights as in their released code.
transformers draws the output layers of attention as wide as its inputs should be, and the reverse.

Legend: B rows, C channels, H W size in px, S side that a tower takes, L tokens, P embedding.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.nn.pretrained import clip as published


class Tower(NamedTuple):
    """Sizes of one of the two transformers."""

    width: int
    layers: int
    heads: int


def towers(
    pictures: Tower,
    texts: Tower,
    *,
    side: int,
    patch: int,
    embed: int,
    vocabulary: int,
    context: int,
) -> Any:
    """A `CLIPModel` with first weights.

    Args:
        pictures: The tower of pictures, (B, 3, side, side).
        texts: The tower of texts.
        side: Of a picture in px.
        patch: Side of a patch in px.
        embed: P.
        vocabulary: Tokens; the last one ends a text.
        context: Tokens of a text at most.

    Raises:
        ValueError: A side is no multiple of the patch, or a width none of its heads.
    """
    from transformers import CLIPConfig, CLIPModel

    if side % patch:
        raise ValueError(f"pictures of {side} px can't be parted into patches of {patch} px")
    for tower in (pictures, texts):
        if tower.width % tower.heads:
            raise ValueError(f"a width of {tower.width} can't be shared among {tower.heads} heads")
    config = CLIPConfig(
        projection_dim=embed,
        vision_config={"image_size": side, "patch_size": patch, **_sizes(pictures)},
        text_config={
            "vocab_size": vocabulary,
            "max_position_embeddings": context,
            "bos_token_id": vocabulary - 2,
            "eos_token_id": vocabulary - 1,
            "pad_token_id": vocabulary - 1,
            **_sizes(texts),
        },
    )
    network: Any = CLIPModel(config)
    _draw(network)
    return network


def _sizes(tower: Tower) -> dict[str, Any]:
    return {
        "hidden_size": tower.width,
        "intermediate_size": 4 * tower.width,
        "num_hidden_layers": tower.layers,
        "num_attention_heads": tower.heads,
        "hidden_act": "quick_gelu",
    }


@torch.no_grad()
def _draw(network: Any) -> None:
    """First weights: each N(0, d^2), biases 0.

    Tokens .02, positions .01; attention's inputs width^-1/2, what leads back into the stream
    width^-1/2 (2 layers)^-1/2, the wide layer (2 width)^-1/2; the patches as a convolution is by
    default; positions and class of pictures width^-1/2.
    """
    texts, pictures = network.text_model, network.vision_model
    nn.init.normal_(texts.embeddings.token_embedding.weight, std=0.02)
    nn.init.normal_(texts.embeddings.position_embedding.weight, std=0.01)
    width = pictures.embeddings.patch_embedding.out_channels
    pictures.embeddings.patch_embedding.reset_parameters()
    nn.init.normal_(pictures.embeddings.class_embedding, std=width**-0.5)
    nn.init.normal_(pictures.embeddings.position_embedding.weight, std=width**-0.5)
    for tower in (texts, pictures):
        layers = tower.encoder.layers
        for layer in layers:
            attention, wide = layer.self_attn, layer.mlp
            inside = attention.embed_dim**-0.5
            back = inside * (2 * len(layers)) ** -0.5
            for each in (attention.q_proj, attention.k_proj, attention.v_proj):
                nn.init.normal_(each.weight, std=inside)
            nn.init.normal_(attention.out_proj.weight, std=back)
            nn.init.normal_(wide.fc1.weight, std=(2 * attention.embed_dim) ** -0.5)
            nn.init.normal_(wide.fc2.weight, std=back)
    for projection in (network.text_projection, network.visual_projection):
        nn.init.normal_(projection.weight, std=projection.in_features**-0.5)


class Normalisation(NamedTuple):
    """What each channel of a picture in [0, 1] is made: (x - mean) / deviation."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    def __call__(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1], C 1 or 3 -> (B, 3, H, W) as the tower takes them."""
        mean, deviation = (images.new_tensor(each)[:, None, None] for each in self)
        return ((images + 1) / 2 - mean) / deviation


CLIP = Normalisation(published.MEAN, published.STD)
HALF = Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))  # [-1, 1] as it is


def square(images: Tensor, side: int) -> Tensor:
    """The middle square of pictures (B, C, H, W) in [-1, 1], (B, C, side, side).

    The shorter side is brought to `side` by antialiased bicubic interpolation, as CLIP's own
    preprocessing does; where it has that size already, nothing is interpolated.
    """
    height, width = images.shape[2:]
    shorter = min(height, width)
    # Of a long thin picture only the middle is enlarged, and what interpolation looks at beside it.
    if max(height, width) > 4 * shorter:
        top, left = ((each - min(each, 4 * shorter)) // 2 for each in (height, width))
        images = images[:, :, top : top + 4 * shorter, left : left + 4 * shorter]
        height, width = images.shape[2:]
    if shorter != side:
        size = [each * side // shorter for each in (height, width)]
        images = F.interpolate(images, size, mode="bicubic", antialias=True).clamp(-1, 1)
    top, left = ((each - side) // 2 for each in images.shape[2:])
    return images[:, :, top : top + side, left : left + side]


def embedded_pictures(network: Any, pixels: Tensor) -> Tensor:
    """Normalised pictures (B, 3, S, S) -> (B, P) of length 1, float32."""
    pooled = network.vision_model(pixel_values=pixels).pooler_output
    return F.normalize(network.visual_projection(pooled).float())


def embedded_texts(network: Any, ids: Tensor) -> Tensor:
    """Tokens (B, L) -> (B, P) of length 1, float32."""
    pooled = network.text_model(input_ids=ids).pooler_output
    return F.normalize(network.text_projection(pooled).float())


def undecayed(network: nn.Module) -> list[nn.Parameter]:
    """Gains, biases and the temperature: what weight decay leaves alone."""
    return [p for p in network.parameters() if p.requires_grad and p.dim() < 2]


LARGEST_SCALE = 100.0  # of the temperature's inverse, in CLIP's training
FIRST_SCALE = 1 / 0.07


def set_scale(network: Any, scale: float) -> None:
    """Set the inverse temperature, of which the network holds the logarithm."""
    with torch.no_grad():
        network.logit_scale.fill_(math.log(scale))
