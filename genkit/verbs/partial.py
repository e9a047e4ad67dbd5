"""What is not whole yet: samples that were begun, exports that lag behind their run."""

from __future__ import annotations

from pathlib import Path

from genkit.errors import EvaluationError, shown

SPEC = "samples.json"  # in a folder of samples, and in FILE.part while a file of them is made


def refuse_partial(samples: Path) -> None:
    """Raise an `EvaluationError` where a path holds samples that were begun and not finished."""
    is_folder = samples.is_dir()
    begun = samples if is_folder else samples.with_name(f"{samples.name}.part")
    if (samples.exists() and not is_folder) or not (begun / SPEC).is_file():
        return
    from genkit.pipelines.file_store import store_for
    from genkit.pipelines.stores import FolderStore

    missing = (FolderStore(samples) if is_folder else store_for(samples)).missing()
    if missing.any() or not (is_folder and (samples / "metadata.jsonl").is_file()):
        raise EvaluationError(
            f"{shown(samples)}: {int((~missing).sum()):,} of {len(missing):,} samples, not "
            "finished; run the `genkit sample` command that began it once more: what is there is "
            "kept"
        )


def export_lag(samples: Path) -> str | None:
    """A sentence where samples are of a run whose export is of an earlier step than the run."""
    from genkit.run_folder import progress

    for folder in (samples, samples.parent):
        if (folder / "config.yaml").is_file():
            return progress(folder).lag
    return None
