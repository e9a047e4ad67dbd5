"""Rows of what lies at a path: one set of rules for training, evaluation, checks and reports."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from genkit.errors import DataError, shown
from genkit.images import from_numpy
from genkit.rows.archives import list_shards
from genkit.rows.base import MemoryRows, Rows, check_classes, hash_pictures, image_rows
from genkit.rows.columns import Column, File, Raw, Text
from genkit.rows.entries import DAMAGE, refuse_escape
from genkit.rows.folders import LABEL, from_here, has_pictures, list_folder, list_zip
from genkit.rows.left_out import NONE, LeftOut
from genkit.rows.listing import Caption, Listed, Listing, read_foils
from genkit.rows.pictures import FileRows
from genkit.rows.shard_names import find_shards, is_shard

NOTHING: Mapping[str, tuple[Column, Raw]] = {}
log = logging.getLogger("genkit")

_TEXTS: dict[str, Column] = {"caption": Text(), "file": File()}  # as `genkit sample` writes them


def open_path(path: Path | str, split: str | None = None, label: str | None = LABEL) -> Rows:
    """The pictures of a folder or file, of any size, read when they are asked for.

    A folder holds pictures, class sub-folders, metadata.jsonl, the parts train/ and test/, or
    shards; a file is a .tar, .tar.gz, .zip or .npz, and a pattern names several shards. Columns are
    `image`, `file` (of an .npz where it has one), and `label` and `caption` where they are known.

    Args:
        path: The folder, file or pattern such as data/train-*.tar.
        split: Only this part of the set; None = all parts, one after the other.
        label: The column of metadata.jsonl that holds the class; None = metadata.jsonl is not
            looked at.

    Raises:
        DataError: There are no pictures, no such part, or something there is wrong or not safe.
    """
    path = Path(path)
    if path.suffix == ".npz" and os.path.isfile(path):
        if split not in (None, "train"):
            raise DataError(f"{shown(path)}: it has no {split} part; name another reference")
        return _from_npz(path)
    listing = list_path(path, split, label)
    where = shown(path)
    listed, left_out = listing.part(split, where), listing.without(split, where)
    listing.say(path.name)
    return rows_of(path.name, listing, listed, where, left_out)


def list_path(path: Path, split: str | None = None, label: str | None = LABEL) -> Listing:
    """What a folder, archive or pattern lists, by part; see `open_path`.

    Raises:
        DataError: There are no pictures, or something there is wrong or not safe.
    """
    if os.path.isdir(path):
        return list_shards(path, split) if _holds_shards(path) else list_folder(path, label)
    if path.suffix == ".zip" and os.path.isfile(path):
        return list_zip(path, label)
    if is_shard(path):
        return list_shards(path, split)
    if not os.path.exists(path):
        raise DataError(f"{shown(path)}: no such file or folder of images{from_here(path)}")
    raise DataError(
        f"{shown(path)}: expected a folder of images, an .npz, .zip or .tar file, or NAME-*.tar"
    )


def rows_of(
    name: str,
    listing: Listing,
    listed: list[Listed],
    where: str,
    left_out: LeftOut = NONE,
    beside: Mapping[str, tuple[Column, Raw]] = NOTHING,
) -> FileRows:
    """Rows of pictures that a listing has.

    Args:
        name: What messages and reports call them.
        listing: Says what the classes are.
        listed: Those of its pictures that are wanted.
        where: What messages name.
        left_out: What lies beside them and is not read.
        beside: Further columns, each with its values of all pictures.

    Raises:
        DataError: Some pictures have no class, or one that the train part doesn't know.
    """
    columns = {key: column for key, (column, _) in beside.items()}
    values = {key: raw for key, (_, raw) in beside.items()}
    labels, classes = listing.classes(listed, where)
    if labels is not None and classes is not None:
        check_classes(where, labels, classes)
        columns["label"], values["label"] = classes, labels
    if _all_have_captions(listed, where):
        columns["caption"], values["caption"] = Text(), [one.caption for one in listed]
        foils = [read_foils(one) for one in listed]
        if any(foils):
            pairs = zip(listed, foils, strict=True)
            columns["foil"], values["foil"] = (
                Text(of="caption"),
                [foil or _none(one) for one, foil in pairs],
            )
    entries = [one.entry for one in listed]
    return FileRows(name, entries, columns, values, left_out=left_out)


def _none(one: Listed) -> Caption:
    """No foil for any caption of a picture."""
    return [""] * len(one.caption) if isinstance(one.caption, list) else ""


def _all_have_captions(listed: Sequence[Listed], where: str) -> bool:
    """Whether these pictures have captions; said where some of them have none."""
    without = [one.entry.where for one in listed if one.caption is None]
    if 0 < len(without) < len(listed):
        log.warning(
            "%s: %d of %d images have no caption, the first is %s; captions are left out, since "
            "all must have one",
            *(where, len(without), len(listed), without[0]),
        )
    return bool(listed) and not without


def _holds_shards(folder: Path) -> bool:
    shards = any(is_shard(path) for path in folder.iterdir())
    if shards and has_pictures(folder):
        first = shown(find_shards(folder)[0].name)
        raise DataError(
            f"{shown(folder)}: shards such as {first} lie beside pictures; name the shards as "
            f"{shown(folder / '*.tar')}, or move one of the two elsewhere"
        )
    return shards


# -- npz -------------------------------------------------------------------------------------------


def open_arrays(path: Path, wanted: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """The wanted arrays of an .npz file, the others empty; none that is pickled is read.

    Raises:
        DataError: The file is damaged, or not safe to read.
    """
    try:
        # numpy leaves a file open that it can't read, and warns of sizes that no array can have.
        with (
            path.open("rb") as file,
            np.load(file, allow_pickle=False) as archive,
            np.errstate(all="ignore"),
        ):
            for name in archive.files:
                refuse_escape(name, shown(path))
            return {n: archive[n] if n in wanted else np.empty(0) for n in archive.files}
    except DAMAGE as error:
        why = shown(error)
        raise DataError(f"{shown(path)}: not a readable .npz of plain arrays ({why})") from None


def _from_npz(path: Path) -> MemoryRows:
    arrays = open_arrays(path, ("images", "labels", *_TEXTS))
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None:
        there = shown(sorted(arrays))
        raise DataError(f"{shown(path)}: expected an array `images`, found {there}")
    if images.ndim == 3:
        images = images[..., None]  # (N, H, W) -> (N, H, W, 1)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3):
        raise DataError(
            f"{shown(path)}: images are {images.dtype} {images.shape}, "
            "expected uint8 (N, H, W, C) with C = 1 or 3"
        )
    if labels is not None and (labels.ndim != 1 or labels.dtype.kind not in "iu"):
        found = f"{labels.dtype} {labels.shape}"
        raise DataError(f"{shown(path)}: labels are {found}, expected (N,) int")
    known = None if labels is None else torch.from_numpy(labels.astype(np.int64))
    rows = image_rows(path.name, from_numpy(images), known, fingerprint=hash_pictures)
    for name, column in _TEXTS.items():
        texts = arrays.get(name)
        if texts is None:
            continue
        if texts.shape != (len(rows),) or texts.dtype.kind != "U":
            found = f"{texts.dtype} {texts.shape}"
            raise DataError(f"{shown(path)}: {name} is {found}, expected (N,) of text")
        rows.columns[name], rows.values[name] = column, texts.tolist()
    return rows
