"""What a report may be about: runs, and evaluations of samples that no run made."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from genkit.errors import CheckpointError, ConfigError, shown
from genkit.report.parts import Evaluation, read_part
from genkit.report.record import Record, read_run

log = logging.getLogger("genkit")

ENDINGS = ("-evaluation", "-pairs")  # of the names of what `genkit evaluate` writes
_SETS = (".npz", ".tar", ".zip")  # of files of samples


def read_subjects(paths: Sequence[Path | str] | Path | str) -> list[Record]:
    """The records of all that is named, each once, with names that tell them apart.

    Args:
        paths: Run folders; evaluations (`NAME-evaluation.json`); samples that have one beside them.
            Among several, other files are passed over, and the log says which: `runs/*` may hold
            the last report.

    Raises:
        ConfigError: Nothing is named.
        CheckpointError: A path isn't there, or nothing can be said of it.
    """
    named = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    if not named:
        raise ConfigError("report: no run given; name at least one run folder")
    idle = [path for path in named if len(named) > 1 and _says_nothing(path)]
    if len(idle) == len(named):
        idle = []
    for path in idle:
        log.warning("passed over, neither a run nor measured: %s", shown(path))
    found: dict[Path, Record] = {}
    for path in named:
        if path not in idle:
            record = read_subject(path)
            if found.setdefault(record.path.resolve(), record) is not record:
                log.info("given twice, shown once: %s", shown(path))
    return named_apart(list(found.values()))


def read_subject(path: Path) -> Record:
    """The record of a run folder, of an evaluation, or of samples that have one beside them.

    Raises:
        CheckpointError: It isn't there, it was not measured, or its evaluation can't be read.
    """
    if not path.exists():
        raise CheckpointError(f"{shown(path)}: no such file or folder; name a run folder")
    folders = () if path.is_file() and path.suffix == ".json" else (path, path.parent)
    for folder in folders:
        if (folder / "config.yaml").is_file():
            return read_run(folder)
    file = _evaluation_of(path)
    if file is None:
        raise CheckpointError(
            f"{shown(path)}: not a run folder (it has no config.yaml) and not measured (no "
            f"evaluation beside it); measure it: genkit evaluate {quoted(path)} --reference SET"
        )
    notes: list[str] = []
    found = read_part(file, Evaluation, notes)
    if found is None:
        raise CheckpointError(f"{shown(file)}: no evaluation that can be read: {notes[0]}")
    near = [_home(file).with_name(f"{_home(file).name}{end}") for end in ("", *_SETS)]
    samples = path if path != file else next((p for p in near if p.exists()), None)
    return Record(file, shown(_home(file).name), is_run=False, evaluation=found, samples=samples)


def _says_nothing(path: Path) -> bool:
    """Whether it is a file that is neither measured nor called like an evaluation."""
    return path.is_file() and path.suffix != ".json" and _evaluation_of(path) is None


def _evaluation_of(path: Path) -> Path | None:
    """The file of an evaluation: itself, beside the samples, or within their folder."""
    if path.is_file() and path.suffix == ".json":
        return path
    path = path if path.name else path.resolve()  # "." has no name
    near = [path.with_name(f"{n}{end}.json") for end in ENDINGS for n in (path.name, path.stem)]
    return next((file for file in (*near, path / "evaluation.json") if file.is_file()), None)


# -- names -----------------------------------------------------------------------------------------


def _home(path: Path) -> Path:
    """What a record is called after: the run folder, or the samples of an evaluation."""
    path = path.resolve()
    if path.name == "evaluation.json":
        return path.parent
    if path.suffix != ".json":
        return path
    stem = path.stem
    for end in ENDINGS:
        stem = stem.removesuffix(end)
    return path.with_name(stem)


def quoted(path: Path) -> str:
    """A path as a word of a command that may be shown."""
    return shlex.quote(shown(path))


def named_apart(records: Sequence[Record]) -> list[Record]:
    """The records under names of which no two are alike."""
    return [replace(r, name=name) for r, name in zip(records, _names(records), strict=True)]


def _names(records: Sequence[Record]) -> list[str]:
    """The short name of each, or as much of its path before it as sets it apart from its like."""
    names = [record.name for record in records]
    for depth in range(1, max(len(r.path.resolve().parts) for r in records) + 1):
        alike = {name for name in names if names.count(name) > 1}
        names = [
            _longer(r, depth) if n in alike else n for r, n in zip(records, names, strict=True)
        ]
    if len({*names}) < len(names):  # a run and an evaluation of one name in one folder
        names = [shown(record.path) for record in records]
    return names


def _longer(record: Record, depth: int) -> str:
    return "/".join(shown(part.strip("/")) for part in _home(record.path).parts[-depth - 1 :])
