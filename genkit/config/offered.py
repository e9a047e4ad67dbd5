"""What other installed packages offer genkit, through entry points of theirs.

What they offer adds to genkit and never replaces anything: a name of genkit's own stays genkit's,
which is said, and of two packages that offer one name neither is taken.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points

from genkit.errors import ConfigError, shown

log = logging.getLogger("genkit")

FAMILIES = "genkit.families"
READERS = "genkit.readers"


def names(group: str) -> set[str]:
    """Every name that is offered in an entry point group."""
    return set(_points(group, tuple(sys.path)))


def module(group: str, name: str) -> str | None:
    """The module that is offered by that name, not yet imported; None if there is none.

    Raises:
        ConfigError: Several packages offer different ones.
    """
    points = _points(group, tuple(sys.path)).get(name, ())
    if len({point.module for point in points}) > 1:
        raise ConfigError(
            f"{shown(name)!r} is offered by {_listed(points)}, and nothing says which is meant; "
            "uninstall one of these packages"
        )
    return points[0].module if points else None


def say_hidden(group: str, name: str, own: str) -> None:
    """Say once that packages offer something by a name of genkit's own, which they don't get."""
    _say_hidden(group, name, own, tuple(sys.path))


def packages() -> frozenset[str]:
    """Top-level packages that offer families or readers; who installed them trusts their code."""
    points = (p for group in (FAMILIES, READERS) for p in _all(group, tuple(sys.path)))
    return frozenset(point.module.partition(".")[0] for point in points)


@lru_cache(maxsize=64)
def _say_hidden(group: str, name: str, own: str, path: tuple[str, ...]) -> None:
    if points := _points(group, path).get(name, ()):
        log.warning("%s is genkit's own (%s); %s is passed over", name, own, _listed(points))


def _listed(points: Collection[EntryPoint]) -> str:
    return " and ".join(
        shown(f"{point.module} of package {point.dist.name if point.dist else 'unknown'}")
        for point in points
    )


@lru_cache(maxsize=16)
def _points(group: str, path: tuple[str, ...]) -> dict[str, tuple[EntryPoint, ...]]:
    found: dict[str, tuple[EntryPoint, ...]] = {}
    for point in _all(group, path):
        found[point.name] = (*found.get(point.name, ()), point)
    return found


@lru_cache(maxsize=16)
def _all(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """What packages on the path offer; looking at each takes 13 ms, and a run asks many times."""
    return tuple(entry_points(group=group))
