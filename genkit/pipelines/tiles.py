"""A picture through a network in overlapping tiles, put together without seams.

Tiles lie on the network's stride and overlap by as far as it looks, so that each of their pixels is
what it is within the whole; in a band around where two meet, one goes over into the other.

Legend: C channels, h H w W heights and widths in px.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from genkit.images import to_float

Run = Callable[[Tensor], Tensor]  # pictures (1, C, h, w) in [-1, 1] to others of their size

_BLEND = 8  # px to each side of where two tiles meet


@dataclass(frozen=True)
class Cut:
    """How a picture is cut.

    Attributes:
        side: Of a tile, in px, at most.
        halo: Of it to each side what is there to be looked at, in px.
        blend: To each side of where two tiles meet, in px: there one goes over into the other.
        stride: Of the network: what starts and sides are multiples of.
    """

    side: int
    halo: int
    blend: int
    stride: int = 1


def cut_for(reach: int | None, side: int, stride: int) -> Cut:
    """Tiles of a side, whose halo is as wide as a network looks or three eighths of them."""
    side = max(side // stride, 2) * stride
    blend = min(_BLEND, max(side // 8, 1))
    most = side * 3 // 8 // stride * stride
    if reach is None:
        return Cut(side, most, min(blend, most), stride)
    halo = -(-(reach + blend) // stride) * stride
    halo = min(halo, most)
    return Cut(side, halo, min(blend, halo), stride)


@dataclass(frozen=True)
class Span:
    """A tile along one side of the picture, in px.

    Attributes:
        start: Where it begins, halo and all.
        end: Where it ends.
        low: Where it meets the one before; None = it is the first.
        high: Where it meets the next; None = it is the last.
    """

    start: int
    end: int
    low: int | None
    high: int | None

    def weights(self, blend: int) -> Tensor:
        """(end - start,) float32: what each of its pixels counts; with those of others 1."""
        at = torch.arange(self.start, self.end) + 0.5
        found = torch.ones(self.end - self.start)
        if self.low is not None:
            found *= _ramp(at - self.low, blend)
        if self.high is not None:
            found *= _ramp(self.high - at, blend)
        return found


def _ramp(distance: Tensor, blend: int) -> Tensor:
    """From 0 at -blend px to 1 at blend px; a step where there is no band."""
    if not blend:
        return (distance > 0).float()
    return ((distance + blend) / (2 * blend)).clamp(0, 1)


def spans(length: int, cut: Cut) -> list[Span]:
    """The tiles along a side of the picture that is a multiple of the stride."""
    if length <= cut.side:
        return [Span(0, length, None, None)]
    units, core = length // cut.stride, (cut.side - 2 * cut.halo) // cut.stride
    count = -(-units // max(core, 1))
    meet = [round(i * units / count) * cut.stride for i in range(count + 1)]
    return [
        Span(
            max(0, low - cut.halo),
            min(length, high + cut.halo),
            low if low else None,
            high if high < length else None,
        )
        for low, high in pairwise(meet)
    ]


def strips(run: Run, image: Tensor, cut: Cut) -> Iterator[tuple[int, Tensor, float]]:
    """The changed picture from top to bottom: first line, (C, h, W) in [-1, 1], and how far tiles
    differ where they meet within it.

    Args:
        run: The pass.
        image: (C, H, W) uint8, whose sides are multiples of the stride.
        cut: How it is cut.
    """
    rows, columns = spans(image.shape[1], cut), spans(image.shape[2], cut)
    carried: Tensor | None = None
    before: Tensor | None = None
    for place, span in enumerate(rows):
        strip, seam = _strip(run, image[:, span.start : span.end], columns, cut)
        if before is not None and span.low is not None:
            band = strip[:, span.low - cut.blend - span.start : span.low + cut.blend - span.start]
            seam = max(seam, _difference(before, band))
        if span.high is not None:
            low = span.high - cut.blend - span.start
            before = strip[:, low : low + 2 * cut.blend].clone()
        strip = strip * span.weights(cut.blend)[None, :, None]
        if carried is not None:
            strip[:, : carried.shape[1]] += carried
        end = rows[place + 1].start if place + 1 < len(rows) else span.end
        carried = strip[:, end - span.start :]
        yield span.start, strip[:, : end - span.start], seam


def _strip(run: Run, lines: Tensor, columns: list[Span], cut: Cut) -> tuple[Tensor, float]:
    """All tiles of some lines (C, h, W) uint8 side by side, and how far they differ there."""
    strip: Tensor | None = None
    before: Tensor | None = None
    seam = 0.0
    for span in columns:
        made = run(to_float(lines[None, :, :, span.start : span.end]))[0].float().cpu()
        if strip is None:
            strip = torch.zeros(made.shape[0], made.shape[1], lines.shape[2])
        if before is not None and span.low is not None:
            low = span.low - cut.blend - span.start
            seam = max(seam, _difference(before, made[..., low : low + 2 * cut.blend]))
        if span.high is not None:
            low = span.high - cut.blend - span.start
            before = made[..., low : low + 2 * cut.blend]
        strip[..., span.start : span.end] += made * span.weights(cut.blend)
    assert strip is not None
    return strip, seam


def _difference(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max()) if one.numel() else 0.0
