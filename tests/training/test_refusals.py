"""What training will not do or keep, and what it says of it."""

from __future__ import annotations

import json

import pytest
import torch
from families_at_hand import tiny, trainer

from genkit.errors import TrainingError
from genkit.training import checkpoints, refusals
from genkit.training.trackers import MetricsFile


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = trainer(tiny("dcgan"), tmp_path_factory.mktemp("run"))
    run.fit()
    return run


def batch_norm(run):
    return dict(run.bare_networks["critic"].named_buffers()), "running_mean"


def average(run):
    return dict(run.ema.networks["generator"].named_parameters()), "weight"


def moments(run):
    first = run.bare_networks["generator"].parameters()
    return run.optimizers["generator"].state[next(iter(first))], "exp_avg_sq"


def weights(run):
    return dict(run.bare_networks["generator"].named_parameters()), "weight"


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (batch_norm, r"network 'critic' \S*running_mean"),
        (average, r"network 'generator', its average's \S*weight"),
        (moments, r"network 'generator', its optimizer's exp_avg_sq"),
        (weights, r"network 'generator' \S*weight"),
    ],
)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nothing_that_is_not_finite_is_saved_and_it_is_named(trained, part, words, value):
    tensors, ending = part(trained)
    tensor = next(tensor for name, tensor in tensors.items() if name.endswith(ending))
    before = tensor.detach().clone()
    with torch.no_grad():
        tensor[(0,) * tensor.dim()] = value
    kept = checkpoints.steps(trained.run_dir / "checkpoints")
    with pytest.raises(TrainingError, match=rf"step 4: {words} is infinite.*step 4 is intact"):
        trained.save()
    assert checkpoints.steps(trained.run_dir / "checkpoints") == kept
    with torch.no_grad():
        tensor.copy_(before)
    trained.save()


def test_a_buffer_that_is_infinite_by_design_is_saved(tmp_path):
    run = trainer(tiny("dcgan"), tmp_path)
    run.bare_networks["critic"].register_buffer("mask", torch.full((2,), -torch.inf))
    learnt = type(run.learnt)(run.bare_networks, run.optimizers, {})
    assert learnt.not_finite() is None
    run.bare_networks["critic"].mask.fill_(0.0)
    assert type(run.learnt)(run.bare_networks, run.optimizers, {}).not_finite() is None


def test_a_loss_is_not_finite_by_its_own_network_or_by_that_of_the_update_before(tmp_path):
    means = {"loss/critic": float("nan"), "loss/generator": float("nan")}
    bad = {"loss/critic": 28, "loss/generator": 27}
    with pytest.raises(TrainingError, match=r"since step 27: .*'generator'.* or 'critic' in the"):
        refusals.non_finite(means, bad, ("generator", "critic"), tmp_path)
    with pytest.raises(TrainingError, match=r"since step 30: .*'generator'.* or 'critic' in the"):
        refusals.non_finite(means, {"loss/generator": 30}, ("generator", "critic"), tmp_path)
    with pytest.raises(TrainingError, match=r"step 9: network 'unet' diverged; "):
        refusals.non_finite({"loss/unet": 1.0}, {"loss/unet": 9}, ("unet",), tmp_path)


def test_a_term_of_a_loss_is_no_network(tmp_path):
    networks, means = ("encoder", "decoder"), {"loss/attributes": float("inf")}
    with pytest.raises(TrainingError, match="a network diverged: 'encoder' or 'decoder'; "):
        refusals.non_finite(means, {"loss/attributes": 3}, networks, tmp_path)


# -- metrics ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("line", [b"", b"{", b"\xff\xfe", b"[1]", b"{}", b"[" * 10_000])
def test_a_line_that_is_no_row_costs_no_other_row(tmp_path, line, caplog):
    path = tmp_path / "metrics.jsonl"
    good = [json.dumps({"step": step}).encode() for step in (1, 2, 3)]
    path.write_bytes(b"\n".join([good[0], line, good[1], good[2], b'{"step": 4, "lo']))
    MetricsFile(path).rewind(2)
    assert [row["step"] for row in MetricsFile(path).rows()] == [1, 2]
    assert ("line" in caplog.text) == bool(line)  # an empty one says nothing to anybody
    assert path.read_bytes().count(b"\n") == 2


# -- memory and rates ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate"),
        RuntimeError("Storage size calculation overflowed with sizes=[100000, 100000]"),
    ],
)
def test_memory_that_ends_while_networks_are_built_is_said_with_what_to_do(
    error, tmp_path, monkeypatch
):
    def build(self):
        raise error

    config = tiny("dcgan")
    monkeypatch.setattr("genkit.families.dcgan.DCGANTrainer.build", build)
    with pytest.raises(TrainingError, match="while the networks were built; choose a smaller"):
        trainer(config, tmp_path)


def test_a_warm_up_that_outlasts_the_run_is_said(caplog):
    refusals.warn_of_warmup(tiny("ddpm", optim__warmup_steps=99, trainer__steps=40))
    assert "gets to 40 % of optim.lr" in caplog.text
    caplog.clear()
    refusals.warn_of_warmup(tiny("ddpm", optim__warmup_steps=4, trainer__steps=40))
    assert not caplog.text
