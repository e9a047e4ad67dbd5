"""What is said of the classes of a set before anything is trained on them."""

from __future__ import annotations

import logging

import torch

from genkit.errors import DataError
from genkit.rows.base import Rows
from genkit.rows.class_names import numbered

_MOST_EMPTY = 1_000  # classes without an image, where numbers alone say how many there are
_FEW = 20  # classes that may have one image each without a word

log = logging.getLogger("genkit")


def check_numbers(rows: Rows) -> None:
    """Raise a `DataError` if the classes are numbered far beyond those that there are.

    Every number up to the largest is a class that networks are built for.
    """
    if rows.num_classes is None or rows.class_names is not None:
        return
    there, largest = len(torch.unique(rows.labels)), rows.num_classes - 1
    if largest - there >= _MOST_EMPTY:
        raise DataError(
            f"{rows.name}: the largest class number is {largest:,}, but only {there:,} numbers "
            "occur; number the classes from 0 without gaps, or write words instead"
        )


def say_classes(rows: Rows) -> None:
    """Log which number is which class, and what about them can hardly be meant."""
    if rows.labels is None or rows.num_classes is None:
        return
    count = rows.num_classes
    log.info(
        "%s: %s classes: %s", rows.name, f"{count:,}", numbered(range(count), rows.class_names)
    )
    images = torch.bincount(rows.labels, minlength=count)
    empty = (images == 0).nonzero().flatten().tolist()
    if empty:
        log.warning(
            "%s: %s of %s classes have no image: %s; a model is asked for them all the same "
            "(classes are numbered from 0; data.limit takes the first images of the set)",
            *(rows.name, f"{len(empty):,}", f"{count:,}", numbered(empty, rows.class_names)),
        )
    single = int((images == 1).sum())
    if count > _FEW and 2 * single > count:
        log.warning(
            "%s: %s of %s classes have one image only; is the class really what data.label names?",
            *(rows.name, f"{single:,}", f"{count:,}"),
        )
