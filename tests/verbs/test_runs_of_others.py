"""Runs of other versions of genkit: what they say that this one doesn't know is named."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import yaml
from families_at_hand import tiny
from typer.testing import CliRunner

from genkit.cli import app
from genkit.errors import CheckpointError, DataError
from genkit.images import to_pil
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


# -- a run and its evaluation ----------------------------------------------------------------------


def measured(run, *words):
    done = CliRunner().invoke(
        app,
        ["evaluate", str(run), "--extractor", "digits", "--count", "32", "--json", *words],
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_of_a_run_that_went_on_the_evaluation_says_that_its_export_did_not(run):
    whole = measured(run)
    assert not any("brings it up to date" in note for note in whole["notes"])
    shutil.copytree(run / "checkpoints" / "step-0000004", run / "checkpoints" / "step-0000009")
    behind = measured(run)
    assert f"{run}: the export is step 4 of a run that is at 9" in " ".join(behind["notes"])


def test_evaluate_draws_by_its_seed_whatever_the_batch(run):
    found = {w: measured(run, *w.split()) for w in ("", "--seed 1", "--seed 1 --batch-size 5")}
    values = [
        {m["name"]: m["value"] for m in one["metrics"]}["fd-digits"] for one in found.values()
    ]
    assert values[0] != values[1]
    assert values[2] == pytest.approx(values[1], rel=1e-4)


def test_measuring_while_training_needs_a_test_part_and_null_trains_without(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(16):
        to_pil(torch.full((1, 32, 32), 16 * i, dtype=torch.uint8)).save(pictures / f"{i}.png")
    settings = {"kind": "folder", "root": str(pictures), "channels": 1, "batch_size": 8}
    config = tiny("dcgan", data=settings, evaluation__every=2, evaluation__count=100)
    with pytest.raises(DataError, match=r"evaluation\.every=2 needs a test part") as refused:
        train(config, out=tmp_path / "run")
    assert "evaluation.every=null trains without it" in str(refused.value)
    assert "reference" not in str(refused.value)
    train(tiny("dcgan", data=settings, evaluation__every=None), out=tmp_path / "run")
