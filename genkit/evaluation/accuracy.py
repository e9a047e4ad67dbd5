"""Class accuracy: does a sample show the class it was asked for?"""

from __future__ import annotations

from typing import Any

from torch import Tensor


def hits(named: Tensor, labels: Tensor) -> Tensor:
    """(N,) float64, 1 where the named class (N,) is the label (N,)."""
    return (named == labels).double()


def per_class(named: Tensor, labels: Tensor) -> list[dict[str, Any]]:
    """For each class that occurs: its accuracy and how many images ask for it."""
    right = hits(named, labels)
    rows = []
    for label in sorted(set(labels.tolist())):
        mine = right[labels == label]
        rows.append({"class": str(label), "accuracy": mine.mean().item(), "count": len(mine)})
    return rows
