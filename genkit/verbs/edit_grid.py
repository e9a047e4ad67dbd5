"""A sheet of a person's pictures, each with every attribute of a model switched."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from genkit.errors import DataError
from genkit.images.sheets import Line
from genkit.verbs.before_after import save_sheet
from genkit.verbs.changed import Outcome, reason
from genkit.verbs.edit import Editor
from genkit.verbs.own_pictures import Found

log = logging.getLogger("genkit")

MOST = 32  # pictures


def attribute_grid(editor: Editor, found: Found, path: Path) -> Outcome:
    """Write the sheet: pictures below each other, attributes side by side.

    Above each is which attribute it shows: +NAME where it was switched on, -NAME off.

    Args:
        editor: Edits them.
        found: The pictures; the first 32 are shown.
        path: A .png file.
    """
    outcome = Outcome(path, found.left_out)
    if len(found.sources) > MOST:
        log.info("%s: shows the first %d of %d pictures", path, MOST, len(found.sources))
    lines = []
    for source in found.sources[:MOST]:
        try:
            seen = editor.read(source.read(), source.where)
        except DataError as error:
            outcome.failed[source.where] = reason(error, source.where)
            continue
        line = _line(editor, seen)
        lines.append(Line(line.images, source.name, line.above))
    if lines:
        save_sheet(lines, path)
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
