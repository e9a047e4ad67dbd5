"""Which archives a path names, and which part of a set each of them is, by their names."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

from genkit.errors import DataError, shown
from genkit.rows.folders import SPLITS, from_here
from genkit.rows.left_out import NONE, LeftOut

SUFFIXES = (".tar", ".tar.gz", ".tgz")
_LONGEST_FIRST = "|".join(sorted(SPLITS, key=len, reverse=True))  # "validation" is not "val"
# A split is a word of the name: "latest" is no test part, "training-0" is of the train part.
_WORD = re.compile(rf"(?<![a-z])({_LONGEST_FIRST})(?:ing|set|data)?(?![a-z])", re.IGNORECASE)
_INSIDE = re.compile(f"({_LONGEST_FIRST})")
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST = 1_000_000  # shards that one pattern may name


def is_shard(path: Path) -> bool:
    """Whether a name is an archive's, or a pattern of such names."""
    return path.name.endswith(SUFFIXES)


def find_shards(root: Path) -> list[Path]:
    """The archives in a folder, or that one file, or those that fit a pattern; sorted.

    Raises:
        DataError: There are none, or one of a range is missing.
    """
    root = root.expanduser()
    if os.path.isdir(root):
        found = [path for path in root.iterdir() if is_shard(path)]
    else:
        found = [root] if os.path.isfile(root) else _matching(root)
    if not found:
        raise DataError(
            f"{shown(root)}: no shards{from_here(root)}; expected a folder with "
            f"{', '.join(SUFFIXES)}, one such file, or a pattern such as data/train-*.tar"
        )
    return sorted(found)


def _matching(pattern: Path) -> list[Path]:
    """The files that fit a pattern: * ? [ ] as a shell has them, or {000..012}."""
    folder = str(pattern.parent)
    # A folder of this name is that folder, whatever signs are in it.
    folder = glob.escape(folder) if os.path.isdir(folder) else folder
    if not _RANGE.search(pattern.name):
        return [Path(p) for p in glob.glob(os.path.join(folder, pattern.name)) if os.path.isfile(p)]
    paths = [pattern.with_name(name) for name in _spelled(pattern.name)]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise DataError(
            f"{shown(pattern)}: {len(missing)} of {len(paths)} shards are missing, the first is "
            f"{shown(missing[0].name)}; put it there, or name a range that is there"
        )
    return paths


def _spelled(name: str) -> list[str]:
    """Every name that a range such as {000..012} stands for."""
    found = _RANGE.search(name)
    if found is None:
        return [name]
    low, high = int(found[1]), int(found[2])
    before, after = name[: found.start()], _spelled(name[found.end() :])
    count = (high - low + 1) * len(after)
    if not 0 < count <= _MOST:
        raise DataError(
            f"{shown(name)}: names {count:,} shards; write the lower number first, and "
            f"no more than {_MOST:,}"
        )
    numbers = [f"{number:0{len(found[1])}d}" for number in range(low, high + 1)]
    return [f"{before}{number}{rest}" for number in numbers for rest in after]


def parts_of(shards: Sequence[Path]) -> tuple[dict[str, list[Path]], LeftOut]:
    """Shards (sorted) by split, "" = the set is not divided; and those that are of no part.

    Those whose names say no split are the train part of a set whose other shards say one; beside
    shards of a train part they are of none.
    """
    parts = _by(shards, _WORD)
    if parts.keys() == {""}:
        inside = _by(shards, _INSIDE)  # "mytrain0", where there is "mytest0" as well
        parts = inside if "train" in inside and len(inside) > 1 and "" not in inside else parts
    unnamed = parts.pop("", [])
    if not parts:
        return {"": unnamed}, NONE
    if "train" in parts:
        return parts, LeftOut.of("shard of no part", [path.name for path in unnamed])
    return parts | ({"train": unnamed} if unnamed else {}), NONE


def _by(shards: Sequence[Path], word: re.Pattern[str]) -> dict[str, list[Path]]:
    parts: dict[str, list[Path]] = {}
    for shard in shards:
        found = word.search(shard.name)
        parts.setdefault("" if found is None else found[1].lower(), []).append(shard)
    return parts
