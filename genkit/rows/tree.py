"""Files below one place by their relative path: what lies in a folder or in a zip.

Hidden files and folders, `__MACOSX` and what genkit wrote of samples are not there. A link to a
folder is followed, unless that folder is read anyway: so no picture comes twice by a link that
leads back, and none without end. Two links of the set to one folder elsewhere are read both: they
may be two classes or two parts.
"""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from genkit.errors import DataError, shown
from genkit.images import EXTENSIONS
from genkit.rows.entries import DAMAGE, Entry, file_entry, zip_entry
from genkit.rows.left_out import NONE, LeftOut

METADATA, TABLE = "metadata.jsonl", "metadata.csv"
DATASET = "dataset.json"  # of a zip, as StyleGAN and EDM write it
_NO_PART = ("thumbs.db", "desktop.ini", "samples.json")  # of systems, and of genkit's samples
# What `genkit evaluate` writes beside samples, which may lie beside images or in a part of a set.
_RESULTS = ("-evaluation.json", "-pairs.json")
_NEAREST, _ITS_RESULT = "-nearest.png", "-evaluation.json"
_OTHER_TABLES = {
    TABLE: f"{TABLE} (where there is a {METADATA}, that is read)",
    "metadata.parquet": f"metadata.parquet ({METADATA} is what is read)",
    METADATA: f"{METADATA} below a class (that of the whole set is read)",
    DATASET: f"{DATASET} (read in a zip, not in a folder)",
}
_KINDS = 12  # of endings that are told apart

Identity = tuple[int, int]


@dataclass(frozen=True)
class Tree:
    """Files by their path.

    Attributes:
        where: What messages call the place.
        names: Their paths within it, with / between folders, in the order of the set.
        entry: Gives the bytes of one.
        has: Whether there is such a file, be it hidden.
        problems: Folders that are not read, and why.
    """

    where: str
    names: Sequence[str]
    entry: Callable[[str], Entry]
    has: Callable[[str], bool]
    problems: LeftOut = NONE

    def below(self, folder: str) -> Tree:
        """The files in one of its folders."""
        inside = f"{folder}/"
        names = [name[len(inside) :] for name in self.names if name.startswith(inside)]
        entry, has = self.entry, self.has
        return Tree(
            f"{self.where}/{folder}",
            names,
            lambda name: entry(inside + name),
            lambda name: has(inside + name),
        )

    @property
    def pictures(self) -> list[str]:
        """Those whose ending is one of a picture's."""
        return [name for name in self.names if is_picture(name)]


def table_of(tree: Tree) -> str | None:
    """The file that lists the pictures of a set, metadata.jsonl before metadata.csv, or None."""
    return next((table for table in (METADATA, TABLE) if table in tree.names), None)


def is_picture(name: str) -> bool:
    """Whether a file is taken for a picture, by its ending."""
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def no_pictures(names: Iterable[str]) -> LeftOut:
    """What is left out of these files since they are no pictures, by ending."""
    others = [name for name in names if not is_picture(name)]
    table = METADATA if METADATA in others else TABLE
    others = [n for n in others if n != table and not _is_no_part(_base(n))]
    told = [(_ending(name), name) for name in others]
    common = {ending for ending, _ in Counter(e for e, _ in told).most_common(_KINDS)}
    left = NONE
    for ending in sorted(common):
        left += LeftOut.of(ending, [name for found, name in told if found == ending])
    return left + LeftOut.of(
        "of other kinds", [name for found, name in told if found not in common]
    )


def _ending(name: str) -> str:
    if table := _OTHER_TABLES.get(_base(name)):
        return table
    return os.path.splitext(name)[1].lower() or "without ending"


def _is_no_part(base: str) -> bool:
    return base.lower() in _NO_PART or base.endswith(_RESULTS)


def _without_results(names: Sequence[str]) -> list[str]:
    """Without the pictures of nearest neighbours that belong to an evaluation beside them."""
    there = {*names}
    return [name for name in names if not name.endswith(_NEAREST)
            or name.removesuffix(_NEAREST) + _ITS_RESULT not in there]  # fmt: skip


def _base(name: str) -> str:
    return name.rpartition("/")[2]


# -- folders ---------------------------------------------------------------------------------------


def folder_tree(root: Path) -> Tree:
    """What lies in a folder, sorted by path, folder by folder."""
    problems: list[LeftOut] = []
    names = sorted(walk(root, problems), key=lambda name: name.split("/"))
    return Tree(
        shown(root),
        _without_results(names),
        lambda name: file_entry(root / name),
        lambda name: os.path.lexists(root / name),
        sum(problems, NONE),
    )


def walk(root: Path, problems: list[LeftOut] | None = None) -> Iterator[str]:
    """The path of each file below a folder, in any order.

    Args:
        root: The folder.
        problems: Takes what is left out; None = nobody wants to know.
    """
    yield from _walk(root, "", set(), [] if problems is None else problems)


def _walk(root: Path, inside: str, read: set[Identity], problems: list[LeftOut]) -> Iterator[str]:
    """The files below `inside`; `read` has the folders that were read, and is told of these."""
    links: list[str] = []

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(str(error.filename), root)
        problems.append(LeftOut.of("folder that can't be read", [name]))

    for parent, folders, files in os.walk(root / inside, onerror=unreadable):
        read.add(_identity(parent))
        if not folders and not files:
            problems.append(LeftOut.of("empty folder", [os.path.relpath(parent, root)]))
        here = os.path.relpath(parent, root).replace(os.sep, "/")
        before = "" if here == "." else f"{here}/"
        folders[:] = [name for name in folders if _is_seen(name)]
        links += [before + f for f in folders if os.path.islink(os.path.join(parent, f))]
        yield from (before + name for name in files if not name.startswith("."))
    for link in sorted(links):
        known = read if inside else set(read)  # each link of the set itself counts for itself
        if _identity(root / link) in known:
            reason = "link to a folder that is read anyway"
            problems.append(LeftOut.of(reason, [link]))
        else:
            yield from _walk(root, link, known, problems)


def _is_seen(name: str) -> bool:
    return not name.startswith((".", "__"))


def _identity(folder: Path | str) -> Identity:
    state = os.stat(folder)
    return state.st_dev, state.st_ino


# -- zip files -------------------------------------------------------------------------------------


def zip_tree(path: Path) -> Tree:
    """What lies in a zip file, sorted by name.

    Raises:
        DataError: It is no zip, or a member is not safe to read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if not m.is_dir()]
    except DAMAGE as error:
        raise DataError(f"{shown(path)}: not a readable .zip ({error})") from None
    entries = {m.filename: zip_entry(path, m) for m in members}
    names = sorted(name for name in entries if _is_visible(name))
    return Tree(shown(path), names, entries.__getitem__, entries.__contains__)


def _is_visible(name: str) -> bool:
    *folders, base = name.split("/")
    return not base.startswith(".") and all(_is_seen(folder) for folder in folders)
