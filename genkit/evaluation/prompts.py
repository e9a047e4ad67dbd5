"""Texts of one's own to draw pictures of, and where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prompts:
    """Texts, and what a protocol says of them.

    Attributes:
        texts: One or more.
        name: Of their file.
        sha256: Of the file's bytes; of texts without a file, of these in lines.
    """

    texts: tuple[str, ...]
    name: str
    sha256: str

    @classmethod
    def of(cls, texts: Prompts | Sequence[str]) -> Prompts:
        """Texts that come without a file; others as they are."""
        if isinstance(texts, Prompts):
            return texts
        digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
        return cls(tuple(texts), "given", digest)

    @property
    def protocol(self) -> dict[str, Any]:
        """What a value's protocol says of them."""
        return {
            "prompts": self.name,
            "prompts_sha256": self.sha256,
            "prompts_count": len(self.texts),
        }
