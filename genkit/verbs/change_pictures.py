"""Pictures that are changed one by one: each result as a PNG file, beside it a JSON file that says
how it came about and is enough to make it again.

One picture that can't be read is named, and the rest goes on. What is there already and would be
the same is kept; what was made otherwise is never written over.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Protocol

from torch import Tensor

from genkit.errors import DataError, OutputError, PipelineError, shown
from genkit.files import check_output, write_whole
from genkit.images import REMEDY
from genkit.images.originals import Original, read_original, written
from genkit.rows.left_out import NONE, LeftOut
from genkit.rows.tree import is_picture
from genkit.verbs import records
from genkit.verbs.own_pictures import Found, Source, names_of

log = logging.getLogger("genkit")

_EXAMPLES = 3
MOST_SAID = 20  # pictures of which what is said of each by itself is shown


@dataclass(frozen=True)
class Made:
    """What became of a picture.

    Attributes:
        pixels: (C, H, W) uint8, of the original's size.
        facts: What is worth to be known of it, as JSON.
        notes: What is to be said of it.
        said: What is shown of this picture by itself, in one line, of the first 20; empty =
            nothing.
    """

    pixels: Tensor
    facts: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    said: str = ""


@dataclass(frozen=True)
class Task:
    """What is done with every picture.

    Attributes:
        verb: Of the command line.
        model: Its path as it was named, and what identifies it.
        settings: What beside it makes a result what it is, as JSON.
        options: The same as words of the command line.
        ending: Of results, such as "-a2b.png".
        channels: C of the pictures that it takes; None = any.
        change: A picture, and what becomes of it.
        bare: Whether that is a picture of its own, of another size, which keeps nothing.
    """

    verb: str
    model: Mapping[str, Any]
    settings: Mapping[str, Any]
    options: Sequence[str]
    ending: str
    channels: int | None
    change: Callable[[Original], Made]
    bare: bool = False


class Advance(Protocol):
    """Is told how far the work is."""

    def batch(self, images: int) -> None:
        """So many more are done."""


Bar = Callable[[int, int, int, int], AbstractContextManager[Advance]]


@dataclass
class Outcome:
    """What was done.

    Attributes:
        out: The folder.
        written: Results that were made now.
        kept: Results that were there.
        left_out: Files beside them that are no pictures.
        failed: Of each picture without a result what it is called, and why.
        notes: What is to be said, and of which pictures.
        pairs: Of each result the picture that it is of, and where it is.
        sheet: Where a sheet of them is, if there is one.
        unsaid: Of how many pictures what is said of each by itself was not shown.
    """

    out: Path
    left_out: LeftOut = NONE
    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)
    pairs: list[tuple[Source, Path]] = field(default_factory=list)
    sheet: Path | None = None
    unsaid: int = 0
    _told: int = 0

    def tell(self, name: str, made: Made, notes: Sequence[str]) -> None:
        """Show what is said of one picture, of the first 20, and keep the notes for the end."""
        for note in notes:
            self.notes.setdefault(note, []).append(name)
        if made.said and self._told >= MOST_SAID:
            self.unsaid += 1
        elif made.said:
            self._told += 1
            log.info("%s: %s", name, made.said)

    def fail(self, name: str, error: Exception) -> None:
        """Say, and keep for the end, that a picture has no result, and why."""
        self.failed[name] = str(error).removesuffix(f"; {REMEDY}").removeprefix(f"{name}: ")
        log.warning("%s: left out, %s", name, self.failed[name])

    def to_tree(self) -> dict[str, Any]:
        """As JSON, for scripts."""
        return {
            "out": str(self.out),
            "sheet": None if self.sheet is None else str(self.sheet),
            "written": self.written,
            "kept": self.kept,
            "failed": self.failed,
            "left_out": self.left_out.to_tree(),
            "notes": self.notes,
        }

    def say(self) -> None:
        """The notes, each once, and the summary, to the log."""
        if self.left_out:
            log.info("%s", self.left_out.sentence(examples=True))
        for note, names in self.notes.items():
            log.info("%s: %s", _few(names), note)
        if self.unsaid:
            what = "was" if self.unsaid == 1 else "were"
            log.info("what %d more %s taken for stands in their .json files", self.unsaid, what)
        words = [f"{len(self.written):,} {_pictures(len(self.written))} written"]
        if self.kept:
            words.append(f"{len(self.kept):,} there already")
        if self.failed:
            words.append(f"{len(self.failed):,} not made ({_few([*self.failed])})")
        log.info("%s: %s", shown(self.out), ", ".join(words))


@dataclass(frozen=True)
class _Target:
    """Where one result goes, and what is recorded of it."""

    task: Task
    source: Source
    picture: Path

    @cached_property
    def content(self) -> bytes:
        return self.source.read()

    def identity(self) -> records.Record:
        """What of its record has to agree for a result to be the same."""
        return {
            "made_by": f"genkit {self.task.verb}",
            "settings": json.loads(json.dumps(self.task.settings)),
            "weights": self.task.model["weights"],
            "source": records.sha256(self.content),
        }

    def is_there(self) -> bool:
        """Whether it was made before, in the same way; an `OutputError` where it's another."""
        return records.is_there(self.picture, self.identity)


def change_all(
    task: Task,
    found: Found,
    out: Path,
    bar: Bar | None = None,
    *,
    names: Sequence[str] | None = None,
    anew: bool = False,
) -> Outcome:
    """Change all pictures that were found and write them, each with its record.

    Args:
        task: What to do with each.
        found: The pictures.
        out: A folder; it is made if need be.
        bar: Makes something that is told how far the work is.
        names: Of the results within the folder; None = by the names of the pictures.
        anew: Whether what is there already, made in the same way, is made all the same.

    Raises:
        OutputError: A result would go over something else, or can't be written.
    """
    targets = _targets(task, found, out, names)
    outcome = Outcome(out, found.left_out)
    total = len(targets)
    with nullcontext() if bar is None else bar(total, total, total, 1) as advance:
        for target in targets:
            name = target.source.where
            try:
                if target.is_there() and not anew:
                    outcome.kept.append(str(target.picture))
                else:
                    _change(target, outcome)
                    outcome.written.append(str(target.picture))
                outcome.pairs.append((target.source, target.picture))
            except KeyboardInterrupt:
                done = len(outcome.written) + len(outcome.kept)
                log.warning("stopped with %d of %d made; the same command goes on", done, total)
                raise
            except (DataError, PipelineError) as error:
                outcome.fail(name, error)
            target.__dict__.pop("content", None)
            if advance is not None:
                advance.batch(1)
    return outcome


def _targets(
    task: Task, found: Found, out: Path, names: Sequence[str] | None = None
) -> list[_Target]:
    """Where each result goes, checked as far as it costs nothing."""
    _check_folder(found, out)
    names = names or names_of(found.sources, task.ending)
    read = [source.file for source in found.sources]
    targets = [
        _Target(task, source, out / name) for source, name in zip(found.sources, names, strict=True)
    ]
    for target in targets:
        if not (target.picture.exists() or records.beside(target.picture).exists()):
            continue
        check_output(target.picture, "--out", inputs=read)
        try:
            target.is_there()
        except DataError:  # it can't be read, which is said in its turn
            continue
        target.__dict__.pop("content", None)
    return targets


def _check_folder(found: Found, out: Path) -> None:
    """Raise where results would be read as pictures the next time, or where this is no folder."""
    refuse_inside(found, out, out)
    beside = {source.file.parent for source in found.sources if source.file is not None}
    for folder in sorted(beside):
        if out.resolve() == folder.resolve():
            _refuse(out, folder)
    if out.exists() and not out.is_dir():
        raise OutputError(f"--out {shown(out)}: that is a file; name a folder")
    if not out.exists() and (is_picture(out.name) or out.suffix.lower() == ".json"):
        raise OutputError(
            f"--out {shown(out)}: each result goes into a folder, with its record beside it; name "
            "a folder, without an ending"
        )


def refuse_inside(found: Found, result: Path, folder: Path) -> None:
    """Raise where a result would lie in a folder that is read as one.

    Args:
        found: What is read.
        result: What was named.
        folder: Where that lies.
    """
    for read in found.folders:
        if folder.resolve().is_relative_to(read.resolve()):
            _refuse(result, read)


def _refuse(result: Path, folder: Path) -> NoReturn:
    raise OutputError(
        f"{shown(result)}: lies in {shown(folder)}, whose pictures are read, so results would be "
        "read as pictures next time; name a folder elsewhere (--out, --grid)"
    )


def _change(target: _Target, outcome: Outcome) -> None:
    task, source = target.task, target.source
    original = read_original(target.content, source.where, task.channels)
    made = task.change(original)
    png, lost = written(Original(made.pixels) if task.bare else original, made.pixels)
    notes = [*original.notes, *made.notes, *lost]
    outcome.tell(source.where, made, notes)
    record = _record(target, original, made, notes) | {"file_sha256": records.sha256(png)}
    try:
        # The record first: a picture without one would be taken for somebody else's.
        records.write_record(record, target.picture)
        write_whole(target.picture, png, sync=False)
    except OSError as error:
        raise OutputError(
            f"--out {shown(target.picture)}: can't be written ({error.strerror or error}); free "
            "some space or name a writable folder"
        ) from None


def _record(
    target: _Target, original: Original, made: Made, notes: Sequence[str]
) -> records.Record:
    """What stands beside a picture."""
    task, identity = target.task, target.identity()
    height, width = original.size
    words = ["genkit", task.verb, str(task.model["path"]), target.source.path, *task.options]
    return {
        **records.begun(task.verb, target.picture, task.model),
        "pixels_sha256": records.pixels_sha256(made.pixels),
        "source": {
            "path": target.source.path,
            "sha256": identity["source"],
            "size": [width, height],
        },
        "settings": dict(task.settings),
        **made.facts,
        "notes": list(notes),
        "command": shlex.join(words),
        "again": records.how_again(target.picture),
    }


def _few(names: Sequence[str]) -> str:
    """Names, or some of them and how many there are."""
    few = ", ".join(names[:_EXAMPLES])
    return few if len(names) <= _EXAMPLES else f"{few} and {len(names) - _EXAMPLES:,} more"


def _pictures(count: int) -> str:
    return "picture" if count == 1 else "pictures"
