"""Runs of every family at its tiny size, for the contract tests and others."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch

from genkit.config import RunConfig
from genkit.data import Loader, MemorySource
from genkit.family import load, resolve
from genkit.runs import describe
from genkit.training.trainer import Trainer


def tiny(name: str, **changes: Any) -> RunConfig:
    """The family's tiny config; changes are given as section__key=value."""
    tree = copy.deepcopy(dict(load(name).tiny))
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        tree.setdefault(section, {})[key] = value
    return resolve(tree, f"tiny {name}")


def source(config: RunConfig) -> MemorySource:
    """Random images and labels of the config's size: enough for every contract."""
    data = config.data
    keyed = torch.Generator().manual_seed(0)
    shape = (48, data.channels, data.image_size, data.image_size)
    pixels = torch.randint(0, 256, shape, generator=keyed, dtype=torch.uint8)
    labels = torch.arange(48) % 10
    return MemorySource("random", pixels, labels, class_names=tuple("0123456789"))


def trainer(config: RunConfig, folder: Path, **options: Any) -> Trainer[Any]:
    """A trainer on random images, its run folder made."""
    folder.mkdir(parents=True, exist_ok=True)
    images = source(config)
    loader = Loader(images, config.data, config.trainer.seed)
    return load(config.family).trainer(config, describe(images), folder, loader=loader, **options)


def state(trainer: Trainer[Any]) -> dict[str, torch.Tensor]:
    """Every tensor that a run has learnt: networks and averages."""
    averages = trainer.ema.networks if trainer.ema else {}
    return {
        f"{kind}/{name}/{key}": value
        for kind, networks in (("raw", trainer.bare_networks), ("ema", averages))
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }


def assert_same_state(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Both hold the same tensors, bit for bit."""
    assert a.keys() == b.keys()
    differing = [key for key in a if not torch.equal(a[key], b[key])]
    assert not differing, f"{len(differing)} of {len(a)} tensors differ: {differing[:3]}"
