"""What every pipeline that makes images from noise has: images by index, in batches, in any form.

Image i of seed s is a function of (s, i, label) and the weights: the same in any batch, in any
order, on any number of processes (noise bit by bit; pixels within 1/255 in fp32, a few in bf16).

Legend: B batch, N images asked for, C channels, H W size in px, K classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from genkit.errors import PipelineError
from genkit.images import to_numpy, to_pil, to_uint8, to_unit
from genkit.nn.network import complete

complete()  # diffusers asks the networks of an export for their bases when it loads one itself

FORMAT_VERSION = 1  # of the export folder; raised when an older genkit could not read it

Output = Literal["pil", "tensor", "np"]
Images = list[Image.Image] | Tensor | NDArray[np.uint8]


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


class ImagePipeline(DiffusionPipeline):
    """Noise [and label] to image. A pipeline writes what is abstract here.

    Its config, or itself, has `image_size`, `channels`, `num_classes` and `class_names`.

    Attributes:
        on_step: Called as on_step(done, steps) while a batch is made, by pipelines that take steps.
    """

    on_step: Callable[[int, int], None] | None = None

    # -- what a pipeline writes --------------------------------------------------------------------

    @abstractmethod
    def sampling(self, **options: Any) -> Any:
        """Options of a call, checked and completed; None where there are none."""

    @abstractmethod
    def _noise(self, indices: Sequence[int], seed: int) -> Any:
        """What images by index begin with."""

    @abstractmethod
    def _walk(self, first: int, second: int, t: Tensor, seed: int) -> Any:
        """What images at t (N,) between image `first` and image `second` begin with."""

    @abstractmethod
    def _generate(self, noise: Any, labels: Tensor | None, sampling: Any) -> Tensor:
        """One batch: (B, C, H, W) in [-1, 1]."""

    @abstractmethod
    def describe(self, sampling: Any) -> Mapping[str, Any]:
        """What makes the samples of these weights what they are, as JSON."""

    # -- what people call --------------------------------------------------------------------------

    def __call__(
        self,
        count: int = 1,
        *,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        batch_size: int = 64,
        output: Output = "pil",
        **options: Any,
    ) -> Images:
        """Images 0..count-1 of a seed.

        Args:
            count: N.
            seed: Names the noise; image i of a seed stays the same whatever N is.
            labels: One class for all, or a sequence that is cycled; None cycles through 0..K-1.
            batch_size: Images made at a time; changes memory and speed only.
            output: "pil" a list of pictures; "tensor" (N, C, H, W) float32 in [0, 1] on the CPU;
                "np" (N, H, W, C) uint8.
            options: What `sampling` of this pipeline takes.
        """
        if count < 1:
            raise PipelineError(f"count: must be at least 1, got {count}")
        check_output(output)
        sampling, indices = self.sampling(**options), range(count)
        noise = ((self._noise(part, seed), len(part)) for part in parts(indices, batch_size))
        return self._render(noise, self.labels_of(indices, labels), sampling, output)

    def stream(
        self,
        indices: Sequence[int],
        *,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        batch_size: int = 64,
        **options: Any,
    ) -> Iterator[tuple[Sequence[int], Tensor, Tensor | None]]:
        """Images by index, a batch at a time: (indices, uint8 (B, C, H, W), labels (B,) or None).

        Tensors are on the CPU; memory does not grow with the number of indices.
        """
        cycle, sampling = self.label_cycle(labels), self.sampling(**options)
        for part in parts(indices, batch_size):
            classes = _cycled(part, cycle)
            images = finite(self._generate(self._noise(part, seed), classes, sampling))
            yield part, to_uint8(images).cpu(), classes

    def interpolate(
        self,
        first: int = 0,
        second: int = 1,
        count: int = 8,
        *,
        seed: int = 0,
        label: int | None = None,
        batch_size: int = 64,
        output: Output = "pil",
        **options: Any,
    ) -> Images:
        """The walk from image `first` of a seed to image `second` in `count` images, both included.

        Normal noise moves along the arc between the two (`slerp`), uniform noise straight, so that
        both stay where training drew them.

        Args:
            first: Index of the image at the start.
            second: Index of the image at the end.
            count: N, at least 2.
            seed: As in a call.
            label: The class of every image; None = the class of image `first`.
            batch_size: As in a call.
            output: As in a call.
            options: As in a call.
        """
        if count < 2:
            raise PipelineError(f"count: a walk has at least its 2 ends, got {count}")
        check_output(output)
        sampling = self.sampling(**options)
        t = torch.linspace(0, 1, count)
        classes = self.labels_of([first], label)
        every = None if classes is None else classes.repeat(count)
        walks = (
            (self._walk(first, second, t[part[0] : part[-1] + 1], seed), len(part))
            for part in parts(range(count), batch_size)
        )
        return self._render(walks, every, sampling, output)

    def label_cycle(self, labels: int | Sequence[int] | None) -> list[int] | None:
        """Classes that the images of a call cycle through; None for an unconditional pipeline.

        Raises:
            PipelineError: A label is not in [0, K), or the pipeline takes none.
        """
        classes = self.facts["num_classes"]
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
        """The classes of images by index: (B,) int64, or None for an unconditional pipeline."""
        return _cycled(indices, self.label_cycle(labels))

    @property
    def facts(self) -> Mapping[str, Any]:
        """image_size, channels, num_classes and class_names."""
        return self.config

    def _render(
        self,
        noise: Iterator[tuple[Any, int]],
        labels: Tensor | None,
        sampling: Any,
        output: Output,
    ) -> Images:
        """Images of batches of noise, each with its size; labels: those of all images, or None."""
        done, made = 0, []
        for batch, size in noise:
            classes = None if labels is None else labels[done : done + size]
            made.append(finite(self._generate(batch, classes, sampling)).cpu())
            done += size
        return in_form(torch.cat(made), output)


def finite(images: Tensor) -> Tensor:
    """The images (B, C, H, W) themselves, or an error where some hold NaN or infinity."""
    bad = int((~images.isfinite().flatten(1).all(1)).sum())
    if bad:
        raise PipelineError(
            f"{bad} of {len(images)} images are not finite numbers: try precision=fp32, more steps "
            "or less guidance, or weights from an earlier checkpoint"
        )
    return images


def in_form(images: Tensor, output: Output) -> Images:
    """(N, C, H, W) in [-1, 1] as the caller wants them."""
    if output == "tensor":
        return to_unit(images)
    pixels = to_uint8(images)
    return to_numpy(pixels) if output == "np" else [to_pil(image) for image in pixels]


def parts(indices: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    """Indices in batches of a size, the last one with what is left."""
    if size < 1:
        raise PipelineError(f"batch_size: must be at least 1, got {size}")
    return (indices[start : start + size] for start in range(0, len(indices), size))


def check_output(output: Any) -> None:
    """Raise unless it is a form that images can take."""
    if output not in get_args(Output):
        raise PipelineError(f"output: {output!r} is no form; give one of pil, tensor, np")


def check_classes(num_classes: Any, names: Any) -> None:
    """Raise unless K and the names of the classes fit each other."""
    if num_classes is None:
        if names is not None:
            raise PipelineError("class_names: there are no classes; set num_classes too")
        return
    if not isinstance(num_classes, int) or num_classes < 1:
        raise PipelineError(f"num_classes: must be a whole number from 1 on, got {num_classes!r}")
    if names is not None and (not isinstance(names, list | tuple) or len(names) != num_classes):
        raise PipelineError(f"class_names: expected {num_classes} names, got {names!r}")


@contextmanager
def evaluating(network: nn.Module, images: int) -> Iterator[None]:
    """Evaluation mode for a while, since batch norm must not see who else is in the batch.

    Where memory ends, the error says how many images there were at a time.
    """
    training = network.training
    network.eval()
    try:
        yield
    except torch.OutOfMemoryError:
        raise PipelineError(
            f"batch_size: {images} images at a time don't fit the memory of "
            f"{next(network.parameters()).device}; give a smaller one"
        ) from None
    finally:
        network.train(training)


def _cycled(indices: Sequence[int], cycle: list[int] | None) -> Tensor | None:
    return None if cycle is None else torch.tensor([cycle[i % len(cycle)] for i in indices])
