"""A run that builds on a trained network: frozen, known again, copied out whole."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from families_at_hand import fed, tiny

from genkit import load_component, load_pipeline
from genkit.errors import CheckpointError, ConfigError, PipelineError
from genkit.family import load, resolve
from genkit.training import checkpoints
from genkit.verbs.export import export
from genkit.verbs.train import train

CYCLE = load("cycle").tiny


@pytest.fixture
def teacher(tmp_path) -> Path:
    return train(tiny("cycle", trainer__steps=2), out=tmp_path / "teacher")


def student(teacher: Path | str, **trainer):
    tree = {"family": "distill", "data": CYCLE["data"], "model": {"teacher": str(teacher)}}
    return resolve(tree | {"trainer": CYCLE["trainer"] | trainer}, "test")


def weights(network) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_a_component_is_one_network_of_an_export_frozen_and_in_eval_mode(teacher):
    network = load_component(str(teacher))
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    exported = load_pipeline(teacher).painter
    assert all(torch.equal(a, b) for a, b in zip(*map(nets, (network, exported)), strict=True))
    assert type(load_component(f"{teacher}#painter")) is type(network)
    with pytest.raises(PipelineError, match=r"behind #; there are: painter"):
        load_component(f"{teacher}#vae")


def nets(network):
    return network.parameters()


def test_of_several_networks_one_must_be_named(teacher, tmp_path):
    taught = train(student(teacher), out=tmp_path / "student")
    with pytest.raises(PipelineError, match=r"behind #; there are: student, teacher"):
        load_component(str(taught))
    load_component(f"{taught}#student")


def test_a_reference_is_checked_when_the_config_is_read():
    with pytest.raises(ConfigError, match=r"model.teacher: .*pattern"):
        student("runs/vae#two#names")


def test_the_frozen_network_is_in_provenance_and_export_and_in_no_checkpoint(teacher, tmp_path):
    run = train(student(teacher), out=tmp_path / "student")
    record = json.loads((run / "provenance.json").read_text())
    assert list(record["frozen"]) == ["teacher"]
    saved, meta = checkpoints.load_newest(run / "checkpoints")
    assert saved["networks"].keys() == saved["ema"].keys() == {"student"}
    assert meta["frozen"] == record["frozen"]
    before = weights(load_component(str(teacher)))
    shutil.rmtree(teacher)
    pipeline = load_pipeline(run)  # the export stands alone
    assert len(pipeline(2, given=fed(pipeline, 2), output="np")) == 2
    after = weights(pipeline.teacher)
    assert all(torch.equal(before[key], after[key]) for key in before)
    again = load_component(f"{run}#teacher")
    assert all(torch.equal(before[key], value) for key, value in again.state_dict().items())


def test_a_resume_knows_its_component_again_wherever_it_lies(teacher, tmp_path):
    unbroken = train(student(teacher), out=tmp_path / "unbroken")
    run = train(student(teacher, steps=2), out=tmp_path / "student")
    moved = shutil.move(teacher, tmp_path / "elsewhere")
    train(student(moved), out=run, resume=True)
    ours, theirs = (checkpoints.load(each / "checkpoints", 4)[0] for each in (run, unbroken))
    for key, value in theirs["networks"]["student"].items():
        assert torch.equal(ours["networks"]["student"][key], value)
    given = fed(load_pipeline(run), 2)
    a, b = (load_pipeline(each)(2, given=given, output="np") for each in (run, unbroken))
    assert np.array_equal(a, b)


def test_a_resume_or_an_export_with_other_frozen_weights_is_refused(teacher, tmp_path):
    run = train(student(teacher, steps=2), out=tmp_path / "student")
    shutil.rmtree(teacher)
    train(tiny("cycle", trainer__steps=2, trainer__seed=1), out=teacher)
    with pytest.raises(CheckpointError, match=r"frozen weights of 'teacher' were others"):
        train(student(teacher), out=run, resume=True)
    with pytest.raises(CheckpointError, match=r"give the component that the run was trained with"):
        export(run)
