"""How good are the samples: metrics on features, with intervals, floors and protocols.

Names are imported when they are first used: a report needs the words of metrics, not torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genkit.evaluation.extractor import Extractor
    from genkit.evaluation.extractors import load_extractor
    from genkit.evaluation.metric import Metric
    from genkit.evaluation.nearest import nearest_pairs, save_nearest
    from genkit.evaluation.paired import evaluate_pairs
    from genkit.evaluation.perceptual import Lpips
    from genkit.evaluation.results import Evaluation, Value
    from genkit.evaluation.statistics import ReferenceStatistics, read_reference, save_statistics
    from genkit.evaluation.suite import evaluate
    from genkit.evaluation.task import Asked, Task
    from genkit.evaluation.view import Found, View

_HOMES = {
    "Asked": "task",
    "Evaluation": "results",
    "Extractor": "extractor",
    "Found": "view",
    "Lpips": "perceptual",
    "Metric": "metric",
    "ReferenceStatistics": "statistics",
    "Task": "task",
    "Value": "results",
    "View": "view",
    "evaluate": "suite",
    "evaluate_pairs": "paired",
    "load_extractor": "extractors",
    "nearest_pairs": "nearest",
    "read_reference": "statistics",
    "save_nearest": "nearest",
    "save_statistics": "statistics",
}

__all__ = [
    "Asked",
    "Evaluation",
    "Extractor",
    "Found",
    "Lpips",
    "Metric",
    "ReferenceStatistics",
    "Task",
    "Value",
    "View",
    "evaluate",
    "evaluate_pairs",
    "load_extractor",
    "nearest_pairs",
    "read_reference",
    "save_nearest",
    "save_statistics",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genkit.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
