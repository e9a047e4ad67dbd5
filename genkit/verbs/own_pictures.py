"""Pictures that a person names: files, folders, patterns, zips, standard input; and what each
result is called.
"""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, count, takewhile
from pathlib import Path, PurePosixPath

from genkit.errors import DataError, shown
from genkit.rows.entries import Entry, file_entry
from genkit.rows.left_out import NONE, LeftOut
from genkit.rows.tree import Tree, folder_tree, no_pictures, zip_tree

STDIN = "-"
_LARGEST = 1 << 30  # bytes of standard input that are read at most


@dataclass(frozen=True)
class Source:
    """One picture that was named, be it by its folder.

    Attributes:
        name: Its path within what was named, with / between folders: what results are called by.
        path: Where it is, as a person would name it; "-" is standard input.
        read: Gives its bytes; raises a `DataError` that names it.
        file: The file that holds it, or None.
    """

    name: str
    path: str
    read: Callable[[], bytes]
    file: Path | None = None

    @property
    def where(self) -> str:
        """What messages call it."""
        return "standard input" if self.path == STDIN else shown(self.path)


@dataclass(frozen=True)
class Found:
    """What was named.

    Attributes:
        sources: All pictures, each once, in the order in which they were named.
        left_out: Files in folders and zips that are no pictures.
        folders: The folders that are read.
    """

    sources: list[Source]
    left_out: LeftOut = NONE
    folders: tuple[Path, ...] = ()


def find_pictures(words: Sequence[str]) -> Found:
    """The pictures that these words name.

    A word is a file, a folder with pictures at any depth, a .zip, a picture in one (set.zip:a.png),
    a pattern such as photos/*.jpg, or - for standard input. A file of that very name comes before a
    pattern. What isn't there is a picture that can't be read, as long as it is one of several.

    Raises:
        DataError: A folder or pattern has no pictures, or a zip can't be read.
    """
    found: list[Source] = []
    left_out, folders = NONE, []
    for word in words:
        if word == STDIN:
            found.append(Source("stdin", STDIN, cache(_standard_input)))
        elif os.path.isdir(word):
            sources, beside = _in_tree(folder_tree(Path(word)), word, Path(word))
            found, left_out = found + sources, left_out + beside
            folders.append(Path(word))
        elif word.lower().endswith(".zip") and os.path.isfile(word):
            sources, beside = _in_tree(zip_tree(Path(word)), f"{word}:", None)
            found, left_out = found + sources, left_out + beside
        elif (member := _zip_and_member(word)) is not None:
            found.append(_in_zip(*member))
        else:
            found += _named(word)
    unique: dict[str, Source] = {}
    for source in found:
        unique.setdefault(os.path.realpath(source.path) if source.file else source.path, source)
    return Found(list(unique.values()), left_out, tuple(folders))


def names_of(sources: Sequence[Source], ending: str) -> list[str]:
    """A path for the result of each, none twice: NAME and an ending in the place of its own.

    Where that would be the same for several, they keep the ending of their own, and then the
    folders that they lie in too; so a result is called the same whatever else is named with it,
    unless it must not be.

    Args:
        sources: All of them.
        ending: What each name gets, such as "-a2b.png".
    """
    chosen = [_without_ending(source.name) for source in sources]
    for longer in (_with_ending, _placed):
        seen = Counter(name.casefold() for name in chosen)  # some systems see no difference of A, a
        chosen = [
            name if seen[name.casefold()] == 1 else longer(source)
            for name, source in zip(chosen, sources, strict=True)
        ]
    taken: set[str] = set()
    names = []
    for name in chosen:
        numbered = (f"{name}-{number}" for number in count(2))
        free = next(n for n in chain([name], numbered) if n.casefold() not in taken)
        taken.add(free.casefold())
        names.append(free + ending)
    return names


def _without_ending(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_name(path.stem)) if path.stem else name


def _with_ending(source: Source) -> str:
    return source.name.replace(".", "_")


def _placed(source: Source) -> str:
    """A name with the folders that lie above it, without what leads elsewhere."""
    parts = [part for part in PurePosixPath(source.path.replace(os.sep, "/")).parts
             if part not in ("/", "..", ".")]  # fmt: skip
    return "/".join(part.replace(".", "_").replace(":", "_") for part in parts)


def _named(word: str) -> list[Source]:
    """A file, or those that a pattern means."""
    if os.path.lexists(word) or not glob.has_magic(word):
        return [_of_file(word, Path(word).name)]
    paths = sorted(path for path in glob.glob(word, recursive=True) if not os.path.isdir(path))
    if not paths:
        raise DataError(f"{shown(word)}: no file is called so; name files, folders or a pattern")
    fixed = tuple(takewhile(lambda part: not glob.has_magic(part), Path(word).parts))
    return [_of_file(path, "/".join(Path(path).parts[len(fixed) :])) for path in paths]


def _of_file(path: str, name: str) -> Source:
    if path.casefold().startswith(("http://", "https://")):
        return Source(name, path, partial(_no_address, path))
    return Source(name, path, file_entry(Path(path)).read, Path(path))


def _no_address(path: str) -> bytes:
    raise DataError(f"{shown(path)}: an address, and only files are read; download it first")


def _zip_and_member(word: str) -> tuple[str, str] | None:
    """A zip and the picture in it, as "set.zip:x/a.png" names them."""
    archive, dot_zip, member = word.partition(".zip:")
    is_one = bool(dot_zip and member) and os.path.isfile(f"{archive}.zip")
    return (f"{archive}.zip", member) if is_one else None


def _in_zip(archive: str, member: str) -> Source:
    tree = zip_tree(Path(archive))
    if member not in tree.pictures:
        raise DataError(f"{shown(archive)}: has no picture {shown(member)}")
    return Source(member, f"{archive}:{member}", _reader(tree.entry(member)))


def _in_tree(tree: Tree, before: str, folder: Path | None) -> tuple[list[Source], LeftOut]:
    """All pictures of a folder or zip."""
    if not tree.pictures:
        others = no_pictures(tree.names)
        beside = f"; {others.sentence(examples=True)}" if others else ""
        raise DataError(f"{tree.where}: no pictures in it{beside}")
    sources = [
        Source(
            name,
            f"{before}{name}" if folder is None else os.path.join(before, name),
            _reader(tree.entry(name)),
            None if folder is None else folder / name,
        )
        for name in tree.pictures
    ]
    return sources, no_pictures(tree.names) + tree.problems


def _reader(entry: Entry) -> Callable[[], bytes]:
    return lambda: entry.read()


def _standard_input() -> bytes:
    content = sys.stdin.buffer.read(_LARGEST)
    if not content:
        raise DataError("standard input: nothing came; give a picture, such as < photo.jpg")
    return content
