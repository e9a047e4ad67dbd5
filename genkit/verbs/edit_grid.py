"""A sheet of a person's pictures, each with every attribute of a model switched."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from genkit.errors import DataError, OutputError, PipelineError, shown
from genkit.images import stack
from genkit.images.sheets import Line
from genkit.verbs import records
from genkit.verbs.before_after import check_sheet, sheet_file, write_sheet
from genkit.verbs.change_pictures import Made, Outcome
from genkit.verbs.edit import Editor, Request
from genkit.verbs.edit_words import as_typed
from genkit.verbs.own_pictures import Found

log = logging.getLogger("genkit")

MOST = 32  # pictures
_VERB = "edit"


def check_grid(path: Path, command: str, inputs: Iterable[Path | str | None]) -> None:
    """Raise where a sheet or its record would go over anything but what the very command wrote.

    Args:
        path: Where the sheet goes.
        command: What makes it.
        inputs: What is read; what doesn't exist is passed over.

    Raises:
        OutputError: It would.
    """
    check_sheet(path, command, inputs)
    record = records.beside(path)
    if not record.exists():
        return
    try:
        there = records.read_record(record)
        is_ours = there["command"] == command
        is_ours &= not path.exists() or records.sha256(path.read_bytes()) == there["file_sha256"]
    except (PipelineError, KeyError):
        is_ours = False
    if not is_ours:
        raise OutputError(
            f"{shown(record)}: is there and is no record of this very sheet, or that was changed; "
            "name the sheet otherwise, or delete both"
        )


def command_of(request: Request) -> str:
    """What a person types for the sheet alone."""
    words = as_typed({"strength": request.strength}, request.have, request.crop)
    pictures = map(str, request.images)
    return shlex.join(
        ["genkit", _VERB, request.source, *pictures, *words, f"--grid={request.grid}"]
    )


def attribute_grid(
    editor: Editor,
    found: Found,
    path: Path,
    command: str,
    failed: Mapping[str, str] = MappingProxyType({}),
) -> Outcome:
    """Write the sheet: pictures below each other, attributes side by side; beside it a record.

    Above each is which attribute it shows: +NAME where it was switched on, -NAME off. Guesses and
    notes are those of edits by themselves.

    Args:
        editor: Edits them.
        found: The pictures; the first 32 are shown.
        path: A .png file.
        command: What makes the sheet.
        failed: Pictures of which it was said already that they can't be read, and why.
    """
    outcome = Outcome(path, found.left_out)
    if len(found.sources) > MOST:
        log.info("%s: shows the first %d of %d pictures", path, MOST, len(found.sources))
    lines: list[Line] = []
    facts: list[dict[str, Any]] = []
    for source in found.sources[:MOST]:
        if source.where in failed:
            outcome.failed[source.where] = failed[source.where]
            continue
        try:
            content = source.read()
            seen, lost = editor.read(content, source.where)
        except DataError as error:
            outcome.fail(source.where, error)
            continue
        line = _line(editor, seen)
        lines.append(Line(line.images, source.name, line.above))
        own, notes, said = editor.facts(seen, edited=False)
        notes = (*lost, *notes)
        outcome.tell(source.where, Made(seen, own, notes, said), notes)
        of_it = {"path": source.path, "name": source.name, "sha256": records.sha256(content)}
        facts.append({**of_it, **own, "notes": list(notes), "shown": list(line.above)})
    if lines:
        picture, png = sheet_file(lines, command)
        record = {
            **records.begun(_VERB, path, editor.model),
            "pixels_sha256": records.pixels_sha256(stack([picture])[0]),
            "file_sha256": records.sha256(png),
            "settings": {"grid": True, **editor.asked({"strength": editor.request.strength})[0]},
            "pictures": facts,
            "failed": outcome.failed,
            "command": command,
            "again": records.how_again(path),
        }
        try:
            records.write_record(record, path)
        except OSError as error:
            raise OutputError(
                f"{shown(path)}: its record can't be written ({error.strerror or error}); name a "
                "writable folder"
            ) from None
        write_sheet(path, png)
        outcome.written.append(str(path))
    return outcome


def _line(editor: Editor, seen: torch.Tensor) -> Line:
    """A picture and what becomes of it attribute by attribute."""
    images, above = [seen], ["given"]
    for i, name in enumerate(editor.pipeline.attributes):
        images.append(editor.made(seen, flip=name, strength=editor.request.strength))
        on = bool(editor.pipeline.used.after[0, i])
        above.append(f"{'+' if on else '-'}{name}")
    return Line(torch.stack(images), "", above)
