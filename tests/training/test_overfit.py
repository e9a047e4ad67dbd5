"""Training on one batch: what it sees, what it says, where it may go on."""

from __future__ import annotations

import json

import pytest
import torch
from families_at_hand import assert_same_state, state, tiny, trainer

from genkit.config import read_tree
from genkit.errors import CheckpointError
from genkit.training.overfit import LEARNT, ON_ITS_WAY, nearness, repeated, verdict
from genkit.verbs.train import train


def batches_of(run) -> list[list[dict]]:
    """The micro-batches that each real step of a run is given."""
    seen, step = [], run.step

    def noted(micro_batches):
        if not run.rehearsing:
            seen.append(micro_batches)
        return step(micro_batches)

    run.step = noted
    run.fit()
    return seen


@pytest.mark.parametrize("name", ["cgan", "dcgan"])
def test_every_step_sees_the_batch_of_step_0(name, tmp_path):
    whole = batches_of(trainer(tiny(name), tmp_path / "whole"))
    config = tiny(name, trainer__overfit_batch=True)
    alone = batches_of(trainer(config, tmp_path / "alone"))
    assert len(alone) == 4
    for step in alone:
        assert torch.equal(step[0]["image"], whole[0][0]["image"])
    assert not torch.equal(whole[1][0]["image"], whole[0][0]["image"])


def test_the_noise_still_differs_from_step_to_step(tmp_path):
    run = trainer(tiny("dcgan", trainer__overfit_batch=True), tmp_path)
    drawn, noise = [], run.noise

    def noted(purpose, batch, *arguments, **options):
        drawn.append(noise(purpose, batch, *arguments, **options))
        return drawn[-1]

    run.noise = noted
    run.fit()
    assert not torch.equal(drawn[-1], drawn[-2])


def test_the_loader_is_closed_after_its_first_batch():
    closed = []

    def endless():
        try:
            yield from range(10)
        finally:
            closed.append(True)

    again = repeated(endless())
    assert [next(again) for _ in range(3)] == [0, 0, 0]
    assert closed == [True]


def test_nearness_is_zero_for_the_batch_itself_in_any_order():
    batch = torch.randn(6, 1, 4, 4)
    assert nearness(batch.flip(0), batch) == pytest.approx(0, abs=1e-6)


def test_the_nearness_of_known_images():
    # Grey values 0 and 2 in four pixels: 4 apart. A sample at .5 is 1 and 3 away.
    batch = torch.tensor([0.0, 2.0])[:, None, None, None].expand(-1, 1, 2, 2)
    assert nearness(torch.full((1, 1, 2, 2), 0.5), batch) == pytest.approx((1 + 3) / 2 / 4)


def test_the_mean_image_is_about_seven_tenths_away():
    batch = torch.randn(200, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    assert nearness(batch.mean(0, keepdim=True), batch) == pytest.approx(0.5**0.5, rel=0.02)


def test_the_verdict_names_what_to_look_at_when_nothing_is_learnt():
    assert "by heart" in verdict(LEARNT / 2)
    assert "optim.lr" in verdict((1 + ON_ITS_WAY) / 2)
    assert len({verdict(near)[6:] for near in (LEARNT / 2, (LEARNT + ON_ITS_WAY) / 2, 0.9)}) == 3


def test_a_run_of_one_batch_logs_its_nearness_and_says_it_in_words(tmp_path, caplog):
    caplog.set_level("INFO", logger="genkit")
    run = train(tiny("cgan", data__flip=True), out=tmp_path / "run", overfit_batch=True)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "overfit/nearness" in row] == [2, 4]
    assert caplog.text.count("one batch: ") == 2
    tree = read_tree(run / "config.yaml")
    assert tree["trainer"]["overfit_batch"]
    assert not tree["data"]["flip"]


def test_the_run_folder_of_one_batch_is_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train(tiny("dcgan"), overfit_batch=True).name == "dcgan-run-overfit"


def test_a_run_of_one_batch_goes_on_as_one_and_as_nothing_else(tmp_path):
    config = tiny("cgan")
    run = train(config, out=tmp_path / "run", overfit_batch=True)
    with pytest.raises(CheckpointError, match=r"trainer.overfit_batch: True there, False here"):
        train(config, out=run, resume=True)
    unbroken = trainer(tiny("cgan", trainer__overfit_batch=True), tmp_path / "unbroken")
    unbroken.fit()
    trainer(tiny("cgan", trainer__overfit_batch=True, trainer__steps=2), tmp_path / "broken").fit()
    resumed = trainer(tiny("cgan", trainer__overfit_batch=True), tmp_path / "broken")
    resumed.resume()
    resumed.fit()
    assert_same_state(state(unbroken), state(resumed))
