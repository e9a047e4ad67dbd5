"""`genkit export`: the averaged weights of a run as an export folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genkit import run_folder
from genkit.config import to_yaml
from genkit.family import load
from genkit.rows.batch import DataInfo
from genkit.training import checkpoints
from genkit.training.config import RunConfig
from genkit.training.trainer import Trainer

if TYPE_CHECKING:
    from genkit.pipelines.base import Pipeline


def export(
    run: Path,
    *,
    step: int | None = None,
    out: Path | None = None,
    push: str | None = None,
    license: str | None = None,
) -> Path:
    """The averaged weights of a run's checkpoint as an export folder; returns the folder.

    Args:
        run: A run folder.
        step: Which checkpoint; the newest whole one by default.
        out: The export folder; `export/` in the run folder by default.
        push: A Hub id to upload it to.
        license: What the model card states, by its name on the Hub, such as "mit".

    Raises:
        PipelineError: `out` holds something other than an export, or can't be written.
    """
    from genkit.pipelines.export import check_export_folder

    run = Path(run)
    folder = out or run / "export"
    check_export_folder(folder)
    config, record = run_folder.open_run(run)
    info = DataInfo.from_tree(record["data"])
    trainer = load(config.family).trainer(config, info, run)
    trainer.resume(step)
    record |= {"steps": trainer.steps_done}
    save_run_export(trainer, config, folder, record, license=license)
    if push is not None:
        from genkit.pipelines.export import push as upload

        upload(folder, push)
    return folder


def save_run_export(
    trainer: Trainer[Any],
    config: RunConfig,
    folder: Path,
    record: Mapping[str, Any],
    *,
    license: str | None = None,
) -> Pipeline:
    """The averaged weights of a trainer as an export folder, with the run's provenance."""
    from genkit.pipelines.export import save_export

    pipeline: Pipeline = trainer.pipeline()
    with checkpoints.explained(f"export {folder}"):
        picture = _preview(trainer.run_dir / "previews", trainer.steps_done)
        save_export(
            pipeline,
            folder,
            provenance={"family": config.family, **record},
            config_yaml=to_yaml(config),
            picture=picture,
            license=license,
        )
    return pipeline


def _preview(folder: Path, step: int) -> bytes | None:
    """The newest sheet of a run up to a step, to be shown on its model card: of samples, or else
    the first by name of what else is shown of that step, such as pictures before and after."""
    sheets: dict[int, list[Path]] = {}
    for path in folder.glob("step-*.png"):
        named = re.fullmatch(r"step-(\d+)(-.+)?", path.stem)
        if named is not None and int(named[1]) <= step:
            sheets.setdefault(int(named[1]), []).append(path)
    if not sheets:
        return None
    return min(
        sheets[max(sheets)], key=lambda path: (len(path.stem.split("-")) > 2, path.name)
    ).read_bytes()
