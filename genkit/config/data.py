"""What the settings of every data set have in common, and where those of each kind are found.

A kind of data set is one file of `genkit/data/readers/`, or what another installed package offers
through the entry point group `genkit.readers` (`faces = "mypackage.faces"`). The module holds the
settings and the code that opens the files: `READER = FacesData`, a subclass of `DataSection`.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Discriminator, Field, SerializeAsAny, Tag, model_validator
from typing_extensions import Self

from genkit.config import offered
from genkit.config.checking import nearest
from genkit.config.sections import MayChange, NonNegative, Positive, Section
from genkit.errors import shown

if TYPE_CHECKING:
    from genkit.rows.base import Rows

GROUP = offered.READERS
FOLDER = "genkit.data.readers"  # named, not imported: a reader is imported when it is asked for
OTHER_NAMES = {"synthetic": "glyphs"}  # of kinds, as they were written once

Px = Annotated[int, Field(ge=8, le=1024)]
Drawn = Annotated[int, Field(ge=1, le=10_000_000)]  # images of a set that is made up in memory
Workers = Annotated[int, Field(ge=0, le=1_024)]
ImageSize = Annotated[
    Annotated[Px, Tag("side")] | Annotated[tuple[Px, Px], Tag("sides")],
    Discriminator(lambda value: "sides" if isinstance(value, list | tuple) else "side"),
]


class DataSection(Section):
    """What every reader has: how images arrive, whatever their files look like."""

    kind: str
    image_size: ImageSize = 32  # px: one number for squares, or [height, width]
    channels: Literal[1, 3] = 3  # 3 = colour, 1 = grey
    batch_size: MayChange[Positive] = 64  # per process and micro-batch
    limit: Positive | None = None  # use only the first so many training images; null = all
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how another shape gets to this size
    flip: bool = False  # mirror left-right at random
    shift: NonNegative = 0  # random crop after padding by so many px
    memory: MayChange[Literal["auto", "always", "never"]] = "auto"  # as uint8; auto = below 2 GB
    workers: MayChange[Workers] = 0  # processes that decode, when the set streams
    on_error: MayChange[Literal["raise", "skip"]] = "raise"  # a broken file: stop, or leave it out

    @abstractmethod
    def open(self, split: str) -> Rows:
        """The rows of one part, every picture as configured; `limit` shortens the train part only.

        Raises:
            DataError: There is no such part, or the files are missing or broken.
        """

    @property
    def splits(self) -> tuple[str, ...]:
        """The parts that `open` knows beside what it is trained on: some have parts that only
        evaluators open, such as edits or translations whose right answer is known.
        """
        return ("train", "test")

    @classmethod
    def named(cls, words: Sequence[str]) -> dict[str, Any]:
        """The settings that further words of a reference name: "stacked:mnist:test" has one.

        Raises:
            ValueError: This kind takes no such words.
        """
        if words:
            raise ValueError(f"{words[0]!r} says nothing to it")
        return {}

    @property
    def sides(self) -> tuple[str, str]:
        """What the two kinds of pictures of a set without pairs are called."""
        return "a", "b"

    @property
    def size(self) -> tuple[int, int]:
        """(H, W) of every picture in px."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else size

    @property
    def side(self) -> int:
        """The side of square pictures in px.

        Raises:
            ValueError: They are not square.
        """
        height, width = self.size
        if height != width:
            raise ValueError(f"data.image_size=[{height}, {width}]: this needs square pictures")
        return height


class LoadedLarger(DataSection):
    """A reader whose training pictures may be loaded larger than they are used."""

    load_size: ImageSize | None = None  # px: of which each batch has other parts of image_size

    @model_validator(mode="after")
    def _loaded_no_smaller(self) -> LoadedLarger:
        if any(a < b for a, b in zip(self.loaded_size, self.size, strict=True)):
            raise ValueError(
                f"load_size={self.load_size} is smaller than image_size={self.image_size}, a part "
                "of it; leave it out, or give a larger one"
            )
        return self

    @property
    def loaded_size(self) -> tuple[int, int]:
        """(H, W) of every training picture in px before a part is cut."""
        size = self.image_size if self.load_size is None else self.load_size
        return (size, size) if isinstance(size, int) else size

    def loading(self, split: str) -> Self:
        """These settings with the size that pictures of a part are loaded at: that of test pictures
        is the one that they are used at."""
        larger = split == "train" and self.load_size is not None
        return self.model_copy(update={"image_size": self.loaded_size}) if larger else self


class Buckets(Section):
    """Pictures keep nearly their own shapes: each goes to the bucket that is nearest to it."""

    step: Annotated[int, Field(ge=8, le=1024, multiple_of=8)] = 64  # px that sides are multiples of
    ratio: Annotated[float, Field(ge=1, le=16)] = 4.0  # of the long side to the short, at most

    def shapes(self, side: int) -> list[tuple[int, int]]:
        """(H, W) of every bucket in px, the square first.

        For each short side the longest long side with which the area stays within that of the
        square, after the training of SDXL on several shapes (Podell et al. 2023, arXiv:2307.01952,
        section 2.3), whose list has more.

        Args:
            side: Of the square in px, a multiple of the step.
        """
        found = [(side, side)]
        for short in range(side - self.step, 0, -self.step):
            long = side * side // short // self.step * self.step
            if long <= self.ratio * short:
                found += [(short, long), (long, short)]
        return found


class InBuckets(DataSection):
    """A reader whose pictures may keep nearly their own shapes."""

    buckets: Buckets | None = None  # of shapes, of image_size^2 px at most; null = all are squares

    @model_validator(mode="after")
    def _buckets_fit(self) -> InBuckets:
        if self.buckets is None:
            return self
        side, step = self.image_size, self.buckets.step
        if not isinstance(side, int) or side % step:
            raise ValueError(
                f"image_size={side} says how many pixels a bucket has; give one number that is a "
                f"multiple of data.buckets.step, {step}"
            )
        if self.fit != "crop":
            raise ValueError(
                f"fit={self.fit} says nothing to buckets, to which pictures are cropped; leave it "
                "out"
            )
        if self.memory == "always":
            raise ValueError(
                "memory=always says nothing to buckets, whose pictures are read when they are "
                "needed; leave it out"
            )
        return self


def buckets_of(data: DataSection) -> Buckets | None:
    """The buckets that a set's pictures are sorted into; None = they have one shape."""
    return data.buckets if isinstance(data, InBuckets) else None


def without_buckets(data: DataSection) -> DataSection:
    """The same settings with pictures that are all of one shape."""
    return data.model_copy(update={"buckets": None}) if isinstance(data, InBuckets) else data


class _EveryKind:
    """Has the JSON schema show the settings of every kind."""

    def __get_pydantic_json_schema__(self, core: Any, handler: Any) -> dict[str, Any]:
        sections = [reader(kind) for kind in kinds()]
        cores = [section.__pydantic_core_schema__ for section in sections]
        # Through the class, which adds what its comments say.
        every = [
            section.__get_pydantic_json_schema__(core, handler)
            for section, core in zip(sections, cores, strict=True)
        ]
        return {"oneOf": every}


AnyData = Annotated[SerializeAsAny[DataSection], _EveryKind()]  # the settings of any kind


def kinds() -> list[str]:
    """Every kind of data set that can be opened, sorted."""
    return sorted(_own() | offered.names(GROUP))


def reader(kind: str) -> type[DataSection]:
    """The settings of a kind of data set, which open it too.

    Raises:
        ValueError: There is no such kind; the nearest one is named.
    """
    kind = OTHER_NAMES.get(kind, kind)
    name = _module(kind)
    found = getattr(importlib.import_module(name), "READER", None)
    if not (isinstance(found, type) and issubclass(found, DataSection)):
        raise ValueError(f"kind {kind!r}: module {name} has no `READER`, a DataSection")
    return found


def of_kind(tree: Any, default: str) -> Any:
    """A plain tree as the settings of the kind that it names; anything else as it is.

    Args:
        tree: The `data` section.
        default: The kind of a tree that names none.

    Raises:
        ValueError: There is no such kind, or a setting is wrong.
    """
    if not isinstance(tree, Mapping):
        return tree
    section = reader_of(tree, default)
    values = {key: value for key, value in tree.items() if not _is_former(key, value, tree)}
    return section.model_validate({**values, "kind": section.model_fields["kind"].default})


def reader_of(tree: Mapping[str, Any], default: str) -> type[DataSection]:
    """The settings' class of a `data` section.

    Raises:
        ValueError: It names no kind that there is.
    """
    return reader(str(tree.get("kind", default)))


def _is_former(key: str, value: Any, tree: Mapping[str, Any]) -> bool:
    # `kind: synthetic, name: glyphs` were two settings once.
    return key == "name" and tree.get("kind") == "synthetic" and value == "glyphs"


def _own() -> set[str]:
    own = find_spec(FOLDER)
    assert own is not None
    return {module.name for module in pkgutil.iter_modules(own.submodule_search_locations)}


def _module(kind: str) -> str:
    if kind in _own():
        offered.say_hidden(GROUP, kind, f"{FOLDER}.{kind}")
        return f"{FOLDER}.{kind}"
    if module := offered.module(GROUP, kind):
        return module
    raise ValueError(f"no kind {shown(repr(kind))}; {nearest(kind, kinds())}")
