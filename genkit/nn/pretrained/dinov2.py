"""DINOv2 ViT-L/14, written with the names of the published file.

Oquab et al. 2023 (arXiv:2304.07193). So it loads in any version of other libraries.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.errors import WeightsError
from genkit.nn.pretrained.weights import Loaded, Weights, read_state, sha256_of, shortened

PATCH = 14  # px
OFFSET = 0.1  # patches: how the authors' code stretches the table of positions
PUBLISHED = Weights(
    "dinov2_vitl14_pretrain.pth",
    ("https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth",),
    "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428",
)


class Attention(nn.Module):
    """Self-attention over tokens (B, T, D), heads of 64 channels."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // 64
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        count, tokens, width = x.shape
        qkv = self.qkv(x).view(count, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(*qkv)
        return self.proj(mixed.transpose(1, 2).reshape(count, tokens, width))


class Scale(nn.Module):
    """A learnt factor per channel: LayerScale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> (..., D)."""
        return x * self.gamma


class Block(nn.Module):
    """Attention and a perceptron, each on normalised tokens and scaled before it is added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width)
        self.ls1 = Scale(width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )
        self.ls2 = Scale(width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        x = x + self.ls1(self.attn(self.norm1(x)))
        hidden = F.gelu(self.mlp["fc1"](self.norm2(x)))
        return x + self.ls2(self.mlp["fc2"](hidden))


class VisionTransformer(nn.Module):
    """(B, 3, H, W), sides multiples of 14 -> (B, D), the class token after the last norm.

    Args:
        width: D.
        depth: Blocks.
        side: Patches along a side of the images that it was trained on last.
    """

    def __init__(self, width: int = 1024, depth: int = 24, side: int = 37) -> None:
        super().__init__()
        self.side = side
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.mask_token = nn.Parameter(torch.zeros(1, width))  # of training; in the file
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + side**2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PATCH, PATCH)})
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """Images to the class token."""
        patches = self.patch_embed["proj"](x)
        positions = self.positions(*patches.shape[2:]).to(patches)
        tokens = torch.cat(
            [self.cls_token.expand(len(x), -1, -1), patches.flatten(2).transpose(1, 2)], 1
        )
        tokens = tokens + positions
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]

    def positions(self, rows: int, columns: int) -> Tensor:
        """The table of positions (1, 1 + rows * columns, D), stretched to other numbers of patches.

        As the authors' code does it: bicubic, with a factor that is `OFFSET` patches too large.
        """
        if rows == columns == self.side:
            return self.pos_embed
        table = self.pos_embed[:, 1:].view(1, self.side, self.side, -1).permute(0, 3, 1, 2)
        factors = tuple((n + OFFSET) / self.side for n in (rows, columns))
        stretched = F.interpolate(table.float(), scale_factor=factors, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], stretched.flatten(2).transpose(1, 2)], 1)


def load(path: Path | None = None) -> Loaded:
    """The network from `path`, else from the user's cache, else fetched there once.

    A file of another width or depth of the same architecture loads too.

    Raises:
        WeightsError: There is no such file and none can be fetched, or it is not in the format.
    """
    path = path or PUBLISHED.fetched("dinov2-vitl14")
    state, digest = read_state(path), sha256_of(path)
    try:
        depth = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("blocks."))
        _, tokens, width = state["pos_embed"].shape
        network = VisionTransformer(width, depth, round((tokens - 1) ** 0.5))
        network.load_state_dict(state)
    except (RuntimeError, KeyError, ValueError, AttributeError) as error:
        reason = shortened(error)
        raise WeightsError(f"{path}: not weights of a DINOv2 ViT/14 ({reason})") from None
    return Loaded(network.eval().requires_grad_(False), digest, digest == PUBLISHED.sha256)
