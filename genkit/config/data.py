"""The settings of each kind of data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from genkit.config.sections import NonNegative, Positive, Section


class DataSection(Section):
    """What every reader has: how images arrive, whatever their files look like."""

    image_size: Annotated[int, Field(ge=8, le=1024)] = 32  # px, square
    channels: Literal[1, 3] = 3  # 3 = colour, 1 = grey
    batch_size: Positive = 64  # per process and micro-batch
    limit: Positive | None = None  # use only the first so many training images; None = all
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how another shape becomes a square
    flip: bool = False  # mirror left-right at random
    shift: NonNegative = 0  # random crop after padding by so many px
    memory: Literal["auto", "always", "never"] = "auto"  # hold the set as uint8; auto = below 2 GB
    workers: NonNegative = 0  # processes that decode, when the set streams
    on_error: Literal["raise", "skip"] = "raise"  # a broken file: stop, or count and leave it out


class SyntheticData(DataSection):
    """Images drawn by our own code from (seed, index), cached in the user's cache folder."""

    kind: Literal["synthetic"] = "synthetic"
    name: Literal["glyphs"] = "glyphs"
    characters: Annotated[str, Field(min_length=1)] = "0123456789"  # one class each
    train_count: Positive = 10_000
    test_count: Positive = 2_000
    seed: int = 0
    channels: Literal[1, 3] = 1

    @model_validator(mode="after")
    def _characters_differ(self) -> SyntheticData:
        if len(set(self.characters)) != len(self.characters):
            raise ValueError(f"characters must all differ, got {self.characters!r}")
        return self


class StackedData(DataSection):
    """Three digits in the red, green and blue channel: 1,000 classes, called modes."""

    kind: Literal["stacked"]
    digits: Literal["glyphs", "mnist"] = "glyphs"  # what the three are drawn from
    root: Path | None = None  # mnist: folder with the files; None = user cache
    train_count: Positive = 50_000
    test_count: Positive = 26_000  # as many as modes are usually counted in
    seed: int = 0
    channels: Literal[3] = 3


class MnistData(DataSection):
    """The four IDX files, gzipped or not, from `root` or downloaded once to the user's cache."""

    kind: Literal["mnist"]
    root: Path | None = None  # folder with the files, may be read-only; None = user cache
    channels: Literal[1, 3] = 1


class Cifar10Data(DataSection):
    """CIFAR-10: the published binary archive or its .bin files, or shards cifar10-train-*.tar."""

    kind: Literal["cifar10"]
    root: Path | None = None  # None = user cache, downloaded once


class FolderData(DataSection):
    """A folder of images: plain, one sub-folder per class, or with `metadata.jsonl`."""

    kind: Literal["folder"]
    root: Path
    label: str | None = None  # metadata.jsonl: the column that holds the class


class ShardsData(DataSection):
    """Local WebDataset shards, .tar or .tar.gz: KEY.png|jpg with KEY.cls or KEY.json beside it."""

    kind: Literal["shards"]
    root: Path  # a folder, one file, or a pattern such as data/train-*.tar


class CustomData(DataSection):
    """One's own torch `Dataset`, handed over in Python: `genkit.train(config, dataset=...)`."""

    kind: Literal["custom"]


DataConfig = Annotated[
    SyntheticData | StackedData | MnistData | Cifar10Data | FolderData | ShardsData | CustomData,
    Field(discriminator="kind"),
]
