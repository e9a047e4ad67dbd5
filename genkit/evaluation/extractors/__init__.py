"""Extractors by name. The file name is the registry: `vgg16.py` offers `EXTRACTOR` as "vgg16".

Each file is a thin wrapper around a network of `genkit/nn/pretrained/`, and is imported when it is
asked for.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import torch

from genkit.errors import EvaluationError
from genkit.evaluation.classifiers import is_trained, load_trained
from genkit.evaluation.extractor import DEFAULTS, USUAL, Entry, Extractor, Precision
from genkit.evaluation.resize import RESIZES, Resize


def names() -> list[str]:
    """Every extractor of genkit, sorted."""
    return sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))


def entry(name: str) -> Entry:
    """What the file of that extractor says of it.

    Raises:
        EvaluationError: There is no such file.
    """
    if name not in names():
        raise EvaluationError(
            f"extractor {name!r}: no such extractor; there are: {', '.join(names())}, "
            "a run of family classifier or clip, and module:Class for your own"
        )
    module = importlib.import_module(f"{__name__}.{name.replace('-', '_')}")
    found: Entry = module.EXTRACTOR
    return found


def load_extractor(
    name: str,
    path: Path | None = None,
    *,
    resize: Resize = "clean",
    precision: Precision = "fp32",
    device: torch.device | str = "cpu",
) -> Extractor:
    """The extractor of that name.

    Args:
        name: One of `names()`, a run or export of family classifier or clip, or "module:Class"
            for one of one's own.
        path: A file of weights; by default the published one, from the user's cache.
        resize: How images are brought to the network's size, where that can be chosen.
        precision: "bf16" is a preview: faster, and the values carry other names.
        device: Where the network runs.

    Raises:
        EvaluationError: No such extractor, an option that it doesn't take, or no weights.
    """
    asked = {"how": resize, "precision": precision}
    if name not in names() and is_trained(name):
        _refuse_choices(name, path, asked)
        return load_trained(name, device=device)
    if ":" in name:
        return _own(name, path, asked)
    found = entry(name)
    _check(name, found, asked)
    chosen = {key: value for key, value in asked.items() if key in found.options}
    return found.load(path, device=device, **chosen)


def usual_metrics(name: str) -> tuple[str, ...]:
    """What is measured by the extractor of that name unless other metrics are asked for."""
    return entry(name).usual if name in names() else (*USUAL, "accuracy")


def _check(name: str, found: Entry, asked: dict[str, Any]) -> None:
    if asked["how"] not in RESIZES:
        raise EvaluationError(f"resize {asked['how']!r}: there are {', '.join(RESIZES)}")
    for key, value in asked.items():
        if key not in found.options and value != DEFAULTS[key]:
            option = "--resize" if key == "how" else "--precision"
            raise EvaluationError(f"{name} has no choice of {option[2:]}: leave {option} out")


def _refuse_choices(name: str, path: Path | None, asked: dict[str, Any]) -> None:
    if path is not None or asked != DEFAULTS:
        raise EvaluationError(
            f"{name} finds its own weights and resizes by itself: leave --weights, --resize and "
            "--precision out for it"
        )


def _own(name: str, path: Path | None, asked: dict[str, Any]) -> Extractor:
    """An extractor of one's own; the module may lie in the current folder."""
    module, _, attribute = name.partition(":")
    _refuse_choices(name, path, asked)
    try:
        if (here := str(Path.cwd())) not in sys.path:
            sys.path.insert(0, here)
        made = getattr(importlib.import_module(module), attribute)()
    except Exception as error:
        raise EvaluationError(f"extractor {name}: can't be made: {error}") from None
    if not isinstance(made, Extractor):
        raise EvaluationError(
            f"extractor {name}: a {type(made).__name__}, expected a genkit.evaluation.Extractor"
        )
    if made.frechet_name == "fid" or made.name.startswith(tuple(names())):
        raise EvaluationError(
            f"extractor {name}: it calls itself {made.name!r}, which is one of genkit's; values "
            "under that name must come from the published weights: give it another name"
        )
    return made
