"""A run folder, read for a report. What is missing or broken becomes a note, not an error."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from genkit.errors import CheckpointError

M = TypeVar("M", bound=BaseModel)


class Part(BaseModel):
    """A group of values in a file that another version may have written: unknown keys pass."""


class DataFacts(Part):
    """The training images of a run."""

    name: str = "unnamed data"
    count: int | None = None
    fingerprint: str | None = None


class Hardware(Part):
    """The machine that a run was trained on."""

    cpu: str | None = None
    cores: int | None = None
    memory_gb: float | None = None
    devices: list[str] = []


class Provenance(Part):
    """`provenance.json`: where a run comes from."""

    genkit: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    command: list[str] = []
    started: str | None = None
    finished: str | None = None
    steps: int | None = None
    seconds: float | None = None
    processes: int = 1
    precision: str | None = None
    packages: dict[str, str | None] = {}
    hardware: Hardware = Hardware()
    data: DataFacts = DataFacts()
    parameters: dict[str, int] = {}


class Identity(Part):
    """A set of images: what it was called, how many, and which bytes."""

    name: str
    count: int | None
    sha256: str | None = None


class Metric(Part):
    """One number with its interval, its floor and the protocol that it was measured by."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    better: Literal["lower", "higher"] | None = None
    floor: float | None = None
    note: str | None = None
    protocol: dict[str, Any] = {}


class ClassAccuracy(Part):
    """How often the classifier sees the class that was asked for."""

    name: str | int
    accuracy: float | None
    count: int


class Evaluation(Part):
    """`evaluation.json`, format 1."""

    format: Literal[1]
    samples: Identity
    reference: Identity
    train: Identity | None = None
    metrics: list[Metric]
    classes: list[ClassAccuracy] | None = None
    notes: list[str] = []
    seconds: float | None = None


class FrontierRow(Part):
    """One way to sample: how fast, how good."""

    scheduler: str
    steps: int
    guidance: float
    precision: str
    evaluations: int
    images_per_s: float
    pareto: bool
    metrics: list[Metric]

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)


class FrontierMachine(Hardware):
    """Where speed was measured."""

    threads: int | None = None


class FrontierSpeed(Part):
    """How speed was measured."""

    how: str
    batch_size: int


class FrontierReference(Part):
    """The real images of a frontier."""

    name: str


class Frontier(Part):
    """`frontier.json`, format 1."""

    format: Literal[1]
    count: int
    quality: str
    reference: FrontierReference
    speed: FrontierSpeed
    machine: FrontierMachine
    rows: Annotated[list[FrontierRow], Field(min_length=1)]


class Sampling(Part):
    """`sampling.json`: how fast samples were drawn."""

    images_per_s: float
    count: int
    processes: int = 1
    batch_size: int | None = None
    hardware: Hardware = Hardware()
    options: dict[str, str] = {}


class Best(Part):
    """`best.json`: the best evaluation during training, whose weights are in best/."""

    metric: str
    value: float
    step: int


@dataclass(frozen=True)
class Finding:
    """What the training doctor saw, and in which steps."""

    name: str
    text: str
    begin: int
    end: int | None  # None = it was still there at the end


@dataclass(frozen=True)
class Record:
    """Everything that a report says about one run."""

    path: Path
    config: dict[str, Any]
    config_text: str
    provenance: Provenance
    rows: list[dict[str, float]]  # of metrics.jsonl, finite numbers only
    findings: list[Finding]  # of metrics.jsonl, by the step that they begin with
    evaluation: Evaluation | None
    frontier: Frontier | None
    sampling: Sampling | None
    best: Best | None
    others: list[tuple[str, Evaluation]]  # further evaluations in the folder, by their names
    previews: dict[str, list[tuple[int, Path]]]  # by title, "" = samples, and by step
    notes: list[str]  # files that are there but can't be read

    @property
    def name(self) -> str:
        """The name of the folder."""
        return self.path.resolve().name

    def picture(self, name: str) -> Path | None:
        """A picture of the run folder, if it is there."""
        path = self.path / name
        return path if path.is_file() else None


def read_run(path: Path) -> Record:
    """The record of a run folder.

    Raises:
        CheckpointError: It is no run folder, or its config can't be read.
    """
    notes: list[str] = []
    config, text = _config(path)
    lines = _lines(path / "metrics.jsonl")
    return Record(
        path=path,
        config=config,
        config_text=text,
        provenance=_model(path / "provenance.json", Provenance, notes) or Provenance(),
        rows=_rows(lines),
        findings=_findings(lines),
        evaluation=_model(path / "evaluation.json", Evaluation, notes),
        frontier=_model(path / "frontier.json", Frontier, notes),
        sampling=_model(path / "sampling.json", Sampling, notes),
        best=_model(path / "best.json", Best, notes),
        others=_others(path, notes),
        previews=_previews(path / "previews"),
        notes=notes,
    )


def _config(path: Path) -> tuple[dict[str, Any], str]:
    file = path / "config.yaml"
    if not file.is_file():
        raise CheckpointError(
            f"{path}: not a run folder (it has no config.yaml); give a folder that "
            "`genkit train` wrote"
        )
    try:
        text = file.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CheckpointError(f"{file}: can't be read: {' '.join(str(error).split())}") from None
    return (tree if isinstance(tree, dict) else {}), text


def _model(file: Path, kind: type[M], notes: list[str]) -> M | None:
    if not file.is_file():
        return None
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        if kind is Evaluation and isinstance(tree, dict):
            tree = _renamed(tree)
        return kind.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(key) for key in first["loc"]) or "file"
        notes.append(f"{file.name} is left out: {where}: {first['msg']}")
    except (OSError, ValueError) as error:
        notes.append(f"{file.name} is left out: {error}")
    return None


def _renamed(tree: dict[str, Any]) -> dict[str, Any]:
    # The file says "class", which can't be an attribute.
    rows = tree.get("classes") or []
    classes = [{**row, "name": row.get("class")} for row in rows if isinstance(row, Mapping)]
    return {**tree, "classes": classes or None}


def _lines(file: Path) -> list[dict[str, Any]]:
    """Lines with a step; one that a kill cut short is passed over."""
    if not file.is_file():
        return []
    lines = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and _is_number(row.get("step")):
            lines.append(row)
    return lines


def _rows(lines: list[dict[str, Any]]) -> list[dict[str, float]]:
    return [
        {key: float(value) for key, value in line.items() if _is_number(value)}
        for line in lines
        if "finding" not in line
    ]


def _findings(lines: list[dict[str, Any]]) -> list[Finding]:
    """Each line that says how a finding ends is joined to that which says how it began."""
    found: dict[int, Finding] = {}
    going_on: dict[str, int] = {}
    for i, line in enumerate(lines):
        name, text = line.get("finding"), line.get("text")
        if isinstance(name, str) and isinstance(text, str):
            found[i] = Finding(name, text, int(line["step"]), None)
            going_on[name] = i
        elif (begun := going_on.pop(str(name), None)) is not None:
            found[begun] = replace(found[begun], end=int(line["step"]))
    return list(found.values())


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _previews(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    found: dict[str, list[tuple[int, Path]]] = {}
    for file in sorted(folder.glob("step-*.png")):
        digits, _, title = file.stem.removeprefix("step-").partition("-")
        if digits.isdigit():
            found.setdefault(title.replace("-", " "), []).append((int(digits), file))
    return {title: sorted(found[title]) for title in sorted(found)}


def _others(path: Path, notes: list[str]) -> list[tuple[str, Evaluation]]:
    """What was measured of other files in the folder: NAME-evaluation.json, NAME-pairs.json."""
    files = sorted(file for end in ("evaluation", "pairs") for file in path.glob(f"*-{end}.json"))
    read = [(file.stem, _model(file, Evaluation, notes)) for file in files]
    return [(name, found) for name, found in read if found is not None]
