"""Diffusion by class in the latents of an autoencoder: family ddpm with `model.autoencoder`."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from families_at_hand import AUTOENCODER, autoencoder_of_glyphs, tiny, trainer
from latents_at_hand import SMALL, export_of
from typer.testing import CliRunner

from genkit.cli import app
from genkit.errors import CheckpointError, ConfigError
from genkit.pipelines import LatentDenoising, save_export
from genkit.verbs.encode import encode


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    place = tmp_path_factory.mktemp("latents")
    run = trainer(tiny("ddpm latents dit"), place / "run")
    return save_export(run.pipeline(), place / "export", provenance={}, config_yaml="")


# -- training --------------------------------------------------------------------------------------


def test_the_network_is_shown_latents_as_large_as_noise_drawn_anew_each_step(tmp_path, caplog):
    caplog.set_level(logging.INFO, "genkit")
    run = trainer(tiny("ddpm latents"), tmp_path)
    assert "latents: 64 of 64 to be encoded" in caplog.text
    seen = []
    run.diffusion.loss = lambda batch, x0, network: (seen.append(x0), x0.sum())[1]
    (batch,) = next(run.loader.steps())
    assert "image" not in batch
    for step in range(2):
        run.steps_done = step
        run._draws.clear()
        run.loss(batch)
    assert seen[0].shape == (8, 2, 8, 8)
    assert not torch.equal(*seen)
    assert 0.5 < torch.cat(seen).std() < 2  # of an autoencoder that took one step


def test_another_autoencoder_is_refused_at_resume(tmp_path):
    trainer(tiny("ddpm latents", trainer__steps=2), tmp_path / "run").fit()
    glyphs = tiny("ddpm").data.model_dump()
    small = tiny("autoencoder", data=glyphs, model=SMALL, trainer__seed=9, trainer__steps=1)
    other = export_of(small, tmp_path / "vae")
    run = trainer(tiny("ddpm latents", model__autoencoder=other), tmp_path / "run")
    with pytest.raises(CheckpointError, match="vae"):
        run.resume()


def test_edm_in_latents_knows_that_their_deviation_is_1():
    assert tiny("ddpm latents edm").noise.data_std == 1
    assert tiny("ddpm edm").noise.data_std == 0.5
    given = tiny("ddpm latents edm", noise={"prediction": "edm", "data_std": 0.7})
    assert given.noise.data_std == 0.7


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"data__shift": 1}, "data.shift: pictures are encoded once"),
        (
            {"noise": {"prediction": "epsilon", "schedule": "cosine"}},
            "noise.schedule=cosine with prediction=epsilon needs images that are clipped",
        ),
    ],
)
def test_settings_that_can_not_be_are_refused(changes, problem):
    with pytest.raises(ConfigError, match=problem):
        tiny("ddpm latents", **changes)


def test_a_network_that_does_not_fit_the_latents_is_refused_with_their_size(tmp_path):
    config = tiny("ddpm latents", model__attention=[16])
    with pytest.raises(ConfigError, match=r"model.attention: no level has 16 .*latents have 8 for"):
        trainer(config, tmp_path)


def test_latents_are_encoded_before_a_training_where_that_is_asked_for(tmp_path):
    tree = tiny("ddpm latents").model_dump(mode="json")
    (tmp_path / "config.yaml").write_text(json.dumps(tree))
    assert encode(tmp_path / "config.yaml") == 64
    words = ["data", "encode", str(tmp_path / "config.yaml"), "model.autoencoder=null",
             "model.attention=[8]"]  # fmt: skip
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, "ddpm with model.autoencoder=RUN" in done.output) == (2, True)


# -- pictures --------------------------------------------------------------------------------------


def test_pictures_come_by_class_and_guided_from_the_command_line(export, tmp_path):
    words = ["sample", str(export), "--labels", "3", "--guidance", "4", "--count", "2"]
    done = CliRunner().invoke(app, [*words, "--steps", "2", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    rows = [json.loads(each) for each in (tmp_path / "out/metadata.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == [3, 3]


def test_masks_inversion_and_the_way_out_of_noise_are_those_of_pictures(tmp_path):
    pipeline = trainer(tiny("ddpm latents"), tmp_path).pipeline()
    assert isinstance(pipeline, LatentDenoising)
    picture = torch.rand(1, 1, 16, 16)
    kept = pipeline(1, image=picture, mask=torch.zeros(1, 1, 16, 16), label=1, output="tensor")
    seen = (picture * 255).round() / 255 * 2 - 1
    latents = pipeline.vae.encode(seen).latent_dist.mean
    back = pipeline.vae.decode(latents).sample.clamp(-1, 1) / 2 + 0.5
    torch.testing.assert_close(kept, back, atol=1e-5, rtol=0)
    found = pipeline.invert(image=picture, label=1, steps=4)
    assert found.noise.shape == (1, 2, 8, 8)
    way = pipeline.trajectory(2, 3, label=1, steps=4)
    assert way.noisy.shape == way.predicted.shape == way.noised.shape == (3, 2, 1, 16, 16)
    made = pipeline(2, label=1, steps=4, output="tensor") * 2 - 1
    torch.testing.assert_close(way.noisy[-1], made, atol=1e-5, rtol=0)
    torch.testing.assert_close(way.predicted[-1], made, atol=1e-5, rtol=0)


def test_the_autoencoder_of_the_tiny_runs_is_the_one_of_this_file():
    assert tiny("ddpm latents").model.autoencoder == autoencoder_of_glyphs() != AUTOENCODER
