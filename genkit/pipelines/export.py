"""Writing an export folder, whole or not at all, and sending it to the Hub."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from genkit.errors import PipelineError, shown
from genkit.files import alone_in
from genkit.pipelines.adapter_file import FILE
from genkit.pipelines.card import model_card
from genkit.pipelines.export_files import INDEX, component_names, one_line, without_bars
from genkit.pipelines.loading import hub_errors

log = logging.getLogger("genkit")

CARD = "README.md"
PICTURE = "samples.png"
# Of a component, beside *.json and *.safetensors: what tokenizers are made of.
_WORDS = ("merges.txt", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")


def save_export(
    pipeline: Any,
    folder: Path | str,
    *,
    provenance: Mapping[str, Any],
    config_yaml: str,
    picture: bytes | None = None,
    license: str | None = None,
) -> Path:
    """The folder, holding the pipeline as JSON and safetensors and its model card.

    It is written beside and renamed, so a reader or a kill never meets half an export. An export
    that is already there is replaced; files in its folder that no export made are kept.

    Args:
        pipeline: A diffusers pipeline; its networks are saved as they are (fp32, on any device).
        folder: The export folder.
        provenance: As in a run's provenance.json, with "family"; for the model card.
        config_yaml: The resolved training config; for the model card.
        picture: A PNG file to show on the model card.
        license: What the model card states, by its name on the Hub, such as "mit".

    Raises:
        PipelineError: `folder` holds something other than an export, or can't be written.
    """
    place = check_export_folder(folder)

    def write(fresh: Path) -> None:
        with without_bars():
            pipeline.save_pretrained(str(fresh), safe_serialization=True)
        if picture is not None:
            (fresh / PICTURE).write_bytes(picture)
        shows = None if picture is None else PICTURE
        card = model_card(pipeline, provenance, config_yaml, picture=shows, license=license)
        (fresh / CARD).write_text(card, encoding="utf-8")

    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with alone_in(place.parent):
            _replace(place, write)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise PipelineError(
            f"{shown(folder)}: the export can't be written ({why}); free some space "
            "or choose a writable folder, then export again"
        ) from None
    return Path(folder)


def check_export_folder(folder: Path | str) -> Path:
    """Where an export to `folder` goes, links followed.

    Raises:
        PipelineError: Something is there that is no export and not empty either.
    """
    place, name = Path(folder).resolve(), shown(folder)
    if not place.exists():
        return place
    if not place.is_dir():
        raise PipelineError(f"{name}: is no folder; name one, which need not be there yet")
    if Path.cwd().is_relative_to(place):
        raise PipelineError(
            f"{name}: is the folder that you are in, or above it, and an export replaces its "
            "folder as a whole; name another one"
        )
    there = sorted(path.name for path in place.iterdir())
    if there and INDEX not in there:
        listed = ", ".join(shown(each, 40) for each in there[:3]) + (", ..." if there[3:] else "")
        raise PipelineError(
            f"{name}: holds something other than an export ({listed}), which would be lost; "
            "name a folder that is new, empty or an export"
        )
    return place


def push(folder: Path | str, hub_id: str, *, private: bool = False) -> str:
    """The address of the model on the Hub, after the export folder was uploaded to it.

    What the folder holds beside the export is not uploaded.

    Raises:
        PipelineError: The folder is no export, there is no network, or no right to write there.
    """
    from huggingface_hub import create_repo, upload_folder

    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise PipelineError(f"{folder}: no export (no {INDEX}); make one with `genkit export RUN`")
    own = [f"{name}/*" for name in component_names(folder)]
    others = [path.relative_to(folder).as_posix() for path in foreign(folder)]
    try:
        address = create_repo(hub_id, private=private, exist_ok=True)
        upload_folder(
            repo_id=hub_id,
            folder_path=folder,
            allow_patterns=[INDEX, CARD, PICTURE, FILE, *own],
            ignore_patterns=others,
        )
    except hub_errors() as error:
        raise PipelineError(
            f"{hub_id}: {folder} was not uploaded ({one_line(error)}); check the name, "
            "the network and `hf auth login`. The export itself is intact"
        ) from None
    return str(address)


def foreign(folder: Path) -> list[Path]:
    """Files and folders in an export's folder that no export of genkit or diffusers made."""
    components, found = component_names(folder), []
    for path in sorted(folder.iterdir()):
        if path.name in components and path.is_dir() and not path.is_symlink():
            found += [each for each in sorted(path.iterdir()) if not _is_part(each)]
        elif path.name not in {INDEX, CARD, PICTURE, FILE, *components}:
            found.append(path)
    return found


def _is_part(path: Path) -> bool:
    """Whether a component is saved as such a file."""
    return path.suffix in (".json", ".safetensors") or path.name in _WORDS


def _replace(place: Path, write: Callable[[Path], None]) -> None:
    """Put a folder that `write` fills in place of what is there."""
    fresh, old = (place.with_name(f".{place.name}.{part}") for part in ("new", "old"))
    _recover(old, place)
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        fresh.mkdir()
        write(fresh)
        _finish_files(fresh)
        if place.exists():
            _refuse_in_the_way(place, fresh)
            place.rename(old)
        fresh.rename(place)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    _recover(old, place)


def _refuse_in_the_way(place: Path, fresh: Path) -> None:
    """Raise where a file that no export made has the name of a part of the new export."""
    for path in foreign(place):
        name = path.relative_to(place)
        if (fresh / name).exists():
            raise PipelineError(
                f"{shown(path)}: no export made this, and the new one has a {shown(name)} of its "
                "own; move it away, or name another folder"
            )


def _recover(old: Path, place: Path) -> None:
    """Finish what an export left in `old`, be it this one or one that was killed.

    Where that had not put its own in place yet, the old export goes back; elsewhere what no export
    made goes over to the new one.
    """
    if not old.exists():
        return
    if not place.exists():
        old.rename(place)
        return
    for path in foreign(old):
        kept = place / path.relative_to(old)
        if not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            path.rename(kept)
            log.info("%s: kept, no export made it", shown(kept))
    shutil.rmtree(old)


def _finish_files(folder: Path) -> None:
    """Readable for whom the user's other files are, and on the disk before a rename shows them.

    Safetensors makes files for their owner alone.
    """
    usual = (folder / CARD).stat().st_mode & 0o777
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(usual)
            with path.open("rb") as file:
                os.fsync(file.fileno())
