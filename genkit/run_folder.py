"""The run folder: whose results it holds, and who may write there.

config.yaml · provenance.json · metrics.jsonl · previews/ · checkpoints/ · export/
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit import __version__, launch
from genkit.config import differences, may_change, read_tree, to_tree, to_yaml
from genkit.errors import CheckpointError, ConfigError, shown
from genkit.family import resolve, resolve_known
from genkit.files import clear_leftovers, write_whole
from genkit.training import checkpoints, refusals
from genkit.training.config import RunConfig

log = logging.getLogger("genkit")

# Sections that say nothing of what a network is.
OF_TRAINING = ("trainer", "optim", "evaluation", "adversarial", "preview")
RESULTS = ("metrics.jsonl", "checkpoints")  # of a training that has begun


def source(config: Path) -> tuple[Path, Path | None]:
    """The YAML file that a path means, and the run folder that it belongs to, if it is a run's.

    A run folder means its own config.yaml, so that a run goes on without the words that began it.

    Raises:
        CheckpointError: It is a folder, and no run's.
    """
    if os.path.isdir(config):  # a name may be too long to ask the path itself
        if not (config / "config.yaml").exists():
            raise CheckpointError(
                f"{shown(config)}: a folder without config.yaml, so it is no run; "
                "give a YAML file, or the folder that `genkit train` wrote"
            )
        return config / "config.yaml", config
    folder = config.parent
    of_run = config.name == "config.yaml" and _has(folder, *RESULTS, "provenance.json")
    return config, folder if of_run else None


def _has(folder: Path, *names: str) -> bool:
    return any(os.path.exists(folder / name) for name in names)


def check(config: RunConfig, run_dir: Path, *, resume: bool, processes: int = 1) -> None:
    """Make sure that nobody else's results would be overwritten, and that a resume can go on.

    Args:
        config: What is to be trained.
        run_dir: Where; it need not exist.
        resume: Go on with what is there, and say which settings change.
        processes: How many train together.

    Raises:
        CheckpointError: The folder holds results and `resume` is off, or of other settings.
    """
    path = run_dir / "config.yaml"
    if not path.exists() or not (resume or _has(run_dir, *RESULTS)):
        return
    if resume:
        refuse_unknown(run_dir)
    changed = differences(_settings(path), to_tree(config))
    lasting = {k: v for k, v in changed.items() if not resume or not _may_change(k, config)}
    if lasting or not resume:
        raise CheckpointError(_refusal(run_dir, lasting, resume=resume))
    newest = checkpoints.newest_meta(run_dir / "checkpoints")
    if newest is not None:
        _refuse_fewer_steps(config, run_dir, newest["step"])
        now, words = config.global_batch(processes), config.batch_in_words(processes)
        refusals.another_batch(run_dir / "checkpoints", {"global_batch": now, **newest}, now, words)
    if changed and launch.ranks().is_first:
        words = ", ".join(
            f"{k} {shown(new)} instead of {shown(old)}" for k, (old, new) in changed.items()
        )
        log.info("%s goes on with %s", shown(run_dir), words)


def write_config(config: RunConfig, run_dir: Path) -> None:
    """Write the `config.yaml` of a run that begins or goes on; first all that can refuse it."""
    with checkpoints.explained(f"run folder {run_dir}"):
        write_whole(run_dir / "config.yaml", to_yaml(config))


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


def _refuse_fewer_steps(config: RunConfig, run_dir: Path, done: int) -> None:
    if config.trainer.steps < done:
        raise CheckpointError(
            f"{shown(run_dir)}: is at step {done}, so it can't go on to "
            f"trainer.steps={config.trainer.steps}; ask for more steps, or begin another run "
            "with --out"
        )


def _refusal(run_dir: Path, changed: Mapping[str, tuple[Any, Any]], *, resume: bool) -> str:
    lines = [f"{key}: {shown(old)} there, {shown(new)} here" for key, (old, new) in changed.items()]
    run = shown(run_dir)
    if resume:
        what = (
            f"a resumed run must keep its settings: `genkit train {run} --resume` goes on with "
            "them; or give another --out"
        )
    elif changed:
        what = "holds a run of another config; give another --out"
    else:
        what = "holds a run of this config; add --resume to continue it, or give another --out"
    return "\n  ".join([f"{run}: {what}", *lines])


@contextmanager
def locked(run_dir: Path) -> Iterator[None]:
    """Keep a second training process out of the folder while this one runs.

    What an earlier one left half written when it was killed is taken away.
    """
    if not launch.ranks().is_first:
        yield
        return
    with checkpoints.explained(f"run folder {shown(run_dir)}"):
        run_dir.mkdir(parents=True, exist_ok=True)
        handle = os.open(run_dir / ".lock", os.O_CREAT | os.O_RDWR)
    try:
        _lock(handle, run_dir)
        with checkpoints.explained(f"run folder {shown(run_dir)}"):
            os.truncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        for name in ("config.yaml", "provenance.json", "metrics.jsonl", "best.json"):
            clear_leftovers(run_dir, name)
        clear_leftovers(run_dir / "previews", "*")
        yield
    finally:
        os.close(handle)  # which unlocks it, as the end of the process would


def _lock(handle: int, run_dir: Path) -> None:
    try:
        import fcntl
    except ImportError:
        raise CheckpointError(
            "genkit trains on Linux and macOS, where a run folder can be locked; on Windows use WSL"
        ) from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 32).decode() or "unknown"
        raise CheckpointError(
            f"{shown(run_dir)}: process {owner} is training there; wait for it, or give another "
            "--out"
        ) from None
    except OSError as error:
        log.warning(
            "%s: this file system keeps no locks (%s), so see to it that one process trains there",
            *(shown(run_dir), error.strerror),
        )


def open_run(run: Path) -> tuple[RunConfig, dict[str, Any]]:
    """Config and provenance of a run folder."""
    path = run / "config.yaml"
    if not path.exists():
        raise CheckpointError(f"{run}: not a run folder (no config.yaml); give one that train made")
    record = run / "provenance.json"
    if not record.exists():
        raise CheckpointError(f"{record}: missing, so the run never began; train it first")
    config, unknown = resolve_known(read_tree(path), shown(path))
    shaping = {k: v for k, v in unknown.items() if k.partition(".")[0] not in OF_TRAINING}
    if shaping:
        raise CheckpointError(
            f"{shown(run)}: {_assigned(shaping)} is no setting of this genkit {__version__}, and "
            f"may say what the networks are; read the run with genkit {_version(run)}, which made "
            "it"
        )
    if unknown:
        log.warning(
            "%s: %s is no setting of this genkit %s; the run is read without it",
            *(shown(run), _assigned(unknown), __version__),
        )
    if "data" not in (known := read_record(run)):
        raise CheckpointError(
            f"{shown(record)}: holds no record of a training; `genkit train {shown(run)} --resume` "
            "writes it anew"
        )
    return config, known


def read_record(run: Path) -> dict[str, Any]:
    """What a run's provenance.json says; empty where it holds no record."""
    try:
        found = json.loads((run / "provenance.json").read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def refuse_unknown(run: Path) -> None:
    """Refuse to go on with a run that has settings which this version doesn't know.

    Raises:
        CheckpointError: It names them and the version that made the run.
    """
    try:
        unknown = resolve_known(read_tree(run / "config.yaml"), shown(run))[1]
    except ConfigError:
        return  # whoever reads it for good says what is wrong
    if unknown:
        raise CheckpointError(
            f"{shown(run)}: {_assigned(unknown)} is no setting of this genkit {__version__}, so it "
            f"can't go on as it was; resume it with genkit {_version(run)}, which made it, or "
            f"begin another run from its weights with --init {shown(run)}"
        )


def _assigned(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={shown(value)}" for name, value in settings.items())


def _version(run: Path) -> str:
    """The genkit that made a run, with its commit where the number is this one's too."""
    record = read_record(run)
    try:
        version = str(record["packages"]["genkit"])
    except (LookupError, TypeError):
        return "of another version"
    if version == __version__ and (commit := record.get("commit")):
        version += f" (commit {str(commit)[:10]})"
    return shown(version)


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
