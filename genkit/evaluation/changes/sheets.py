"""Pictures before and after, to be looked at: some of them, the best and the worst."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genkit.evaluation.results import Shown
from genkit.images.sheets import Line, sheet

EXTREMES = 10  # pictures of the best and of the worst
EXAMPLES = 8
_PX = 96  # smaller pictures are enlarged about to this height


def shown(
    name: str, title: str, rows: Sequence[tuple[str, Sequence[Tensor]]], above: Sequence[str] = ()
) -> Shown:
    """A sheet of rows of pictures (C, H, W) uint8, each row with its words.

    Args:
        name: Of the file.
        title: What it shows.
        rows: Words and pictures; grey ones become colour ones beside such.
        above: Words above the pictures of each column.
    """
    pictures = [picture for _, row in rows for picture in row]
    channels = max(picture.shape[0] for picture in pictures)
    lines = [
        Line(
            torch.stack([picture.expand(channels, -1, -1) for picture in row]),
            words,
            above if not i else (),
        )
        for i, (words, row) in enumerate(rows)
    ]
    scale = max(1, _PX // pictures[0].shape[1])
    return Shown(name, title, sheet(lines, scale=scale))


def extremes(scores: Tensor, most: int = EXTREMES) -> tuple[list[int], list[int]]:
    """Places of the lowest and of the highest numbers (n,), at most so many and none in both.

    Numbers that are NaN belong to neither.
    """
    order = scores.double().nan_to_num(torch.inf).argsort(stable=True)
    places: list[int] = order[: int((~scores.isnan()).sum())].tolist()
    most = min(most, len(places) // 2)
    return places[:most], places[len(places) - most :][::-1]
