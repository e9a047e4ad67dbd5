"""`genkit export`: the averaged weights of a run as an export folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genkit import run_folder
from genkit.config import to_yaml
from genkit.family import load
from genkit.rows.batch import DataInfo
from genkit.training import checkpoints
from genkit.training.config import RunConfig
from genkit.training.trainer import Trainer


def export(
    run: Path, *, step: int | None = None, out: Path | None = None, push: str | None = None
) -> Path:
    """The averaged weights of a run's checkpoint as an export folder; returns the folder.

    Args:
        run: A run folder.
        step: Which checkpoint; the newest whole one by default.
        out: The export folder; `export/` in the run folder by default.
        push: A Hub id to upload it to.
    """
    run = Path(run)
    config, record = run_folder.open_run(run)
    info = DataInfo.from_tree(record["data"])
    trainer = load(config.family).trainer(config, info, run)
    trainer.resume(step)
    record |= {"steps": trainer.steps_done}
    folder = save_run_export(trainer, config, out or run / "export", record)
    if push is not None:
        from genkit.pipelines.export import push as upload

        upload(folder, push)
    return folder


def save_run_export(
    trainer: Trainer[Any], config: RunConfig, folder: Path, record: Mapping[str, Any]
) -> Path:
    """The averaged weights of a trainer as an export folder, with the run's provenance."""
    from genkit.pipelines.export import save_export

    with checkpoints.explained(f"export {folder}"):
        save_export(
            trainer.pipeline(),
            folder,
            provenance={"family": config.family, **record},
            config_yaml=to_yaml(config),
        )
    return folder
