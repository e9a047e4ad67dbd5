"""Metrics: one file each, with formula, source and `METRIC`. The folder is the registry.

The text of the files is enough for `meanings`, `titles` and `aims`: a report need not import torch.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genkit.errors import EvaluationError, shown

if TYPE_CHECKING:
    from genkit.evaluation.extractor import Extractor
    from genkit.evaluation.metric import Metric


@lru_cache(1)
def every() -> tuple[Metric, ...]:
    """All metrics of genkit, in their order."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in _files()]
    found: list[Metric] = [module.METRIC for module in modules]
    return tuple(sorted(found, key=lambda metric: metric.order))


def chosen(names: Iterable[str]) -> list[Metric]:
    """The metrics of these names, each once, in their order.

    Args:
        names: Those of metrics of genkit, or "module:METRIC" for one's own.

    Raises:
        EvaluationError: There is no such metric.
    """
    known = {metric.name: metric for metric in every()}
    found: dict[str, Metric] = {}
    for name in names:
        if ":" not in name and name not in known:
            raise EvaluationError(
                f"metric {shown(repr(name))}: no such metric; there are: "
                f"{', '.join(known)}, and module:METRIC for your own{_measures(name)}"
            )
        metric = _own(name) if ":" in name else known[name]
        found[metric.name] = metric
    return sorted(found.values(), key=lambda metric: metric.order)


def _measures(value: str) -> str:
    """Which metric gives a value of that name: "fid" is measured by "fd", "recall" by "prdc"."""
    homes = [
        (name, module.name)
        for module in _files()
        for name in _constant(Path(__file__).parent / f"{module.name}.py", "MEANING")
        if value == name or value.startswith(f"{name}-")
    ]
    if not homes:
        return ""
    metric: Metric = importlib.import_module(f"{__name__}.{max(homes)[1]}").METRIC
    return f"; {shown(value)} is a value of {metric.name}: write that"


def quick(extractor: Extractor) -> list[str]:
    """Names of the metrics by an extractor that are measured often: during training, say."""
    return [m.name for m in every() if m.is_quick and m.fits(extractor)]


def meanings() -> dict[str, str]:
    """What each value asks, by the beginning of its name; nothing is imported for it."""
    return _said("MEANING")


def titles() -> dict[str, str]:
    """What each value is called in words, by the beginning of its name."""
    return _said("TITLE")


def aims() -> dict[str, float]:
    """The right value of those of which neither less nor more is better, by how names begin."""
    return _said("AIM")


def enough() -> dict[str, float]:
    """The value from which on less is no better, of those that have one."""
    return _said("ENOUGH")


def _said(constant: str) -> dict[str, Any]:
    """A constant of all files of metrics and of tasks with values of their own, from their text."""
    here, found = Path(__file__).parent, dict[str, Any]()
    more = [here.parent / "paired.py", here.parent / "perceptual.py"]
    for folder in ("tasks", "changes"):
        more += sorted((here.parent / folder).glob("*.py"))
    for file in (*(here / f"{module.name}.py" for module in _files()), *more):
        found |= _constant(file, constant)
    return found


def _constant(file: Path, name: str) -> dict[str, Any]:
    found = dict[str, Any]()
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            found |= ast.literal_eval(node.value)
    return found


def _files() -> list[pkgutil.ModuleInfo]:
    return list(pkgutil.iter_modules(__path__))


def _own(name: str) -> Metric:
    """A metric of one's own; the module may lie in the current folder."""
    from genkit.evaluation.metric import Metric

    module, _, attribute = name.partition(":")
    try:
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise EvaluationError(f"metric {name}: can't be imported: {error}") from None
    if not isinstance(found, Metric):
        raise EvaluationError(
            f"metric {name}: a {type(found).__name__}, expected a genkit.evaluation.Metric"
        )
    if any(found.name == metric.name for metric in every()):
        raise EvaluationError(
            f"metric {name}: it calls itself {found.name!r}, which is one of genkit's; give it "
            "another name"
        )
    return found
