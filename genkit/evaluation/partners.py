"""Which picture belongs to which: by the names of their files, never by luck of the order."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

import torch
from torch import Tensor

from genkit.errors import EvaluationError, shown
from genkit.rows.base import Rows

_IN_ARCHIVE = re.compile(r"\.(?:tar|tar\.gz|tgz)!|\.zip:")
_FEW = 3


def partners(images: Rows, originals: Rows) -> Tensor | None:
    """Where in `images` the picture of each original is, (N,), or None where names are not known.

    A name is the path within the set without its ending: `a/7.png` belongs to `a/7.jpg`.

    Raises:
        EvaluationError: A picture has no partner, or two of one set have one name.
    """
    if not all("file" in rows.columns for rows in (images, originals)):
        return None
    mine, theirs = names(images), names(originals)
    alone = [[n for n in one if n not in other] for one, other in
             ((mine, {*theirs}), (theirs, {*mine}))]  # fmt: skip
    if any(alone):
        parts = [f"{_few(left)} in {shown(rows.name)}" for left, rows in
                 zip(alone, (images, originals), strict=True) if left]  # fmt: skip
        raise EvaluationError(
            f"no partner of the same name for {' and '.join(parts)}; give both pictures of a pair "
            "one name, or compare the sets in their order: --by-position"
        )
    place = {name: i for i, name in enumerate(mine)}
    return torch.tensor([place[name] for name in theirs])


def names(rows: Rows) -> list[str]:
    """What each picture is called within its set, without its ending.

    Raises:
        EvaluationError: Two are called alike.
    """
    files = [
        _IN_ARCHIVE.split(str(name))[-1] for name in rows.read(range(len(rows)), ("file",))["file"]
    ]
    common = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
    found = [PurePath(os.path.relpath(f, common)).with_suffix("").as_posix() for f in files]
    twice = [name for name, count in Counter(found).items() if count > 1]
    if twice:
        raise EvaluationError(
            f"{shown(rows.name)}: {_few(twice)} occur twice, so names don't say which pictures are "
            "pairs; rename them, or compare the sets in their order: --by-position"
        )
    return found


def _few(found: Sequence[str]) -> str:
    named = ", ".join(shown(name, 60) for name in found[:_FEW])
    return named if len(found) <= _FEW else f"{named}, ... ({len(found)})"
