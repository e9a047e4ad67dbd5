"""genkit: train, sample and evaluate generative models of images.

    import genkit
    run = genkit.train("configs/cgan/glyphs.yaml")
    images = genkit.load_pipeline(run)(16, seed=0, label=[7])

Names are imported when they are first used, so `import genkit` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from genkit.evaluation import ImageSet
    from genkit.family import load_config
    from genkit.pipelines import load_component, load_pipeline
    from genkit.report import write_report
    from genkit.verbs.evaluate import evaluate, evaluate_samples
    from genkit.verbs.export import export
    from genkit.verbs.train import train

_HOMES = {
    "ImageSet": "genkit.evaluation",
    "evaluate": "genkit.verbs.evaluate",
    "evaluate_samples": "genkit.verbs.evaluate",
    "export": "genkit.verbs.export",
    "load_config": "genkit.family",
    "load_component": "genkit.pipelines",
    "load_pipeline": "genkit.pipelines",
    "train": "genkit.verbs.train",
    "write_report": "genkit.report",
}

__all__ = [
    "ImageSet",
    "__version__",
    "evaluate",
    "evaluate_samples",
    "export",
    "load_component",
    "load_config",
    "load_pipeline",
    "train",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genkit' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
