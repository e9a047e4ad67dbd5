"""Noise to image in one pass: the pipeline of GANs, unconditional or by class.

Legend: B batch, Z latent size, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from genkit import random
from genkit.errors import PipelineError
from genkit.pipelines.base import FORMAT_VERSION, ImagePipeline, check_classes, evaluating, slerp

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


class NoiseToImage(ImagePipeline):
    """A generator, and what it takes to call it: z (B, Z) [and label (B,)] -> images in [-1, 1].

    Args:
        generator: A diffusers `ModelMixin` called as generator(z) or generator(z, label).
        latent_dim: Z. (Diffusers takes a parameter without default for a component.)
        image_size: Side of the square images in px.
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
        image_size: int = 64,
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
        check_classes(num_classes, class_names)
        self.register_modules(generator=generator)  # type: ignore[no-untyped-call]
        self.register_to_config(  # type: ignore[no-untyped-call]
            latent_dim=latent_dim,
            image_size=image_size,
            channels=channels,
            latent=latent,
            num_classes=num_classes,
            class_names=None if class_names is None else list(class_names),
            format_version=format_version,
        )

    def latents(self, indices: Sequence[int], seed: int) -> Tensor:
        """The noise of images by index: (B, Z) float32 on the CPU."""
        return latents(seed, indices, self.config["latent_dim"], self.config["latent"])

    def sampling(self, **options: Any) -> None:
        """A generator makes its images in one pass: there is nothing to choose."""
        if options:
            raise PipelineError(
                f"{min(options)}: this generator makes images in one pass; "
                "schedulers, steps and guidance are for diffusion models: leave it out"
            )

    def describe(self, sampling: None) -> Mapping[str, Any]:
        """The distribution of z."""
        return {"latent": self.config["latent"]}

    def _noise(self, indices: Sequence[int], seed: int) -> Tensor:
        return self.latents(indices, seed)

    def _walk(self, first: int, second: int, t: Tensor, seed: int) -> Tensor:
        ends = self.latents([first, second], seed)  # (2, Z)
        straight = self.config["latent"] == "uniform"
        share = t.unsqueeze(1)
        return torch.lerp(ends[0], ends[1], share) if straight else slerp(ends[:1], ends[1:], share)

    @torch.no_grad()
    def _generate(self, noise: Tensor, labels: Tensor | None, sampling: None) -> Tensor:
        """One batch: (B, C, H, W) in [-1, 1] on the generator's device."""
        generator = self.generator
        z = noise.to(generator.device, generator.dtype)
        given = (z,) if labels is None else (z, labels.to(generator.device))
        with evaluating(generator, len(z)):
            images: Tensor = generator(*given)
        side = self.config["image_size"]
        expected = (self.config["channels"], side, side)
        if images.shape[1:] != expected:
            raise PipelineError(
                f"generator: makes images of {tuple(images.shape[1:])}, the pipeline says "
                f"{expected}; give image_size and channels as the generator has them"
            )
        return images


def _check_shape(latent_dim: Any, image_size: Any, channels: Any) -> None:
    for name, value in (("latent_dim", latent_dim), ("image_size", image_size)):
        if not isinstance(value, int) or value < 1:
            raise PipelineError(f"{name}: must be a whole number from 1 on, got {value!r}")
    if channels not in (1, 3):
        raise PipelineError(f"channels: must be 1 (grey) or 3 (RGB), got {channels!r}")
