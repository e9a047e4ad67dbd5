"""A run folder, read for a report. What is missing or broken becomes a note, not an error."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from genkit.errors import CheckpointError, shown
from genkit.report.parts import (
    Best,
    Evaluation,
    Frontier,
    Provenance,
    Sampling,
    read_json,
    read_part,
    sound,
)

_MOST_SETTINGS = 10_000  # of a config; a few lines of YAML can stand for billions


@dataclass(frozen=True)
class Finding:
    """What the training doctor saw, and in which steps."""

    name: str
    text: str
    begin: int
    end: int | None  # None = it was still there at the end


@dataclass(frozen=True)
class Record:
    """Everything that a report says about one run, or about samples that no run made."""

    path: Path  # the run folder, or the file of an evaluation
    name: str  # as it may be shown; unlike that of every other record of a report
    is_run: bool = True
    config: dict[str, Any] = field(default_factory=dict)
    config_text: str = ""
    provenance: Provenance = field(default_factory=Provenance)
    rows: list[dict[str, float]] = field(default_factory=list)  # of metrics.jsonl, finite numbers
    findings: list[Finding] = field(default_factory=list)  # by the step that they begin with
    evaluation: Evaluation | None = None
    frontier: Frontier | None = None
    sampling: Sampling | None = None
    best: Best | None = None
    others: list[tuple[str, Evaluation]] = field(default_factory=list)  # further ones, by name
    previews: dict[str, list[tuple[int, Path]]] = field(default_factory=dict)  # by title and step
    samples: Path | None = None  # a file or folder of generated pictures
    notes: list[str] = field(default_factory=list)  # files that are there but can't be read

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.path if self.is_run else self.path.parent

    def picture(self, name: str) -> Path | None:
        """A picture of the folder, if it is there."""
        path = self.folder / name
        return path if path.is_file() else None


STORED = ("samples.npz", "samples.zip", "samples.tar", "samples")  # of a run, as people name them


def read_run(path: Path) -> Record:
    """The record of a run folder.

    Raises:
        CheckpointError: It is no run folder, or its config can't be read.
    """
    notes: list[str] = []
    config, text = _config(path)
    lines = _lines(path / "metrics.jsonl", notes)
    return Record(
        path=path,
        name=shown(path.resolve().name),
        config=config,
        config_text=text,
        provenance=read_part(path / "provenance.json", Provenance, notes) or Provenance(),
        rows=[_numbers(line) for line in lines if "finding" not in line],
        findings=_findings(lines),
        evaluation=read_part(path / "evaluation.json", Evaluation, notes),
        frontier=read_part(path / "frontier.json", Frontier, notes),
        sampling=read_part(path / "sampling.json", Sampling, notes),
        best=read_part(path / "best.json", Best, notes),
        others=_others(path, notes),
        previews=_previews(path / "previews"),
        samples=next((path / name for name in STORED if (path / name).exists()), None),
        notes=notes,
    )


def _config(path: Path) -> tuple[dict[str, Any], str]:
    file = path / "config.yaml"
    if not file.is_file():
        raise CheckpointError(
            f"{shown(path)}: not a run folder (it has no config.yaml); give a folder that "
            "`genkit train` wrote"
        )
    try:
        text = file.read_text(encoding="utf-8")
        tree = yaml.safe_load(text)
        if not _is_small(tree):
            raise ValueError(f"more than {_MOST_SETTINGS:,} values")
    except RecursionError:
        raise CheckpointError(f"{shown(file)}: can't be read: nested too deep") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise CheckpointError(f"{shown(file)}: can't be read: {shown(error)}") from None
    return (tree if isinstance(tree, dict) else {}), text


def _is_small(tree: Any) -> bool:
    """Whether a tree has few values, each counted as often as it is referred to."""
    waiting, count = [tree], 0
    while waiting and count <= _MOST_SETTINGS:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict | list | tuple | set):
            waiting += [*value.values()] if isinstance(value, dict) else value
    return count <= _MOST_SETTINGS


def _lines(file: Path, notes: list[str]) -> list[dict[str, Any]]:
    """Lines with a step; the last one may have been cut short by a kill, others are counted."""
    if not file.is_file():
        return []
    try:
        *whole, last = file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError as error:
        notes.append(f"metrics.jsonl is left out: {error.strerror or error}")
        return []
    read = [_line(line) for line in whole]
    if damaged := read.count(None):
        notes.append(f"metrics.jsonl: {damaged:,} of {len(read):,} lines can't be read")
    return [line for line in (*read, _line(last)) if line is not None]


def _line(text: str) -> dict[str, Any] | None:
    try:
        row = read_json(text)
    except ValueError:
        return None
    step = sound(row.get("step")) if isinstance(row, dict) else None
    return None if step is None or not 0 <= step < _LAST_STEP else row


_LAST_STEP = 10**15  # beyond, a float does not tell one step from the next


def _numbers(line: dict[str, Any]) -> dict[str, float]:
    numbers = {key: sound(value) for key, value in line.items()}
    return {key: value for key, value in numbers.items() if value is not None}


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
    read = [(shown(file.stem), read_part(file, Evaluation, notes)) for file in files]
    return [(name, found) for name, found in read if found is not None]
