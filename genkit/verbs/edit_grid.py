"""A sheet of a person's pictures, each with every attribute of a model switched."""

from __future__ import annotations

import hashlib
import json
import logging
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from genkit import __version__
from genkit.errors import DataError, OutputError, shown
from genkit.files import write_whole
from genkit.images.sheets import Line
from genkit.verbs.before_after import save_sheet
from genkit.verbs.change_pictures import FORMAT, MOST_SAID, Outcome, reason
from genkit.verbs.edit import Editor
from genkit.verbs.own_pictures import Found

log = logging.getLogger("genkit")

MOST = 32  # pictures
_VERB = "edit"


def attribute_grid(editor: Editor, found: Found, path: Path) -> Outcome:
    """Write the sheet: pictures below each other, attributes side by side; beside it a record.

    Above each is which attribute it shows: +NAME where it was switched on, -NAME off. Guesses and
    notes are those of edits by themselves.

    Args:
        editor: Edits them.
        found: The pictures; the first 32 are shown.
        path: A .png file.
    """
    outcome = Outcome(path, found.left_out)
    if len(found.sources) > MOST:
        log.info("%s: shows the first %d of %d pictures", path, MOST, len(found.sources))
    lines: list[Line] = []
    facts: list[dict[str, Any]] = []
    for source in found.sources[:MOST]:
        try:
            content = source.read()
            seen = editor.read(content, source.where)
        except DataError as error:
            outcome.failed[source.where] = reason(error, source.where)
            continue
        line = _line(editor, seen)
        lines.append(Line(line.images, source.name, line.above))
        own, notes, said = editor.facts(seen, edited=False)
        for note in notes:
            outcome.notes.setdefault(note, []).append(source.where)
        if said and len(lines) <= MOST_SAID:
            log.info("%s: %s", source.where, said)
        digest = hashlib.sha256(content).hexdigest()
        of_it = {"source": {"path": source.path, "sha256": digest}, **own, "notes": list(notes)}
        facts.append({**of_it, "shown": list(line.above)})
    if lines:
        _write_record(editor, path, facts, outcome.failed)
        save_sheet(lines, path)
        outcome.written.append(str(path))
    return outcome


def check_record(path: Path) -> None:
    """Raise an `OutputError` where the record of a sheet would go over something else."""
    record = path.with_suffix(".json")
    if not record.exists():
        return
    try:
        is_ours = json.loads(record.read_text(encoding="utf-8"))["settings"]["grid"] is True
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        is_ours = False
    if not is_ours:
        raise OutputError(
            f"{shown(record)}: is there and is no record of a sheet, which would go there; name "
            "the sheet otherwise"
        )


def _write_record(
    editor: Editor, path: Path, facts: Sequence[Mapping[str, Any]], failed: Mapping[str, str]
) -> None:
    request = editor.request
    settings, words = editor.asked({"strength": request.strength})
    command = ["genkit", _VERB, request.source, *map(str, request.images), *words]
    record = {
        "format": FORMAT,
        "made_by": f"genkit {_VERB}",
        "genkit": __version__,
        "picture": path.name,
        "model": editor.model,
        "settings": {"grid": True, **settings},
        "pictures": facts,
        "failed": failed,
        "command": shlex.join([*command, f"--grid={path}"]),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    try:
        write_whole(path.with_suffix(".json"), text, sync=False)
    except OSError as error:
        raise OutputError(
            f"{shown(path)}: its record can't be written ({error.strerror or error}); name a "
            "writable folder"
        ) from None


def _line(editor: Editor, seen: torch.Tensor) -> Line:
    """A picture and what becomes of it attribute by attribute."""
    images, above = [seen], ["given"]
    for i, name in enumerate(editor.pipeline.attributes):
        images.append(editor.made(seen, flip=name, strength=editor.request.strength))
        on = bool(editor.pipeline.used.after[0, i])
        above.append(f"{'+' if on else '-'}{name}")
    return Line(torch.stack(images), "", above)
