"""AttGAN: what each update is given, what the losses are made of, and the sizes of codes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from families_at_hand import state, tiny, trainer

from genkit.data import open_data
from genkit.errors import CheckpointError, ConfigError
from genkit.families.attgan import AttGANTrainer, Config
from genkit.family import resolve
from genkit.nn.editors import code_sizes
from genkit.rows.columns import Flags
from genkit.training import checkpoints, refusals
from genkit.training.schedules import lr_factor


def batches(run: AttGANTrainer, step: int = 0) -> list[dict]:
    return next(run.loader.steps(step, accumulation=run.batches_per_step))


def config(**changes) -> Config:
    """Settings that no data set is opened for."""
    tree = {"family": "attgan", "data": {"kind": "celeba", "root": ".", "image_size": 128}}
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        tree.setdefault(section, {})[key] = value
    return resolve(tree, "test")


# -- what an update is given -----------------------------------------------------------------------


def test_each_update_of_a_step_has_a_batch_of_its_own(tmp_path):
    run = trainer(tiny("attgan"), tmp_path)
    assert run.batches_per_step == 1 + 2
    assert run.global_batch == 4 * 3
    seen: dict[str, list[int]] = {"critic": [], "generator": []}
    own = run.critic_loss, run.generator_loss

    def noted(name, loss):
        return lambda batch: seen[name].extend(batch["index"].tolist()) or loss(batch)

    run.critic_loss, run.generator_loss = noted("critic", own[0]), noted("generator", own[1])
    run.step(batches(run))
    assert (len(seen["critic"]), len(seen["generator"])) == (8, 4)
    assert len({*seen["critic"], *seen["generator"]}) == 12


def test_pictures_are_asked_to_have_the_attributes_of_others_of_their_update(tmp_path):
    run = trainer(tiny("attgan", data__batch_size=8), tmp_path)
    groups = [[batch] for batch in batches(run)]
    asked = [run.asked(number, group)[0] for number, group in enumerate(groups)]
    for batch in asked:
        rows = [tuple(row.tolist()) for row in batch["attributes"]]
        others = [tuple(row.tolist()) for row in batch["asked"]]
        assert sorted(rows) == sorted(others)
        assert rows != others
    run.steps_done += 1
    again = run.asked(0, groups[0])[0]
    assert not torch.equal(again["asked"], asked[0]["asked"])


def test_the_permutation_is_one_of_the_global_batch_whatever_the_micro_batches(tmp_path):
    found = {}
    for side, (rows, parts) in {"one": (8, 1), "two": (4, 2), "four": (2, 4)}.items():
        settings = tiny("attgan", data__batch_size=rows, trainer__grad_accumulation=parts)
        run = trainer(settings, tmp_path / side)
        every = batches(run)
        groups = [every[i : i + parts] for i in range(0, len(every), parts)]
        asked = [b for number, group in enumerate(groups) for b in run.asked(number, group)]
        found[side] = {
            int(place): tuple(row.tolist())
            for batch in asked
            for place, row in zip(batch["position"], batch["asked"], strict=True)
        }
    assert found["one"] == found["two"] == found["four"]
    assert len(found["one"]) == 24


def test_a_rehearsal_on_some_of_the_rows_permutes_these(tmp_path):
    run = trainer(tiny("attgan", data__batch_size=8), tmp_path)
    some = [{key: value[2:5] for key, value in batch.items()} for batch in batches(run)]
    (batch,) = run.asked(1, some[1:2])
    assert sorted(batch["asked"].tolist()) == sorted(batch["attributes"].tolist())
    run.step(some)


# -- losses ----------------------------------------------------------------------------------------


def test_the_loss_of_encoder_and_decoder_is_the_weighted_sum_of_its_three_terms(tmp_path):
    run = trainer(tiny("attgan", trainer__precision="fp32"), tmp_path)
    (batch,) = run.asked(2, batches(run)[-1:])
    run.terms = {}
    loss = run.generator_loss(batch)
    with torch.no_grad():
        maps = run.bare_networks["encoder"](batch["image"])
        back = run.bare_networks["decoder"](maps, batch["attributes"] - 0.5)
        edited = run.bare_networks["decoder"](maps, batch["asked"] - 0.5)
        verdict = run.bare_networks["critic"](edited)
        found = F.binary_cross_entropy(verdict.classes.sigmoid(), batch["asked"])
        kept = (back - batch["image"]).abs().mean()
        expected = -verdict.logits.mean() + 10 * found + 100 * kept
    torch.testing.assert_close(loss.detach(), expected)
    torch.testing.assert_close(run.terms["reconstruction"][0], kept)


def test_attributes_are_learnt_from_real_pictures_alone_and_the_penalty_sees_the_verdict_alone(
    tmp_path,
):
    run = trainer(tiny("attgan", losses__classifier=0.0, trainer__precision="fp32"), tmp_path)
    (batch,) = run.asked(0, batches(run)[:1])
    run.terms = {}
    run.critic_loss(batch).backward()
    critic = run.bare_networks["critic"]
    assert not any(p.grad is not None and p.grad.any() for p in critic.to_attributes.parameters())
    assert all(p.grad.any() for p in critic.to_logit[0].parameters())
    assert all(p.grad is None for p in run.bare_networks["decoder"].parameters())


def test_one_batch_is_learnt(tmp_path):
    settings = tiny("attgan", trainer__steps=15, trainer__overfit_batch=True, optim__lr=4e-3)
    run = trainer(settings, tmp_path)
    run.loader = OneBatch(run.loader)
    first, last = [], []
    step = run.step

    def noted(micro_batches):
        losses = step(micro_batches)
        if not run.rehearsing:
            (first if run.steps_done < 3 else last).append(losses["loss/reconstruction"].item())
        return losses

    run.step = noted
    run.fit()
    assert min(last) < 0.7 * max(first)


class OneBatch:
    """The batches of step 0 for ever."""

    def __init__(self, loader):
        self.loader = loader

    def steps(self, first_step=0, **shares):
        batch = next(self.loader.steps(0, **shares))
        while True:
            yield batch


# -- codes and settings ----------------------------------------------------------------------------


def test_the_two_conventions_of_the_authors_have_their_units():
    v1, v2 = config(), config(code__convention="v2")
    assert (v1.code.thres_int, v1.code.test_int) == (0.5, 1.0)
    assert (v2.code.thres_int, v2.code.test_int) == (1.0, 2.0)
    assert config(code__thres_int=0.7).code.test_int == 1.4
    assert config(code__test_int=1.5).code.thres_int == 0.5


def test_drawn_sizes_are_half_on_average_and_within_their_ends():
    drawn = torch.linspace(0, 1, 100_001)[:-1]
    for kind, spread in (("uniform", 12**-0.5), ("truncated-normal", 0.8796 / 4)):
        found = code_sizes(drawn, kind)
        assert 0 <= found.min() < found.max() <= 1
        assert abs(found.mean() - 0.5) < 1e-4
        # of a normal law cut at 2: 1 - 2 * 2 phi(2) / (2 Phi(2) - 1) = 0.8796^2
        assert abs(found.std() - spread) < 1e-3


@pytest.mark.parametrize("draws", ["uniform", "truncated-normal"])
def test_codes_of_drawn_sizes_keep_their_sign(draws, tmp_path):
    run = trainer(tiny("attgan", code__draws=draws), tmp_path)
    batch = batches(run)[0]
    (batch,) = run.asked(0, [batch])
    code = run.told(batch, "asked")
    assert code.abs().max() <= 1.0
    assert torch.equal(code > 0, batch["asked"] > 0)
    assert len(code.abs().unique()) > 10


def test_the_attributes_that_a_picture_has_are_told_alike_whatever_is_drawn(tmp_path):
    run = trainer(tiny("attgan", code__draws="uniform", code__thres_int=0.7), tmp_path)
    batch = batches(run)[0]
    assert torch.equal(run.told(batch, "attributes"), (2 * batch["attributes"] - 1) * 0.7)


@pytest.mark.parametrize(
    ("side", "levels"),
    [(16, 2), (32, 3), (36, 2), (48, 3), (64, 4), (100, 2), (128, 5), (256, 5), (384, 5)],
)
def test_pictures_are_halved_until_4_px_are_left_at_most_five_times(side, levels):
    assert config(data__image_size=side).model.levels == levels


def test_the_critic_is_as_wide_as_the_encoder_unless_said():
    assert config(model__width=16).model.critic_width == 16
    assert config(model__width=16, model__critic_width=8).model.critic_width == 8


REFUSED = {
    "a size that does not halve": (
        {"data__image_size": 36, "model__levels": 3},
        r"data.image_size=36: model.levels=3 needs a multiple of 8 from 16 px on",
    ),
    "a map of one position": (
        {"data__image_size": 32, "model__levels": 5},
        "needs a multiple of 32 from 64 px on",
    ),
    "shortcuts beyond the levels": (
        {"model__levels": 2, "model__shortcut_layers": 2},
        "model.shortcut_layers=2: must be below model.levels=2",
    ),
    "nothing that bounds the critic": (
        {"adversarial__gp_weight": 0},
        "generated images; set gp_weight=10, r1_weight and r2_weight, or clip_weights=0.01$",
    ),
    "bounded weights behind a norm": (
        {"adversarial__spectral_norm": True},
        "spectral_norm",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_settings_that_fit_no_network_are_refused(case):
    changes, message = REFUSED[case]
    with pytest.raises(ConfigError, match=message):
        config(**changes)


def test_a_fall_by_stairs_is_that_of_the_authors_second_version():
    """60 epochs, of which 30 at the full rate: at epoch e then 1 - (e - 29) / 31 of it."""
    optim = config(
        optim__schedule="linear",
        optim__constant=0.5,
        optim__stair_steps=10,
        trainer__steps=600,
    ).optim
    for step in range(600):
        published = 1 - max(0, step // 10 - 29) / 31
        assert lr_factor(optim, step, 600) == pytest.approx(published)
    assert 2e-4 * lr_factor(optim, 599, 600) == pytest.approx(6.45e-6, rel=1e-3)


# -- checkpoints and exports -----------------------------------------------------------------------


def test_a_checkpoint_without_the_critic_is_no_start(tmp_path):
    run = trainer(tiny("attgan", trainer__steps=2), tmp_path)
    run.fit()
    saved, _ = checkpoints.load(tmp_path / "checkpoints", 2)
    del saved["networks"]["critic"]
    with pytest.raises(CheckpointError, match="has no network 'critic'"):
        run.learnt.restore(saved, run.device)


def test_a_preview_shows_each_picture_what_comes_back_and_every_flip(tmp_path):
    run = trainer(tiny("attgan"), tmp_path)
    (sheet,) = run.preview()
    names = run.flags.names
    assert sheet.columns == 2 + len(names)
    assert len(sheet.images) == 2 * sheet.columns
    assert torch.equal(sheet.images[0], run.examples["image"][0])
    pipeline = run.pipeline()
    given = {name: run.examples[name][:1] for name in ("image", "attributes")}
    with pipeline.generating():
        made = pipeline.generate(None, given, pipeline.options(flip=names[2]))["image"]
    torch.testing.assert_close(sheet.images[4], made[0], atol=1e-5, rtol=0)


def test_an_export_knows_the_attributes_of_its_set_and_its_critic(tmp_path):
    run = trainer(tiny("attgan", trainer__steps=1), tmp_path)
    run.fit()
    pipeline = run.pipeline()
    assert pipeline.attributes == run.flags.names
    assert pipeline.column.excludes == run.flags.excludes
    image = run.examples["image"]
    with torch.no_grad():
        expected = run.bare_networks["critic"](image).classes.sigmoid()
    torch.testing.assert_close(pipeline.guess(image), expected)
    assert {key.split("/")[1] for key in state(run)} >= {"encoder", "decoder", "critic"}


def test_an_export_of_other_attributes_is_no_start_even_where_its_weights_fit(tmp_path):
    run = trainer(tiny("attgan"), tmp_path)
    other = (*run.flags.names[:-1], "Freckles")
    columns = {**run.data.columns, "attributes": Flags(other)}
    with pytest.raises(CheckpointError) as refused:
        refusals.other_attributes(run.pipeline(), replace(run.data, columns=columns))
    for names in (run.flags.names, other):
        assert ", ".join(names) in str(refused.value)
    refusals.other_attributes(run.pipeline(), run.data)  # what the message asks for


def test_a_run_that_starts_from_an_export_learns_anew_what_is_familiar(tmp_path):
    first = trainer(tiny("attgan", trainer__steps=2), tmp_path / "a")
    first.fit()
    small = tiny("attgan", trainer__steps=2, data__train_count=32)
    plain, second = (trainer(small, tmp_path / name) for name in "bc")
    assert second.learnt.take_weights(first.pipeline()) == []
    ours, theirs = second.bare_networks["critic"], first.bare_networks["critic"]
    assert torch.equal(ours.to_logit[0].weight, theirs.to_logit[0].weight)
    for run in (plain, second):
        run.fit()
    assert second.pipeline().familiar_below == plain.pipeline().familiar_below
    assert second.pipeline().familiar_below != first.pipeline().familiar_below


def test_new_pictures_are_familiar_to_a_run_without_a_test_part(tmp_path, caplog):
    caplog.set_level("INFO", "genkit")
    run = trainer(tiny("attgan", data__train_count=200), tmp_path)
    run.rows(open_data(run.config.data, "train"))
    run._open_examples = lambda: run.known  # as where there is no test part
    run.save()
    assert "learnt of 200 training pictures, the limit from each" in caplog.text
    new = tiny("attgan", data__seed=1, data__test_count=300).data
    images = open_data(new, "test").read(range(300))["image"].float() / 127.5 - 1
    pipeline = run.pipeline()
    far = pipeline.unfamiliarity(images) > pipeline.familiar_below
    assert far.float().mean() < 0.03
    assert (pipeline.unfamiliarity(images.flip(2)) > pipeline.familiar_below).float().mean() > 0.5


def test_a_checkpoint_and_an_export_of_it_know_what_is_familiar(tmp_path):
    run = trainer(tiny("attgan", trainer__steps=2), tmp_path)
    run.fit()
    pipeline, limit = run.pipeline(), run.pipeline().familiar_below
    assert limit < float("inf")
    images = open_data(run.config.data, "test").read(range(16))["image"].float() / 127.5 - 1
    found = pipeline.unfamiliarity(images)
    assert (found <= limit * 1.001).float().mean() > 0.9
    assert pipeline.unfamiliarity(-images).mean() > found.mean()
    again = trainer(tiny("attgan", trainer__steps=2), tmp_path)
    again._open_examples = None  # as where an export is made
    again.resume()
    assert again.pipeline().familiar_below == limit
