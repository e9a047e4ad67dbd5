"""The doctor's measures of a step, against closed forms and inside real runs."""

from __future__ import annotations

import json
import time

import pytest
import torch
from families_at_hand import assert_same_state, state, tiny, trainer
from torch import nn

from genkit.training.ema import EMA
from genkit.training.monitor import Monitor, distance, norm

CPU = torch.device("cpu")


def monitor() -> Monitor:
    watching = Monitor(CPU)
    watching.due = True
    return watching


def rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_the_norm_and_the_distance_of_lists_are_those_of_one_long_vector():
    some, others = [torch.tensor([3.0]), torch.tensor([[0.0, 4.0]])], [torch.ones(1), torch.ones(2)]
    assert norm(some).item() == 5
    assert distance(some, others).item() == pytest.approx((4 + 1 + 9) ** 0.5)


def test_the_update_of_plain_gradient_descent_is_rate_times_gradient_over_weights():
    network = nn.Linear(3, 2)
    network(torch.ones(4, 3)).pow(2).sum().backward()
    weights = torch.cat([p.detach().flatten() for p in network.parameters()]).norm()
    gradient = torch.cat([p.grad.flatten() for p in network.parameters()]).norm()
    watching = monitor()
    with watching.update("critic", list(network.parameters())):
        torch.optim.SGD(network.parameters(), lr=0.01).step()
    found = watching.numbers()
    assert found["gradient/critic"] == pytest.approx(gradient.item())
    assert found["update/critic"] == pytest.approx((0.01 * gradient / weights).item(), rel=1e-4)


def pair() -> tuple[EMA, nn.Module]:
    """An average at 1, 1 and weights at 3, 3."""
    network = nn.Linear(1, 1)
    for parameter in network.parameters():
        parameter.data.fill_(1.0)
    ema = EMA({"generator": network}, 0.9, warmup=False)
    for parameter in network.parameters():
        parameter.data.fill_(3.0)
    return ema, network


def test_a_working_average_follows_by_one_and_its_lag_is_known():
    (ema, network), watching = pair(), monitor()
    with watching.average(ema, {"generator": network}, 0):
        ema.update({"generator": network}, 0)
    found = watching.numbers()
    assert found["ema/follow/generator"] == pytest.approx(1, rel=1e-4)
    assert found["ema/lag/generator"] == pytest.approx((3 - 1.2) / 3, rel=1e-4)


def test_an_average_that_stands_still_follows_by_zero():
    (ema, network), watching = pair(), monitor()
    with watching.average(ema, {"generator": network}, 0):
        pass
    assert watching.numbers()["ema/follow/generator"] == 0


def test_an_average_that_has_arrived_is_not_judged_by_its_standing_still():
    (ema, network), watching = pair(), monitor()
    for parameter in ema.networks["generator"].parameters():
        parameter.data.fill_(3.0)
    with watching.average(ema, {"generator": network}, 0):
        ema.update({"generator": network}, 0)
    assert "ema/follow/generator" not in watching.numbers()


def test_the_wait_is_a_share_of_the_time_since_the_last_row():
    watching = Monitor(CPU)
    with watching.waiting():
        time.sleep(0.03)
    assert watching.numbers()["loader/wait"] > 0.5
    time.sleep(0.001)
    assert watching.numbers()["loader/wait"] == 0


def test_nothing_is_measured_where_nothing_is_due():
    (ema, network), watching = pair(), Monitor(CPU)
    with (
        watching.update("critic", list(network.parameters())),
        watching.average(ema, {"generator": network}, 0),
    ):
        pass
    assert watching.numbers().keys() == {"loader/wait"}


def test_a_run_logs_the_numbers_of_each_network_in_every_row(tmp_path):
    run = trainer(tiny("cgan", trainer__log_every=2, trainer__save_every=2), tmp_path)
    run.fit()
    watched = {
        *(f"{what}/{name}" for what in ("gradient", "update") for name in ("generator", "critic")),
        *("ema/lag/generator", "ema/follow/generator", "loader/wait", "diversity/overall"),
    }
    assert [row["step"] for row in rows(tmp_path)] == [2, 4]
    assert all(watched <= row.keys() for row in rows(tmp_path))


def test_the_gradient_is_that_before_clipping(tmp_path):
    clipped = {"trainer__steps": 1, "trainer__save_every": 1, "trainer__precision": "fp32"}
    seen = []
    for side, limit in (("free", None), ("clipped", 1e-3)):
        trainer(tiny("dcgan", trainer__grad_clip=limit, **clipped), tmp_path / side).fit()
        seen.append(rows(tmp_path / side)[0])
    assert seen[0]["gradient/critic"] == pytest.approx(seen[1]["gradient/critic"])


def test_watching_changes_nothing_that_is_learnt(tmp_path):
    runs = []
    for every in (1, 4):
        config = tiny("cgan", trainer__log_every=every, trainer__save_every=4)
        runs.append(trainer(config, tmp_path / str(every)))
        runs[-1].fit()
    assert_same_state(state(runs[0]), state(runs[1]))


def test_a_run_whose_average_is_never_updated_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(EMA, "update", lambda *arguments: None)
    trainer(tiny("cgan"), tmp_path).fit()
    (found,) = [row for row in rows(tmp_path) if "finding" in row]
    assert (found["finding"], found["step"]) == ("dead-ema", 3)
    assert "0 % of the move" in found["text"]
    assert "dead-ema" in caplog.text


def test_a_run_whose_loader_is_slow_says_so(tmp_path):
    run = trainer(tiny("cgan"), tmp_path)
    steps = run.loader.steps

    def late(*arguments, **share):
        for batches in steps(*arguments, **share):
            time.sleep(0.2)
            yield batches

    run.loader.steps = late
    run.fit()
    assert [row["finding"] for row in rows(tmp_path) if "finding" in row] == ["loader-bound"]


def test_a_resumed_run_goes_on_with_its_findings(tmp_path, monkeypatch):
    monkeypatch.setattr(EMA, "update", lambda *arguments: None)
    trainer(tiny("cgan"), tmp_path).fit()
    resumed = trainer(tiny("cgan", trainer__steps=6), tmp_path)
    resumed.resume()
    resumed.fit()
    assert [row["step"] for row in rows(tmp_path) if "finding" in row] == [3]
