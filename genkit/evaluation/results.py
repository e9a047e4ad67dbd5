"""What an evaluation found, as Python objects and as evaluation.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from genkit.files import write_whole

FORMAT = 1


@dataclass(frozen=True)
class Metric:
    """One number and what is needed to judge it.

    Attributes:
        name: Such as "fd-digits"; the extractor is part of it.
        value: Of the samples.
        low: Lower end of the 95 % bootstrap interval; None if there were no resamples.
        high: Upper end, or None.
        better: Which way is good.
        floor: The same metric of real training images (for accuracy, modes and near copies: of the
            real reference images); None where there was nothing to compute it from.
        note: What a reader must know; empty if nothing.
        protocol: Extractor, resize, counts, reference: values compare only if these agree.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    better: Literal["lower", "higher"]
    floor: float | None
    note: str
    protocol: dict[str, Any]


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found; `evaluation.json` holds the same."""

    samples: dict[str, Any]
    reference: dict[str, Any]
    train: dict[str, Any] | None
    metrics: tuple[Metric, ...]
    classes: tuple[dict[str, Any], ...] | None
    notes: tuple[str, ...]
    seconds: float
    versions: dict[str, str]

    def __getitem__(self, name: str) -> Metric:
        """The metric of that name."""
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, as written to evaluation.json."""
        return {"format": FORMAT, **asdict(self)}

    def save(self, path: Path | str) -> None:
        """Write evaluation.json, whole or not at all."""
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        write_whole(Path(path), text + "\n")
