"""The run folder: how far its run is, read from what lies there."""

from __future__ import annotations

import pytest

from genkit.run_folder import Progress, progress

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
