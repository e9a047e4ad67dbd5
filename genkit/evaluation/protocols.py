"""Named protocols: how published numbers are measured, under one word each.

A number compares only with numbers of the same protocol, and papers seldom say all of it. A preset
fixes extractor, resize and metrics, and knows which reference and how many samples are usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genkit.errors import EvaluationError
from genkit.evaluation.resize import Resize


@dataclass(frozen=True)
class Preset:
    """One protocol.

    Attributes:
        extractors: Their names.
        metrics: What is measured by them.
        source: Whose protocol it is.
        resize: How images come to the network's size.
        reference: The usual reference set, or None where each paper has its own.
        count: The usual number of samples, or None.
    """

    extractors: tuple[str, ...]
    metrics: tuple[str, ...]
    source: str
    resize: Resize = "clean"
    reference: str | None = None
    count: int | None = None


PRESETS: dict[str, Preset] = {
    "clean-fid": Preset(
        ("inception-v3-torchscript",), ("fd", "kid"), "Parmar et al. 2022, arXiv:2104.11222"
    ),
    "pytorch-fid": Preset(
        ("inception-v3",), ("fd",), "the package pytorch-fid", resize="legacy-pytorch"
    ),
    "torch-fidelity": Preset(
        ("inception-v3",),
        ("fd", "kid", "is"),
        "the package torch-fidelity, as TensorFlow's FID",
        resize="legacy-tensorflow",
    ),
    "ddpm-cifar10-train": Preset(
        ("inception-v3",),
        ("fd", "is"),
        "Ho et al. 2020, arXiv:2006.11239: against the training images",
        resize="legacy-tensorflow",
        reference="cifar10:train",
        count=50_000,
    ),
    "edm": Preset(
        ("inception-v3-torchscript",),
        ("fd",),
        "Karras et al. 2022, arXiv:2206.00364: 50,000 samples against the training images",
        resize="legacy-tensorflow",
        reference="cifar10:train",
        count=50_000,
    ),
    "improved-precision-recall": Preset(
        ("vgg16",),
        ("prdc",),
        "Kynkäänniemi et al. 2019, arXiv:1904.06991, but with 10,000 images of each set",
        count=10_000,
    ),
    "fd-dinov2": Preset(
        ("dinov2-vitl14",), ("fd", "prdc"), "Stein et al. 2023, arXiv:2306.04675", count=50_000
    ),
    "cmmd": Preset(
        ("clip-vitl14-336",), ("cmmd",), "Jayasumana et al. 2024, arXiv:2401.09603", count=30_000
    ),
}


def preset(name: str) -> Preset:
    """The protocol of that name."""
    if name not in PRESETS:
        raise EvaluationError(f"protocol {name!r}: there are: {', '.join(PRESETS)}")
    return PRESETS[name]


def settings(name: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a preset asks of an evaluation, laid under what else was asked.

    Raises:
        EvaluationError: Something was asked that the protocol fixes otherwise.
    """
    chosen = preset(name)
    fixed: dict[str, Any] = {
        "extractors": chosen.extractors,
        "metrics": chosen.metrics,
        "resize": chosen.resize,
        "precision": "fp32",
    }
    for key, value in fixed.items():
        other = value if asked.get(key) is None else asked[key]
        if (tuple(other) if isinstance(other, list) else other) != value:
            raise EvaluationError(
                f"--protocol {name} has {key} = {_words(value)}, but {_words(other)} was asked "
                "for: leave one of the two out"
            )
    return {**asked, **fixed}


def notes(name: str, samples: int, reference: str) -> list[str]:
    """How an evaluation departs from what is usual under that name."""
    chosen = preset(name)
    lines = [f"protocol {name}: {chosen.source}"]
    if chosen.count is not None and samples != chosen.count:
        lines.append(f"{samples:,} samples; {chosen.count:,} are usual under {name}")
    if chosen.reference is not None and reference != chosen.reference:
        lines.append(f"reference {reference}; {chosen.reference} is usual under {name}")
    return lines


def _words(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
