"""Noise to image in one pass: the pipeline of GANs, unconditional or by class.

Legend: B batch, Z latent size, K classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from genkit import random
from genkit.errors import PipelineError
from genkit.pipelines.base import FORMAT_VERSION, class_column
from genkit.pipelines.given import Takes
from genkit.pipelines.walks import FromNoise, slerp
from genkit.rows.columns import Columns, Image

Latent = Literal["normal", "uniform"]


def latents(seed: int, indices: Sequence[int], size: int, kind: Latent = "normal") -> Tensor:
    """Latents of images by index: (len(indices), size) float32, N(0, 1) or U(-1, 1).

    A row depends on (seed, index) only.
    """
    if kind == "normal":
        return random.rows(seed, "latent", indices, (size,))
    keyed = (random.generator(seed, "latent", i) for i in indices)
    drawn = [torch.rand(size, generator=generator) for generator in keyed]
    return torch.stack(drawn).mul_(2).sub_(1) if drawn else torch.empty(0, size)


class NoiseToImage(FromNoise):
    """A generator, and what it takes to call it: z (B, Z) [and label (B,)] -> images in [-1, 1].

    Args:
        generator: A diffusers `ModelMixin` called as generator(z) or generator(z, label).
        latent_dim: Z. (Diffusers takes a parameter without default for a component.)
        image_size: Side of square images in px, or [height, width].
        channels: C, 1 or 3.
        latent: Distribution of z: N(0, 1) or U(-1, 1).
        num_classes: K, or None for an unconditional generator.
        class_names: K names for people to read.
        format_version: Of the export folder that this pipeline is saved as.
    """

    def __init__(
        self,
        generator: nn.Module,
        latent_dim: int = 100,
        image_size: int | Sequence[int] = 64,
        channels: int = 3,
        latent: Latent = "normal",
        num_classes: int | None = None,
        class_names: list[str] | None = None,
        format_version: int = FORMAT_VERSION,
    ) -> None:
        super().__init__()
        _check_shape(latent_dim, image_size, channels)
        if latent not in get_args(Latent):
            raise PipelineError(f"latent: {latent!r} is no distribution; give normal or uniform")
        class_column(num_classes, class_names)
        self.register_modules(generator=generator)  # type: ignore[no-untyped-call]
        self.register_to_config(  # type: ignore[no-untyped-call]
            latent_dim=latent_dim,
            image_size=image_size if isinstance(image_size, int) else list(image_size),
            channels=channels,
            latent=latent,
            num_classes=num_classes,
            class_names=None if class_names is None else list(class_names),
            format_version=format_version,
        )

    @property
    def takes(self) -> Takes:
        """Nothing, or the class of each image."""
        return (class_column(self.config["num_classes"], self.config["class_names"]),)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its images."""
        size = self.config["image_size"]
        height, width = (size, size) if isinstance(size, int) else size
        return self.config["channels"], height, width

    @property
    def gives(self) -> Columns:
        """Images."""
        return {"image": Image(self.shape[1:], self.shape[0])}

    def options(self, **asked: Any) -> None:
        """Nothing: a generator makes its images in one pass, there is nothing to choose."""
        if asked:
            raise PipelineError(
                f"{min(asked)}: this generator makes images in one pass; "
                "schedulers, steps and guidance are for diffusion models: leave it out"
            )

    def describe(self, options: None, taken: Collection[str]) -> Mapping[str, Any]:
        """The distribution of z."""
        return {"latent": self.config["latent"]}

    def begin(
        self, indices: Sequence[int], seed: int, given: Mapping[str, Any], options: None
    ) -> Tensor:
        """The noise of images by index: (B, Z) float32 on the CPU."""
        return latents(seed, indices, self.config["latent_dim"], self.config["latent"])

    def between(self, first: int, second: int, t: Tensor, seed: int) -> Tensor:
        """What images at t (N,) between two images begin with: (N, Z)."""
        ends = self.begin([first, second], seed, {}, None)
        straight = self.config["latent"] == "uniform"
        share = t.unsqueeze(1)
        return torch.lerp(ends[0], ends[1], share) if straight else slerp(ends[:1], ends[1:], share)

    def generate(self, begun: Tensor, given: Mapping[str, Any], options: None) -> dict[str, Tensor]:
        """One batch: images (B, C, H, W) in [-1, 1] on the generator's device."""
        z = begun.to(self.generator.device, self.generator.dtype)
        images: Tensor = self.generator(z, *given.values())
        if images.shape[1:] != self.shape:
            raise PipelineError(
                f"generator: makes images of {tuple(images.shape[1:])}, the pipeline says "
                f"{self.shape}; give image_size and channels as the generator has them"
            )
        return {"image": images}


def _check_shape(latent_dim: Any, image_size: Any, channels: Any) -> None:
    sides = image_size if isinstance(image_size, list | tuple) and len(image_size) == 2 else None
    named = [("image_size", side) for side in sides or [image_size]]
    for name, value in (("latent_dim", latent_dim), *named):
        if not isinstance(value, int) or value < 1:
            raise PipelineError(f"{name}: must be a whole number from 1 on, got {value!r}")
    if channels not in (1, 3):
        raise PipelineError(f"channels: must be 1 (grey) or 3 (RGB), got {channels!r}")
