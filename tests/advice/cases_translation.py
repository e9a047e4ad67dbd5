"""Advice about translators, followed by `genkit config show`, which checks their settings."""

from __future__ import annotations

import re
from typing import Any

import yaml
from advice.follow import Call, Case, World

from genkit.config import flatten
from genkit.family import load
from genkit.training.diagnosis import GRACE, History, diagnose


def _set(key: str, given: str, takes: str = "", **more: Any) -> Case:
    return Case(key, f"config show cyclegan.yaml {given}", takes, **more)


def _greys(world: World) -> None:
    """Configs of grey and coloured pictures."""
    data = {"kind": "unpaired", "root": ".", "image_size": 16, "channels_a": 1}
    for name, family in (("greys", "cyclegan"), ("cut-greys", "cut")):
        world.write(f"{name}.yaml", {"family": family, **load(family).tiny} | {"data": data})


def _pairs(world: World) -> None:
    """A config of pix2pix."""
    world.write("pairs.yaml", {"family": "pix2pix", **load("pix2pix").tiny})


def _said(key: str, name: str, value: float, *changes: str, config: str = "cyclegan.yaml") -> Call:
    """What the training doctor says of two previews with that number, in a run with settings."""
    sound = {"a_to_b/change": 0.7, "a_to_b/approach": 0.8, f"a_to_b/{name}": value}
    rows = [{"step": GRACE + i, **sound} for i in (1, 2)]

    def says(world: World) -> str:
        _greys(world)
        tree = yaml.safe_load(world.ok(f"config show {config} {' '.join(changes)}"))
        return diagnose(History(rows, flatten(tree)))[0].text

    def follow(world: World, text: str) -> None:
        taken = re.findall(r"(?:data|model)[.][a-z_]+=[a-z0-9.]*[a-z0-9]", text)
        assert taken, text
        kept = [each for each in changes if each.split("=")[0] not in " ".join(taken)]
        world.ok(f"config show {config} {' '.join(kept + taken)}")

    return Call(key, says, follow)


_STILL = "model.at_test=paper model.norm=instance model.dropout=0"
_HALVED = "a side is halved so often"
_STAIRS = "stair_steps={} says nothing to schedule={}"
_PENALTY = "penalizing a critic of patches needs"
_SPECTRAL = "adversary.spectral_norm with a critic of patches"

CASES: list[Case | Call] = [
    _set(_HALVED, "data.image_size=34", "data.image_size=36", says="give multiples of 4"),
    _set(", or set model.levels={}", "data.image_size=34", "or set (model.levels=1)"),
    _set("would switch the identity loss off too", "model.cycle_weight=0",
         "set (identity_weight=0)", section="model"),
    _set("sees pictures from {} px on", "model.critic_layers=4", r"set (model.critic_layers=3)"),
    _set(_PENALTY, "adversary.r1_weight=1 model.critic_norm=batch", "model.critic_norm=instance"),
    _set(_PENALTY, "adversary.r1_weight=1 model.critic_norm=batch", then="model.critic_norm=none",
         says="instance or none"),
    _set(_SPECTRAL, "adversary.spectral_norm=true", "model.critic_norm=none"),
    _set(_STAIRS, "optim.schedule=cosine optim.stair_steps=3", leaves="optim.stair_steps"),
    _set(_STAIRS, "optim.schedule=cosine optim.stair_steps=3", "schedule=linear", section="optim"),
    Case("pictures of its own kind as they are", "config show greys.yaml",
         "set (model.identity_weight=0)", before=_greys),
    Case("adds what is made to the picture that came in",
         "config show greys.yaml model.identity_weight=0 model.output=change",
         "set (model.output=picture)", before=_greys),
    *(Case("model.at_test=paper changes nothing", f"config show pairs.yaml {_STILL}", each,
           before=_pairs) for each in ("model.norm=batch", "model.dropout=0.5")),
    Case("model.at_test=paper changes nothing", f"config show pairs.yaml {_STILL}",
         leaves="model.at_test", before=_pairs),
    _said("Restart with model.identity_weight={}", "luminance", -0.5),
    _said("needs as many channels on both sides. Restart", "luminance", -0.5,
          "model.identity_weight=0", config="greys.yaml"),
    _said("transposed convolutions leave one", "checkerboard", 9.0),
    Case("compares those of B by the same layers", "config show cut-greys.yaml",
         "set (data.channels_a=3)", before=_greys),
    Case("compares those of B by the same layers", "config show cut-greys.yaml",
         then="genkit config show greys.yaml model.identity_weight=0",
         says="or train cyclegan with model.identity_weight=0", before=_greys),
]  # fmt: skip
