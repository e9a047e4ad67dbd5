"""Walks between images of a seed or between texts, for pipelines whose images come from noise."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from genkit.errors import PipelineError, shown
from genkit.pipelines.base import Pipeline, fitting, parts
from genkit.pipelines.given import Given
from genkit.pipelines.output import Output, check_output, in_form


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


class FromNoise(Pipeline):
    """A pipeline whose images begin with noise, so that there is a way from one to the next."""

    @abstractmethod
    def between(self, first: int, second: int, t: Tensor, seed: int) -> Any:
        """What images at t (N,) in [0, 1] between image `first` and image `second` begin with."""

    def between_texts(self, texts: Sequence[str], places: Tensor, options: Any) -> Any:
        """What images on the way through K texts are given as their caption.

        Args:
            texts: K of them.
            places: (N,) in [0, K - 1]; a whole number k stands for text k itself.
            options: As `options` completed them.
        """
        raise PipelineError(
            f"caption: a {type(self).__name__} has no way from text to text; give one caption"
        )

    def interpolate(
        self,
        first: int = 0,
        second: int | None = None,
        count: int = 8,
        *,
        seed: int = 0,
        batch_size: int = 64,
        output: Output = "pil",
        **asked: Any,
    ) -> Any:
        """The walk from image `first` of a seed to image `second` in `count` images, both included.

        Normal noise moves along the arc between the two (`slerp`), uniform noise straight, so that
        both stay where training drew them.

        Given several captions the walk leads through these instead: words move straight from text
        to text, in even steps, and the noise stays that of image `first`.

        Args:
            first: Index of the image at the start.
            second: Index of the image at the end, 1 unless given; with several captions there is
                none.
            count: N, at least 2, and at least as many as there are captions.
            seed: As in a call.
            batch_size: As in a call.
            output: As in a call.
            asked: As in a call; every image is given what image `first` is given, captions aside.

        Raises:
            PipelineError: There are too few images, or what is asked for is no walk.
        """
        if count < 2:
            raise PipelineError(f"count: a walk has at least its 2 ends, got {count}")
        check_output(output)
        rows, options = self.asked(None, **asked)
        texts = _texts(rows)
        if texts:
            _check_texts(texts, second, count)
        legs, made = max(1, len(texts) - 1), []
        # Whole numbers are divided, so that ends and texts are met exactly.
        for part in parts(range(count), batch_size):
            with fitting(len(part), self.device):
                places = torch.tensor([i * legs / (count - 1) for i in part])
                given = rows.batch(rows.read([first] * len(part), rows.taken), self.device)
                if texts:
                    given["caption"] = self.between_texts(texts, places, options)
                    begun = self.begin([first] * len(part), seed, given, options)
                else:
                    begun = self.between(first, 1 if second is None else second, places, seed)
                batch = self._made(begun, given, options)
            made.append({name: values.cpu() for name, values in batch.items()})
        return in_form(made, self.gives, output)


def _texts(rows: Given) -> list[str]:
    """The captions of a call, where there are several."""
    said = rows.cycles.get("caption")
    return [] if said is None or len(said) < 2 else list(said.read(range(len(said)))["caption"])


def _check_texts(texts: Sequence[str], second: int | None, count: int) -> None:
    if second is not None:
        raise PipelineError(
            "second: between several captions the noise stays that of image `first`; leave second "
            "out, or give one caption"
        )
    if count < len(texts):
        raise PipelineError(
            f"count: a walk through {len(texts)} captions has at least as many images, got {count}"
        )
    for text, following in pairwise(texts):
        if text == following:
            raise PipelineError(
                f"caption: {shown(repr(text))} follows itself, between which is no way; give "
                "captions that differ"
            )
