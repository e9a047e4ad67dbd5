"""The benchmarks' arithmetic, and that what they compare computes the same."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import against, bench, diffusion
from benchmarks.arm import run
from benchmarks.comparisons import COMPARISONS, Arm, Comparison
from benchmarks.step import (
    PlainLoop,
    dcgan,
    plain_critic,
    plain_generator,
    random_images,
)
from benchmarks.timing import Laps
from genkit.data import Loader
from genkit.family import load, resolve
from genkit.rows.base import image_rows
from genkit.rows.batch import DataInfo

CPU = torch.device("cpu")
COMPARISON = Comparison("name", "the work", Arm("base", "m.base"), (Arm("ours", "m.f", bar=2.0),))


def test_a_ratio_is_of_the_medians_and_its_spread_is_of_the_rounds():
    row = bench.compare(COMPARISON, COMPARISON.arms[0], [3.0, 9.0, 4.0], [1.0, 2.0, 4.0], {})
    assert row.ratio == 4.0 / 2.0
    assert row.ratios == (3.0, 4.5, 1.0)
    assert row.met


def test_a_bar_that_is_missed_is_said_to_be_missed():
    row = bench.compare(COMPARISON, COMPARISON.arms[0], [1.99], [1.0], {})
    assert row.met is False
    assert "| no " in bench.table([bench.compare(COMPARISON, Arm("b", "m.b"), [1], [1], {}), row])


def test_a_bar_of_bf16_is_not_missed_by_a_machine_without_it():
    arm = Arm("ours", "m.f", bar=1.6, needs_bf16=True)
    rows = [
        bench.compare(COMPARISON, arm, [1.0], [1.0], {"precision": used, "bf16_in_hardware": has})
        for used, has in (("fp32", False), ("bf16", False), ("fp32", True), ("bf16", True))
    ]
    assert [row.met for row in rows] == [None, None, False, False]
    words = [bench.cells(row, first=False)[-1] for row in rows]
    assert words == ["needs bf16", "needs bf16", "no", "no"]


def test_two_checkouts_take_turns_and_the_ratio_is_of_their_medians(monkeypatch, tmp_path):
    seen = []

    def answer(tree: Path, arm: Arm) -> float:
        seen.append(tree == tmp_path)
        return 3.0 if tree == tmp_path else 2.0

    monkeypatch.setattr(against, "seconds", answer)
    assert against.compare(tmp_path, COMPARISON.arms[0], 2) == (1.5, [1.5, 1.5])
    assert seen == [False, True, True, False]


def test_an_arm_of_another_library_is_not_compared_with_itself():
    arms = [arm for _, arm in against.own_arms([])]
    assert "step.trained" in {arm.function for arm in arms}
    assert not {"step.plain", "evaluation.cleanfid"} & {arm.function for arm in arms}
    processes = [repr(arm.process) for arm in arms]
    assert len(processes) == len(set(processes))


def test_every_arm_begins_a_round_in_turn():
    assert [bench.order(3, turn) for turn in range(4)] == [
        [0, 1, 2],
        [1, 2, 0],
        [2, 0, 1],
        [0, 1, 2],
    ]


def test_arms_take_turns_and_are_compared_with_their_baseline(monkeypatch):
    seen = []

    def answer(arm: Arm) -> dict[str, float]:
        seen.append(arm.label)
        return {"seconds": 4.0 if arm.label == "base" else 1.0, "threads": 2}

    monkeypatch.setattr(bench, "run_arm", answer)
    base, ours = bench.measure(COMPARISON, rounds=2)
    assert seen == ["base", "ours", "ours", "base"]
    assert (base.ratio, ours.ratio, ours.met) == (1.0, 4.0, True)


def test_a_fact_that_is_too_large_is_a_missed_bar():
    arm = Arm("ours", "m.f", bar=1.0, most={"max_difference": 1})
    rows = [
        bench.compare(COMPARISON, arm, [2.0], [1.0], {"max_difference": found}) for found in (1, 2)
    ]
    assert [row.met for row in rows] == [True, False]
    assert "ours, max difference 2" in bench.table([rows[0], rows[1]])


def test_arms_that_differ_in_their_key_alone_are_timed_in_one_process(monkeypatch):
    part = Arm("part", "m.f", {"a": 1}, key="part_seconds")
    whole, other = Arm("whole", "m.f", {"a": 1}), Arm("other", "m.f", {"a": 2})
    count = itertools.count(1)

    def answer(arm: Arm) -> dict[str, float]:
        number = next(count)
        return {"seconds": 10.0 * number, "part_seconds": 8.0 * number, "threads": 2}

    monkeypatch.setattr(bench, "run_arm", answer)
    rows = bench.measure(Comparison("name", "the work", part, (whole, other)), rounds=2)
    assert rows[0].seconds == (8.0, 8.0 * 3)  # the second round begins with `whole`
    assert rows[1].ratios == (0.8, 0.8)
    assert rows[2].seconds == (10.0 * 2, 10.0 * 4)


def test_laps_leave_the_warm_up_out(monkeypatch):
    seconds = iter([10.0, 13.0, 14.0, 25.0])  # at the marks around three laps of two steps
    monkeypatch.setattr("benchmarks.timing.now", lambda device: next(seconds))
    laps = Laps(CPU, warmup=2, count=3, length=2)
    calls = []
    assert laps.time(lambda: calls.append(1)) == 3.0 / 2  # the median of 3, 1 and 11 s
    assert len(calls) == 2 + 3 * 2


def test_units_follow_the_size_of_a_time():
    assert [bench.scaled(s) for s in (1.234, 0.0054, 2.5e-6)] == ["1.23 s", "5.4 ms", "2.5 µs"]


def test_results_are_written_with_the_machine_and_without_paths(tmp_path: Path):
    row = bench.compare(COMPARISON, COMPARISON.arms[0], [2.0], [1.0], {"threads": 2})
    where = bench.machine([row], load=(0.5, 0.0, 0.0))
    page = bench.write(tmp_path, [row], where, rounds=1)
    content = page.with_suffix(".json").read_text()
    later = bench.write(tmp_path, [row], where, rounds=1)
    assert later.stem == f"{page.stem}-2"
    assert later.with_suffix(".json").is_file()
    assert json.loads(content)["rows"][0]["ratio"] == 2.0
    assert json.loads(content)["machine"]["load_before"] == 0.5
    assert str(Path.home()) not in content + page.read_text()
    assert str(bench.ROOT) not in content + page.read_text()


TINY = {
    "step.plain": {"size": 16, "batch_size": 4, "width": 2, "warmup": 1, "laps": 2},
    "step.trained": {"size": 16, "batch_size": 4, "width": 2, "warmup": 1, "laps": 2},
    "input.per_image": {"size": 32, "channels": 1, "stored": 28, "count": 128, "laps": 1},
    "input.in_memory": {"size": 32, "channels": 1, "flip": True, "count": 128, "laps": 1},
    "average.diffusers": {"size": "small", "laps": 1},
    "average.genkit": {"size": "small", "laps": 1},
    "attention.pytorch": {"shape": [2, 2, 16, 8], "precision": "bf16", "laps": 1},
    "attention.genkit": {"shape": [2, 2, 16, 8], "precision": "bf16", "laps": 1},
    "diffusion.plain": {"network": "tiny", "batch_size": 4, "warmup": 1, "laps": 2},
    "diffusion.trained": {"network": "tiny", "batch_size": 4, "warmup": 1, "laps": 2},
    "translators.plain_cycle": {"size": 32, "width": 2, "blocks": 1, "warmup": 1, "laps": 2},
    "translators.trained_cycle": {"size": 32, "width": 2, "blocks": 1, "warmup": 1, "laps": 2},
    "translators.plain_editor": {"size": 16, "width": 2, "batch_size": 4, "warmup": 1, "laps": 2},
    "translators.trained_editor": {"size": 16, "width": 2, "batch_size": 4, "warmup": 1, "laps": 2},
    "sampling.diffusers": {"network": "tiny", "batch_size": 2, "steps": 2, "lessons": 1},
    "sampling.genkit": {"network": "tiny", "batch_size": 2, "steps": 2, "lessons": 1},
    "sampling.parts": {"network": "tiny", "batch_size": 2, "steps": 2, "laps": 1},
    "evaluation.cleanfid": {"images": 4},
    "evaluation.genkit": {"images": 4},
    "evaluation.scipy": {"count": 40, "features": 16},
    "evaluation.distance": {"count": 40, "features": 16},
}  # fmt: skip


@pytest.mark.parametrize("function", TINY)
def test_an_arm_measures_at_a_tiny_size(function: str):
    assert run(function, TINY[function])["seconds"] > 0


def test_an_arm_in_its_own_process_answers_with_one_line():
    arm = Arm("plain", "step.plain", TINY["step.plain"], {"OMP_NUM_THREADS": "1"})
    measured = bench.run_arm(arm)
    assert measured["seconds"] > 0
    assert measured["threads"] == 1


def test_every_arm_of_the_table_exists():
    for comparison in COMPARISONS:
        for arm in (comparison.baseline, *comparison.arms):
            module, _, name = arm.function.rpartition(".")
            assert callable(getattr(__import__(f"benchmarks.{module}", fromlist=[name]), name))


def test_genkits_fp32_step_is_the_plain_loops_to_rounding(tmp_path: Path):
    width, batch = 8, 8
    config = resolve(dcgan(32, batch, width, steps=10), "test")
    source = image_rows("random", random_images(32, 64))
    loader = Loader(source, config.data, config.trainer.seed)
    trainer = load("dcgan").trainer(config, DataInfo.of(source), tmp_path)
    trainer.loader = loader
    pairs = [
        (plain_generator(32, width), trainer.bare_networks["generator"]),
        (plain_critic(32, width), trainer.bare_networks["critic"]),
    ]
    for ours, theirs in pairs:
        _take_weights(ours, theirs)
    before = _weights([ours for ours, _ in pairs])
    loop = PlainLoop(pairs[0][0], pairs[1][0])
    drawn: list[torch.Tensor] = []
    pairs[0][1].register_forward_pre_hook(lambda module, inputs: drawn.append(inputs[0]))
    for micro_batches in itertools.islice(loader.steps(), 3):
        losses = trainer.train_step(micro_batches)
        critic, generator, *_ = loop.step(
            micro_batches[0]["image"], drawn[-1].view(batch, -1, 1, 1)
        )
        assert losses["loss/critic"].item() == pytest.approx(critic, rel=1e-5)
        assert losses["loss/generator"].item() == pytest.approx(generator, rel=1e-5)
    assert len(drawn) == 3
    ours = _weights([network for network, _ in pairs])
    theirs = _weights([network for _, network in pairs])
    assert (ours - theirs).norm() < 1e-3 * (ours - before).norm()


def test_the_denoisers_have_the_weights_that_the_table_says():
    counts = {name: _count(diffusion.network_of(name)) for name in ("small", "cifar10")}
    assert counts == {"small": 4_435_393, "cifar10": 35_746_307}


def _count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_genkits_ddpm_step_is_the_example_loops_to_rounding(tmp_path: Path):
    config = resolve(diffusion.config("tiny", 8, steps=10), "test")
    source = image_rows("random", random_images(16, 64, 1))
    loader = Loader(source, config.data, config.trainer.seed)
    trainer = load("ddpm").trainer(config, DataInfo.of(source), tmp_path)
    trainer.loader = loader
    ours = trainer.bare_networks["denoiser"]
    theirs = copy.deepcopy(ours)
    before = _weights([ours])
    loop = diffusion.PlainLoop(theirs)
    seen: list[torch.Tensor] = []
    ours.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[1]))
    for micro_batches in itertools.islice(loader.steps(), 4):
        batch = micro_batches[0]
        loss = trainer.train_step(micro_batches)["loss/denoiser"].item()
        noise = trainer.noise("noise", batch, batch["image"].shape[1:])  # kept for the step
        assert loop.step(batch["image"], noise, seen[-1].long()) == pytest.approx(loss, rel=1e-5)
    assert (_weights([ours]) - _weights([theirs])).norm() < 1e-3 * (
        _weights([ours]) - before
    ).norm()


@pytest.mark.parametrize(("precision", "most"), [("fp32", 0.05), ("bf16", 2.0)])
def test_genkits_pictures_are_those_of_diffusers_pipeline(precision: str, most: float):
    settings = {"network": "tiny", "batch_size": 4, "steps": 5, "lessons": 20, "laps": 1}
    measured = run("sampling.genkit", settings | {"precision": precision})
    assert measured["mean_difference"] <= most
    assert precision == "bf16" or measured["max_difference"] <= 1


def test_the_networks_part_of_sampling_is_a_part_of_it():
    measured = run("sampling.parts", TINY["sampling.parts"])
    assert 0 < measured["network_seconds"] < measured["seconds"]


def _take_weights(network: nn.Module, other: nn.Module) -> None:
    with torch.no_grad():
        for a, b in zip(network.parameters(), other.parameters(), strict=True):
            a.copy_(b)


def _weights(networks: list[nn.Module]) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for n in networks for p in n.parameters()])
