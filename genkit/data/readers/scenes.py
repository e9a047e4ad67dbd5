"""Captioned scenes drawn by our own code: one to three things, and words that say what is there.

Scene i of a part depends on (seed, part, i), never on how many are drawn. Pictures are drawn once
and kept in the user's cache folder; captions are made anew, which takes no time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
import PIL
import torch
from pydantic import Field, model_validator

from genkit import random
from genkit.config import DataSection
from genkit.config.data import Drawn as Count
from genkit.config.data import ImageSize
from genkit.data.drawn_once import Arrays, drawing_bar, drawn_once
from genkit.data.fetch import check_split
from genkit.rows.base import MemoryRows
from genkit.rows.columns import Column, Image, Raw, Text

VERSION = 1  # raise it when a change here changes a pixel: cached sets are then drawn anew

_CHUNK = 256  # scenes between two signs of life


class ScenesData(DataSection):
    """Scenes drawn by our own code, with captions and what they show."""

    kind: Literal["scenes"] = "scenes"
    image_size: ImageSize = 32  # px, 32 to 128
    train_count: Count = 40_000
    test_count: Count = 2_000
    seed: int = 0
    captions: Annotated[int, Field(ge=1, le=16)] = 5  # of each scene; the first tells everything
    foils: bool = False  # beside each caption one that is wrong by two words, for clip
    pairs: Literal["seen", "all", "unseen"] = "seen"  # of colour and shape; unseen: held-out ones
    channels: Literal[3] = 3

    @model_validator(mode="after")
    def _can_be_drawn(self) -> ScenesData:
        if not 32 <= self.side <= 128:
            raise ValueError(f"image_size={self.side}: scenes are drawn with 32 to 128 px")
        if self.flip:
            raise ValueError(
                "flip=true: a mirrored scene would have things left of what its caption says they "
                "are right of; leave it out"
            )
        return self

    @property
    def splits(self) -> tuple[str, ...]:
        """Train, test, and scenes of held-out pairs of colour and shape."""
        return ("train", "test", "unseen")

    @classmethod
    def named(cls, words: Sequence[str]) -> dict[str, Any]:
        """Which pairs a reference such as "scenes:all:test" names."""
        if len(words) > 1 or not {*words} <= {"seen", "all"}:
            raise ValueError(f"{':'.join(words)!r} says nothing to it; there are seen and all")
        return {"pairs": words[0]} if words else {}

    def open(self, split: str) -> MemoryRows:
        """One part: pictures and captions, and but for training what is shown, as JSON."""
        from genkit.data.scenes.captions import captions, foils
        from genkit.data.scenes.things import scene

        check_split("scenes", split, self.splits)
        count = self.train_count if split == "train" else self.test_count
        if split == "train" and self.limit is not None:
            count = min(count, self.limit)
        pairs = "unseen" if split == "unseen" else self.pairs
        scenes = [scene(self.seed, split, i, pairs) for i in range(count)]

        def draw() -> Arrays:
            from genkit.data.scenes.drawing import picture

            found = np.empty((count, 3, self.side, self.side), np.uint8)
            with drawing_bar("scenes", split, count) as tell:
                for i, each in enumerate(scenes):
                    found[i] = picture(each, self.side, self.seed, split, i)
                    if i % _CHUNK == _CHUNK - 1:
                        tell(_CHUNK)
            return {"image": found}

        what = "/".join(map(str, [VERSION, PIL.__version__, self.side, pairs]))
        stored = drawn_once("scenes", f"{split}-{count}-{random.key(self.seed, what):016x}", draw)
        said = [captions(each, self.seed, split, i, self.captions) for i, each in enumerate(scenes)]
        columns: dict[str, Column] = {"image": Image(self.size, 3), "caption": Text()}
        values: dict[str, Raw] = {"image": torch.from_numpy(stored["image"]), "caption": said}
        if self.foils:
            numbered = enumerate(zip(scenes, said, strict=True))
            columns["foil"] = Text(of="caption")
            values["foil"] = [foils(each, c, self.seed, split, i) for i, (each, c) in numbered]
        if split != "train":
            columns["scene"] = Text()
            values["scene"] = [json.dumps(each.to_tree()) for each in scenes]
        return MemoryRows(f"scenes:{split}", columns, values)


READER = ScenesData
