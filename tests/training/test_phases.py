"""Phases over several networks, lending, memory, sheets: what families lean on."""

from __future__ import annotations

import pytest
import torch
from families_at_hand import tiny, trainer
from torch import nn

from genkit.errors import TrainingError
from genkit.training.previews import Sheet, classes_on_sheet
from genkit.training.state import Learnt


def cycle(tmp_path, **changes):
    return trainer(tiny("cycle", trainer__precision="fp32", **changes), tmp_path)


def gradients(run, name):
    return [p.grad for p in run.bare_networks[name].parameters()]


def test_a_phase_clips_the_gradient_of_all_its_networks_together(tmp_path):
    run = cycle(tmp_path, trainer__grad_clip=1e-3)
    seen: dict[str, float] = {}
    for name, optimizer in run.optimizers.items():

        def step(name=name, optimizer=optimizer, go=optimizer.step):
            seen[name] = float(torch.cat([g.flatten() for g in gradients(run, name)]).norm())
            return go()

        optimizer.step = step
    run.step(next(run.loader.steps()))
    painters = [seen["a_to_b"], seen["b_to_a"]]
    assert (painters[0] ** 2 + painters[1] ** 2) ** 0.5 == pytest.approx(1e-3, rel=1e-3)
    assert min(painters) > 0
    assert seen["critic_a"] == pytest.approx(1e-3, rel=1e-3)


@pytest.mark.parametrize(("reduce", "factor"), [("mean", 1.0), ("sum", 2.0)])
def test_losses_of_micro_batches_are_averaged_or_summed(tmp_path, reduce, factor):
    run = cycle(tmp_path)
    batch = next(run.loader.steps())[0]
    weight = run.bare_networks["a_to_b"].inner.weight
    seen = []
    run._update = lambda names: seen.append(weight.grad.clone())
    value = run.phase("a_to_b", [batch, batch], lambda batch: weight.sum(), reduce=reduce)
    assert float(value) == pytest.approx(factor * float(weight.detach().sum()), rel=1e-5)
    assert torch.equal(seen[0], torch.full_like(weight, factor))


def test_lending_restores_what_was_trainable_and_nothing_else(tmp_path):
    run = trainer(tiny("adapter"), tmp_path)
    before = {n: p.requires_grad for n, p in run.bare_networks["adapted"].named_parameters()}
    assert set(before.values()) == {True, False}
    with run.lend("adapted", "flip") as lent:
        assert [type(network).__name__ for network in lent] == ["Adapted", "Flip"]
        assert not any(p.requires_grad for p in lent[0].parameters())
    assert {n: p.requires_grad for n, p in lent[0].named_parameters()} == before


def test_a_network_that_requires_gradients_needs_an_optimizer_and_the_reverse():
    network, other = nn.Linear(2, 2), nn.Linear(2, 2).requires_grad_(False)
    adam = torch.optim.Adam(network.parameters())
    with pytest.raises(TrainingError, match="'b' requires gradients but has no optimizer"):
        Learnt({"a": network, "b": nn.Linear(2, 2)}, {"a": adam}, {})
    with pytest.raises(TrainingError, match=r"optimizer 'b' has no network .* weight to train"):
        Learnt({"a": network, "b": other}, {"a": adam, "b": adam}, {})
    learnt = Learnt({"a": network, "b": other.train()}, {"a": adam}, {})
    assert not other.training
    assert learnt.collect()["networks"].keys() == {"a"}
    assert learnt.frozen.keys() == {"b"}


def test_buffers_of_a_network_without_parameters_are_kept_but_frozen_networks_are_not():
    class Moments(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(2))

    moments = Moments()
    learnt = Learnt({"moments": moments, "norm": nn.BatchNorm1d(2).requires_grad_(False)}, {}, {})
    moments.mean.fill_(3)
    saved = learnt.collect()
    assert saved["networks"].keys() == {"moments"}
    with learnt.untouched():
        moments.mean.fill_(5)
    assert moments.mean.tolist() == [3, 3]
    moments.mean.fill_(7)
    learnt.restore(saved | {"networks": {"moments": {"mean": torch.ones(2)}}}, torch.device("cpu"))
    assert moments.mean.tolist() == [1, 1]


def test_each_critic_draws_and_counts_under_its_own_name(tmp_path):
    run = cycle(tmp_path, adversary__augment=["translation"])
    found = run.step(next(run.loader.steps()))
    assert {"critic_a/accuracy", "critic_a/margin", "critic_b/accuracy"} <= found.keys()
    drawn = run._draws["augment/critic-real/critic_a"], run._draws["augment/critic-real/critic_b"]
    assert not torch.equal(*drawn)


def test_memory_that_is_replaced_in_a_rehearsal_is_put_back(tmp_path):
    run = cycle(tmp_path)
    pool = run.memory["pool_a"]
    with run.rehearsal():
        run.memory["pool_a"] = pool + 1
        pool.fill_(9)
        run.memory["new"] = pool
    assert run.memory["pool_a"] is pool
    assert not pool.any()
    assert "new" not in run.memory


def test_a_sheet_has_a_file_of_its_own_and_only_samples_are_measured(tmp_path):
    images = torch.zeros(4, 1, 8, 8)
    assert Sheet(images).file_name(20) == "step-0000020.png"
    assert Sheet(images, "Before, and after").file_name(20) == "step-0000020-before-and-after.png"
    run = cycle(tmp_path, trainer__steps=2)
    run.fit()
    names = [path.name for path in (tmp_path / "previews").iterdir()]
    assert names == ["step-0000002-before-and-after.png"]
    assert "diversity" not in (tmp_path / "metrics.jsonl").read_text()


def test_classes_have_a_row_each_or_are_evenly_spread():
    labels, columns = classes_on_sheet(3, 7)
    assert (labels.tolist(), columns) == ([0, 0, 1, 1, 2, 2], 2)
    labels, columns = classes_on_sheet(2, 100)  # no strip of 50 x 2
    assert (labels.tolist(), columns) == ([0] * 50 + [1] * 50, 10)
    assert classes_on_sheet(10, 100)[1] == 10
    labels, columns = classes_on_sheet(10, 4)
    assert (labels.tolist(), columns) == ([0, 2, 5, 7], None)


def test_examples_are_the_first_rows_of_the_test_part_as_they_are(tmp_path):
    plain = cycle(tmp_path / "a").examples
    augmented = cycle(tmp_path / "b", data__flip=True, data__shift=2, trainer__seed=3).examples
    assert plain["index"].tolist() == [0, 1, 2, 3]
    assert torch.equal(plain["image"], augmented["image"])
