"""Runs of other versions of genkit: what they say that this one doesn't know is named."""

from __future__ import annotations

import json
import shutil

import pytest
import yaml
from families_at_hand import tiny

from genkit.errors import CheckpointError
from genkit.run_folder import open_run
from genkit.verbs.export import export
from genkit.verbs.train import train


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENKIT_CACHE", str(folder / "cache"))
        return train(tiny("dcgan"), out=folder / "run")


@pytest.fixture
def run(made, tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(made.parent / "cache"))
    return shutil.copytree(made, tmp_path / "run")


def edit(run, section, *, without=None, **more):
    tree = yaml.safe_load((run / "config.yaml").read_text())
    tree[section] = {k: v for k, v in tree[section].items() if k != without} | more
    (run / "config.yaml").write_text(yaml.safe_dump(tree))


@pytest.mark.parametrize(("section", "name"), [("trainer", "overfit_batch"), ("optim", "constant")])
def test_a_setting_that_an_old_run_lacks_is_at_its_default(run, section, name):
    edit(run, section, without=name)
    assert train(run, ["trainer.steps=5"], resume=True) == run


def test_a_setting_of_a_newer_genkit_s_training_is_named_and_the_run_exported(run, caplog):
    edit(run, "trainer", ema_start=0)
    assert export(run, out=run.parent / "export").is_dir()
    assert "trainer.ema_start=0 is no setting of this genkit" in caplog.text
    record = json.loads((run / "provenance.json").read_text()) | {"commit": "0123456789abcdef"}
    (run / "provenance.json").write_text(json.dumps(record))
    for again in (
        lambda: train(run, resume=True),
        lambda: train(tiny("dcgan"), out=run, resume=True),
    ):
        said = r"trainer.ema_start=0 .*genkit 0.1.0 \(commit 0123456789\), which made"
        with pytest.raises(CheckpointError, match=said):
            again()


def test_what_a_refused_run_of_a_newer_genkit_advises_begins_another(run, tmp_path):
    edit(run, "trainer", ema_start=0)
    with pytest.raises(CheckpointError, match="--init") as refused:
        train(run, resume=True)
    assert f"--init {run}" in str(refused.value)
    assert train(tiny("dcgan"), out=tmp_path / "other", init=str(run)).is_dir()


@pytest.mark.parametrize("section", ["model", "data"])
def test_a_setting_that_may_say_what_a_network_is_is_never_passed_over(run, section):
    edit(run, section, gates=True)
    with pytest.raises(CheckpointError, match=rf"{section}.gates=True .*what the networks are"):
        open_run(run)


@pytest.mark.parametrize("record", ["", "[]", "{}"])
def test_a_run_whose_record_is_damaged_writes_it_anew_as_the_refusal_says(run, caplog, record):
    (run / "provenance.json").write_text(record)
    advice = rf"provenance.json: holds no record .*`genkit train {run} --resume`"
    with pytest.raises(CheckpointError, match=advice):
        export(run)
    assert train(run, resume=True) == run
    assert "held no record of the run, and is written anew" in caplog.text
    assert export(run).is_dir()
