"""The JSON file beside a picture that genkit changed: how it came about, enough to make it again.

A result is taken for ours if its record agrees with what would be made now and the file is, byte by
byte, the one that the record was written for.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from genkit import __version__
from genkit.errors import OutputError, PipelineError, shown
from genkit.files import write_whole

FORMAT = 1

Record = dict[str, Any]


def begun(verb: str, picture: Path, model: Mapping[str, Any]) -> Record:
    """What every record begins with: who made which picture by which model.

    Args:
        verb: Of the command line.
        picture: The result.
        model: Its path as it was named, and what identifies it.
    """
    return {
        "format": FORMAT,
        "made_by": f"genkit {verb}",
        "genkit": __version__,
        "picture": picture.name,
        "model": dict(model),
    }


def beside(picture: Path) -> Path:
    """Where the record of a result lies."""
    return picture.with_suffix(".json")


def how_again(picture: Path) -> str:
    """The command that makes a result again, in the folder where the first one was given."""
    return shlex.join(["genkit", "again", str(beside(picture))])


def write_record(record: Mapping[str, Any], picture: Path) -> None:
    """Write the record of a result, beside it.

    Raises:
        OSError: It can't be written.
    """
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    write_whole(beside(picture), text, sync=False)


def read_record(path: Path) -> Record:
    """A record, checked to be one.

    Raises:
        PipelineError: It is none, or of a newer genkit.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        sources = [record["source"]] if "source" in record else record["pictures"]
        kinds = [(record["format"], int), (record["made_by"], str), (record["settings"], dict),
                 (record["model"]["path"], str), (record["model"]["weights"], str),
                 (record["picture"], str), (record["pixels_sha256"], str)]  # fmt: skip
        for source in sources:
            kinds += [(source["path"], str), (source["sha256"], str)]
    except OSError as error:
        raise PipelineError(f"{shown(path)}: can't be read ({error.strerror or error})") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        kinds = [(None, str)]
    if not all(isinstance(value, kind) for value, kind in kinds):
        raise PipelineError(
            f"{shown(path)}: no record of a picture; give the .json file that lies beside one"
        )
    if record["format"] > FORMAT:
        raise PipelineError(f"{shown(path)}: {unknown(record)}")
    return dict(record)


def unknown(record: Mapping[str, Any]) -> str:
    """That a record is of a genkit that knew more."""
    return (
        f"made by {shown(record['made_by'])}, format {record['format']}, which this genkit does "
        "not know; install a newer one"
    )


def identity_of(record: Mapping[str, Any]) -> Record:
    """What of a record has to agree for its picture to be the same."""
    return {
        "made_by": record["made_by"],
        "settings": record["settings"],
        "weights": record["model"]["weights"],
        "source": record["source"]["sha256"],
    }


def is_there(picture: Path, identity: Callable[[], Record]) -> bool:
    """Whether a result was made before, in the same way.

    Args:
        picture: The result.
        identity: Gives what of its record has to agree, as `identity_of` has it.

    Raises:
        OutputError: Something else is there, or the picture was changed afterwards.
    """
    there = [path for path in (picture, beside(picture)) if path.exists()]
    if not there:
        return False
    if not beside(picture).exists():
        raise OutputError(
            f"--out: {shown(picture)} is there without its record "
            f"{shown(beside(picture).name)}, so nothing says how it was made; name another folder, "
            "or delete it"
        )
    wanted = identity()
    try:
        record = json.loads(beside(picture).read_text(encoding="utf-8"))
        agrees = identity_of(record) == wanted
        digest = str(record["file_sha256"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        agrees, digest = False, ""
    if not agrees:
        raise OutputError(
            f"--out: {shown(there[0])} is there and was made of something else or in another way; "
            "name another folder, or delete it"
        )
    if not picture.exists():  # a kill between the record and the picture
        return False
    if sha256(picture.read_bytes()) != digest:
        raise OutputError(
            f"--out: {shown(picture)} is there and is not the picture that its record was written "
            "for; name another folder, or delete it"
        )
    return True


def sha256(content: bytes) -> str:
    """The identity of a file."""
    return hashlib.sha256(content).hexdigest()


def pixels_sha256(pixels: Tensor) -> str:
    """The identity of a picture (C, H, W) uint8."""
    return hashlib.sha256(pixels.contiguous().numpy().data).hexdigest()
