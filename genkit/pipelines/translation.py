"""Pictures of one kind to those of another, one way or both, at their own size.

Legend: B batch, C channels, H W height and width in px.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from genkit import random
from genkit.errors import PipelineError, shown
from genkit.pipelines.base import FORMAT_VERSION, Pipeline
from genkit.pipelines.card import Card, card_of
from genkit.pipelines.given import Takes
from genkit.rows.columns import Columns, Image

WAYS = {"image_a": "a_to_b", "image_b": "b_to_a"}  # the network that each column goes through


class TranslationPipeline(Pipeline):
    """A picture of any size in, its translation of the same size out.

        pipeline(image_a=picture)   # the one way
        pipeline(image_b=picture)   # the other, where there is a network for it

    A picture whose sides don't fit the network is padded by reflection on the right and below, and
    the result is cut back. Networks are in evaluation mode, so a picture is translated alike alone
    and in a batch.

    Args:
        a_to_b: A `Translator`: pictures (B, C, H, W) in [-1, 1] to others of their size; its
            `config` says `in_channels` and `out_channels`.
        b_to_a: The way back, or None.
        names: What the two kinds are called, for people: ("horse", "zebra").
        format_version: Of the export folder that this pipeline is saved as.
    """

    _optional_components = ["b_to_a"]  # noqa: RUF012

    def __init__(
        self,
        a_to_b: nn.Module,
        b_to_a: nn.Module | None = None,
        names: Sequence[str] = ("a", "b"),
        format_version: int = FORMAT_VERSION,
    ) -> None:
        super().__init__()
        if (
            not isinstance(names, list | tuple)
            or len(names) != 2
            or not all(isinstance(name, str) for name in names)
        ):
            raise PipelineError(f"names: expected two words, got {shown(names)}")
        self.register_modules(a_to_b=a_to_b, b_to_a=b_to_a)  # type: ignore[no-untyped-call]
        self.register_to_config(  # type: ignore[no-untyped-call]
            names=list(names), format_version=format_version
        )

    @property
    def names(self) -> tuple[str, str]:
        """What the two kinds of pictures are called."""
        a, b = self.config["names"]
        return a, b

    @property
    def takes(self) -> Takes:
        """A picture of the one kind or, where there is a way back, of the other."""
        return tuple(
            {column: Image(None, self.network(column).config["in_channels"])}
            for column in WAYS
            if self.network(column) is not None
        )

    @property
    def gives(self) -> Columns:
        """A picture of the size given."""
        networks = [self.network(column) for taken in self.takes for column in taken]
        channels = {network.config["out_channels"] for network in networks}
        return {"image": Image(None, channels.pop() if len(channels) == 1 else None)}

    def begin(
        self, indices: Sequence[int], seed: int, given: Mapping[str, Any], options: None
    ) -> Tensor | None:
        """Numbers (B,) int64 that key what a network draws at test time, such as dropout that goes
        on; None where it draws nothing."""
        (column,) = given
        if not getattr(self.network(column), "draws", False):
            return None
        return torch.tensor([random.key(seed, "translation", i) for i in indices])

    def generate(
        self, begun: Tensor | None, given: Mapping[str, Any], options: None
    ) -> dict[str, Tensor]:
        """The translated pictures (B, C, H, W) in [-1, 1]."""
        ((column, images),) = given.items()
        network = self.network(column)
        return {"image": through(network, images.to(network.dtype), begun)}

    def translated(self, images: Tensor, column: str = "image_a", seed: int = 0) -> Tensor:
        """What becomes of pictures (B, C, H, W) in [-1, 1], as a call makes it, for previews."""
        given = {column: images}
        with self.generating():
            return self.generate(self.begin(range(len(images)), seed, given, None), given, None)[
                "image"
            ]

    def describe(self, options: None, taken: Collection[str]) -> Mapping[str, Any]:
        """Which way the pictures went."""
        return {"network": next(WAYS[column] for column in WAYS if column in taken)}

    def card(self) -> Card:
        """An example call, and what becomes what."""
        (a, b), card = self.names, card_of(self.takes, self.gives)
        arrow = "→" if self.b_to_a is None else "↔"
        return replace(card, facts={"Translation": f"{a} {arrow} {b}", **card.facts})

    def network(self, column: str) -> Any:
        """The network that pictures of a column go through; None = that way is not gone."""
        return getattr(self, WAYS[column])


def through(network: Any, images: Tensor, drawn: Tensor | None = None) -> Tensor:
    """What a translator makes of pictures (B, C, H, W) of any size, at that size.

    Args:
        network: A `Translator`.
        images: In [-1, 1].
        drawn: (B,) int64 that keys what the network draws; None = it draws nothing.
    """
    height, width = images.shape[2:]
    keyed = {} if drawn is None else {"drawn": drawn}
    made: Tensor = network(padded(images, network.stride, network.smallest), **keyed)
    return made[..., :height, :width]


def padded(images: Tensor, stride: int, smallest: int) -> Tensor:
    """Pictures (B, C, H, W) mirrored at their right and lower edges as far as a network needs it:
    to multiples of `stride` and at least `smallest` px; as they are where they fit."""
    for dim in (2, 3):
        side = images.shape[dim]
        wanted = -(-max(side, smallest) // stride) * stride
        if wanted > side:
            images = images.index_select(dim, _mirrored(side, wanted).to(images.device))
    return images


def _mirrored(side: int, wanted: int) -> Tensor:
    """Places 0, 1, ... of a side, back at its end and again forth, `wanted` of them."""
    turn = max(1, 2 * (side - 1))
    place = torch.arange(wanted) % turn
    return torch.where(place < side, place, turn - place)
