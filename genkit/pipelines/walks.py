"""Walks from one image of a seed to another, for pipelines whose images come from noise."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from genkit.errors import PipelineError
from genkit.pipelines.base import Pipeline, fitting, parts
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

    def interpolate(
        self,
        first: int = 0,
        second: int = 1,
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

        Args:
            first: Index of the image at the start.
            second: Index of the image at the end.
            count: N, at least 2.
            seed: As in a call.
            batch_size: As in a call.
            output: As in a call.
            asked: As in a call; every image is given what image `first` is given.
        """
        if count < 2:
            raise PipelineError(f"count: a walk has at least its 2 ends, got {count}")
        check_output(output)
        rows, options = self.asked(None, **asked)
        t, made = torch.linspace(0, 1, count), []
        for part in parts(range(count), batch_size):
            with fitting(len(part), self.device):
                given = rows.batch(rows.read([first] * len(part), rows.taken), self.device)
                begun = self.between(first, second, t[part[0] : part[-1] + 1], seed)
                batch = self._made(begun, given, options)
            made.append({name: values.cpu() for name, values in batch.items()})
        return in_form(made, self.gives, output)
