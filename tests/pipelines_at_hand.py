"""Pipelines without networks, one for each kind of thing that a pipeline can take or give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from genkit import random
from genkit.pipelines import Pipeline
from genkit.rows.columns import Class, Columns, Flags, Image, Latent, Points, Text

FLAGS = ("bald", "old")


class Plain(Pipeline):
    """A pipeline of nothing but its own lines."""

    def __init__(self) -> None:
        super().__init__()
        self.register_to_config()


class Painter(Plain):
    """Texts, and perhaps flags, to pictures of 4 x 6 px: their brightness is the text's length."""

    takes: ClassVar[Any] = ({"caption": Text(), "attributes": Flags(FLAGS, optional=True)},)
    gives: ClassVar[Columns] = {"image": Image((4, 6), 3)}

    def begin(
        self, indices: Sequence[int], seed: int, given: Mapping[str, Any], options: Any
    ) -> Tensor:
        return random.rows(seed, "latent", indices, (3, 4, 6)) / 100

    def generate(self, begun: Tensor, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        length = torch.tensor([len(text) for text in given["caption"]]) / 10 - 1
        flags = given.get("attributes", torch.zeros(len(begun), 2))
        return {"image": begun + (length + flags.sum(1) / 10)[:, None, None, None]}


class Inverter(Plain):
    """Pictures of any size to their negatives."""

    takes: ClassVar[Any] = ({"source": Image()},)
    gives: ClassVar[Columns] = {"image": Image()}

    def generate(self, begun: None, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        return {"image": -given["source"]}


class Reader(Plain):
    """Pictures of 4 x 4 px to what they are: a class, and their mean of each channel."""

    takes: ClassVar[Any] = ({"image": Image((4, 4), 3)},)
    gives: ClassVar[Columns] = {"label": Class(2), "embedding": Latent((3,))}

    def generate(self, begun: None, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        mean = given["image"].mean((2, 3))
        return {"label": (mean.mean(1) > 0).long(), "embedding": mean}


class Tagger(Plain):
    """Pictures of 4 x 4 px, each with flags: whether its number is odd, and whether it is large."""

    takes: ClassVar[Any] = ({},)
    gives: ClassVar[Columns] = {"image": Image((4, 4), 1), "attributes": Flags(("odd", "large"))}

    def begin(
        self, indices: Sequence[int], seed: int, given: Mapping[str, Any], options: Any
    ) -> Tensor:
        return torch.tensor(indices)

    def generate(self, begun: Tensor, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        image = (begun / 100)[:, None, None, None].expand(-1, 1, 4, 4)
        return {"image": image, "attributes": torch.stack([begun % 2, begun // 4], 1).clamp(0, 1)}


class Pointer(Plain):
    """Pictures with a point in each, which no file of samples holds."""

    takes: ClassVar[Any] = ({},)
    gives: ClassVar[Columns] = {"image": Image((4, 4), 1), "landmarks": Points()}

    def generate(self, begun: None, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        return {"image": torch.zeros(1, 1, 4, 4), "landmarks": torch.zeros(1, 1, 2)}
