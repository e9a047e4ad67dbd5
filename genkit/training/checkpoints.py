"""Checkpoints that survive a kill at any instant.

`checkpoints/step-0000500/` holds `state.pt` (tensors and numbers only, loaded with
`weights_only`) and `meta.json` with its SHA-256. It is written under a temporary name, synced and
renamed, so a folder with the final name is complete unless the disk itself failed; loading checks.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import pickle
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from genkit.errors import CheckpointError
from genkit.files import sync_folder, write_whole

FORMAT = 1


class Damaged(CheckpointError):
    """A checkpoint that holds nothing any more, whoever reads it."""


_NAME = re.compile(r"step-(\d+)$")
log = logging.getLogger("genkit")


def folder_of(root: Path, step: int) -> Path:
    """The checkpoint folder of one step."""
    return root / f"step-{step:07d}"


def steps(root: Path) -> list[int]:
    """Steps of the checkpoints under `root`, oldest first."""
    found = (_NAME.match(p.name) for p in root.glob("step-*")) if root.is_dir() else iter(())
    return sorted(int(match[1]) for match in found if match)


def save(root: Path, step: int, state: Mapping[str, Any], meta: Mapping[str, Any]) -> Path:
    """Write one checkpoint, all or nothing, and return its folder."""
    final, temporary = folder_of(root, step), root / f".tmp-step-{step:07d}"
    with explained(f"checkpoint {final}"):
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        try:
            write_whole(temporary / "state.pt", partial(torch.save, dict(state)))
            digest = _sha256(temporary / "state.pt")
            record = {"format": FORMAT, "step": step, "sha256": digest, **meta}
            write_whole(temporary / "meta.json", json.dumps(record, indent=1))
            sync_folder(temporary)  # both files have their names before the folder has its own
            shutil.rmtree(final, ignore_errors=True)
            temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)  # a full disk gets its space back
            raise
        sync_folder(root)
    return final


def load(root: Path, step: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """State (on the CPU) and meta of one checkpoint, its hash checked.

    Raises:
        CheckpointError: It is missing, damaged, of a newer format, or may not be read.
    """
    folder = folder_of(root, step)
    if not folder.is_dir():
        have = ", ".join(map(str, steps(root))) or "none"
        raise CheckpointError(f"{root}: no checkpoint of step {step}; there are: {have}")
    try:
        meta = json.loads((folder / "meta.json").read_text())
        if meta["format"] > FORMAT:
            raise CheckpointError(
                f"{folder}: format {meta['format']}, this genkit reads up to {FORMAT}; "
                "install a newer genkit"
            )
        if _sha256(folder / "state.pt") != meta["sha256"]:
            size = (folder / "state.pt").stat().st_size
            raise Damaged(
                f"{folder / 'state.pt'}: damaged ({size} bytes, SHA-256 does not match meta.json); "
                "delete the folder and resume from the one before"
            )
        state = torch.load(folder / "state.pt", map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise CheckpointError(
            f"{folder}: may not be read ({error.strerror}); its owner can allow it with "
            f"`chmod -R a+rX {folder}`"
        ) from None
    except (OSError, LookupError, TypeError, ValueError, RuntimeError, pickle.PickleError) as error:
        raise Damaged(
            f"{folder}: can't be read ({error}); delete the folder and resume from the one before"
        ) from None
    return state, meta


def newest_meta(root: Path) -> dict[str, Any] | None:
    """What the newest checkpoint says of itself, its tensors unread; None if none can be read."""
    for step in reversed(steps(root)):
        try:
            found = json.loads((folder_of(root, step) / "meta.json").read_text())
        except (OSError, ValueError, RecursionError):
            continue
        if isinstance(found, dict) and isinstance(found.get("step"), int):
            return found
    return None


def load_newest(root: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The newest checkpoint that is whole; damaged ones are named in the log and passed over."""
    found = steps(root)
    for step in reversed(found):
        try:
            return load(root, step)
        except Damaged as error:
            log.warning("%s", error)
    if found:
        raise CheckpointError(f"{root}: none of the {len(found)} checkpoints is whole; start anew")
    raise CheckpointError(f"{root}: no checkpoint there; train the run first")


def prune(root: Path, keep: int, *, newest: int) -> None:
    """Delete all but `keep` checkpoints up to `newest`, and what killed writes left behind.

    Those after `newest` go too: a resume has passed them over because they are damaged.
    """
    found = steps(root)
    for step in (*[s for s in found if s <= newest][:-keep], *[s for s in found if s > newest]):
        shutil.rmtree(folder_of(root, step), ignore_errors=True)
    for leftover in root.glob(".tmp-step-*"):
        shutil.rmtree(leftover, ignore_errors=True)


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn the system's refusal to write into a message that says what to do."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        cause = _system_error(error)
        if cause is None:
            raise
        if cause.errno in (errno.ENOSPC, errno.EDQUOT):
            raise CheckpointError(
                f"{what}: the disk is full; free some space and run again with --resume: "
                "what was complete before is intact"
            ) from None
        raise CheckpointError(
            f"{what}: can't be written ({cause.strerror or cause}); "
            "give another folder with --out or mend its permissions"
        ) from None


def _system_error(error: BaseException | None) -> OSError | None:
    """The system's refusal behind an error: torch.save tells of its own file format instead."""
    while error is not None and not isinstance(error, OSError):
        error = error.__context__
    return error


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
