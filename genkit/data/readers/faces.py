"""Faces drawn by our own code: attributes, landmarks, masks, edits and translations with their
right answers.

Face i of a part depends on (seed, part, i), never on how many are drawn. They are drawn once and
kept in the user's cache folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from pydantic import Field, model_validator

from genkit import random
from genkit.config import DataSection
from genkit.config.data import Drawn as Count
from genkit.config.data import ImageSize
from genkit.data.drawn_once import Arrays, drawing_bar, drawn_once
from genkit.data.fetch import check_split
from genkit.rows.base import MemoryRows, Rows
from genkit.rows.columns import Class, Column, Flags, Image, Mask, Points, Raw
from genkit.rows.combine import renamed, unpaired, zipped

VERSION = 3  # raise it when a change here changes a pixel: cached sets are then drawn anew
NAME_OF_B = "b"  # the part of a second style is another one, so that no face is in both

StyleName = Literal["soft", "ink", "poster"]
Side = Annotated[int, Field(ge=32, le=128)]


class FacesData(DataSection):
    """Faces drawn by our own code, with 13 attributes and 68 landmarks, or in two styles."""

    kind: Literal["faces"] = "faces"
    image_size: ImageSize = 64  # px, 32 to 128
    train_count: Count = 12_000
    test_count: Count = 2_000
    seed: int = 0
    style: StyleName = "soft"
    other_style: StyleName | None = None  # a second, unpaired domain: image_a and image_b
    pairs: bool = False  # with other_style: each face in both styles, as source and target
    masks: bool = False  # give face_mask and hair_mask too
    edits: Annotated[int, Field(ge=1)] = 40  # counterfactuals of each attribute, on and off
    channels: Literal[3] = 3

    @model_validator(mode="after")
    def _can_be_drawn(self) -> FacesData:
        if not 32 <= self.side <= 128:
            raise ValueError(f"image_size={self.side}: faces are drawn with 32 to 128 px")
        if self.other_style == self.style:
            raise ValueError(f"other_style={self.style}: style is the same; name another one")
        if self.other_style and self.masks:
            raise ValueError("masks=true: two styles give pictures only; leave out one of both")
        if self.pairs and not self.other_style:
            raise ValueError("pairs=true: a pair is one face in two styles; name other_style")
        return self

    @property
    def splits(self) -> tuple[str, ...]:
        """Train, test, and what evaluators open: edits, or counterparts in both styles."""
        return ("train", "test", "truth" if self.other_style else "counterfactual")

    @property
    def sides(self) -> tuple[str, str]:
        """The two styles."""
        return self.style, self.other_style or NAME_OF_B

    @classmethod
    def named(cls, words: Sequence[str]) -> dict[str, Any]:
        """The style that a reference such as "faces:ink:test" names."""
        if len(words) > 1 or not {*words} <= {"soft", "ink", "poster"}:
            raise ValueError(f"{':'.join(words)!r} is no style; there are soft, ink and poster")
        return {"style": words[0], "other_style": None} if words else {}

    def open(self, split: str) -> Rows:
        """One part, drawn once and then read from the user's cache folder."""
        check_split("faces", split, self.splits)
        if split == "counterfactual":
            return _edits(self)
        if split == "truth":
            a, b = self._in_both("test", self.test_count)
            return zipped(
                renamed(a, {"image": "image_a"}, "a"),
                renamed(b, {"image": "image_b"}, "b"),
                "faces:truth",
            )
        count = self.train_count if split == "train" else self.test_count
        if split == "train" and self.limit is not None:
            count = min(count, self.limit)
        if self.other_style is None:
            return self._with_truth(split, count)
        if self.pairs:
            source, target = self._in_both(split, count)
            return zipped(
                renamed(source, {"image": "source"}),
                renamed(target, {"image": "target"}),
                f"faces:{self.style}+{self.other_style}:{split}",
            )
        parts = ((split, self.style), (f"{split}-{NAME_OF_B}", self.other_style))
        a, b = (
            _pictures(self, _stored(self, part, count, (style,)), style, f"faces:{style}:{split}")
            for part, style in parts
        )
        return unpaired(a, b, f"faces:{self.style}|{self.other_style}:{split}")

    def _in_both(self, part: str, count: int) -> tuple[Rows, Rows]:
        """The same faces in each of the two styles."""
        assert self.other_style is not None
        both = (self.style, self.other_style)
        stored = _stored(self, part, count, both)
        a, b = (_pictures(self, stored, style, f"faces:{style}:{part}") for style in both)
        return a, b

    def _with_truth(self, split: str, count: int) -> MemoryRows:
        from genkit.data.faces import landmarks

        stored = _stored(self, split, count, (self.style,))
        size = self.size
        columns: dict[str, Column] = {
            "image": Image(size, 3),
            "attributes": attributes(),
            "landmarks": Points(landmarks.NAMES, size, landmarks.MIRRORED),
            "landmarks_visible": Flags(landmarks.NAMES, mirrored=landmarks.PAIRS),
        }
        names = {"image": f"image/{self.style}"} | {n: n for n in columns if n != "image"}
        if self.masks:
            columns |= {name: Mask(size) for name in ("face_mask", "hair_mask")}
            names |= {name: name for name in ("face_mask", "hair_mask")}
        values: dict[str, Raw] = {n: torch.from_numpy(stored[names[n]]) for n in columns}
        return MemoryRows(f"faces:{split}", columns, values)


READER = FacesData


def attributes() -> Flags:
    """The column of the 13 attributes."""
    from genkit.data.faces.attributes import EXCLUDES, NAMES

    return Flags(NAMES, excludes=EXCLUDES)


def _pictures(data: FacesData, stored: dict[str, Any], style: str, name: str) -> MemoryRows:
    values = {"image": torch.from_numpy(stored[f"image/{style}"])}
    return MemoryRows(name, {"image": Image(data.size, 3)}, values)


def _edits(data: FacesData) -> MemoryRows:
    """Test faces, each beside itself with one attribute switched."""
    from genkit.data.faces import attributes as known

    stored = _cached(data, "counterfactual", (data.style,), data.test_count, _draw_edits)
    size, flags, names = data.size, attributes(), ("off", "on")
    columns: dict[str, Column] = {
        "image": Image(size, 3),
        "attributes": flags,
        "target": Image(size, 3),
        "target_attributes": flags,
        "edited": Class(len(known.NAMES), known.NAMES),
        "to": Class(2, names),
        "truth": Class(2, ("one_of_several", "unique")),
    }
    values: dict[str, Raw] = {name: torch.from_numpy(stored[name]) for name in columns}
    return MemoryRows("faces:counterfactual", columns, values)


# -- drawn once ------------------------------------------------------------------------------------


def _stored(data: FacesData, part: str, count: int, styles: Sequence[StyleName]) -> Arrays:
    """The faces of one part as arrays by column; pictures as `image/STYLE`."""

    def make(data: FacesData) -> Arrays:
        return _draw(data, part, count, styles)

    return _cached(data, part, styles, count, make)


def _cached(
    data: FacesData,
    part: str,
    styles: Sequence[StyleName],
    count: int,
    make: Callable[[FacesData], Arrays],
) -> Arrays:
    """What lies in the cache folder, or is drawn now; of several processes one draws."""
    what = [VERSION, PIL.__version__, data.side, data.masks, *styles]
    if part == "counterfactual":
        what.append(data.edits)
    key = random.key(data.seed, "/".join(map(str, what)))
    return drawn_once("faces", f"{part}-{count}-{key:016x}", lambda: make(data))


def _draw(data: FacesData, part: str, count: int, styles: Sequence[StyleName]) -> Arrays:
    from genkit.data.faces import attributes, drawing, parameters

    faces = parameters.drawn(data.seed, part, range(count))
    with drawing_bar("faces", part, count) as tell:
        drawn = drawing.draw(faces, data.side, styles, masks=data.masks, tell=tell)
    return {
        **{f"image/{style}": drawn.pictures[style] for style in styles},
        "attributes": attributes.rows(faces),
        "landmarks": drawn.landmarks,
        "landmarks_visible": drawn.visible,
        **drawn.masks,
    }


def _draw_edits(data: FacesData) -> Arrays:
    from genkit.data.faces import attributes as known
    from genkit.data.faces import parameters

    faces = parameters.drawn(data.seed, "test", range(data.test_count))
    rows, found = known.rows(faces), []
    for name in known.NAMES:
        for to in (0, 1):
            places = np.flatnonzero(rows[:, known.NAMES.index(name)] != to)[: data.edits]
            if len(places):
                found.append((name, to, places, known.switched(faces.at(places), name, bool(to))))
    with drawing_bar(
        "faces", "counterfactual", 2 * sum(len(places) for _, _, places, _ in found)
    ) as tell:
        parts = [_edit(data, faces, *edit, tell) for edit in found]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _edit(
    data: FacesData,
    faces: Any,
    name: str,
    to: int,
    places: NDArray[np.int64],
    edited: Any,
    tell: Callable[[int], None],
) -> Arrays:
    from genkit.data.faces import attributes as known
    from genkit.data.faces import drawing

    before = faces.at(places)
    pictures = [
        drawing.draw(some, data.side, (data.style,), tell=tell).pictures[data.style]
        for some in (before, edited)
    ]
    count = len(places)
    return {
        "image": pictures[0],
        "attributes": known.rows(before),
        "target": pictures[1],
        "target_attributes": known.rows(edited),
        "edited": np.full(count, known.NAMES.index(name)),
        "to": np.full(count, to),
        "truth": known.unique(before, edited).astype(np.int64),
    }
