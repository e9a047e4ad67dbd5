"""Real images to measure against: those of a run itself, named ones, or what a path holds."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from genkit import random
from genkit.config.data import buckets_of, without_buckets
from genkit.data import open_data, open_reference
from genkit.data.readers.glyphs import GlyphsData
from genkit.errors import EvaluationError, shown
from genkit.rows.base import Rows
from genkit.rows.combine import UnpairedRows, picked, renamed, unpaired
from genkit.rows.shard_names import is_shard
from genkit.training.config import RunConfig
from genkit.verbs.partial import refuse_partial

if TYPE_CHECKING:
    from genkit.evaluation import ReferenceStatistics

SPLITS = ("train", "test")

log = logging.getLogger("genkit")


def real_images(run: Path | RunConfig, split: str = "test", root: Path | None = None) -> Rows:
    """A part of the data that a run was trained on, each picture as the run has it.

    Args:
        run: A run folder, or the config of a run.
        split: "test", what it was not trained on, or "train".
        root: Where the data lies, if not where the config says.

    Raises:
        EvaluationError: The folder is no run, or its data was handed over in Python.
        DataError: There is no such part.
    """
    data = run.data if isinstance(run, RunConfig) else _config(run).data
    if data.kind == "custom":
        raise EvaluationError(
            f"{_name(run)}: its data was handed over in Python; name a set: --reference SET"
        )
    if root is not None and "root" in type(data).model_fields:
        data = data.model_copy(update={"root": root})
    if buckets_of(data) is not None:
        text = "%s: real pictures are cropped to squares of %d px, as the model makes them"
        log.info(text, _name(run), data.side)
    return open_data(without_buckets(data), split)


def further_parts(
    run: Path | RunConfig, wanted: Collection[str], root: Path | None = None
) -> dict[str, Rows]:
    """Parts of a run's data beside "train" and "test", by their names.

    Args:
        run: A run folder, or the config of a run.
        wanted: Names of parts; those that the data has not are left out.
        root: Where the data lies, if not where the config says.
    """
    config = run if isinstance(run, RunConfig) else _config(run)
    there = [name for name in config.data.splits if name in wanted]
    return {name: real_images(config, name, root) for name in there}


def is_run(path: Path) -> bool:
    """Whether a folder is one that `genkit train` wrote."""
    return (path / "config.yaml").is_file()


def is_place(path: Path) -> bool:
    """Whether a name is that of files: of some that are there, or of shards, be it a pattern."""
    return path.exists() or is_shard(path)


def named_set(
    name: str, channels: int, size: tuple[int, int], root: Path | None = None
) -> Rows | ReferenceStatistics:
    """A named set at the size of the samples, or what a path holds.

    Args:
        name: "mnist:test" and the like; a folder or file of images or statistics; a run folder for
            its own test images; both may end in ":train" or ":test".
        channels: Of the samples.
        size: (H, W) of the samples in px.
        root: Where the files of named sets lie.

    Raises:
        DataError: There is no such set.
        EvaluationError: A run's data was handed over in Python.
    """
    from genkit.evaluation import read_reference

    if not name:
        raise EvaluationError("a set of images without a name; give a path, or one as mnist:test")
    path, split = path_and_split(name)
    if is_run(path):
        return real_images(path, split or "test", root)
    if is_place(path):
        refuse_partial(path)
        return read_reference(path, split)
    if ":" not in name or os.sep in name:
        raise EvaluationError(
            f"{shown(name)}: no such file or folder of images, and no named set (those are called "
            "as mnist:test)"
        )
    height, width = size
    if height != width:
        text = "%s is square: opened at %d x %d px, while the samples are %d x %d px"
        log.warning(text, name, height, height, width, height)
    like = GlyphsData(image_size=height, channels=1 if channels == 1 else 3)
    return open_reference(name, root=root, like=like)


def some_of(reference: Rows | ReferenceStatistics, count: int) -> Rows:
    """So many of the reference images, drawn without replacement, the same each time; of two sides
    without pairs so many of each.
    """
    if isinstance(reference, UnpairedRows):
        a, b = (
            some_of(_plain(*side), count) for side in ((reference.a, "_a"), (reference.b, "_b"))
        )
        return unpaired(a, b, f"{reference.name} ({count})")
    if not isinstance(reference, Rows) or not 1 <= count <= len(reference):
        have = f"{len(reference)} images" if isinstance(reference, Rows) else "statistics only"
        raise EvaluationError(f"--reference-count {count}: {reference.name} has {have}")
    chosen = random.permutation(0, 0, len(reference))[:count].sort().values
    return picked(reference, chosen)


def _plain(side: Rows, end: str) -> Rows:
    """A side of unpaired rows with its columns as they were called before."""
    return renamed(side, {name: name.removesuffix(end) for name in side.columns})


def path_and_split(name: str) -> tuple[Path, str | None]:
    """The path in the name of a set, and the part that is meant; None = all of it."""
    front, _, end = name.rpartition(":")
    if end in SPLITS and front and is_place(Path(front)):
        return Path(front), end
    return Path(name), None


def _config(run: Path) -> RunConfig:
    from genkit.run_folder import open_run

    if not is_run(run):
        raise EvaluationError(f"{run}: an export says nothing of its data; give --reference")
    return open_run(run)[0]


def _name(run: Path | RunConfig) -> str:
    return run.family if isinstance(run, RunConfig) else str(run)
