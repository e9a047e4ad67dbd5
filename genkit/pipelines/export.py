"""Writing an export folder, whole or not at all, and sending it to the Hub."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from genkit.errors import PipelineError
from genkit.pipelines.card import model_card
from genkit.pipelines.loading import HUB_FILES, INDEX, hub_errors, one_line


def save_export(
    pipeline: Any, folder: Path | str, *, provenance: Mapping[str, Any], config_yaml: str
) -> Path:
    """The folder, holding the pipeline as JSON and safetensors and its model card.

    It is written beside and renamed, so a reader or a kill never meets half an export. One that is
    already there is replaced.

    Args:
        pipeline: A diffusers pipeline; its networks are saved as they are (fp32, on any device).
        folder: The export folder.
        provenance: As in a run's provenance.json, with "family"; for the model card.
        config_yaml: The resolved training config; for the model card.
    """
    folder = Path(folder)
    fresh, old = (folder.with_name(f".{folder.name}.{part}") for part in ("new", "old"))
    try:
        if old.exists() and not folder.exists():
            old.rename(folder)  # an earlier export was killed between its two renames
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        pipeline.save_pretrained(str(fresh), safe_serialization=True)
        card = model_card(pipeline, provenance, config_yaml)
        (fresh / "README.md").write_text(card, encoding="utf-8")
        _sync(fresh)
        shutil.rmtree(old, ignore_errors=True)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise PipelineError(
            f"{folder}: the export can't be written ({why}); free some space "
            "or choose a writable folder, then export again"
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def push(folder: Path | str, hub_id: str, *, private: bool = False) -> str:
    """The address of the model on the Hub, after the export folder was uploaded to it.

    Raises:
        PipelineError: The folder is no export, there is no network, or no right to write there.
    """
    from huggingface_hub import create_repo, upload_folder

    folder = Path(folder)
    if not (folder / INDEX).is_file():
        raise PipelineError(f"{folder}: no export (no {INDEX}); make one with `genkit export RUN`")
    try:
        address = create_repo(hub_id, private=private, exist_ok=True)
        upload_folder(repo_id=hub_id, folder_path=folder, allow_patterns=HUB_FILES)
    except hub_errors() as error:
        raise PipelineError(
            f"{hub_id}: {folder} was not uploaded ({one_line(error)}); check the name, "
            "the network and `hf auth login`. The export itself is intact"
        ) from None
    return str(address)


def _sync(folder: Path) -> None:
    """On the disk, not only in its cache, before the rename makes it visible."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
