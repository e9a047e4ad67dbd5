"""Pictures of any size through a network: whole where memory allows, else in tiles.

Norms that measure a map use the statistics of the whole picture for every tile, taken once, of the
picture made smaller where it doesn't fit; so neither colour nor contrast jumps from tile to tile.

Legend: C channels, H W height and width in px.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from PIL import Image as Pillow
from torch import Tensor, nn

from genkit.errors import PipelineError
from genkit.images import stack, to_float, to_pil, to_uint8
from genkit.machine import free_memory, ran_out_of_memory
from genkit.nn.footprint import Footprint, footprint
from genkit.nn.statistics import Statistics, held, recording
from genkit.pipelines.output import finite
from genkit.pipelines.tiles import Cut, Run, cut_for, spans, strips
from genkit.pipelines.translation import padded

SMALLEST = 64  # px: the side of a tile, at least
_PROBE = 128  # px: side of the picture that shows how far a network looks and what memory it takes
_SHARE = 0.6  # of the free memory, which is used
_WORK = 2.0  # times the maps held at once; convolutions took 1.2 to 1.4 times as much in all
_SEEN = 4.0  # levels by which tiles may differ before anybody would see it
_UNKNOWN = 1 << 24  # pixels that are tried whole where nobody says how much memory there is


@dataclass(frozen=True)
class Way:
    """How a picture went through a network, for people and for the record.

    Attributes:
        cut: Into which tiles; None = whole.
        tiles: How many.
        reach: How far the network looks, in px; None = over the whole picture, or nobody knows.
        measured_at: (H, W) of the picture that the norms' statistics are of; None = there are
            none, or it went whole.
        seam: How far two tiles differ at most in the band where they meet, in levels of 255.
    """

    cut: Cut | None = None
    tiles: int = 1
    reach: int | None = None
    measured_at: tuple[int, int] | None = None
    seam: float = 0.0

    def notes(self, size: tuple[int, int]) -> Iterator[str]:
        """What is to be said of a picture of this (H, W) that did not go whole."""
        if self.cut is None:
            return
        yield (
            f"{self.tiles} tiles of up to {self.cut.side} px, {self.cut.halo} px of them to look "
            f"at; where they meet they differ by {self.seam:.2g} of 255 at most"
            f"{', which may be seen' if self.seam > _SEEN else ''}"
        )
        if self.measured_at is not None and self.measured_at != size:
            height, width = self.measured_at
            yield (
                f"the norms' statistics are those of the picture at {width} x {height} px, so it "
                "differs from what the network makes of the whole"
            )
        if self.reach is None:
            yield "this network looks over the whole picture, but each tile only over itself"
        elif self.reach + self.cut.blend > self.cut.halo:
            yield f"this network looks up to {self.reach} px far, these tiles less"

    def to_tree(self) -> dict[str, Any]:
        """As JSON."""
        if self.cut is None:
            return {"tile": None}
        at = None if self.measured_at is None else list(self.measured_at)
        cut = {"tile": self.cut.side, "halo": self.cut.halo, "tiles": self.tiles}
        return {**cut, "reach": self.reach, "statistics_of": at, "seam": round(self.seam, 3)}


class AnySize:
    """The way of pictures through a network.

    Args:
        run: The pass. It may pad what is no multiple of the stride, and cut it back.
        network: Whose norms are held; its `stride` and `smallest` say which sides it takes.
        tile: Side of tiles in px; None = whole if memory allows it, else as large as it allows.
        free: Bytes that may be used; None = most of those that are free.
        measured_at: (H, W) at which the norms are measured, as a `Way` says it; None = as large as
            fits.

    Raises:
        PipelineError: Tiles of this side are too small for the network.
    """

    def __init__(
        self,
        run: Run,
        network: nn.Module,
        *,
        tile: int | None = None,
        free: int | None = None,
        measured_at: tuple[int, int] | None = None,
    ) -> None:
        self.device = next((w.device for w in network.parameters()), torch.device("cpu"))
        self.network, self.tile, self._free = network, tile, free
        self._run, self._measured_at = run, measured_at
        self.stride, self.smallest = _sides(network)
        self.least = max(SMALLEST, self.smallest, 4 * self.stride)
        if tile is not None and tile < self.least:
            raise PipelineError(
                f"tile: {tile} px is too small for this network; give {self.least} or more"
            )
        self._footprint = cache(self._looked)

    def __call__(self, image: Tensor) -> tuple[Tensor, Way]:
        """A picture (C, H, W) uint8 as the network changes it, and how it went through.

        Raises:
            PipelineError: Memory ends whatever the tiles are, or what comes out is no number.
        """
        height, width = image.shape[1:]
        tile = None if self.tile is None or max(height, width) <= self.tile else self.tile
        fits = self._fits(image)
        with torch.no_grad():
            if tile is None and height * width <= fits:
                if (made := self._whole(image)) is not None:
                    return made, Way()
                fits = height * width // 4
            return self._in_tiles(image, tile, fits)

    def run(self, images: Tensor) -> Tensor:
        """One pass on the network's device, checked."""
        return finite(self._run(images.to(self.device)))

    def _whole(self, image: Tensor) -> Tensor | None:
        """In one pass; None where memory ends."""
        try:
            return to_uint8(self.run(to_float(image[None]))[0]).cpu()
        except (MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
        return None

    def _in_tiles(self, image: Tensor, tile: int | None, fits: int) -> tuple[Tensor, Way]:
        """In tiles, in ever smaller ones as long as memory ends."""
        reach = self._footprint(image.shape[0]).reach
        fits = min(fits, image.shape[1] * image.shape[2])
        side = tile or math.isqrt(fits)
        while True:
            cut = cut_for(reach, max(side, self.least), self.stride)
            try:
                statistics, at = self._measured(image, max(fits, cut.side**2))
                with held(self.network, statistics) if statistics else nullcontext():
                    made, seam = self._put_together(image, cut)
                count = math.prod(len(spans(side, cut)) for side in self._padded(image).shape[1:])
                return made, Way(cut, count, reach, at, seam)
            except (MemoryError, RuntimeError) as error:
                if not ran_out_of_memory(error):
                    raise
            if side <= self.least and fits < self.least**2:
                raise PipelineError(
                    f"tile: memory of {self.device} ends even with tiles of {cut.side} px, the "
                    "smallest of this network; close other programs"
                )
            side, fits = side // 2, fits // 4

    def _put_together(self, image: Tensor, cut: Cut) -> tuple[Tensor, float]:
        """The picture (C, H, W) uint8 in tiles, and how far they differ where they meet."""
        height, width = image.shape[1:]
        whole = self._padded(image)
        made: Tensor | None = None
        seam = 0.0
        for top, strip, differ in strips(self.run, whole, cut):
            if made is None:
                made = torch.zeros(strip.shape[0], *whole.shape[1:], dtype=torch.uint8)
            made[:, top : top + strip.shape[1]] = to_uint8(strip)
            seam = max(seam, differ * 127.5)
        assert made is not None
        return made[:, :height, :width].contiguous(), seam

    def _padded(self, image: Tensor) -> Tensor:
        return padded(image[None], self.stride, self.smallest)[0]

    # -- what fits ---------------------------------------------------------------------------------

    def _looked(self, channels: int) -> Footprint:
        side = -(-max(_PROBE, self.smallest) // self.stride) * self.stride
        probe = torch.zeros(1, channels, side, side)
        return footprint(self.network, self.run, probe)

    def _fits(self, image: Tensor) -> int:
        """Pixels of a picture that can go through whole."""
        free = free_memory(self.device) if self._free is None else self._free
        if free is None:
            return _UNKNOWN
        share = _SHARE if self._free is None else 1.0
        each = self._footprint(image.shape[0]).bytes_per_pixel * _WORK
        return int(free * share / max(each, 1.0))

    def _measured(self, image: Tensor, fits: int) -> tuple[Statistics, tuple[int, int] | None]:
        """Statistics of the norms for the picture, and the (H, W) that it was looked at."""
        small = _resized(image, self._measured_at or _reduced(image, fits))
        with recording(self.network) as statistics:
            self.run(to_float(small[None]))
        return statistics, (small.shape[1], small.shape[2]) if statistics else None


def _reduced(image: Tensor, pixels: int) -> tuple[int, int]:
    """(H, W) of a picture (C, H, W) made small enough to have at most so many pixels."""
    height, width = image.shape[1:]
    if height * width <= pixels:
        return height, width
    share = math.sqrt(pixels / (height * width))
    return max(1, int(height * share)), max(1, int(width * share))


def _resized(image: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture (C, H, W) uint8 at a size (h, w)."""
    if image.shape[1:] == size:
        return image
    small = to_pil(image).resize(size[::-1], Pillow.Resampling.LANCZOS, reducing_gap=3.0)
    return stack([small])[0]


def _sides(network: nn.Module) -> tuple[int, int]:
    """What the sides of a picture are multiples of, and the smallest, in px."""
    parts: list[Any] = [part for part in network.modules() if hasattr(part, "smallest")]
    stride = math.lcm(*(int(part.stride) for part in parts))
    return stride, max([stride, *(int(part.smallest) for part in parts)])
