"""Tasks by name. The file name is the registry: `translation.py` offers `TASK` as "translation"."""

from __future__ import annotations

import importlib
import pkgutil

from genkit.errors import EvaluationError
from genkit.evaluation.task import Task


def names() -> list[str]:
    """Every task of genkit, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def find(name: str) -> Task:
    """The task of that name, or "module:TASK" of another package.

    Raises:
        EvaluationError: There is no such task.
    """
    module, _, attribute = name.partition(":")
    if not attribute and name not in names():
        raise EvaluationError(
            f"task {name!r}: no such task; there are: {', '.join(names())}, and module:TASK"
        )
    where = module if attribute else f"{__name__}.{name}"
    try:
        found = getattr(importlib.import_module(where), attribute or "TASK")
    except (ImportError, AttributeError) as error:
        raise EvaluationError(f"task {name}: can't be imported: {error}") from None
    if not isinstance(found, Task):
        raise EvaluationError(
            f"task {name}: a {type(found).__name__}, expected a genkit.evaluation.Task"
        )
    return found
