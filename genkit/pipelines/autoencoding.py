"""Pictures to latents and back, at their own size.

Legend: B batch, C channels, H W height and width in px, Z latent channels, h w size of a latent.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from genkit.nn.autoencoders import factor
from genkit.pipelines.base import FORMAT_VERSION, Pipeline
from genkit.pipelines.card import Card
from genkit.pipelines.given import Takes
from genkit.rows.columns import Columns, Image


class AutoencodingPipeline(Pipeline):
    """A picture in, what is left of it after its latent out.

        pipeline(image=picture)  # a picture of the same size
        latents = pipeline.encode(images)  # of mean 0 and deviation 1, about

    A picture whose sides don't fit is padded on the right and below by its last pixels, and the
    result is cut back. The latent is the mean of its distribution: nothing is drawn.

    Args:
        vae: diffusers' `AutoencoderKL`.
        format_version: Of the export folder that this pipeline is saved as.
    """

    def __init__(self, vae: Any, format_version: int = FORMAT_VERSION) -> None:
        super().__init__()
        self.register_modules(vae=vae)  # type: ignore[no-untyped-call]
        self.register_to_config(format_version=format_version)  # type: ignore[no-untyped-call]

    @property
    def takes(self) -> Takes:
        """A picture of any size."""
        return ({"image": Image(None, self.vae.config["in_channels"])},)

    @property
    def gives(self) -> Columns:
        """A picture of the size given."""
        return {"image": Image(None, self.vae.config["out_channels"])}

    def generate(self, begun: Any, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        """What comes back of pictures (B, C, H, W) in [-1, 1]."""
        return {"image": self.through(given["image"])}

    def encode(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1], their sides multiples of the factor -> (B, Z, h, w)."""
        found: Tensor = self.vae.encode(images).latent_dist.mean
        return found * self.vae.config["scaling_factor"]

    def decode(self, latents: Tensor) -> Tensor:
        """Latents (B, Z, h, w) -> pictures (B, C, H, W) in [-1, 1]."""
        found: Tensor = self.vae.decode(latents / self.vae.config["scaling_factor"]).sample
        return found.clamp(-1, 1)

    def through(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1] to latents and back, their size kept."""
        height, width = images.shape[2:]
        step = factor(self.vae)
        padding = (0, -width % step, 0, -height % step)
        padded = F.pad(images, padding, mode="replicate") if any(padding) else images
        with self.generating():
            return self.decode(self.encode(padded))[:, :, :height, :width]

    def card(self) -> Card:
        """How it is called, and how without genkit."""
        said, step = self.vae.config, factor(self.vae)
        call = 'from PIL import Image\nimages = pipeline(image=Image.open("PICTURE"))'
        facts = {
            "Latents": f"{said['latent_channels']} channels, one for {step} x {step} px",
            "Scaling factor": "1: mean and deviation of each channel are part of the weights",
        }
        return Card(call, "image-to-image", facts, _PLAIN)


_PLAIN = """\
```python
from diffusers import AutoencoderKL

vae = AutoencoderKL.from_pretrained("FOLDER", subfolder="vae")
latents = vae.encode(images).latent_dist.mean  # images (B, C, H, W) in [-1, 1]
back = vae.decode(latents).sample
```
"""
