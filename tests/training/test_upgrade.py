"""Configs that earlier versions wrote: what they said is understood."""

from __future__ import annotations

import pytest

from genkit.errors import CheckpointError, ConfigError
from genkit.family import load, resolve
from genkit.run_folder import check, write_config
from genkit.training.upgrade import upgraded

# The sections of 0.1 whose settings depended on a kind, resolved as it wrote them.
MLP = {
    "kind": "mlp",
    "conditioning": "channels",
    "generator_norm": None,
    "auxiliary_weight": None,
    "latent_dim": 100,
    "latent": None,
    "embed_dim": None,
    "width": None,
    "critic_norm": None,
    "critic_dropout": None,
}
UNET = {
    "kind": "unet",
    "conditional": True,
    "label_drop": None,
    "dropout": 0.0,
    "channels": None,
    "layers": None,
    "attention": None,
    "head_dim": None,
    "scale_shift": False,
    "patch_size": None,
    "width": None,
    "heads": None,
}
NOISE = {
    "prediction": "epsilon",
    "schedule": None,
    "steps": 1000,
    "beta_start": None,
    "beta_end": None,
    "zero_terminal_snr": False,
    "weighting": "simple",
    "gamma": 5.0,
    "draws": None,
    "draw_mean": None,
    "draw_std": None,
    "low_discrepancy": False,
    "data_std": 0.5,
    "learned_variance": False,
    "variance": None,
}
PREVIEW = {"scheduler": None, "steps": None, "guidance": 1.0}
DATA = {"kind": "synthetic"}


def gan(family: str, **model):
    evaluation = {"best_by": None}
    optim = {"critic_lr": None}
    tree = {"family": family, "model": model, "optim": optim, "evaluation": evaluation}
    return resolve(tree | {"data": DATA}, "old")


def diffusion(model, noise, preview=PREVIEW):
    tree = {"family": "ddpm", "model": model, "noise": noise, "preview": preview}
    return resolve(tree | {"data": DATA, "optim": {"momentum": None}}, "old")


def test_settings_without_meaning_are_left_out_and_nulls_are_today_s_defaults():
    new = {"family": "cgan", "data": DATA}
    assert gan("cgan", **MLP) == resolve(new | {"model": {"kind": "mlp"}}, "new")
    for kind in ("conv", "residual"):
        assert gan("cgan", **MLP | {"kind": kind}) == resolve(
            new | {"model": {"kind": kind}}, "new"
        )
    pair = {key: MLP[key] for key in ("latent_dim", "width", "critic_norm", "critic_dropout")}
    assert gan("dcgan", **pair) == resolve({"family": "dcgan", "data": DATA}, "new")


@pytest.mark.parametrize("prediction", ["epsilon", "v", "sample", "edm", "flow"])
def test_the_noise_of_each_prediction_is_what_it_was(prediction):
    old = diffusion(UNET, NOISE | {"prediction": prediction})
    new = {"family": "ddpm", "data": DATA, "model": {"conditional": True}}
    assert old == resolve(new | {"noise": {"prediction": prediction}}, "new")


def test_a_transformer_of_0_1_has_the_sizes_that_null_stood_for():
    model = diffusion(UNET | {"kind": "dit"}, NOISE | {"prediction": "flow"}).model
    assert (model.patch_size, model.width, model.layers, model.heads) == (2, 384, 12, 6)


def test_what_was_refused_then_is_refused_now():
    for key, value in {"width": 32, "conditioning": "projection", "critic_norm": "batch"}.items():
        with pytest.raises(ConfigError, match=f"{key} says nothing to kind=mlp"):
            gan("cgan", **MLP | {key: value})
    with pytest.raises(ConfigError, match="schedule says nothing to prediction=flow"):
        diffusion(UNET, NOISE | {"prediction": "flow", "schedule": "cosine"})
    with pytest.raises(ConfigError, match=r"optim.lr: .*got None"):
        resolve({"family": "dcgan", "optim": {"lr": None}}, "old")


def test_a_tree_that_is_no_run_s_is_left_to_the_checks():
    config = load("ddpm").config
    for tree in ({"model": 3}, {"model": {"kind": "gnn", "width": None}}, {"nothing": {"a": None}}):
        assert upgraded(tree, config) == tree


def test_a_resume_compares_what_an_old_run_meant_and_not_how_it_was_written(tmp_path):
    lines = [f"  {key}: {'null' if value is None else value}" for key, value in MLP.items()]
    text = "\n".join(["family: cgan", "data: {kind: synthetic}", "model:", *lines])
    (tmp_path / "config.yaml").write_text(text)
    check(gan("cgan", kind="mlp"), tmp_path, resume=True)
    with pytest.raises(CheckpointError, match=r"model.latent_dim: 100 there, 50 here"):
        check(gan("cgan", kind="mlp", latent_dim=50), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("change", "free"),
    [
        ({"trainer": {"steps": 7}}, True),
        ({"trainer": {"seed": 7}}, False),
        ({"preview": {"steps": 7}}, True),
        ({"evaluation": {"best_by": "kid-digits"}}, False),
        ({"data": DATA | {"workers": 1}}, True),
        ({"optim": {"schedule": "linear"}, "trainer": {"steps": 7000}}, False),
    ],
)
def test_a_resumed_run_may_change_what_is_marked_so(change, free, tmp_path):
    tree = {"family": "ddpm", "data": DATA}
    schedule = {"optim": change["optim"]} if "optim" in change else {}
    write_config(resolve(tree | schedule, "first"), tmp_path)
    changed = resolve(tree | change, "second")
    if free:
        check(changed, tmp_path, resume=True)
    else:
        with pytest.raises(CheckpointError, match="must keep its settings"):
            check(changed, tmp_path, resume=True)
