"""Latent diffusion: trained on an autoencoder and a tower of texts, opened by plain diffusers."""

from __future__ import annotations

import copy
import json
import logging
from itertools import islice

import pytest
import torch
from families_at_hand import assert_same_state, state
from latents_at_hand import NETWORKS, TEXTS, autoencoder, config, run_of
from typer.testing import CliRunner

from genkit import random
from genkit.cli import app
from genkit.errors import CheckpointError, ConfigError, PipelineError
from genkit.nn.text_unets import encoded_text, make_text_unet
from genkit.pipelines import TextToImage, load_pipeline, save_export
from genkit.verbs.evaluate import evaluate_samples
from genkit.verbs.train import train

by_kind = pytest.mark.parametrize("kind", NETWORKS)


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


# -- networks --------------------------------------------------------------------------------------


def test_stable_diffusions_network_has_its_number_of_weights():
    with torch.device("meta"):
        network = make_text_unet(64, 4, 768)
    assert sum(p.numel() for p in network.parameters()) == 859_520_964


# -- training --------------------------------------------------------------------------------------


@by_kind
def test_only_the_network_learns_and_what_stays_is_in_no_checkpoint(parts, tmp_path, kind):
    run = run_of(parts, tmp_path, kind)
    (network,) = run.optimizers
    before = copy.deepcopy({n: net.state_dict() for n, net in run.bare_networks.items()})
    run.fit()
    for name in ("vae", "text_encoder"):
        assert_same_state(before[name], run.bare_networks[name].state_dict())
        assert name in run.learnt.frozen
        assert not run.bare_networks[name].training
    moved = [
        key
        for key, value in run.bare_networks[network].state_dict().items()
        if not torch.equal(before[network][key], value)
    ]
    assert len(moved) > 0.9 * len(before[network])
    saved = torch.load(next((tmp_path / "checkpoints").glob("*4/*.pt")), weights_only=True)
    assert "vae" not in json.dumps([*saved.get("networks", saved)])


@by_kind
def test_a_resumed_run_equals_the_unbroken_one(parts, tmp_path, kind):
    unbroken = run_of(parts, tmp_path / "a", kind)
    unbroken.fit()
    run_of(parts, tmp_path / "b", kind, trainer__steps=2).fit()
    resumed = run_of(parts, tmp_path / "b", kind)
    resumed.resume()
    resumed.fit()
    assert_same_state(state(unbroken), state(resumed))


def test_another_autoencoder_is_refused_at_resume(parts, tmp_path):
    run_of(parts, tmp_path / "a", trainer__steps=2).fit()
    other = autoencoder(tmp_path / "vae", trainer__seed=9)
    run = run_of({**parts, "autoencoder": other}, tmp_path / "a")
    with pytest.raises(CheckpointError, match="vae"):
        run.resume()


@by_kind
def test_two_micro_batches_equal_one(parts, tmp_path, kind):
    losses = []
    for rows, count in ((8, 1), (4, 2)):
        run = run_of(parts, tmp_path / str(count), kind, data__batch_size=rows,
                     trainer__grad_accumulation=count)  # fmt: skip
        losses += run.step(next(run.loader.steps(accumulation=count))).values()
    torch.testing.assert_close(*losses)


def test_latents_are_as_large_as_noise_and_drawn_anew_each_step(parts, tmp_path):
    run = run_of(parts, tmp_path)
    batches = [batch["latent"] for (batch,) in islice(run.loader.steps(), 8)]
    mean, deviation = torch.cat(batches).chunk(2, 1)
    spread = (mean.var((0, 2, 3)) + deviation.square().mean((0, 2, 3))).sqrt()
    assert 0.8 < spread.min() <= spread.max() < 1.2
    seen = []
    run.diffusion.loss = lambda batch, x0, network: (seen.append(x0), x0.sum())[1]
    (batch,) = next(run.loader.steps())
    for step in range(2):
        run.steps_done = step
        run._draws.clear()
        run.loss(batch)
    assert not torch.equal(*seen)


def test_pictures_are_encoded_once_for_each_autoencoder(parts, tmp_path, caplog):
    caplog.set_level(logging.INFO, "genkit")
    run_of(parts, tmp_path / "a")
    assert "latents: 64 of 64 to be encoded" in caplog.text
    caplog.clear()
    run_of(parts, tmp_path / "b", trainer__seed=1)
    assert "encoded" not in caplog.text
    run_of(parts, tmp_path / "c", data__train_count=66)
    assert "latents: 2 of 66 to be encoded, the others are kept" in caplog.text
    other = autoencoder(tmp_path / "vae", trainer__seed=9)
    run_of({**parts, "autoencoder": other}, tmp_path / "d")
    assert "latents: 64 of 64 to be encoded" in caplog.text


@pytest.mark.parametrize("kind", ["unet", "mmdit"])
def test_texts_that_are_kept_are_those_that_are_read_anew(parts, tmp_path, kind):
    found, read = {}, []
    for keep in ("always", "never"):
        run = run_of(parts, tmp_path / keep, kind, model__keep_texts=keep)
        (batch,) = next(run.loader.steps())
        words = run.way.words
        run.way.words = lambda texts, words=words: (read.append(len(texts)), words(texts))[1]
        found[keep] = run.given.words(batch)
        run._draws.clear()
        run.loss(batch)
    for one, other in zip(*(parts_of(found[keep]) for keep in found), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    assert read == [8, 8]  # of the run that reads anew: twice


def parts_of(words):
    return words if isinstance(words, tuple) else (words,)


def test_the_loss_on_test_pictures_differs_by_what_was_learnt_alone(parts, tmp_path):
    run = run_of(parts, tmp_path / "a")
    first = run.given.held_out(run.bare_networks["unet"])
    assert [*first] == ["held-out/little", "held-out/middle", "held-out/much"]
    run.steps_done = 3
    run._draws.clear()
    assert run.given.held_out(run.bare_networks["unet"]) == first
    run.train_step(next(run.loader.steps()))
    assert run.given.held_out(run.bare_networks["unet"]) != first
    (sheet,) = run.preview()
    assert sheet.numbers.keys() == first.keys() | {"near-copies/rate"}
    run.__dict__["to_show"] = run.data.rows  # as where there is no test part
    assert run.given.held_out(run.bare_networks["unet"]) == {}


# -- captions that are hidden ----------------------------------------------------------------------


def test_as_many_captions_are_hidden_as_asked_and_by_what_a_sampler_uses(parts, tmp_path):
    run = run_of(parts, tmp_path, model__caption_drop=0.25)
    pipeline = run.pipeline()
    null = encoded_text(pipeline.text_encoder, pipeline.tokenizer, [""])[0]
    hidden = total = 0
    for step, (batch,) in enumerate(islice(run.loader.steps(), 250)):
        run.steps_done = step
        run._draws.clear()
        words = run.given.words(batch)
        same = [bool(torch.equal(each, null)) for each in words]
        hidden, total = hidden + sum(same), total + len(same)
    assert total == 2000
    assert abs(hidden / total - 0.25) < 3 * (0.25 * 0.75 / total) ** 0.5


# -- the export ------------------------------------------------------------------------------------

RECIPES = {
    "flow": {},
    "flow shifted": {"noise": {"prediction": "flow", "shift": 2.0}},
    "epsilon": {"noise": {"prediction": "epsilon", "schedule": "scaled-linear",
                          "beta_start": 0.00085, "beta_end": 0.012}},
    "v": {"noise": {"prediction": "v", "schedule": "cosine"}},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("recipe", RECIPES)
def test_plain_diffusers_makes_the_same_pictures(parts, tmp_path, recipe):
    from diffusers import StableDiffusionPipeline

    run = run_of(parts, tmp_path / "run", **RECIPES[recipe])
    run.fit()
    save_export(run.pipeline(), tmp_path / "export", provenance={}, config_yaml="")
    ours = load_pipeline(tmp_path / "export")
    assert isinstance(ours, TextToImage)
    scheduler = "flow_dpmsolver++" if recipe.startswith("flow") else "dpmsolver++"
    found = ours(
        2, seed=3, caption=TEXTS, guidance=3, steps=6, scheduler=scheduler, output="tensor"
    )
    plain = StableDiffusionPipeline.from_pretrained(tmp_path / "export")
    plain.set_progress_bar_config(disable=True)
    keyed = [torch.Generator().manual_seed(random.key(3, "latent", i)) for i in range(2)]
    theirs = plain(
        TEXTS, guidance_scale=3, num_inference_steps=6, generator=keyed, output_type="pt"
    ).images
    assert (found - theirs).abs().max() < 1e-4


@by_kind
def test_a_picture_is_the_same_in_any_batch_and_guidance_1_is_the_caption_alone(
    parts, tmp_path, kind
):
    pipeline = run_of(parts, tmp_path, kind).pipeline()
    options = {"seed": 1, "steps": 3, "output": "tensor"}
    whole = pipeline(4, caption=TEXTS, guidance=3, **options)
    alone = pipeline(4, caption=TEXTS, guidance=3, batch_size=1, **options)
    torch.testing.assert_close(whole, alone, atol=1 / 255, rtol=0)
    plain = pipeline(2, caption=TEXTS, guidance=1, **options)
    negative = pipeline(2, caption=TEXTS, guidance=1, negative="a green heart", **options)
    assert torch.equal(plain, negative)
    guided = pipeline(2, caption=TEXTS, guidance=3, negative="a green heart", **options)
    assert not torch.equal(pipeline(2, caption=TEXTS, guidance=3, **options), guided)


@by_kind
def test_a_picture_is_begun_from_and_kept_where_a_mask_says(parts, tmp_path, kind):
    pipeline = run_of(parts, tmp_path, kind).pipeline()
    picture = torch.rand(1, 3, 32, 32)
    begun = pipeline(
        1, image=picture, caption="a red star", strength=0.3, steps=10, output="tensor"
    )
    fresh = pipeline(1, caption="a red star", steps=10, output="tensor")
    assert begun.shape == fresh.shape
    assert not torch.equal(begun, fresh)
    mask = torch.zeros(1, 1, 32, 32)
    kept = pipeline(1, image=picture, mask=mask, caption="a red star", output="tensor")
    seen = (picture * 255).round() / 255 * 2 - 1
    latents = pipeline.vae.encode(seen).latent_dist.mean
    back = pipeline.vae.decode(latents).sample.clamp(-1, 1) / 2 + 0.5
    torch.testing.assert_close(kept, back, atol=1e-5, rtol=0)
    with pytest.raises(PipelineError, match="give image too"):
        pipeline(1, caption="a red star", strength=0.3)


def test_parts_of_different_models_are_refused(parts, tmp_path):
    pipeline = run_of(parts, tmp_path).pipeline()
    held = pipeline.components
    wide = make_text_unet(16, 2, 24, widths=(8, 16), attention=(16,), heads=2, layers=1)
    other = make_text_unet(16, 3, 16, widths=(8, 16), attention=(16,), heads=2, layers=1)
    names = ("vae", "text_encoder", "tokenizer", "unet", "scheduler")
    good = {name: held[name] for name in names}
    with pytest.raises(PipelineError, match="words are 16 wide, the network reads 24"):
        TextToImage(**good | {"unet": wide})
    with pytest.raises(PipelineError, match="latents have 2 channels, the network takes 3"):
        TextToImage(**good | {"unet": other})


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"data__shift": 1}, "data.shift: pictures are encoded once"),
        ({"model__caption_drop": 0.0}, "preview.guidance needs a share of hidden captions"),
        ({"model__autoencoder": None}, "autoencoder"),
        ({"preview__scheduler": "ddpm"}, "preview.scheduler: ddpm does not fit this model"),
        (
            {"noise": {"prediction": "epsilon", "schedule": "cosine", "learned_variance": True}},
            "noise.learned_variance",
        ),
    ],
)
def test_settings_that_can_not_be_are_refused(parts, changes, problem):
    with pytest.raises(ConfigError, match=problem):
        config(parts, **changes)


def test_networks_that_do_not_fit_latents_are_refused(parts, tmp_path):
    with pytest.raises(ConfigError, match=r"model.attention: no level has 4; .* \[16, 8\]"):
        run_of(parts, tmp_path, model__attention=[4])
    with pytest.raises(ConfigError, match=r"model.heads=3 does not divide the 16 channels"):
        run_of(parts, tmp_path, model__heads=3)


# -- prompts of a person ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def export(parts, tmp_path_factory):
    place = tmp_path_factory.mktemp("ldm")
    run = run_of(parts, place / "run")
    return str(save_export(run.pipeline(), place / "export", provenance={}, config_yaml=""))


def sampled(*words):
    result = CliRunner().invoke(app, ["sample", *map(str, words), "--steps", "2"])
    return result.exit_code, result.output


def test_prompts_become_pictures_with_their_captions(export, tmp_path):
    (tmp_path / "more.txt").write_text("a blue ring\n\n  two pink moons\n")
    words = (export, "--prompt", "a red star", "--prompts", tmp_path / "more.txt")
    sheet, out = tmp_path / "sheet.png", tmp_path / "out"
    status, said = sampled(*words, "--negative", "a heart", "--out", out, "--grid", sheet)
    assert status == 0, said
    rows = [json.loads(line) for line in (out / "metadata.jsonl").read_text().splitlines()]
    assert [row["caption"] for row in rows] == ["a red star", "a blue ring", "two pink moons"]
    assert {row["negative"] for row in rows} == {"a heart"}
    assert sheet.stat().st_size > 0


def test_prompts_that_say_nothing_are_refused(export, parts, tmp_path):
    status, said = sampled(export, "--out", tmp_path / "a")
    assert (status, "say what by --prompt" in said) == (2, True)
    (tmp_path / "empty.txt").write_text("\n \n")
    assert "no prompt in it" in sampled(export, "--prompts", tmp_path / "empty.txt")[1]
    (tmp_path / "latin.txt").write_bytes(b"caf\xe9\n")
    assert "give a file in UTF-8" in sampled(export, "--prompts", tmp_path / "latin.txt")[1]
    status, said = sampled(parts["autoencoder"], "--prompt", "a", "--out", tmp_path / "b")
    assert (status, "takes no texts" in said) == (2, True)


# -- from the command line's side ------------------------------------------------------------------


def test_a_run_trains_exports_and_is_scored_by_prompts(parts, tmp_path):
    run = train(config(parts), out=tmp_path / "run")
    found = evaluate_samples(run, extractors=["scenes"], metrics=["scene-score", "fd"])
    names = {value.name for value in found.metrics}
    assert {"scene-score", "fd-scenes"} <= names
    assert [*(run / "previews").glob("*.png")]
