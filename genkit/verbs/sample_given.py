"""What a person gives a pipeline on the command line: pictures, columns, texts."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genkit.errors import PipelineError
from genkit.rows.columns import Image, Text
from genkit.rows.combine import fitted
from genkit.rows.files import open_path
from genkit.rows.given import Cycled, Field, cycle

log = logging.getLogger("genkit")


def rows_given(pipeline: Any, words: Sequence[str]) -> Cycled:
    """Rows that a pipeline is given, as a person names them.

    Pictures are brought to the size that the pipeline takes, and keep their own where it takes any.

    Args:
        pipeline: A `Pipeline`.
        words: Each FOLDER or COLUMN=FOLDER of pictures, as `open_path` opens it, or COLUMN=TEXT.

    Raises:
        PipelineError: The pipeline takes no such column.
        DataError: There are no pictures.
    """
    fields: dict[str, Field] = {}
    for word in words:
        name, path = _column(pipeline, word)
        column = next((taken[name] for taken in pipeline.takes if name in taken), None)
        if isinstance(column, Text):
            fields[name] = (cycle("given", {name: column}, **{name: path}), name)
            continue
        rows = open_path(path)
        if isinstance(column, Image) and column.size is not None:
            rows = fitted(rows, column.size, column.channels or 3)
        beside = {key: (rows, key) for key in rows.columns if key not in ("image", *fields)}
        fields |= {name: (rows, "image"), **beside}
    return Cycled("given", fields)


def texts_given(
    pipeline: Any,
    prompts: Sequence[str],
    negative: str | None,
    given: Sequence[str],
    *,
    needed: bool = True,
) -> dict[str, Any]:
    """Prompts as keywords of the pipeline's call.

    Args:
        pipeline: A `Pipeline`.
        prompts: Texts to make pictures of.
        negative: What they don't show.
        given: What it is given besides, as `rows_given` takes it.
        needed: Whether one that takes texts must be given some.

    Raises:
        PipelineError: It takes no texts, or takes some, needs them, and none are given.
    """
    reads = any("caption" in taken for taken in pipeline.takes)
    if (prompts or negative) and not reads:
        raise PipelineError(
            f"--prompt: a {type(pipeline).__name__} takes no texts; leave it out, or name a model "
            "that does"
        )
    told = any(word.startswith("caption=") for word in given)
    if needed and reads and not (prompts or told):
        raise PipelineError(
            "this model makes pictures of texts: say what by --prompt TEXT or --prompts FILE.txt"
        )
    texts = {} if not prompts else {"caption": list(prompts)}
    return texts if negative is None else texts | {"negative": negative}


def _column(pipeline: Any, word: str) -> tuple[str, str]:
    """The column that is given, and by what."""
    name, equals, value = word.partition("=")
    known = {name: column for taken in pipeline.takes for name, column in taken.items()}
    if equals and name in known:
        return name, value
    if equals and name.isidentifier() and not Path(word).exists():
        raise PipelineError(
            f"--given {word}: this pipeline takes no {name!r}; it takes "
            f"{', '.join(known) or 'nothing'}"
        )
    pictures = [name for name, column in known.items() if isinstance(column, Image)]
    if not pictures:
        return "image", word
    if "image" in pictures:
        return "image", word
    log.info("the pictures of %s are given as %r, which this pipeline takes", word, pictures[0])
    return pictures[0], word
