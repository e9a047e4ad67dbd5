"""Samples on disk: a folder of PNG files, one .npz or one .tar, resumable and by many processes.

The unit of work is the batch: batch b holds images b*B to (b+1)*B, and process r makes every batch
with b % processes == r. So a run that was interrupted, and one on several processes, make the very
batches that an unbroken one makes, and the files are equal byte for byte.

`write_samples` makes a process's share, `finish_samples` closes the file when all are done.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from genkit.errors import DataError, PipelineError, shown
from genkit.pipelines.file_store import store_for
from genkit.pipelines.given import class_of
from genkit.pipelines.spec import Spec
from genkit.pipelines.stores import Store
from genkit.pipelines.table import Table, table_of
from genkit.rows.base import Rows
from genkit.rows.class_names import called, numbers_of
from genkit.rows.columns import Class, Columns, Image

log = logging.getLogger("genkit")


def write_samples(
    pipeline: Any,
    out: Path | str,
    *,
    count: int,
    seed: int = 0,
    given: Rows | None = None,
    batch_size: int = 64,
    rank: int = 0,
    processes: int = 1,
    progress: Callable[[int], None] | None = None,
    **asked: Any,
) -> int:
    """How many images this process wrote of images 0..count-1; those already there are kept.

    With one process the samples are finished too; with several, call `finish_samples` once when
    all of them are through.

    Args:
        pipeline: A `Pipeline`.
        out: A folder, or a file ending in .npz or .tar (built in FILE.part/ until it is complete).
        count: Images in all.
        seed: As in a call of the pipeline.
        given: As in a call of the pipeline.
        batch_size: Images made at a time.
        rank: Which process this is, in [0, processes).
        processes: How many write to `out` at the same time.
        progress: Called after each batch with the number of images in it.
        asked: As in a call of the pipeline.

    Raises:
        PipelineError: `out` holds other samples (the differences are listed), or can't be written.
    """
    _check(count, batch_size, rank, processes)
    spec = describe(pipeline, count=count, seed=seed, given=given, **asked)
    store = store_for(out)
    with store.explained():
        if store.is_finished(spec):
            return 0
        store.begin(spec | _named(pipeline), _given(pipeline, count, given, asked))
        written = 0
        indices = _share(store, batch_size, rank, processes)
        for part, made in pipeline.stream(
            indices, seed=seed, given=given, batch_size=batch_size, **asked
        ):
            store.write(part, {name: made[name] for name in pipeline.gives})
            written += len(part)
            if progress is not None:
                progress(len(part))
        if processes == 1:
            store.finish()
    return written


def finish_samples(out: Path | str) -> None:
    """Closes samples whose images are all there: metadata.jsonl, or the .npz or .tar itself.

    Raises:
        PipelineError: Some images are missing.
    """
    store = store_for(out)
    with store.explained():
        store.finish()


def missing_samples(out: Path | str, *, batch_size: int, rank: int = 0, processes: int = 1) -> int:
    """How many images a process would write into samples that were begun."""
    store = store_for(out)
    with store.explained():
        return len(_share(store, batch_size, rank, processes))


def present_samples(out: Path | str) -> int:
    """How many images of samples that were begun are there; 0 where none were."""
    store = store_for(out)
    with store.explained():
        return store.present()


def begin_samples(
    pipeline: Any,
    out: Path | str,
    *,
    count: int,
    seed: int = 0,
    given: Rows | None = None,
    **asked: Any,
) -> bool:
    """Whether anything is left to do for `write_samples`; makes its folder if so.

    Call it before several processes start, so that a refusal comes from one of them only.
    """
    _check(count, 1, 0, 1)
    spec = describe(pipeline, count=count, seed=seed, given=given, **asked)
    store = store_for(out)
    with store.explained():
        if store.is_finished(spec):
            return False
        store.begin(spec | _named(pipeline), _given(pipeline, count, given, asked))
    return True


def describe(
    pipeline: Any, *, count: int, seed: int, given: Rows | None = None, **asked: Any
) -> Spec:
    """What samples are, as JSON: the weights' hash, seed, count, what is given, shape, options."""
    rows, options = pipeline.asked(given, **asked)
    held = [name for name in pipeline.held(rows) if name != "label" or "label" not in rows.cycles]
    return {
        "format": 1,
        "export": weights_sha256(pipeline),
        "seed": seed,
        "count": count,
        **rows.describe(),
        **({"held": held} if held else {}),
        **pipeline.describe(options, rows.taken),
        **_shape(pipeline.gives),
    }


def _shape(gives: Columns) -> Spec:
    """What is made, as JSON: of images alone their shape."""
    image = gives.get("image")
    if not isinstance(image, Image):
        image = Image()
    height, width = image.size or (None, None)
    shape = {
        "channels": image.channels,
        "image_size": height if height == width else [height, width],
    }
    others = {name: column.to_tree() for name, column in gives.items()}
    return shape if gives.keys() == {"image"} else shape | {"made": others}


def _named(pipeline: Any) -> Spec:
    """The names of the classes, for what is written beside pictures."""
    column = class_of(pipeline)
    return {"class_names": list(column.names)} if column is not None and column.names else {}


def _given(pipeline: Any, count: int, given: Rows | None, asked: Mapping[str, Any]) -> Table:
    rows, _ = pipeline.asked(given, **asked)
    return table_of(rows, pipeline.held(rows), count)


def weights_sha256(pipeline: Any) -> str:
    """The identity of a pipeline's networks: SHA-256 over every name, dtype, shape and value."""
    digest = hashlib.sha256()
    for name, component in sorted(pipeline.components.items()):
        if not isinstance(component, nn.Module):
            continue
        for key, value in sorted(component.state_dict().items()):
            digest.update(f"{name}.{key} {value.dtype} {tuple(value.shape)}\n".encode())
            flat = value.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def parse_labels(text: str, column: Class | None = None) -> list[int]:
    """Classes as a person writes them: "apple,tomato", "3", "0-9", "1,3,5-7" -> [1, 3, 5, 6, 7].

    Args:
        text: Names, numbers and ranges; where names are whole numbers, these are names.
        column: The classes of the pipeline; None = numbers of any.
    """
    try:
        return numbers_of(text, column)
    except DataError as error:
        raise PipelineError(f"labels {shown(text, 60)!r}: {error}") from None


def labels_of(pipeline: Any, text: str) -> Any:
    """The numbers of the classes that a person lists; the log says which these are.

    Raises:
        PipelineError: One of them is none of the pipeline's classes.
    """
    column = class_of(pipeline)
    if column is None:
        return text  # which the pipeline refuses: it knows no classes
    labels = parse_labels(text, column)
    drawn = list(dict.fromkeys(labels))
    if column.names and any(column.names[each] != str(each) for each in drawn):
        log.info("classes: %s", called(drawn, column.names))
    return labels


def _share(store: Store, batch_size: int, rank: int, processes: int) -> Sequence[int]:
    """Indices of this process's batches that lack an image, whole batches in order."""
    missing = store.missing()
    starts = range(rank * batch_size, len(missing), processes * batch_size)
    batches = (range(s, min(s + batch_size, len(missing))) for s in starts)
    todo: Iterator[range] = (b for b in batches if missing[b.start : b.stop].any())
    return np.fromiter(chain.from_iterable(todo), np.int64).tolist()


def _check(count: int, batch_size: int, rank: int, processes: int) -> None:
    for name, value in (("count", count), ("batch_size", batch_size), ("processes", processes)):
        if value < 1:
            raise PipelineError(f"{name}: must be at least 1, got {value}")
    if not 0 <= rank < processes:
        raise PipelineError(f"rank: must be in 0..{processes - 1}, got {rank}")
