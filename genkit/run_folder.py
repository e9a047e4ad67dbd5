"""The run folder: whose results it holds, and who may write there.

config.yaml · provenance.json · metrics.jsonl · previews/ · checkpoints/ · export/
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit import launch
from genkit.config import differences, may_change, read_tree, to_tree, to_yaml
from genkit.errors import CheckpointError, ConfigError, shown
from genkit.family import resolve
from genkit.files import write_whole
from genkit.training import checkpoints
from genkit.training.config import RunConfig


def prepare(config: RunConfig, run_dir: Path, *, resume: bool) -> None:
    """Write `config.yaml`, after making sure that nobody else's results would be overwritten.

    Raises:
        CheckpointError: The folder holds results and `resume` is off, or of other settings.
    """
    path = run_dir / "config.yaml"
    if path.exists():
        changed = differences(_settings(path), to_tree(config))
        if resume:
            changed = {k: v for k, v in changed.items() if not _may_change(k, config)}
        used = resume or (run_dir / "metrics.jsonl").exists() or (run_dir / "checkpoints").exists()
        if used and (changed or not resume):
            raise CheckpointError(_refusal(run_dir, changed, resume=resume))
    if launch.ranks().is_first:
        with checkpoints.explained(f"run folder {run_dir}"):
            write_whole(path, to_yaml(config))


def _settings(path: Path) -> dict[str, Any]:
    """What a run folder's config.yaml says, in today's words where another version wrote it."""
    tree = read_tree(path)
    try:
        return to_tree(resolve(tree, str(path)))
    except ConfigError:
        return tree  # of a family or of settings that are not known here


def _may_change(key: str, config: RunConfig) -> bool:
    if key == "trainer.steps" and config.optim.schedule != "constant":
        return False  # the schedule would have been another from the first step on
    return may_change(config, key)


def _refusal(run_dir: Path, changed: Mapping[str, tuple[Any, Any]], *, resume: bool) -> str:
    lines = [f"{key}: {old!r} there, {new!r} here" for key, (old, new) in changed.items()]
    if resume:
        what = "a resumed run must keep its settings; undo these, or give another --out"
    elif changed:
        what = "holds a run of another config; give another --out"
    else:
        what = "holds a run of this config; add --resume to continue it, or give another --out"
    return "\n  ".join([f"{run_dir}: {what}", *lines])


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keep a second training process out of the folder while this one runs."""
    if not launch.ranks().is_first:
        yield
        return
    with checkpoints.explained(f"run folder {run_dir}"):
        run_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(run_dir / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 32).decode() or "unknown"
        os.close(handle)
        raise CheckpointError(
            f"{run_dir}: process {owner} is training there; wait for it, or give another --out"
        ) from None
    try:
        os.truncate(handle, 0)
        os.write(handle, str(os.getpid()).encode())
        yield
    finally:
        os.close(handle)  # which unlocks it, as the end of the process would


def open_run(run: Path) -> tuple[RunConfig, dict[str, Any]]:
    """Config and provenance of a run folder."""
    path = run / "config.yaml"
    if not path.exists():
        raise CheckpointError(f"{run}: not a run folder (no config.yaml); give one that train made")
    record = run / "provenance.json"
    if not record.exists():
        raise CheckpointError(f"{record}: missing, so the run never began; train it first")
    return resolve(read_tree(path), str(path)), json.loads(record.read_text())


@dataclass(frozen=True)
class Progress:
    """How far a run is, read from its folder.

    Attributes:
        run: The run folder.
        trained: The step of its newest checkpoint; 0 if there is none.
        exported: The step that its export is of; None if there is none, or it doesn't say.
        asked: `trainer.steps`; None if the config can't be read.
    """

    run: Path
    trained: int
    exported: int | None
    asked: int | None

    @property
    def is_finished(self) -> bool:
        """Whether the export is of the last step that the config asks for."""
        return None not in (self.exported, self.asked) and self.exported == self.asked

    @property
    def lag(self) -> str | None:
        """A sentence where the export is of an earlier step than the run is at; else None."""
        if self.exported is None or self.exported >= self.trained:
            return None
        return (
            f"{shown(self.run)}: the export is step {self.exported} of a run that is at "
            f"{self.trained}; `genkit export {shown(self.run)}` brings it up to date"
        )


def progress(run: Path | str) -> Progress:
    """How far a run is. What is missing or can't be read counts as not there: nothing is raised."""
    run = Path(run)
    trained = checkpoints.steps(run / "checkpoints")
    try:
        asked = read_tree(run / "config.yaml").get("trainer", {}).get("steps")
    except (ConfigError, AttributeError):
        asked = None
    known = asked if isinstance(asked, int) else None
    return Progress(run, trained[-1] if trained else 0, _exported(run / "export"), known)


def _exported(folder: Path) -> int | None:
    """The step that an export is of, as its model card has always said it."""
    try:
        card = (folder / "README.md").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"^\| Optimizer steps \| (\d+) \|$", card, re.MULTILINE)
    return int(found[1]) if found else None
