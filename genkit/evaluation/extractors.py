"""The registry of extractors: by name, with weights, options and what they are for."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from genkit.errors import EvaluationError
from genkit.evaluation import clip, dinov2, inception, vgg
from genkit.evaluation.digits import load_digits
from genkit.evaluation.dinov2 import load_dinov2
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.inception import load_inception, load_torchscript
from genkit.evaluation.resize import RESIZES, Resize
from genkit.evaluation.vgg import load_vgg
from genkit.evaluation.weights import Weights

Precision = Literal["fp32", "bf16"]
USUAL = ("fd", "kid", "prdc")  # of an extractor that the registry doesn't know
DEFAULTS: dict[str, Any] = {"how": "clean", "precision": "fp32"}


@dataclass(frozen=True)
class Entry:
    """One extractor of the registry.

    Attributes:
        load: Makes it from a path (None = the user's cache), a device and those of `how` (the
            resize) and `precision` that it takes.
        weights: What it fetches; None = they come with genkit.
        usual: The metrics that are measured by it unless others are asked for.
    """

    load: Callable[..., Extractor]
    weights: Weights | None
    usual: tuple[str, ...]

    @property
    def options(self) -> set[str]:
        """Those of `DEFAULTS` that it takes."""
        return set(inspect.signature(self.load).parameters) & DEFAULTS.keys()


REGISTRY: dict[str, Entry] = {
    "digits": Entry(load_digits, None, ("fd", "prdc", "modes", "accuracy")),
    "inception-v3": Entry(
        load_inception, inception.PUBLISHED, ("fd", "fd-infinity", "kid", "is", "prdc")
    ),
    "inception-v3-torchscript": Entry(
        load_torchscript, inception.TORCHSCRIPT, ("fd", "fd-infinity", "kid", "prdc")
    ),
    "vgg16": Entry(load_vgg, vgg.PUBLISHED, ("prdc",)),
    "dinov2-vitl14": Entry(load_dinov2, dinov2.PUBLISHED, ("fd", "kid", "prdc")),
    "clip-vitl14-336": Entry(clip.load_vitl14, clip.PUBLISHED["clip-vitl14-336"], ("cmmd",)),
    "clip-vitb32": Entry(clip.load_vitb32, clip.PUBLISHED["clip-vitb32"], ("clip-score",)),
}


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
        name: One of `REGISTRY`, or "module:Class" for one of one's own.
        path: A file of weights; by default the published one, from the user's cache.
        resize: How images are brought to the network's size, where that can be chosen.
        precision: "bf16" is a preview: faster, and the values carry other names.
        device: Where the network runs.

    Raises:
        EvaluationError: No such extractor, an option that it doesn't take, or no weights.
    """
    asked = {"how": resize, "precision": precision}
    if ":" in name:
        return _own(name, path, asked)
    if name not in REGISTRY:
        raise EvaluationError(
            f"extractor {name!r}: no such extractor; there are: {', '.join(REGISTRY)}, "
            "and module:Class for your own"
        )
    entry = REGISTRY[name]
    _check(name, entry, asked)
    chosen = {key: value for key, value in asked.items() if key in entry.options}
    return entry.load(path, device=device, **chosen)


def usual_metrics(name: str) -> tuple[str, ...]:
    """What is measured by the extractor of that name unless other metrics are asked for."""
    return REGISTRY[name].usual if name in REGISTRY else USUAL


def _check(name: str, entry: Entry, asked: dict[str, Any]) -> None:
    if asked["how"] not in RESIZES:
        raise EvaluationError(f"resize {asked['how']!r}: there are {', '.join(RESIZES)}")
    for key, value in asked.items():
        if key not in entry.options and value != DEFAULTS[key]:
            option = "--resize" if key == "how" else "--precision"
            raise EvaluationError(f"{name} has no choice of {option[2:]}: leave {option} out")


def _own(name: str, path: Path | None, asked: dict[str, Any]) -> Extractor:
    """An extractor of one's own; the module may lie in the current folder."""
    module, _, attribute = name.partition(":")
    if path is not None or asked != DEFAULTS:
        raise EvaluationError(
            f"{name} finds its own weights and resizes by itself: leave --weights, --resize and "
            "--precision out for it"
        )
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
    if made.frechet_name == "fid" or any(made.name.startswith(known) for known in REGISTRY):
        raise EvaluationError(
            f"extractor {name}: it calls itself {made.name!r}, which is one of genkit's; values "
            "under that name must come from the published weights: give it another name"
        )
    return made
