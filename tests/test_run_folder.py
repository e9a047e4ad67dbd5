"""The run folder: how far its run is, read from what lies there."""

from __future__ import annotations

import errno
import os
import sys

import pytest

from genkit.errors import CheckpointError
from genkit.run_folder import Progress, locked, progress

CARD = "# dcgan\n\n| | |\n| --- | --- |\n| Family | dcgan |\n| Optimizer steps | {} |\n"


def folder_of_a_run(folder, *, steps=(), exported=None, asked=None):
    folder.mkdir()
    for step in steps:
        (folder / "checkpoints" / f"step-{step:07d}").mkdir(parents=True)
    if exported is not None:
        (folder / "export").mkdir()
        (folder / "export" / "README.md").write_text(CARD.format(exported))
    if asked is not None:
        (folder / "config.yaml").write_text(f"family: dcgan\ntrainer: {{steps: {asked}}}\n")
    return folder


@pytest.mark.parametrize("exported", [None, 100, 218, 1000])
@pytest.mark.parametrize("asked", [None, 218, 1000])
def test_it_says_how_far_training_and_export_are_and_how_far_they_should_be(
    tmp_path, exported, asked
):
    run = folder_of_a_run(tmp_path / "run", steps=(100, 218), exported=exported, asked=asked)
    found = progress(run)
    assert found == Progress(run, 218, exported, asked)
    assert found.is_finished == (exported is not None and exported == asked)
    assert (found.lag is not None) == (exported == 100)


def test_an_export_behind_its_run_is_said_with_the_command_that_mends_it(tmp_path):
    run = folder_of_a_run(tmp_path / "run", steps=(100, 218), exported=100, asked=100_000)
    assert progress(run).lag == (
        f"{run}: the export is step 100 of a run that is at 218; "
        f"`genkit export {run}` brings it up to date"
    )


def test_a_folder_that_says_nothing_is_at_step_none(tmp_path):
    assert progress(tmp_path / "nowhere") == Progress(tmp_path / "nowhere", 0, None, None)
    odd = folder_of_a_run(tmp_path / "odd", exported="not recorded")
    (odd / "config.yaml").write_text("[1, 2]\n")
    assert progress(odd) == Progress(odd, 0, None, None)
    (odd / "config.yaml").write_text("trainer: {steps: many}\n")
    assert progress(odd).asked is None


# -- who may write there ---------------------------------------------------------------------------


def test_what_a_killed_training_left_half_written_is_taken_away(tmp_path):
    (tmp_path / "previews").mkdir()
    ours = [".config.yaml.new-12ab", ".metrics.jsonl.new-3", "previews/.step-0000002.png.new-45cd"]
    others = [".report.html.new-12ab", "notes.txt", "previews/step-0000001.png"]
    for name in (*ours, *others):
        (tmp_path / name).touch()
    with locked(tmp_path):
        pass
    left = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert left == {".lock", *others}


def test_a_disk_without_a_byte_is_said_in_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(CheckpointError, match=r"run folder .*: the disk is full"), locked(tmp_path):
        pass


def test_a_system_without_locks_is_told_where_training_works(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with (
        pytest.raises(CheckpointError, match=r"trains on Linux and macOS.*on Windows use WSL"),
        locked(tmp_path),
    ):
        pass


def test_a_file_system_without_locks_is_trained_on_with_a_warning(tmp_path, monkeypatch, caplog):
    def none(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    with locked(tmp_path):
        assert "keeps no locks (No locks available)" in caplog.text
