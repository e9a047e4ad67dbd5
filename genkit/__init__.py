"""genkit: train, sample and evaluate generative models of images.

    import genkit
    run = genkit.train("configs/cgan/glyphs.yaml")
    images = genkit.load_pipeline(run)(16, seed=0, label=[7])

Names are imported when they are first used, so `import genkit` costs nothing.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from genkit.family import load_config
    from genkit.pipelines import load_component, load_pipeline
    from genkit.report import write_report
    from genkit.rows.base import Rows, image_rows
    from genkit.rows.datasets import dataset_rows
    from genkit.rows.files import open_path as open_rows
    from genkit.verbs.evaluate import evaluate, evaluate_samples
    from genkit.verbs.export import export
    from genkit.verbs.train import train

_HOMES = {
    "Rows": "genkit.rows.base",
    "dataset_rows": "genkit.rows.datasets",
    "image_rows": "genkit.rows.base",
    "open_rows": "genkit.rows.files:open_path",
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
    "Rows",
    "__version__",
    "dataset_rows",
    "evaluate",
    "evaluate_samples",
    "export",
    "image_rows",
    "load_component",
    "load_config",
    "load_pipeline",
    "open_rows",
    "train",
    "write_report",
]


if not TYPE_CHECKING:  # else a type checker would find every name, those that aren't there too

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(
                f"module 'genkit' has no attribute {name!r}; there are: {', '.join(__all__)}"
            )
        module, _, other = _HOMES[name].partition(":")
        return getattr(importlib.import_module(module), other or name)


def __dir__() -> list[str]:
    """The public names, whether they have been used or not: what completion offers."""
    hidden = {name for name, value in globals().items() if name.startswith("__")}
    parts = {
        name
        for name, value in globals().items()
        if isinstance(value, ModuleType) and value.__name__ == f"genkit.{name}"
    }
    return sorted(hidden | parts | {*__all__})
