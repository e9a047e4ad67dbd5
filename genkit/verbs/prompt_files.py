"""Prompts of one's own: files with a text in each line, and what they go together with."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from genkit.errors import EvaluationError, PipelineError, shown
from genkit.evaluation.prompts import Prompts

log = logging.getLogger("genkit")

_NAMED = 5  # blank lines that are named


def read_prompts(file: Path) -> Prompts:
    """The prompts of a file; lines that are blank are left out, which the log says.

    Raises:
        PipelineError: It can't be read as UTF-8, or there is no prompt in it.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise PipelineError(
            f"--prompts {shown(file)}: can't be read ({error.strerror or error}); give a file in "
            "UTF-8 with one prompt in each line"
        ) from None
    try:
        lines = raw.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise PipelineError(
            f"--prompts {shown(file)}: line {line} is not in UTF-8 (byte {raw[error.start]:#04x}); "
            "give a file in UTF-8 with one prompt in each line"
        ) from None
    texts = tuple(line.strip() for line in lines if line.strip())
    if not texts:
        raise PipelineError(f"--prompts {shown(file)}: no prompt in it; write one in each line")
    blank = [i for i, line in enumerate(lines, start=1) if not line.strip()]
    if blank:
        more = f" and {len(blank) - _NAMED:,} more" if len(blank) > _NAMED else ""
        which = ", ".join(map(str, blank[:_NAMED])) + more
        log.warning("%s: blank lines are left out (%s)", shown(file), which)
    return Prompts(texts, file.name, hashlib.sha256(raw).hexdigest())


def task_of_prompts(task: str | None, reference: Any, reference_count: int | None) -> str:
    """The task of prompts of one's own; raises where another is named, or images of no set."""
    if task not in (None, "prompts"):
        raise EvaluationError(
            f"--task {task}: with --prompts a model is measured at these; leave --task out"
        )
    if reference is None and reference_count is not None:
        raise EvaluationError(
            f"--reference-count of {reference_count}: with --prompts real images are compared with "
            "only if they are named; add --reference SET, or leave it out"
        )
    return "prompts"
