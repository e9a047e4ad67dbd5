"""What a reader hands to a family: one dictionary per micro-batch.

| key        | shape, dtype, range             | meaning                                   |
| ---------- | ------------------------------- | ----------------------------------------- |
| `image`    | (B, C, H, W) float32 in [-1, 1] | augmented as configured                   |
| `label`    | (B,) int64 in [0, K)            | only when the source has labels           |
| `index`    | (B,) int64                      | position of the sample in the data set    |
| `position` | (B,) int64, on the CPU          | row in the optimizer step's global batch  |

`position` keys the noise of a row: for one global batch it is the same on any
number of processes and micro-batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Batch = dict[str, Any]


@dataclass(frozen=True)
class DataInfo:
    """What a data set says of itself: enough to build a family's networks without its images.

    Attributes:
        name: Kind, set and split, e.g. "mnist:train".
        count: N, the number of images.
        fingerprint: SHA-256 of the content.
        image_size: S in px.
        channels: C, 1 or 3.
        num_classes: K, or None without labels.
        class_names: K words, or None.
    """

    name: str
    count: int
    fingerprint: str
    image_size: int
    channels: int
    num_classes: int | None = None
    class_names: tuple[str, ...] | None = None
