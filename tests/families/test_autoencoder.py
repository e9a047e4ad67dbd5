"""The autoencoder: its loss by hand, its critic's weight, its latents, what is refused."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from families_at_hand import tiny, trainer

from genkit.errors import ConfigError, WeightsError
from genkit.family import resolve
from genkit.losses import autoencoding
from genkit.pipelines import load_pipeline, save_export
from genkit.verbs.evaluate import evaluate_samples
from genkit.verbs.train import train


def config(**sections):
    return resolve({"family": "autoencoder", **sections}, "test.yaml")


def run_of(folder, **changes):
    return trainer(tiny("autoencoder", trainer__precision="fp32", **changes), folder)


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"model": {"widths": [30, 60]}}, "30 is no multiple of groups=32"),
        ({"data": {"image_size": 34}}, "34 x 34 px can't be halved 2 times .* multiples of 4"),
        (
            {"data": {"kind": "glyphs", "image_size": 12}},
            "losses.perceptual=lpips needs pictures of 16 px or more",
        ),
        (
            {
                "data": {"kind": "glyphs", "image_size": 16},
                "losses": {"critic_start": 0, "perceptual": "edges"},
            },
            "model.critic_layers=3 needs pictures of 24 px or more",
        ),
        ({"losses": {"kl_weight": -1}}, "greater than or equal to 0"),
    ],
)
def test_what_can_not_be_built_is_refused(sections, problem):
    with pytest.raises(ConfigError, match=problem):
        config(**sections)


def test_lpips_that_can_not_be_fetched_says_so(tmp_path, monkeypatch):
    from dataclasses import replace

    from genkit.nn.pretrained import lpips

    gone = replace(lpips.TRUNKS["vgg"], urls=((tmp_path / "none").as_uri(),))
    monkeypatch.setitem(lpips.TRUNKS, "vgg", gone)
    with pytest.raises(WeightsError, match="lpips-vgg"):
        run_of(tmp_path, losses__perceptual="lpips")


def test_the_loss_is_a_sum_over_a_picture_and_a_mean_over_the_batch(tmp_path):
    run = run_of(tmp_path, losses__critic_weight=0.0, losses__kl_weight=0.01)
    (batch,) = next(run.loader.steps())
    run.train_step([batch])
    run.judges, run.keeps, run.kept = False, True, {}
    run.seen = []
    eps = run.noise("latent", batch, run.latent_shape)
    made, mean, log_variance = run.networks["vae"](batch["image"], eps)
    pixels = (made - batch["image"]).abs()
    edges = autoencoding.edges(made, batch["image"])
    expected = (
        sum(pixels[i].sum() + edges[i].sum() * pixels[i].numel() for i in range(8)) / 8
        + 0.01 * autoencoding.divergence(mean, log_variance).mean()
    )
    torch.testing.assert_close(run.loss(batch), expected, rtol=1e-5, atol=1e-4)


def test_twice_the_batch_has_the_same_loss(tmp_path):
    run = run_of(tmp_path, losses__critic_weight=0.0)
    (batch,) = next(run.loader.steps())
    run.train_step([batch])
    run.judges, run.keeps, run.kept, run.seen = False, True, {}, []
    half = {key: value[:4] for key, value in batch.items()}
    twice = {key: torch.cat([value[:4], value[:4]]) for key, value in batch.items()}
    torch.testing.assert_close(run.loss(half), run.loss(twice))


def test_the_critic_begins_at_its_step_and_its_weight_is_that_of_the_step_before(tmp_path):
    run = run_of(tmp_path, losses__critic_start=2, trainer__steps=8)
    before = {k: v.clone() for k, v in run.bare_networks["critic"].state_dict().items()}
    steps = run.loader.steps()
    for _ in range(2):
        found = run.train_step(next(steps))
        assert "loss/critic" not in found
        assert run.memory["balance"] == 0
    assert all(
        torch.equal(before[k], v) for k, v in run.bare_networks["critic"].state_dict().items()
    )
    assert "loss/critic" in run.train_step(next(steps))
    pulls = torch.stack(run.pulls).mean(0)
    expected = autoencoding.balance(*pulls)
    torch.testing.assert_close(run.memory["balance"], expected)
    assert expected > 0


def test_the_critics_weight_does_not_depend_on_micro_batches(tmp_path):
    weights = []
    for rows, parts in ((8, 1), (4, 2)):
        run = run_of(
            tmp_path / str(parts),
            data__batch_size=rows,
            trainer__grad_accumulation=parts,
            model__critic_norm="instance",
        )
        run.train_step(next(run.loader.steps(accumulation=parts)))
        weights.append(run.memory["balance"].item())
    assert weights[0] == pytest.approx(weights[1], rel=1e-4)


def test_exported_latents_have_mean_0_and_deviation_1(tmp_path):
    run = run_of(
        tmp_path / "run",
        trainer__steps=300,
        trainer__log_every=50,
        trainer__save_every=50,
        optim__lr=2e-3,
        losses__critic_weight=0.0,
    )
    run.fit()
    save_export(run.pipeline(), tmp_path / "export", provenance={}, config_yaml="")
    pipeline = load_pipeline(tmp_path / "export")
    batches = islice(run.loader.steps(), 8)
    images = torch.cat([batch["image"] for (batch,) in batches])
    with torch.no_grad():
        latents = pipeline.encode(images)
    assert latents.mean((0, 2, 3)).abs().max() < 0.01
    assert 0.95 < latents.std((0, 2, 3)).min() <= latents.std((0, 2, 3)).max() < 1.05


def test_pictures_of_any_size_come_back_at_their_size(tmp_path):
    pipeline = run_of(tmp_path).pipeline()
    images = torch.rand(2, 1, 13, 18) * 2 - 1
    assert pipeline.through(images).shape == images.shape
    whole = torch.nn.functional.pad(images, (0, 0, 0, 1), mode="replicate")
    assert torch.equal(pipeline.through(images), pipeline.through(whole)[:, :, :13])


def test_a_run_is_measured_by_what_comes_back(tmp_path):
    run = train(tiny("autoencoder", trainer__steps=2), out=tmp_path / "run")
    found = {value.name: value.value for value in evaluate_samples(run).metrics}
    assert {"psnr", "ssim"} <= found.keys()
    assert any((run / "previews").glob("*-before-and-after.png"))


def test_latents_are_measured_whenever_a_checkpoint_is_written(tmp_path):
    run = run_of(tmp_path, trainer__save_every=100)
    run.train_step(next(run.loader.steps()))
    assert (run.memory["latent_deviation"] == 1).all()
    run.save()  # as where a signal stops it
    assert not (run.memory["latent_deviation"] == 1).any()
