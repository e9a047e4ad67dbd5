"""Noise to image: the pipeline of GANs, unconditional or by class.

Image i of seed s is a function of (s, i, label) and the weights: the same in any batch, in any
order, on any number of processes (pixels within 1/255, noise bit by bit).

Legend: B batch, N images asked for, C channels, H W size in px, Z latent size, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from genkit import random
from genkit.errors import PipelineError
from genkit.images import to_numpy, to_pil, to_uint8, to_unit

FORMAT_VERSION = 1  # of the export folder; raised when an older genkit could not read it

Latent = Literal["normal", "uniform"]
Output = Literal["pil", "tensor", "np"]
Images = list[Image.Image] | Tensor | NDArray[np.uint8]


def latents(seed: int, indices: Sequence[int], size: int, kind: Latent = "normal") -> Tensor:
    """Latents of images by index: (len(indices), size) float32, N(0, 1) or U(-1, 1).

    A row depends on (seed, index) only.
    """
    if kind == "normal":
        return random.rows(seed, "latent", indices, (size,))
    keyed = (random.generator(seed, "latent", i) for i in indices)
    drawn = [torch.rand(size, generator=generator) for generator in keyed]
    return torch.stack(drawn).mul_(2).sub_(1) if drawn else torch.empty(0, size)


def slerp(a: Tensor, b: Tensor, t: float | Tensor) -> Tensor:
    """The point at t on the arc from a to b: sin((1-t)W)/sin W a + sin(tW)/sin W b.

    Shoemake 1985 (SIGGRAPH 19-3, p. 245), section 3.3, where W is the angle between the two; on
    latents of unequal length as in White 2016 (arXiv:1609.04468). Gaussian latents lie near a
    sphere: a straight line between them would cross its hollow inside, which no training saw.

    Args:
        a: (..., Z), any non-zero length.
        b: As `a`. Parallel and opposite vectors span no arc: the straight line is taken.
        t: In [0, 1], a number or a tensor that broadcasts with (..., 1).
    """
    t = torch.as_tensor(t, dtype=a.dtype, device=a.device)
    cosine = nn.functional.cosine_similarity(a, b, dim=-1).unsqueeze(-1)  # (..., 1)
    angle = torch.acos(cosine.clamp(-1, 1))
    flat = angle.sin() < 1e-4
    sine = torch.where(flat, 1, angle.sin())
    left = torch.where(flat, 1 - t, torch.sin((1 - t) * angle) / sine)
    right = torch.where(flat, t, torch.sin(t * angle) / sine)
    return left * a + right * b


class NoiseToImage(DiffusionPipeline):
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
        _check_classes(num_classes, class_names)
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

    def __call__(
        self,
        count: int = 1,
        *,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        batch_size: int = 64,
        output: Output = "pil",
    ) -> Images:
        """Images 0..count-1 of a seed.

        Args:
            count: N.
            seed: Names the noise; image i of a seed stays the same whatever N is.
            labels: One class for all, or a sequence that is cycled; None cycles through 0..K-1.
            batch_size: Images made at a time; changes memory and speed only.
            output: "pil" a list of pictures; "tensor" (N, C, H, W) float32 in [0, 1] on the CPU;
                "np" (N, H, W, C) uint8.
        """
        if count < 1:
            raise PipelineError(f"count: must be at least 1, got {count}")
        _check_output(output)
        indices = range(count)
        z = (self.latents(part, seed) for part in _parts(indices, batch_size))
        return self._render(z, self.labels_of(indices, labels), output)

    def stream(
        self,
        indices: Sequence[int],
        *,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        batch_size: int = 64,
    ) -> Iterator[tuple[Sequence[int], Tensor, Tensor | None]]:
        """Images by index, a batch at a time: (indices, uint8 (B, C, H, W), labels (B,) or None).

        Tensors are on the CPU; memory does not grow with the number of indices.
        """
        cycle = self.label_cycle(labels)
        for part in _parts(indices, batch_size):
            classes = _cycled(part, cycle)
            yield part, to_uint8(self._generate(self.latents(part, seed), classes)).cpu(), classes

    def interpolate(
        self,
        first: int = 0,
        second: int = 1,
        steps: int = 8,
        *,
        seed: int = 0,
        label: int | None = None,
        batch_size: int = 64,
        output: Output = "pil",
    ) -> Images:
        """The walk from image `first` of a seed to image `second` in `steps` images, ends included.

        Normal latents move along the arc between the two (`slerp`), uniform ones straight, so that
        both stay where training drew them.

        Args:
            first: Index of the image at the start.
            second: Index of the image at the end.
            steps: N, at least 2.
            seed: As in a call.
            label: The class of every image; None = the class of image `first`.
            batch_size: As in a call.
            output: As in a call.
        """
        if steps < 2:
            raise PipelineError(f"steps: a walk has at least its 2 ends, got {steps}")
        _check_output(output)
        ends = self.latents([first, second], seed)  # (2, Z)
        t = torch.linspace(0, 1, steps).unsqueeze(1)  # (N, 1)
        straight = self.config["latent"] == "uniform"
        z = torch.lerp(ends[0], ends[1], t) if straight else slerp(ends[:1], ends[1:], t)
        classes = self.labels_of([first], label)
        every = None if classes is None else classes.repeat(steps)
        parts = _parts(range(steps), batch_size)
        return self._render((z[part[0] : part[-1] + 1] for part in parts), every, output)

    def latents(self, indices: Sequence[int], seed: int) -> Tensor:
        """The noise of images by index: (B, Z) float32 on the CPU."""
        return latents(seed, indices, self.config["latent_dim"], self.config["latent"])

    def label_cycle(self, labels: int | Sequence[int] | None) -> list[int] | None:
        """Classes that the images of a call cycle through; None for an unconditional generator.

        Raises:
            PipelineError: A label is not in [0, K), or the generator takes none.
        """
        classes = self.config["num_classes"]
        if classes is None:
            if labels is not None:
                raise PipelineError("labels: this generator knows no classes; leave labels out")
            return None
        if labels is None:
            return list(range(classes))
        cycle = [labels] if isinstance(labels, int) else [int(label) for label in labels]
        if not cycle:
            raise PipelineError("labels: the sequence is empty; give at least one or leave it out")
        wrong = sorted({label for label in cycle if not 0 <= label < classes})
        if wrong:
            raise PipelineError(f"labels: {wrong[0]} is no class; they are 0 to {classes - 1}")
        return cycle

    def labels_of(
        self, indices: Sequence[int], labels: int | Sequence[int] | None
    ) -> Tensor | None:
        """The classes of images by index: (B,) int64, or None for an unconditional generator."""
        return _cycled(indices, self.label_cycle(labels))

    def _render(self, noise: Iterator[Tensor], labels: Tensor | None, output: Output) -> Images:
        """Images of the noise in the asked form; labels: those of all images, or None."""
        done, parts = 0, []
        for z in noise:
            classes = None if labels is None else labels[done : done + len(z)]
            images = self._generate(z, classes)
            parts.append((to_unit(images) if output == "tensor" else to_uint8(images)).cpu())
            done += len(z)
        images = torch.cat(parts)
        if output == "tensor":
            return images
        return to_numpy(images) if output == "np" else [to_pil(image) for image in images]

    @torch.no_grad()
    def _generate(self, z: Tensor, labels: Tensor | None) -> Tensor:
        """One batch: (B, C, H, W) in [-1, 1] on the generator's device."""
        generator = self.generator
        z = z.to(generator.device, generator.dtype)
        given = (z,) if labels is None else (z, labels.to(generator.device))
        try:
            with _evaluating(generator):
                images: Tensor = generator(*given)
        except torch.OutOfMemoryError:
            raise PipelineError(
                f"batch_size: {len(z)} images at a time don't fit the memory of "
                f"{generator.device}; give a smaller one"
            ) from None
        side = self.config["image_size"]
        expected = (self.config["channels"], side, side)
        if images.shape[1:] != expected:
            raise PipelineError(
                f"generator: makes images of {tuple(images.shape[1:])}, the pipeline says "
                f"{expected}; give image_size and channels as the generator has them"
            )
        return images


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while: batch norm must not see who else is in the batch."""
    training = network.training
    network.eval()
    try:
        yield
    finally:
        network.train(training)


def _cycled(indices: Sequence[int], cycle: list[int] | None) -> Tensor | None:
    return None if cycle is None else torch.tensor([cycle[i % len(cycle)] for i in indices])


def _parts(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    if size < 1:
        raise PipelineError(f"batch_size: must be at least 1, got {size}")
    return (indices[start : start + size] for start in range(0, len(indices), size))


def _check_output(output: Any) -> None:
    if output not in get_args(Output):
        raise PipelineError(f"output: {output!r} is no form; give one of pil, tensor, np")


def _check_shape(latent_dim: Any, image_size: Any, channels: Any) -> None:
    for name, value in (("latent_dim", latent_dim), ("image_size", image_size)):
        if not isinstance(value, int) or value < 1:
            raise PipelineError(f"{name}: must be a whole number from 1 on, got {value!r}")
    if channels not in (1, 3):
        raise PipelineError(f"channels: must be 1 (grey) or 3 (RGB), got {channels!r}")


def _check_classes(num_classes: Any, names: Any) -> None:
    if num_classes is None:
        if names is not None:
            raise PipelineError("class_names: there are no classes; set num_classes too")
        return
    if not isinstance(num_classes, int) or num_classes < 1:
        raise PipelineError(f"num_classes: must be a whole number from 1 on, got {num_classes!r}")
    if names is not None and (not isinstance(names, list | tuple) or len(names) != num_classes):
        raise PipelineError(f"class_names: expected {num_classes} names, got {names!r}")
