"""Broken files of a run's set: a resume may find it without them, or with them mended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from genkit.rows.batch import DataInfo
from genkit.rows.content import content


class Damage:
    """Which files were named as broken, and what the set is without them.

    Args:
        data: The set; without rows, as where a checkpoint is only exported, nothing is known.
        root: Where it lies.
    """

    def __init__(self, data: DataInfo, root: str) -> None:
        self._rows = None if data.rows is None else (data.rows.whole or data.rows)
        self._root = root
        self._broken = set() if data.rows is None else set(data.rows.broken)
        self._known: dict[tuple[str, ...], str | None] = {}

    def add(self, names: Iterable[str]) -> None:
        """These files can't be read."""
        self._broken |= set(names)

    def facts(self) -> dict[str, Any]:
        """For a checkpoint; empty where no file is broken."""
        if not self._broken:
            return {}
        return {"broken": sorted(self._broken), "content": self._without(self._broken)}

    def explains(self, meta: Mapping[str, Any]) -> bool:
        """Whether the set of a checkpoint is this one but for files that were named as broken."""
        named = {*meta.get("broken", ())}
        now = self._without(named) if named else None
        return now is not None and meta.get("content") == now

    def _without(self, names: set[str]) -> str | None:
        key = tuple(sorted(names))
        if key not in self._known and self._rows is not None:
            self._known[key] = content(self._rows, self._root, names)
        return self._known.get(key)
