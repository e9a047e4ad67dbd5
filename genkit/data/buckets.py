"""Pictures of several shapes, each in the bucket whose shape is nearest to its own.

None is stretched: what reaches beyond the bucket's shape is cut off on both sides, and counted.
"""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from genkit.config import DataSection
from genkit.config.data import buckets_of
from genkit.images import middle_of
from genkit.rows.base import Rows
from genkit.rows.buckets import BucketRows
from genkit.rows.pictures import FileRows, Shape

log = logging.getLogger("genkit")

Size = tuple[int, int]  # (H, W) in px


class Fitting(NamedTuple):
    """How a picture comes to the shape of its bucket.

    Attributes:
        cropped: The share of its pixels that are cut off, in [0, 1).
        enlarged: Whether what is left has fewer pixels than the bucket, and is enlarged.
    """

    cropped: float
    enlarged: bool


def in_buckets(rows: FileRows, data: DataSection) -> BucketRows:
    """The same pictures, each cut and scaled to the bucket that is nearest to its shape.

    Args:
        rows: Pictures in files, whatever shape they are brought to now.
        data: The configuration, which has buckets.

    Raises:
        DataError: A file is broken at its beginning.
    """
    buckets = buckets_of(data)
    assert buckets is not None
    shapes, sizes = buckets.shapes(data.side), rows.sizes
    number = nearest(sizes, shapes)
    used = sorted(set(number.tolist()))
    places = [(number == one).nonzero().flatten() for one in used]
    parts: list[Rows] = []
    for one, own in zip(used, places, strict=True):
        height, width = shapes[one]
        part = rows.only(own).fitted(Shape((height, width), data.channels))
        part.name = f"{rows.name} {height}x{width}"
        parts.append(part)
    fittings = [
        fitting(size, shapes[i]) for size, i in zip(sizes.tolist(), number.tolist(), strict=True)
    ]
    sides = sizes.sort(1).values
    beyond = int((sides[:, 1] > buckets.ratio * sides[:, 0]).sum())
    counts = {"{}x{}".format(*shapes[one]): len(own) for one, own in zip(used, places, strict=True)}
    record = _record(counts, fittings, rows, beyond)
    _say(rows.name, record, buckets.ratio)
    found = BucketRows(rows.name, parts, places, record)
    found.whole, found.broken = rows.whole or rows, rows.broken
    return found


def nearest(sizes: Tensor, shapes: list[Size]) -> Tensor:
    """The number of the bucket of each picture, (N,) int64: that whose ratio of sides is nearest,
    in logarithms, to its own; of two as near the first.

    Args:
        sizes: Height and width of N pictures, (N, 2).
        shapes: (H, W) of the buckets.
    """
    own, given = sizes.numpy().astype(np.float64), np.array(shapes, dtype=np.float64)
    ratios, theirs = np.log(own[:, 0] / own[:, 1]), np.log(given[:, 0] / given[:, 1])
    return torch.from_numpy(np.abs(ratios[:, None] - theirs).argmin(1))


def fitting(size: Size, shape: Size) -> Fitting:
    """How a picture of that size comes to a bucket's shape."""
    _, _, high, wide = middle_of(size, shape)
    return Fitting(1 - high * wide / (size[0] * size[1]), high < shape[0] or wide < shape[1])


def _record(
    counts: dict[str, int], fittings: list[Fitting], rows: FileRows, beyond: int
) -> dict[str, Any]:
    """What a run's record says: of each bucket how many pictures it has, and what was cut off."""
    shares = [one.cropped for one in fittings]
    worst = shares.index(max(shares))
    return {
        "pictures": counts,  # by "HEIGHTxWIDTH"
        "cropped": sum(shares) / len(shares),  # mean share of a picture's pixels
        "most_cropped": shares[worst],
        "most_cropped_file": rows.entries[worst].where,
        "enlarged": sum(one.enlarged for one in fittings),
        "beyond_ratio": beyond,
    }


def _say(name: str, record: dict[str, Any], ratio: float) -> None:
    counts = ", ".join(f"{shape} ({count:,})" for shape, count in record["pictures"].items())
    text = (
        f"{name}: {len(record['pictures'])} buckets, height x width: {counts}; "
        f"{record['cropped']:.1%} of a picture's pixels are cropped"
    )
    if record["most_cropped"]:
        text += f", at most {record['most_cropped']:.1%} (of {record['most_cropped_file']})"
    if record["enlarged"]:
        text += f"; smaller than their bucket, and enlarged: {record['enlarged']:,}"
    if record["beyond_ratio"]:
        text += f"; longer than {ratio:g} to 1: {record['beyond_ratio']:,}"
    log.info("%s", text)
