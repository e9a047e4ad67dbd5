"""The family ddpm: what its settings refuse; labels and levels are drawn image by image."""

from dataclasses import replace

import pytest
import torch
from families_at_hand import tiny, trainer

from genkit.errors import ConfigError, DataError, PipelineError
from genkit.family import load
from genkit.noise.config import Timesteps
from genkit.noise.process import NoiseProcess
from genkit.noise.schedules import alpha_bars
from genkit.pipelines import schedulers


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"noise__zero_terminal_snr": True}, "zero_terminal_snr with prediction=epsilon"),
        (
            {"noise__zero_terminal_snr": True, "noise__prediction": "edm"},
            "zero_terminal_snr says nothing to prediction=edm",
        ),
        (
            {"noise__prediction": "flow", "noise__schedule": "cosine"},
            "schedule says nothing to prediction=flow",
        ),
        (
            {"noise__prediction": "edm", "noise__learned_variance": True},
            "learned_variance says nothing to prediction=edm",
        ),
        (
            {"noise__draws": "log-normal"},
            "noise.draws: Input should be 'uniform' or 'logit-normal' (got 'log-normal')",
        ),
        (
            {"noise__prediction": "flow", "noise__draws": "log-normal"},
            "noise.draws: Input should be 'uniform' or 'logit-normal'",
        ),
        ({"noise__draw_mean": 0.5}, "draw_mean and draw_std say nothing to uniform draws"),
        (
            {"noise__learned_variance": True, "noise__draws": "logit-normal"},
            "learned_variance with draws=logit-normal",
        ),
        ({"noise__beta_start": 0.5}, "is not below beta_end"),
        ({"noise__beta_end": 0.01, "noise__schedule": "cosine"}, "say nothing to schedule=cosine"),
        ({"noise__beta_end": 0.05}, "keeps 0.52 of the image"),
        ({"noise__steps": 15}, "are too few for schedule=linear"),
        ({"noise__prediction": "flow"}, "steps says nothing to prediction=flow"),
        ({"noise__gamma": 1.0}, "gamma says nothing to weighting=simple"),
        ({"noise__data_std": 0.3}, "data_std says something to prediction=edm and weighting=edm"),
        (
            {"noise__variance": "large", "noise__learned_variance": True},
            "variance says nothing to learned_variance",
        ),
        ({"preview__scheduler": "heunn"}, "preview.scheduler: no 'heunn'; did you mean 'heun'?"),
        (
            {"preview__scheduler": "euler", "noise__schedule": "cosine"},
            "preview.scheduler: euler cannot clip images",
        ),
        ({"preview__steps": 51}, "51 is more than the 50 timesteps"),
        ({"model__head_dim": 32}, "head_dim=32 does not divide the 16 channels"),
        (
            {"model__conditional": True, "model__label_drop": 0, "preview__guidance": 2.0},
            "set model.label_drop=0.1",
        ),
        ({"optim__momentum": 0.9}, "momentum says nothing to kind=adam"),
        ({"model__label_drop": 0.1}, "label_drop needs conditional=true"),
        ({"preview__guidance": 2.0}, "preview.guidance needs model.conditional=true"),
        ({"model__heads": 4}, "heads says nothing to kind=unet"),
        ({"model__patch_size": 3}, "patch_size=3 does not divide 16 px"),
        ({"model__channels": [8, 16, 16, 16]}, "halve 16 px 3 times"),
        ({"model": {"kind": "dit", "channels": [8]}}, "channels says nothing to kind=dit"),
        ({"model": {"kind": "dit", "width": 30, "heads": 4}}, "no even multiple of heads=4"),
        ({"model": {"kind": "dit", "patch_size": 5}}, "patch_size=5 does not divide 16 px"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_with_the_reason(changes, said):
    with pytest.raises(ConfigError) as refusal:
        tiny("ddpm", **changes)
    assert said in str(refusal.value)


def test_a_conditional_model_of_images_without_labels_is_refused(tmp_path):
    run = trainer(tiny("ddpm"), tmp_path)
    info = replace(run.data, columns={"image": run.data.columns["image"]})
    with pytest.raises(DataError, match=r"has no labels; set model.conditional=false"):
        type(run)(tiny("ddpm conditional"), info, tmp_path)


def test_labels_are_hidden_image_by_image_at_the_share_asked_for(tmp_path):
    run = trainer(tiny("ddpm conditional", data__batch_size=32, model__label_drop=0.25), tmp_path)
    hidden = []
    for step, (batch,) in zip(range(60), run.loader.steps(), strict=False):
        run.steps_done = step
        run._draws.clear()
        labels = run._labels(batch)
        gone = labels == 10
        assert torch.equal(labels[~gone], batch["label"][~gone])
        hidden.append(gone.float())
    shares = torch.stack(hidden)
    assert shares.mean() == pytest.approx(0.25, abs=0.04)  # 1,920 draws: 4 deviations
    assert 0 < shares.mean(1).min() < shares.mean(1).max() < 1  # not whole batches at once


def test_levels_spread_evenly_over_the_global_batch_when_asked(tmp_path):
    run = trainer(tiny("ddpm v"), tmp_path)
    (batch,) = next(run.loader.steps())
    u = run.diffusion.levels(batch).sort().values
    torch.testing.assert_close(u.diff(), torch.full((7,), 1 / 8))


def test_a_learnt_variance_doubles_the_output_and_sampling_uses_it(tmp_path):
    run = trainer(tiny("ddpm learned variance"), tmp_path)
    assert run.bare_networks["denoiser"].config["out_channels"] == 2
    pipeline = run.pipeline()
    assert pipeline.scheduler.config["variance_type"] == "learned_range"
    for scheduler in ("ddpm", "ddim", "dpmsolver++"):
        assert len(pipeline(2, scheduler=scheduler, steps=3)) == 2


def test_the_process_of_a_config_is_what_it_says():
    assert tiny("ddpm v").noise.process() == NoiseProcess(
        prediction="v",
        schedule="cosine",
        steps=50,
        zero_terminal_snr=True,
        weighting="min-snr",
        draws="logit-normal",
        draw_mean=0.0,
        draw_std=1.0,
    )
    linear = tiny("ddpm").noise.process()
    assert (linear.beta_start, linear.beta_end) == (pytest.approx(0.002), pytest.approx(0.4))
    edm = tiny("ddpm edm").noise.process()
    assert (edm.draws, edm.draw_mean, edm.draw_std) == ("log-normal", -1.2, 1.2)


@pytest.mark.parametrize("schedule", ["linear", "scaled-linear", "sigmoid", "cosine"])
@pytest.mark.parametrize("steps", [30, 100, 1000, 4000])
def test_however_many_timesteps_next_to_nothing_of_the_image_is_left(schedule, steps):
    process = Timesteps(schedule=schedule, steps=steps).process()
    kept = alpha_bars(process.betas).sqrt()
    assert kept[-1] < 0.01 or schedule == "scaled-linear"
    assert kept[-1] < 0.1
    assert kept[0] > 0.9


def test_the_export_adds_the_variance_that_was_asked_for():
    large = tiny("ddpm", noise__variance="large").noise.process().scheduler()
    assert schedulers.make("ddpm", large, {}).config["variance_type"] == "fixed_large"
    small = tiny("ddpm").noise.process().scheduler()
    assert schedulers.make("ddpm", small, {}).config["variance_type"] == "fixed_small"


def test_a_model_that_always_saw_its_labels_is_not_guided(tmp_path):
    run = trainer(tiny("ddpm conditional", model__label_drop=0, preview__guidance=1), tmp_path)
    pipeline = run.pipeline()
    assert len(pipeline(2, label=[0, 9], steps=1)) == 2
    with pytest.raises(PipelineError, match="never trained without its labels"):
        pipeline(2, label=[0, 9], steps=1, guidance=2.0)


def test_labels_are_needed_only_where_the_network_is_told_them():
    needs = load("ddpm").needs
    assert needs(tiny("ddpm")) == {"image"}
    assert needs(tiny("ddpm conditional")) == {"image", "label"}


def test_what_follows_from_other_settings_is_written_out():
    assert (tiny("ddpm").noise.beta_start, tiny("ddpm").noise.beta_end) == (0.002, 0.4)
    assert tiny("ddpm v").noise.beta_start is None  # a cosine has no ends
    normal = tiny("ddpm v").noise
    assert (normal.draw_mean, normal.draw_std) == (0.0, 1.0)
    assert tiny("ddpm edm").preview.scheduler == "edm_dpmsolver++"
    assert tiny("ddpm", preview={"scheduler": "ddpm"}).preview.steps == 50  # as many as trained
    assert tiny("ddpm", preview={}).preview.steps == 20
    assert tiny("ddpm muon").optim.momentum == 0.95
    assert tiny("ddpm conditional", model__label_drop=None).model.label_drop == 0.1
