"""What a reader found and did not read, and why: counted once, shown wherever the rows are used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from genkit.errors import shown

BROKEN = "broken"
_EXAMPLES = 5
_LONGEST = 80  # characters of an example


@dataclass(frozen=True)
class LeftOut:
    """How many files or items of a set are no rows of it.

    Attributes:
        reasons: How many, by a few words that say why: {"broken": 2, ".heic": 1}; that of files
            which are not of a kind that is read is their ending.
        examples: Names of a few of them within the set, as they may be shown.
    """

    reasons: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, reason: str, names: Iterable[str]) -> LeftOut:
        """These, all for one reason; possibly none."""
        names = list(names)
        few = tuple(shown(name, _LONGEST) for name in names[:_EXAMPLES])
        return cls({reason: len(names)} if names else {}, few)

    @property
    def total(self) -> int:
        """How many in all."""
        return sum(self.reasons.values())

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def __add__(self, other: LeftOut) -> LeftOut:
        both = [*self.reasons, *other.reasons]
        reasons = {why: self.reasons.get(why, 0) + other.reasons.get(why, 0) for why in both}
        return LeftOut(reasons, (self.examples + other.examples)[:_EXAMPLES])

    def sentence(self, *, examples: bool = False) -> str:
        """Such as "9 files left out: 6 not listed in metadata.jsonl, 2 broken, 1 .heic".

        Args:
            examples: Names a few of them behind it, in brackets.
        """
        if not self:
            return "no files left out"
        ranked = sorted(self.reasons.items(), key=lambda item: (-item[1], item[0]))
        counts = ", ".join(f"{count:,} {shown(why, _LONGEST)}" for why, count in ranked)
        more = ", ..." if self.total > len(self.examples) else ""
        named = f" ({', '.join(self.examples)}{more})" if examples and self.examples else ""
        return f"{self.total:,} {'file' if self.total == 1 else 'files'} left out: {counts}{named}"

    def to_tree(self) -> dict[str, Any]:
        """All of it as JSON; `from_tree` reads it back."""
        return {"reasons": dict(self.reasons), "examples": list(self.examples)}

    @classmethod
    def from_tree(cls, tree: Mapping[str, Any] | None) -> LeftOut:
        """What `to_tree` wrote; nothing where a record of before has none."""
        if tree is None:
            return cls()
        return cls(dict(tree["reasons"]), tuple(tree["examples"]))


NONE = LeftOut()
