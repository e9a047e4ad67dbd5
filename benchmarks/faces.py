"""What drawn faces look like, how fast they are drawn, and what an edit of each attribute changes.

    python -m benchmarks.faces --sheet docs/faces.png   # every attribute off and on, poses, styles
    python -m benchmarks.faces --time                   # 12,000 faces of 64 px, not from the cache
    python -m benchmarks.faces --edits 32               # what edits change at 32 px, by attribute
    python -m benchmarks.faces --copies 32              # what copying a face into a style costs

Figures: docs/data.md.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from genkit.data.faces import attributes, drawing, parameters
from genkit.data.faces.parameters import Faces
from genkit.data.faces.styles import Style
from genkit.files import write_whole
from genkit.images import png_of
from genkit.images.sheets import Line, sheet

STYLES: tuple[Style, ...] = ("soft", "ink", "poster")
PAIRS = 4  # of each attribute on the sheet
SIZE = 64  # px of faces on the sheet
SAMPLE = 400  # faces that edits and copies are measured on


def attribute_lines() -> list[Line]:
    """Four faces for each attribute, without it and with it."""
    faces = parameters.drawn(0, "sheet", range(400))
    rows = attributes.rows(faces)
    lines = []
    for i, name in enumerate(attributes.NAMES):
        places = np.flatnonzero(rows[:, i] == 0)[i * PAIRS : (i + 1) * PAIRS]
        before = faces.at(places)
        pairs = [pictures(f, SIZE) for f in (before, attributes.switched(before, name, True))]
        lines.append(Line(torch.from_numpy(np.stack(pairs, 1)).flatten(0, 1), name))
    return lines


def pose_line() -> Line:
    """One person in several poses and with several expressions."""
    others = parameters.drawn(0, "poses", range(2 * PAIRS))
    person = parameters.drawn(0, "sheet", [9] * (2 * PAIRS)).posed(others)
    turned = replace(person.pose, yaw=np.linspace(-31, 31, 2 * PAIRS))
    return Line(torch.from_numpy(pictures(replace(person, pose=turned), SIZE)), "one person")


def style_lines() -> list[Line]:
    """The same faces in every style."""
    faces = parameters.drawn(0, "styles", range(2 * PAIRS))
    drawn = drawing.draw(faces, SIZE, STYLES).pictures
    return [Line(torch.from_numpy(drawn[style]), style) for style in STYLES]


def pictures(faces: Faces, size: int, style: Style = "soft") -> NDArray[np.uint8]:
    """(B, 3, S, S) uint8."""
    return drawing.draw(faces, size, (style,)).pictures[style]


def edits(size: int) -> list[str]:
    """Of each attribute, on and off: the change, how small it is for a tenth, how often unique."""
    faces = parameters.drawn(0, "test", range(2 * SAMPLE))
    rows = attributes.rows(faces)
    lines = [f"{'':<14} change when switched on, a tenth below, unique; the same when off"]
    for i, name in enumerate(attributes.NAMES):
        words = []
        for on in (True, False):
            before = faces.at(np.flatnonzero(rows[:, i] != on)[:SAMPLE])
            after = attributes.switched(before, name, on)
            apart = np.abs(pictures(before, size) / 255.0 - pictures(after, size) / 255.0)
            change = apart.mean(1).sum((1, 2))
            share = attributes.unique(before, after).mean()
            words.append(f"{change.mean():6.1f} {np.quantile(change, 0.1):5.1f} {share:5.0%}")
        lines.append(f"{name:<14} {'   '.join(words)}")
    return lines


def copies(size: int) -> list[str]:
    """Between each two styles: the mean distance of counterparts, and how often the nearest picture
    of the other style is the counterpart.
    """
    faces = parameters.drawn(0, "test", range(SAMPLE))
    drawn = {
        style: torch.from_numpy(values).flatten(1).float() / 255
        for style, values in drawing.draw(faces, size, STYLES).pictures.items()
    }
    lines = []
    for a in STYLES:
        for b in STYLES:
            if a != b:
                apart = torch.cdist(drawn[a], drawn[b], p=1) / drawn[a].shape[1]
                found = (apart.argmin(1) == torch.arange(SAMPLE)).float().mean()
                mean = (drawn[b] - drawn[b].mean(0)).abs().mean()
                lines.append(
                    f"{a} -> {b}: a copy is {apart.diagonal().mean():.3f} away, the nearest is its "
                    f"own in {found:.2f} of {SAMPLE}; the mean picture is {mean:.3f} away"
                )
    return lines


def timed(count: int = 12_000, size: int = 64) -> str:
    """How long so many faces take."""
    begun = time.perf_counter()
    drawing.draw(parameters.drawn(0, "train", range(count)), size)
    return f"{count:,} faces of {size} px: {time.perf_counter() - begun:.1f} s"


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the options ask for."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("--sheet", type=Path, help="where the sheet goes, a .png file")
    asked.add_argument("--time", action="store_true", help="draw 12,000 faces of 64 px")
    asked.add_argument("--edits", type=int, metavar="PX", help="measure edits at this size")
    asked.add_argument("--copies", type=int, metavar="PX", help="measure copies at this size")
    given = asked.parse_args(arguments)
    if given.sheet is not None:
        lines = [*attribute_lines(), pose_line(), *style_lines()]
        write_whole(given.sheet, png_of(sheet(lines, letters=13)))
        print(given.sheet)
    if given.time:
        print(timed())
    for found in (given.edits and edits(given.edits), given.copies and copies(given.copies)):
        print("\n".join(found or ()), end="\n" if found else "")


if __name__ == "__main__":
    main()
