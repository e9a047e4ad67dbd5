"""Means over pictures as values that can be judged: with interval, copying and protocol."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

from genkit.evaluation.intervals import interval, is_share, share_interval, standard_error
from genkit.evaluation.results import Value, identity, versions
from genkit.rows.base import Rows

OVER_PICTURES = "standard error of the mean over pictures, drawn again"


@dataclass(frozen=True)
class Against:
    """What values are measured against, and what all of them have in their protocols.

    Attributes:
        reference: The real rows.
        more: Further entries of each protocol.
    """

    reference: Rows
    more: Mapping[str, Any] = field(default_factory=dict)

    def mean(
        self,
        name: str,
        values: Tensor,
        better: Literal["lower", "higher"],
        *,
        part: str | None = None,
        copying: float | None = None,
        floor: float | None = None,
        most: float = math.inf,
        note: str = "",
        **protocol: Any,
    ) -> Value:
        """The mean of one number for each picture.

        Args:
            name: Of the value, without its part.
            values: (n,) of the pictures; those without a value are NaN and are left out.
            better: Which way is good.
            part: What of the pictures it is of.
            copying: The same where pictures are given back unchanged.
            floor: The same of real pictures.
            most: The largest possible value; the smallest is 0.
            note: What a reader must know.
            protocol: What this value adds to the protocol.
        """
        kept = values.double()
        kept = kept[~kept.isnan()]
        mean = kept.mean().item() if len(kept) else math.nan
        ends, how = _interval(mean, kept, most)
        said = self.protocol(len(kept)) | protocol | {"interval": how, "versions": versions()}
        return Value(
            name if part is None else f"{name}-{part}",
            *(mean, *ends, better, floor, note, said, copying, part),
        )

    def ratio(self, name: str, above: Tensor, below: Tensor, **of: Any) -> Value:
        """The mean of one number over that of another one, both of the same pictures (n,).

        Its interval is that of a ratio: the influence of a picture is (a - R b) / mean(b).

        Args:
            name: Of the value, without its part.
            above: (n,) a of each picture.
            below: (n,) b of each picture.
            of: Further arguments of `mean`.
        """
        a, b = above.double(), below.double()
        found = (a.mean() / b.mean()).item()
        influence = found + (a - found * b) / b.mean()  # its mean is the ratio
        return self.mean(name, influence, "lower", **of)

    def protocol(self, count: int) -> dict[str, Any]:
        """Which pictures, how many."""
        real = identity(self.reference)
        return {
            **self.more,
            "samples": count,
            "reference": real["name"],
            "reference_count": real["count"],
            "reference_sha256": real["sha256"],
        }


def _interval(
    mean: float, values: Tensor, most: float
) -> tuple[tuple[float | None, float | None], str]:
    if most == 1 and len(values) and is_share(mean, values):
        return share_interval(mean, len(values)), "95 %, Wilson: pictures drawn again"
    error = standard_error(values)
    how = f"95 %, {OVER_PICTURES}"
    if not math.isfinite(error):
        return (None, None), how
    return interval(mean, error, most=most), how
