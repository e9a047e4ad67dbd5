"""Published data sets: the parts they have, and their files, downloaded once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from genkit.errors import DataError
from genkit.files import DownloadError, download

CACHE = "user-cache"


def _once_null(root: Any) -> Any:
    return CACHE if root is None else root  # as configs were written once


# Where the files of a published set lie: a folder, or the user's cache, downloaded there once.
Root = Annotated[Path | Literal["user-cache"], BeforeValidator(_once_null)]


def folder_given(root: Path | str) -> Path | None:
    """The folder that a setting of type `Root` names; None = the user's cache."""
    return None if root == CACHE else Path(root)


def check_split(name: str, split: str, splits: Collection[str]) -> str:
    """The split, or a `DataError` if the set has no such part."""
    if split not in splits:
        raise DataError(f"{name}: it has no {split} part; there are: {', '.join(splits)}")
    return split


def fetch(urls: Sequence[str], path: Path, sha256: str) -> None:
    """Put a published file at `path`, from the first address that has it.

    Raises:
        DataError: No address has it, or it can't be written; it says what to put where.
    """
    try:
        download(urls, path, sha256)
    except DownloadError as error:
        raise DataError(
            f"{path}: missing, and the download failed ({error}); "
            f"get {path.name} on another machine and put it there"
        ) from None
