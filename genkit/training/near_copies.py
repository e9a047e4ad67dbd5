"""Whether what a run shows is a training picture again: a model that learns them by heart.

The measure is that of `genkit evaluate --metric near-copies` (`nn/closeness.py`), whose limit asks
for unseen pictures; here it is taken from the training pictures, each beside the others, since sets
of a few pictures, which are learnt by heart soonest, have no test part.

Legend: M pictures that are shown, N training pictures.
"""

from __future__ import annotations

import logging

import torch
from torch import Tensor

from genkit import random
from genkit.images import to_uint8
from genkit.nn.closeness import NEIGHBOURS, closeness
from genkit.nn.pretrained.digits import to_grey
from genkit.rows.base import Rows
from genkit.rows.columns import Draws

log = logging.getLogger("genkit")

KNOWN = 2_000  # training pictures that are looked at, at most
FEWEST = 3
USUAL = 0.01  # share of training pictures that are nearer to another one than the limit
_BLOCK = 16


class NearCopies:
    """Says of pictures which are near copies of training pictures.

    It reads the training pictures once, small and grey: 8 MB of 2,000.

    Args:
        rows: The rows that are trained on; of more than 2,000 some are drawn.
        seed: Of the run, which names the draw.
        mirrored: Whether they are trained on mirrored too: then such copies count as well.
    """

    def __init__(self, rows: Rows, seed: int, *, mirrored: bool) -> None:
        self._rows, self._mirrored = rows, mirrored
        self._places = random.permutation(seed, 0, len(rows))[:KNOWN]
        self._known = _grey(rows, self._places)
        self._limit = self._closeness(self._known, alone=True)[0].quantile(USUAL)
        if len(self._places) < len(rows):
            log.info("near copies: looked for among %d of %d pictures", KNOWN, len(rows))

    def rate(self, images: Tensor) -> float:
        """The share of pictures that are near copies; the log names the files of those.

        Args:
            images: (M, C, H, W) in [-1, 1].
        """
        shown = to_grey(to_uint8(images).cpu())
        near, of = self._closeness(shown, alone=False)
        copies = near < self._limit
        if bool(copies.any()) and "file" in self._rows.columns:
            places = self._places[of[copies]].unique().tolist()
            files = self._rows.read(places, ("file",))["file"]
            log.info("near copies on the preview: of %s", ", ".join(map(str, files)))
        return float(copies.double().mean())

    def _closeness(self, grey: Tensor, *, alone: bool) -> tuple[Tensor, Tensor]:
        """Closeness (M,) of grey pictures (M, 1, 32, 32) to known ones, and the nearest (M,).

        With `alone` they are the known ones, and none is measured by itself.
        """
        near, of = self._one_way(grey, alone)
        if self._mirrored:
            other, there = self._one_way(grey.flip(3), alone)
            near, of = torch.minimum(near, other), torch.where(other < near, there, of)
        return near, of

    def _one_way(self, grey: Tensor, alone: bool) -> tuple[Tensor, Tensor]:
        apart = torch.cdist(grey.flatten(1), self._known.flatten(1))
        if alone:
            apart.fill_diagonal_(torch.inf)
        distances, order = apart.topk(min(NEIGHBOURS, len(self._known) - alone), largest=False)
        return closeness(distances), order[:, 0]


def _grey(rows: Rows, places: Tensor) -> Tensor:
    """The grey 32 px pictures of rows, (N, 1, 32, 32) in [0, 1], whatever their size."""
    column, found = rows.columns["image"], []
    for part in places.split(_BLOCK):
        raw = rows.read(part, ("image",))["image"]
        whole = [raw] if isinstance(raw, Tensor) else [one[None] for one in raw]
        if getattr(column, "crop", None):  # the middle, which is shown of test pictures
            whole = [to_uint8(column.batch(raw, Draws()))]
        found += [to_grey(each) for each in whole]
    return torch.cat(found)
