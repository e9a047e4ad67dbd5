"""CycleGAN: its losses against the equations, its pictures against its previews, its refusals."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import sets_at_hand
import torch
import torch.nn.functional as F
from families_at_hand import tiny, trainer
from rank_at_work import work
from torch import Tensor

from genkit.config import to_tree
from genkit.errors import CheckpointError, ConfigError, DataError
from genkit.families import cyclegan
from genkit.images import to_uint8
from genkit.launch import run_together
from genkit.training import checkpoints
from genkit.verbs.export import export
from genkit.verbs.train import train


def run(folder: Path, **changes):
    return trainer(tiny("cyclegan", trainer__precision="fp32", **changes), folder)


def batch_of(run) -> dict[str, Tensor]:
    (batch,) = next(run.loader.steps(accumulation=1))
    return batch


def by_hand(run, batch) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of the generators, and those of the critics, pass by pass as published."""
    nets = run.bare_networks
    a, b = batch["image_a"], batch["image_b"]
    fake_b, fake_a = nets["a_to_b"](a), nets["b_to_a"](b)
    verdicts = {"a": nets["critic_a"](fake_a).logits, "b": nets["critic_b"](fake_b).logits}
    adversarial = sum((logits - 1).square().mean() for logits in verdicts.values())
    cycle = F.l1_loss(nets["b_to_a"](fake_b), a) + F.l1_loss(nets["a_to_b"](fake_a), b)
    identity = F.l1_loss(nets["b_to_a"](a), a) + F.l1_loss(nets["a_to_b"](b), b)
    critics = {
        f"critic_{side}": 0.5
        * (
            (nets[f"critic_{side}"](real).logits - 1).square().mean()
            + nets[f"critic_{side}"](fake.detach()).logits.square().mean()
        )
        for side, real, fake in (("a", a, fake_a), ("b", b, fake_b))
    }
    return adversarial + 10 * cycle + 0.5 * 10 * identity, critics


def gradients(run, batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What every network is given in a step that changes none, and the losses."""
    seen: dict[str, Tensor] = {}
    run._update = lambda names: seen.update(
        {
            f"{name}.{key}": parameter.grad.clone()
            for name in names
            for key, parameter in run.bare_networks[name].named_parameters()
        }
    )
    numbers = run.step([batch])
    for network in run.bare_networks.values():
        network.zero_grad()
    return seen, numbers


@pytest.mark.parametrize("merged", [0, 2], ids=["apart", "merged"])
def test_a_step_is_the_published_sequence_of_passes(tmp_path, monkeypatch, merged):
    monkeypatch.setattr(cyclegan, "MERGED", merged)
    one = run(tmp_path)
    batch = batch_of(one)
    found, numbers = gradients(one, batch)
    loss, critics = by_hand(one, batch)
    assert numbers["loss/generators"] == pytest.approx(loss.item(), rel=1e-5)
    loss.backward()
    expected = slopes(one, one.averaged)
    for name, each in critics.items():
        assert numbers[f"loss/{name}"] == pytest.approx(each.item(), rel=1e-5)
        one.bare_networks[name].zero_grad()
        each.backward()
        expected |= slopes(one, [name])
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert (found[key] - value).norm() <= 1e-4 * value.norm() + 1e-6, key


def slopes(run, names) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": parameter.grad.clone()
        for name in names
        for key, parameter in run.bare_networks[name].named_parameters()
    }


def test_the_critics_see_what_the_pool_shows_and_the_generators_the_new_pictures(tmp_path):
    one = run(tmp_path, trainer__steps=4)
    one.fit()
    assert [pool.filled for pool in one.pools.values()] == [5, 5]
    batch, seen = batch_of(one), []
    for pool in one.pools.values():
        pool.shown = lambda batch, fakes, own=pool: seen.append(fakes) or torch.zeros_like(fakes)
    numbers = one.step([batch])
    assert torch.equal(seen[0], one.made["a"][0])
    assert numbers["loss/critic_a"].isfinite()


def test_a_preview_shows_what_the_pipeline_gives_bit_for_bit(tmp_path):
    one = run(tmp_path)
    one.fit()
    pipeline = one.pipeline()
    for sheet, side in zip(one.preview(), "ab", strict=True):
        given = to_uint8(one.examples[f"image_{side}"])
        shown = to_uint8(sheet.images)[1::3]
        made = pipeline(**{f"image_{side}": list(given)}, output="np")
        assert torch.equal(shown, torch.from_numpy(made).permute(0, 3, 1, 2))
        assert torch.equal(to_uint8(sheet.images)[::3], given)


def test_each_way_has_a_sheet_that_names_both_kinds(tmp_path):
    names = [sheet.file_name(7) for sheet in run(tmp_path).preview()]
    assert names == [
        "step-0000007-soft-to-ink-and-back.png",
        "step-0000007-ink-to-soft-and-back.png",
    ]


def test_each_direction_is_its_own_generator(tmp_path):
    one = run(tmp_path)
    pipeline, image = one.pipeline(), one.examples["image_b"]
    made = pipeline.generate(None, {"image_b": image}, None)["image"]
    with torch.no_grad():
        assert torch.equal(made, one.averaged_network("b_to_a")(image))
        assert not torch.equal(made, one.averaged_network("a_to_b")(image))


def test_without_an_average_an_export_holds_the_weights_themselves(tmp_path):
    one = run(tmp_path, trainer__ema_decay=None)
    one.fit()
    exported = one.pipeline().a_to_b.state_dict()
    assert all(
        torch.equal(exported[k], v) for k, v in one.bare_networks["a_to_b"].state_dict().items()
    )


def test_rates_of_a_run_that_was_stopped_are_those_of_the_unbroken_one_at_every_step(tmp_path):
    settings = {"trainer__steps": 6, "optim__stair_steps": 1, "trainer__save_every": 3}
    run(tmp_path / "unbroken", **settings).fit()
    stopped = run(tmp_path / "broken", **settings)
    for step in range(3):
        stopped.train_step(next(stopped.loader.steps(step)))
    stopped.save()
    resumed = run(tmp_path / "broken", **settings)
    resumed.resume()
    resumed.fit()
    rates = {}
    for name in ("unbroken", "broken"):
        rows = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text().splitlines())
        rates[name] = {row["step"]: row["lr"] for row in rows}
    assert rates["broken"] == {step: rates["unbroken"][step] for step in (4, 5, 6)}
    assert len({*rates["unbroken"].values()}) == 4


def test_a_checkpoint_without_its_critics_is_refused_with_their_names(tmp_path):
    one = run(tmp_path)
    one.fit()
    state, meta = checkpoints.load(tmp_path / "checkpoints", 4)
    del state["networks"]["critic_a"]
    facts = {k: v for k, v in meta.items() if k not in ("format", "step", "sha256")}
    checkpoints.save(tmp_path / "checkpoints", 4, state, facts)
    with pytest.raises(CheckpointError, match=r"no network 'critic_a'; .*'b_to_a'"):
        run(tmp_path).resume()


def test_verdicts_count_as_in_the_paper_whatever_half_a_formula_has():
    assert tiny("cyclegan").model.verdict_weight == 2
    assert tiny("cyclegan", adversary__objective="hinge").model.verdict_weight == 1
    assert tiny("cyclegan", model__verdict_weight=3.0).model.verdict_weight == 3


def test_what_follows_from_other_settings_is_filled_in():
    config = tiny("cyclegan", model__cycle_weight=5.0)
    assert config.model.cycle_weight_b == 5
    assert config.optim.constant == 0.5
    assert tiny("cyclegan", optim__schedule="constant").optim.constant == 0
    assert tiny("cyclegan", optim__constant_steps=2).optim.constant == 0
    assert tiny("cyclegan", model={"kind": "unet", "critic_layers": 3}).model.levels == 5
    assert config.model.identity_weight > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data__image_size": 34}, r"data.image_size=34: with model.levels=2 .* multiples of 4"),
        ({"model__levels": 6}, r"multiples of 64, from 128 px on"),
        ({"model__critic_layers": 4}, r"sees pictures from 48 px .* set model.critic_layers=3"),
    ],
)
def test_sizes_that_do_not_fit_are_refused_with_what_would(changes, message):
    with pytest.raises(ConfigError, match=message):
        tiny("cyclegan", **changes)


@pytest.mark.parametrize("side", ["cycle_weight", "cycle_weight_b"])
def test_a_cycle_of_no_weight_is_refused_while_an_identity_loss_is_a_multiple_of_it(side):
    with pytest.raises(
        ConfigError, match=rf"{side}=0 would .* identity_weight=0.5 .* set identity"
    ):
        tiny("cyclegan", **{f"model__{side}": 0, "model__identity_weight": 0.5})
    config = tiny("cyclegan", **{f"model__{side}": 0, "model__identity_weight": 0})
    assert getattr(config.model, side) == 0


def sides(root: Path, **settings):
    data = {"kind": "unpaired", "root": str(root), "image_size": 16, "batch_size": 2}
    model = {"width": 2, "blocks": 1, "critic_width": 2, "critic_layers": 1, "identity_weight": 0}
    return tiny("cyclegan", data=data | settings, model=model, trainer__steps=1)


def test_grey_pictures_become_coloured_ones_without_an_identity_loss(tmp_path):
    sets_at_hand.unpaired(tmp_path)
    with pytest.raises(ConfigError, match=r"model.identity_weight=0.5 .* data.channels_a=1 and"):
        tiny("cyclegan", data=sides(tmp_path, channels_a=1).data.model_dump())
    given = sides(tmp_path, channels_a=1)
    with pytest.raises(ConfigError, match=r"model.output=change adds .* set model.output=picture"):
        tiny(
            "cyclegan",
            data=given.data.model_dump(),
            model=given.model.model_dump() | {"output": "change"},
        )
    one = trainer(sides(tmp_path, channels_a=1), tmp_path / "run")
    one.fit()
    pipeline = one.pipeline()
    channels = [next(iter(taken.values())).channels for taken in pipeline.takes]
    assert channels == [1, 3]
    assert pipeline(image_a=one.examples["image_a"][0])[0].mode == "RGB"
    assert all(sheet.images.shape[1] == 3 for sheet in one.preview())


def test_generators_that_make_a_change_begin_as_copies_and_learn(tmp_path):
    sets_at_hand.unpaired(tmp_path)
    config = sides(tmp_path)
    changed = config.model.model_copy(update={"output": "change"})
    one = trainer(config.model_copy(update={"model": changed}), tmp_path / "run")
    image = one.examples["image_a"]
    assert torch.equal(one.networks["a_to_b"](image), image)
    one.fit()
    assert not torch.equal(one.networks["a_to_b"](image), image)
    assert one.pipeline().components["a_to_b"].config["output"] == "change"


def test_one_kind_of_pictures_on_both_sides_is_refused(tmp_path):
    for side in "ab":
        (tmp_path / side).mkdir()
        sets_at_hand.folder(tmp_path / side, 3)
    with pytest.raises(DataError, match="both sides hold the same pictures, so there is nothing"):
        trainer(sides(tmp_path), tmp_path / "run")


def test_training_pictures_are_parts_of_larger_ones_and_previews_show_them_whole(tmp_path):
    sets_at_hand.unpaired(tmp_path)
    one = trainer(sides(tmp_path, load_size=20, flip=True), tmp_path / "run")
    assert batch_of(one)["image_a"].shape == (2, 3, 16, 16)
    one.fit()
    assert one.examples["image_a"].shape[2:] == (16, 16)


def test_the_generator_of_the_paper_is_the_default_and_both_kinds_are_on_offer():
    model = cyclegan.Config(family="cyclegan", data=tiny("cyclegan").data).model
    with torch.device("meta"):
        there = model.make(3, 3)
        critic = model.make_critic(3)
    assert sum(p.numel() for p in there.parameters()) == 11_378_179
    assert sum(p.numel() for p in critic.parameters()) == 2_764_737


def test_two_processes_end_alike_with_a_penalty_micro_batches_and_a_pool(tmp_path, monkeypatch):
    config = tiny(
        "cyclegan",
        data__batch_size=1,
        adversary={"objective": "wasserstein", "gp_weight": 10.0, "augment": ["translation"]},
        trainer__grad_accumulation=2,
        trainer__grad_clip=1.0,
    )
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    run_together(work, {"folder": tmp_path, "tree": to_tree(config)}, 2)
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt")["state"] for rank in range(2))
    assert int(first["memory/pool/a/filled"]) == 5
    assert [key for key in first if not torch.equal(first[key], second[key])] == []


def test_the_card_of_an_export_shows_pictures_before_and_after(tmp_path):
    one = run(tmp_path, data__limit=8)
    one.fit()
    (tmp_path / "config.yaml").write_text(json.dumps(to_tree(one.config)))
    (tmp_path / "provenance.json").write_text(json.dumps({"data": one.data.to_tree()}))
    export(tmp_path)
    shown = (tmp_path / "export" / "samples.png").read_bytes()
    newest = tmp_path / "previews" / "step-0000004-ink-to-soft-and-back.png"
    assert shown == newest.read_bytes()
    assert "soft ↔ ink" in (tmp_path / "export" / "README.md").read_text()


def test_a_run_that_starts_from_an_export_says_that_its_critics_begin_anew(tmp_path, caplog):
    first = train(tiny("cyclegan", trainer__steps=2, trainer__precision="fp32"), out=tmp_path / "a")
    config = tiny("cyclegan", trainer__steps=2, trainer__precision="fp32", trainer__seed=1)
    with caplog.at_level(logging.INFO, "genkit"):
        train(config, out=tmp_path / "b", init=str(first))
    assert f"{first} holds no critic_a, critic_b, which begin with first weights" in caplog.text
