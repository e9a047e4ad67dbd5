"""Runs: the folder's rules, provenance, export, evaluation of samples."""

from __future__ import annotations

import fcntl
import json
import os
from importlib.metadata import version

import pytest
import torch
from families_at_hand import tiny

from genkit.errors import CheckpointError, DataError
from genkit.runs import export, train
from genkit.training import checkpoints


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


def test_a_run_leaves_a_folder_that_describes_itself(tmp_path):
    run = train(tiny("cgan"), out=tmp_path / "run")
    record = json.loads((run / "provenance.json").read_text())
    assert record["steps"] == 4
    assert record["finished"]
    assert record["data"]["count"] == 64
    assert record["packages"]["torch"] == version("torch")
    assert record["parameters"].keys() == {"generator", "critic"}
    for name in ("config.yaml", "metrics.jsonl", "export/model_index.json"):
        assert (run / name).exists(), name


def test_a_second_run_in_the_folder_is_refused(tmp_path):
    run = train(tiny("dcgan"), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match="--resume to continue"):
        train(tiny("dcgan"), out=run)
    with pytest.raises(
        CheckpointError, match=r"another config(.|\n)*optim.lr: 0.0002 there, 0.1 here"
    ):
        train(tiny("dcgan", optim__lr=0.1), out=run)


def test_a_resume_may_lengthen_the_run_but_not_change_it(tmp_path):
    run = train(tiny("dcgan"), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"must keep its settings(.|\n)*trainer.seed"):
        train(tiny("dcgan", trainer__seed=3), out=run, resume=True)
    train(tiny("dcgan", trainer__steps=6), out=run, resume=True)
    assert checkpoints.steps(run / "checkpoints")[-1] == 6


def test_the_length_is_fixed_where_the_schedule_depends_on_it(tmp_path):
    run = train(tiny("dcgan", optim__schedule="cosine"), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"trainer.steps: 4 there, 6 here"):
        train(tiny("dcgan", optim__schedule="cosine", trainer__steps=6), out=run, resume=True)


def test_two_runs_at_once_in_one_folder_are_refused(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.write(handle, b"4711")
    with pytest.raises(CheckpointError, match="process 4711 is training there"):
        train(tiny("dcgan"), out=folder)
    os.close(handle)


def test_a_set_smaller_than_a_batch_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(DataError, match="64"):
        train(tiny("dcgan", data__batch_size=65), out=tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_an_export_of_an_older_checkpoint_holds_its_weights(tmp_path):
    run = train(tiny("dcgan"), out=tmp_path / "run")
    folder = export(run, step=2, out=tmp_path / "older")
    assert (folder / "model_index.json").exists()
    assert (folder / "generator").is_dir()
    saved = checkpoints.load(run / "checkpoints", 2)[0]["ema"]["generator"]
    from genkit.pipelines import load_pipeline

    weights = load_pipeline(folder).generator.state_dict()
    assert all(torch.equal(weights[key], saved[key]) for key in weights)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="not a run folder"):
        export(tmp_path)
