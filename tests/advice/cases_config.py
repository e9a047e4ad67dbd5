"""Advice about settings: followed by `genkit config show`, which checks them, and by training."""

from __future__ import annotations

from typing import Any

from advice.follow import Case


def _set(key: str, family: str, given: str, takes: str = "", **more: Any) -> Case:
    return Case(key, f"config show {family}.yaml {given}", takes, **more)


def _each(key: str, family: str, given: str, *takes: str, **more: Any) -> list[Case]:
    return [_set(key, family, given, one, **more) for one in takes]


MODEL, OPTIM, NOISE = {"section": "model"}, {"section": "optim"}, {"section": "noise"}
_WASSERSTEIN = "set gp_weight=10, spectral_norm=true, or"
_EDITOR_BOUND = "set gp_weight=10, r1_weight and r2_weight, or"
_LEFT = "the last timestep keeps"
_FLAT = "leave no step of trainer.steps="

CASES = [
    _set("losses.perceptual=lpips needs", "autoencoder",
         "data.image_size=12 losses.perceptual=lpips", "losses.perceptual=edges"),
    _set("critic_layers={} needs pictures", "autoencoder", "model.critic_layers=3",
         "losses.critic_weight=0"),
    _set("critic_layers={} needs pictures", "autoencoder", "model.critic_layers=3",
         then="model.critic_layers=1", says="lower it"),
    _set("auxiliary_weight needs", "cgan", "model.auxiliary_weight=2", r"conditioning=\w+",
         **MODEL),
    *_each("a gradient penalty needs", "dcgan", "adversarial.r1_weight=1", r"critic_norm=layer",
           **MODEL),
    _set("a gradient penalty needs", "dcgan", "adversarial.r1_weight=1",
         then="model.critic_norm=none", says="=layer or none"),
    _set("spectral_norm needs", "dcgan", "adversarial.spectral_norm=true", r"critic_norm=\w+",
         **MODEL),
    _set("label_drop needs", "ddpm", "model.label_drop=0.2", r"conditional=true", **MODEL),
    _set("kind=adam, whose own is betas", "ddpm", "optim.momentum=0.9", leaves="optim.momentum"),
    _set("kind=adam, whose own is betas", "ddpm", "optim.momentum=0.9", "kind=muon", **OPTIM),
    _set("preview.guidance needs model.", "ddpm", "preview.guidance=2", r"model.conditional=true"),
    _set("needs a share of hidden labels", "ddpm",
         "preview.guidance=2 model.conditional=true model.label_drop=0", r"model.label_drop=0.1"),
    *_each("needs images that are clipped", "ddpm", "model.autoencoder=vae noise.schedule=cosine",
           "noise.prediction=v", "noise.schedule=scaled-linear"),
    _set("data_std says something", "ddpm", "noise.data_std=0.3", leaves="noise.data_std"),
    *_each("data_std says something", "ddpm", "noise.data_std=0.3 noise.weighting=simple",
           "weighting=edm", **NOISE),
    _set("zero_terminal_snr with", "ddpm", "noise.zero_terminal_snr=true", "prediction=v", **NOISE),
    _set("zero_terminal_snr with", "ddpm", "noise.zero_terminal_snr=true",
         then="noise.prediction=sample", says="prediction=v or sample"),
    _set(_LEFT, "ddpm", "noise.beta_end=0.02", then="noise.beta_end=0.4", says="raise beta_end"),
    _set(_LEFT, "ddpm", "noise.beta_end=0.02", "for (schedule=cosine)", leaves="noise.beta_end",
         **NOISE),
    _set(_LEFT, "ddpm", "noise.beta_end=0.02", "zero_terminal_snr=true",
         then="noise.prediction=v", says="with prediction=v", **NOISE),
    _set("beta_start and beta_end say nothing", "ddpm", "noise.schedule=cosine noise.beta_end=0.1",
         leaves="noise.beta_end"),
    _set("are too few for schedule=", "ddpm", "noise.steps=15", "set (schedule=cosine)", **NOISE),
    _set("momentum says nothing to kind={}", "cgan", "optim.momentum=[0.5,0.5]",
         leaves="optim.momentum"),
    _set("momentum says nothing to kind={}", "cgan", "optim.momentum=[0.5,0.5]", "kind=sgd",
         **OPTIM),
    _set("betas say nothing to kind={}", "cgan", "optim.kind=sgd optim.betas=[0.1,0.9]",
         leaves="optim.betas"),
    _set("betas say nothing to kind={}", "cgan", "optim.kind=sgd optim.betas=[0.1,0.9]",
         "kind=adam", **OPTIM),
    _set("weight_decay says nothing", "cgan", "optim.kind=rmsprop optim.weight_decay=0.1",
         leaves="optim.weight_decay"),
    *_each(_WASSERSTEIN, "dcgan", "adversarial.objective=wasserstein", "gp_weight=10",
           "spectral_norm=true", section="adversarial", then="model.critic_norm=none",
           says="each with model.critic_norm=none"),
    _set(_WASSERSTEIN, "dcgan", "adversarial.objective=wasserstein", "model.critic_norm=none",
         then="adversarial.r1_weight=1 adversarial.r2_weight=1", says="r1_weight and r2_weight"),
    _set("wasserstein has no lower bound", "dcgan", "adversarial.objective=wasserstein",
         r"clip_weights=[\d.]+", section="adversarial"),
    *_each(_EDITOR_BOUND, "attgan", "adversarial.gp_weight=0", "gp_weight=10",
           r"clip_weights=[\d.]+", section="adversarial"),
    _set(_EDITOR_BOUND, "attgan", "adversarial.gp_weight=0",
         then="adversarial.r1_weight=1 adversarial.r2_weight=1", says="r1_weight and r2_weight"),
    _set("need each other", "ddpm", "optim.schedule=exponential", then="optim.lr_decay=1.001",
         says="lr_decay above 1"),
    _set("need each other", "ddpm", "optim.lr_decay=1.1", "schedule=exponential", **OPTIM),
    *_each(_FLAT, "ddpm", "optim.schedule=linear optim.constant_steps=10 trainer.steps=4",
           r"optim.constant_steps=0 optim.constant=0.5"),
    _set(_FLAT, "ddpm", "optim.schedule=linear optim.constant_steps=10 trainer.steps=4",
         then="trainer.steps=20", says="ask for more steps"),
    _set("says nothing to optim.schedule=constant", "ddpm", "optim.constant=0.5",
         then="optim.constant=0", says="set it to 0"),
    _set("says nothing to optim.schedule=constant", "ddpm", "optim.constant=0.5",
         then="optim.schedule=linear", says="choose linear or cosine"),
    _set("write it as section.key=value", "ddpm", "trainer.steps", then="trainer.steps=3",
         leaves="trainer.steps"),
    _set("data.image_size={}: these networks", "dcgan", "data.image_size=24",
         then="data.image_size=28", says="need 28"),
    _set("data.image_size={}: these networks", "dcgan", "data.image_size=24",
         then="data.image_size=16", says="a power of two from 16 on"),
    _set("the residual networks are for", "dcgan", "model.kind=residual data.image_size=16",
         then="data.image_size=32", says="32 and 64 px"),
    _set("the instance norm of this critic", "attgan", "adversarial.spectral_norm=true",
         leaves="adversarial.spectral_norm"),
    _set("needs a multiple of", "attgan", "data.image_size=36", then="data.image_size=40",
         says="a multiple of 8"),
    _set("needs a multiple of", "attgan", "data.image_size=36", then="model.levels=2",
         says="fewer levels"),
    _set("whose last one gives the picture", "attgan", "model.shortcut_layers=3",
         then="model.shortcut_layers=2", says="must be below"),
    _set("this needs square pictures", "dcgan", "data.image_size=[16,32]",
         then="data.image_size=32", says="square"),
]  # fmt: skip
