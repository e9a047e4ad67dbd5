"""pix2pix: what it learns from, and one rule of what a picture becomes at test time."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from families_at_hand import tiny, trainer

from genkit.errors import ConfigError
from genkit.families.pix2pix import PaperUNet
from genkit.family import load_config
from genkit.nn.translators import UNetTranslator
from genkit.pipelines import load_pipeline, save_export
from genkit.pipelines.translation import TranslationPipeline

PAPER = Path("configs/pix2pix/facades.yaml")
RULES = ("pix2pix", "pix2pix batch", "pix2pix paper")


def pictures(count: int, height: int = 32, width: int = 32) -> torch.Tensor:
    drawn = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(count))
    return drawn * 2 - 1


def paper_unet(dropout: float = 0.5) -> PaperUNet:
    torch.manual_seed(0)
    return PaperUNet(3, 3, 4, 4, "batch", "transposed", dropout)


def test_the_papers_networks_have_the_weights_that_its_code_has():
    model = load_config(PAPER, ["data.root=x"]).model
    with torch.device("meta"):
        generator, critic = model.make(3, 3), model.make_critic(6)
    counts = [sum(p.numel() for p in n.parameters()) for n in (generator, critic)]
    assert counts == [54_413_955, 2_768_705]
    assert critic(torch.empty(1, 6, 256, 256, device="meta")).logits.shape == (1, 1, 30, 30)


@pytest.mark.parametrize("case", RULES)
def test_a_preview_shows_exactly_what_the_pipeline_makes_of_the_same_weights(case, tmp_path):
    run = trainer(tiny(case), tmp_path)
    run.fit()
    (sheet,) = run.preview()
    source = run.examples["source"]
    shown = sheet.images.view(len(source), 3, *source.shape[1:])[:, 1]
    save_export(run.pipeline(), tmp_path / "export", provenance={}, config_yaml="")
    own, loaded = run.pipeline(), load_pipeline(tmp_path / "export")
    for pipeline in (own, loaded):
        assert torch.equal(pipeline.translated(source), shown)


@pytest.mark.parametrize("case", RULES)
def test_a_picture_alone_and_among_others_becomes_the_same(case, tmp_path):
    run = trainer(tiny(case, trainer__steps=2), tmp_path)
    run.fit()
    pipeline, given = run.pipeline(), pictures(4)
    together = pipeline.translated(given)
    # Picture 0 of a seed is the same alone; further ones have draws of their own.
    torch.testing.assert_close(pipeline.translated(given[:1]), together[:1], atol=1e-5, rtol=0)


def test_with_the_papers_rule_a_batch_norm_takes_the_statistics_of_the_picture():
    network, given = paper_unet(dropout=0.0), pictures(3)
    training = [network(given[i : i + 1]) for i in range(3)]  # as test batches of one
    network.eval()
    torch.testing.assert_close(network(given), torch.cat(training), atol=1e-5, rtol=0)
    plain = UNetTranslator(3, 3, 4, 4, "batch")
    names = [n for n, _ in plain.named_parameters()]
    assert names == [n for n, _ in network.named_parameters()]


def test_with_the_papers_rule_dropout_goes_on_and_is_drawn_by_seed_and_index():
    pipeline = TranslationPipeline(paper_unet().eval())
    same = pictures(1).expand(3, -1, -1, -1)
    made = pipeline.translated(same, seed=5)
    assert torch.equal(made, pipeline.translated(same, seed=5))
    assert not torch.equal(made, pipeline.translated(same, seed=6))
    assert not torch.equal(made[0], made[1])
    alone = pipeline.translated(same[:1], seed=5)
    torch.testing.assert_close(alone[0], made[0], atol=1e-5, rtol=0)
    with torch.no_grad():  # a call without numbers drops nothing
        assert torch.equal(pipeline.a_to_b(same)[0], pipeline.a_to_b(same)[1])


def test_by_default_nothing_is_drawn_at_test_time(tmp_path):
    run = trainer(tiny("pix2pix", model__dropout=0.5), tmp_path)
    given = pictures(2)
    once, again = (run.pipeline().translated(given, seed=seed) for seed in (0, 1))
    assert torch.equal(once, again)


def test_a_choice_at_test_that_would_change_nothing_is_refused():
    with pytest.raises(ConfigError, match=r"at_test=paper changes nothing .* model\.dropout=0\.5"):
        tiny("pix2pix", model__at_test="paper", model__norm="instance", model__dropout=0.0)
    for given in ({"model__dropout": 0.5}, {"model__norm": "batch", "model__dropout": 0.0}):
        assert tiny("pix2pix", model__at_test="paper", **given).model.at_test == "paper"


def test_a_photo_twice_as_wide_as_high_is_not_cut_into_halves(tmp_path):
    run = trainer(tiny("pix2pix"), tmp_path)
    wide = pictures(1, 24, 48)
    made = run.pipeline()(image_a=((wide[0] + 1) * 127.5).to(torch.uint8), output="np")
    assert made.shape == (1, 24, 48, 3)


def test_the_generator_is_pulled_to_the_target_by_the_weight_that_is_asked(tmp_path):
    run = trainer(tiny("pix2pix", model__verdict_weight=0.0, model__l1_weight=7.0), tmp_path)
    (batch,) = next(run.loader.steps())
    run.step([batch])
    with torch.no_grad():
        made = run.translate(batch)
        run.fakes.attached = lambda _: made
        loss = run.generator_loss(batch)
    assert loss.item() == pytest.approx(7 * F.l1_loss(made, batch["target"]).item(), rel=1e-5)


def test_the_critic_sees_the_input_beside_the_picture(tmp_path):
    run = trainer(tiny("pix2pix"), tmp_path)
    (batch,) = next(run.loader.steps())
    critic = run.bare_networks["critic"]
    said = run.judge(critic, batch["target"], batch).logits
    swapped = {**batch, "source": batch["source"].flip(0)}
    assert said.ndim == 4
    assert not torch.equal(said, run.judge(critic, batch["target"], swapped).logits)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["data.image_size=36", "model.levels=3"], "with model.levels=3 a side is halved so often"),
        (["model.critic_layers=5"], "set model.critic_layers="),
        (
            ["adversary.r1_weight=1", "model.critic_norm=batch"],
            "needs model.critic_norm=instance or none",
        ),
    ],
)
def test_networks_that_do_not_fit_the_pictures_are_refused(settings, words):
    tree = {"family": "pix2pix", "data": {"kind": "paired", "root": "x", "image_size": 32}}
    with pytest.raises(ConfigError, match=words):
        load_config(tree, settings)


def test_a_u_net_of_two_levels_is_not_told_to_have_fewer():
    tree = {"family": "pix2pix", "data": {"kind": "paired", "root": "x", "image_size": 34}}
    with pytest.raises(ConfigError, match=r"multiples of 4, from 4 px on, such as (\S+)$") as told:
        load_config(tree)
    assert "model.levels=2 a side" in str(told.value)
    assert load_config(tree, ["data.image_size=36"]).model.levels == 2
    with pytest.raises(ConfigError, match=r"data.image_size=40, or set model.levels=2$"):
        load_config(tree, ["data.image_size=36", "model.levels=3"])


def test_an_export_calls_its_kinds_as_the_data_do(tmp_path):
    run = trainer(tiny("pix2pix"), tmp_path)
    assert run.pipeline().names == ("ink", "soft")
    tree = {"family": "pix2pix", "data": {"kind": "paired", "root": "x", "image_size": 32}}
    data = load_config(tree, ["data.source=map", "data.target=photo"]).data
    assert data.sides == ("map", "photo")


@pytest.mark.parametrize(("objective", "share"), [("least-squares", 1.0), ("hinge", 0.5)])
def test_the_critics_objective_is_halved_once(tmp_path, objective, share):
    run = trainer(tiny("pix2pix", adversary__objective=objective), tmp_path)
    (batch,) = next(run.loader.steps())
    run.step([batch])
    fake = pictures(len(batch["target"]))
    run.fakes.detached = lambda _: fake
    plain = run.adversary.critic_loss(batch, batch["target"], fake, run.judge).loss
    torch.testing.assert_close(run.critic_loss(batch), share * plain)
