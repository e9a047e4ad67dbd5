"""How often pictures can be halved."""

from __future__ import annotations

from collections.abc import Sequence


def usual_levels(size: Sequence[int]) -> int:
    """How often sides are halved where nothing is said: until the smaller one is 4 to 7 px, as far
    as both are even."""
    levels = 0
    while min(size) >> levels >= 8 and not any(side % (2 << levels) for side in size):
        levels += 1
    return levels
