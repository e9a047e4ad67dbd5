"""Where the results of an evaluation go, and what they are called."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from genkit.errors import OutputError, shown
from genkit.files import check_output
from genkit.rows.shard_names import is_shard
from genkit.verbs.real_images import is_run, path_and_split


def target_of(out: Path | None, usual: Path, inputs: Sequence[Path | None]) -> Path:
    """Where the result goes: what is there may be replaced by it.

    Raises:
        OutputError: It is read here, or holds something else than an evaluation.
    """
    target = check_output(usual if out is None else out, "--out", endings=(".json",), inputs=inputs)
    if target.is_file() and target.stat().st_size and not _is_evaluation(target):
        raise OutputError(
            f"{shown(target)}: holds something else than an evaluation, or a broken one; move it "
            "away, or name another file: --out FILE.json"
        )
    return target


def _is_evaluation(file: Path) -> bool:
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and "metrics" in tree


def file_of(name: Any) -> Path | None:
    """The file or folder that a set is read from, if it is one."""
    return path_and_split(str(name))[0] if isinstance(name, str | Path) and str(name) else None


def with_name(samples: Path | str) -> Path:
    """The path, its last part a name: results of `.` are called after the folder that it is."""
    path = Path(samples)
    return path if path.name not in ("", "..") else Path(os.path.abspath(path))


def beside(samples: Path) -> Path:
    """Where the result lies unless something else is said."""
    if is_run(samples):
        return samples / "evaluation.json"
    if is_run(samples.parent):
        return samples.parent / "evaluation.json"
    return samples.with_name(f"{name_of(samples)}-evaluation.json")


def name_of(samples: Path) -> str:
    """What results of samples are called after: all of the name, so that no two sets share one."""
    if is_shard(samples) and not samples.exists():  # several of them
        return re.split(r"[*?\[{]", samples.name)[0].rstrip("-_.") or "samples"
    return samples.name or "samples"


def nearest_beside(target: Path) -> Path:
    """The picture of nearest neighbours that belongs to a result: nearest.png, NAME-nearest.png."""
    return picture_beside(target, "nearest")


def picture_beside(target: Path, what: str) -> Path:
    """A picture that belongs to a result: WHAT.png of evaluation.json, else NAME-WHAT.png."""
    name = target.stem.removesuffix("evaluation").removesuffix("-")
    return target.with_name(f"{name}-{what}.png" if name else f"{what}.png")
