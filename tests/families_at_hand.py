"""Runs of every family at its tiny size, for the contract tests and others."""

from __future__ import annotations

import atexit
import copy
import shutil
import tempfile
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn

from genkit.data import Loader, check_needs, open_data
from genkit.errors import DataError
from genkit.family import load, names, resolve
from genkit.pipelines import save_export
from genkit.rows.base import MemoryRows, Rows
from genkit.rows.batch import DataInfo
from genkit.rows.columns import Image
from genkit.training.config import RunConfig
from genkit.training.trainer import Trainer

# One case for each objective, regulariser, conditioning and kind of network.
_PENALIZED = {"model__critic_norm": "layer"}
DIT = {"kind": "dit", "patch_size": 4, "width": 16, "layers": 2, "heads": 2}
AUTOENCODER = "an autoencoder of glyphs"  # stands for the export of one: see `tiny`
_CONDITIONAL = {"model__embed_dim": None, "model__generator_norm": "conditional"}
VARIANTS: dict[str, dict[str, Any]] = {
    "dcgan minimax": {"adversarial__objective": "minimax"},
    "dcgan least-squares": {"adversarial__objective": "least-squares"},
    "dcgan hinge": {
        "adversarial__objective": "hinge",
        "adversarial__spectral_norm": True,
        "model__critic_norm": "none",
    },
    "dcgan wasserstein": {
        "adversarial__objective": "wasserstein",
        "adversarial__clip_weights": 0.01,
        "adversarial__critic_steps": 2,
        "optim__kind": "rmsprop",
        "optim__lr": 5e-5,
    },
    "dcgan wgan-gp": {
        "adversarial__objective": "wasserstein",
        "adversarial__gp_weight": 10.0,
        **_PENALIZED,
    },
    "dcgan relativistic": {
        "adversarial__objective": "relativistic",
        "adversarial__r1_weight": 1.0,
        "adversarial__r2_weight": 1.0,
        **_PENALIZED,
    },
    "dcgan relativistic-average": {"adversarial__objective": "relativistic-average"},
    "dcgan augmented": {"adversarial__augment": ["color", "translation", "cutout"]},
    "dcgan residual": {"model__kind": "residual"},
    "cgan projection": {"model__conditioning": "projection", **_CONDITIONAL},
    "cgan auxiliary": {"model__conditioning": "auxiliary"},
    "cgan residual": {
        "model__kind": "residual",
        "model__embed_dim": None,
        "model__conditioning": "projection",
        "adversarial__spectral_norm": True,
    },
    "cgan mlp": {
        "model__kind": "mlp",
        "model__embed_dim": None,
        "model__width": None,
        "data__image_size": 8,
        "optim__kind": "sgd",
        "optim__lr": 0.1,
        "optim__momentum": [0.5, 0.7],
        "optim__momentum_steps": 3,
    },
    "pix2pix batch": {"model__norm": "batch", "adversary__objective": "least-squares"},
    "pix2pix paper": {"model__norm": "batch", "model__at_test": "paper"},
    "cut fast": {
        "model__contrast_weight": 10.0,
        "model__identity_weight": 0.0,
        "model__flip_equivariance": True,
    },
    "ddpm conditional": {
        "model__conditional": True,
        "model__label_drop": 0.5,
        "preview__guidance": 2.0,
        "trainer__preview_count": 10,
    },
    "ddpm v": {
        "noise__prediction": "v",
        "noise__schedule": "cosine",
        "noise__zero_terminal_snr": True,
        "noise__weighting": "min-snr",
        "noise__draws": "logit-normal",
        "noise__low_discrepancy": True,
    },
    "ddpm sample": {"noise__prediction": "sample", "noise__weighting": "snr"},
    "ddpm learned variance": {"noise__learned_variance": True, "model__scale_shift": True},
    "ddpm edm": {"noise": {"prediction": "edm"}, "model__dropout": 0.1},
    "ddpm flow": {"noise": {"prediction": "flow", "draws": "logit-normal"}},
    "ddpm patches": {"model__patch_size": 2, "model__attention": []},
    "ddpm muon": {"optim__kind": "muon", "optim__weight_decay": 0.01},
    "ddpm dit": {"model": DIT},
    "clip sigmoid": {"loss": {"kind": "sigmoid"}},
    "ddpm conditional dit": {"model": DIT | {"conditional": True}},
    "ddpm latents": {
        "model__autoencoder": AUTOENCODER,
        "model__attention": [4],
        "model__conditional": True,
        "model__label_drop": 0.5,
        "noise": {"prediction": "flow"},
        "preview__guidance": 2.0,
        "trainer__preview_count": 10,
    },
    "ddpm latents edm": {
        "model__autoencoder": AUTOENCODER,
        "model__attention": [4],
        "noise": {"prediction": "edm"},
    },
    "ddpm latents dit": {
        "model": DIT | {"patch_size": 2, "conditional": True, "autoencoder": AUTOENCODER}
    },
}


NEEDS_A_RUN = {"distill", "latent_diffusion", "stable_diffusion"}  # they build on exports of others


def families() -> list[str]:
    """Ours, and those of the package `strangers`, which ask of a trainer what ours do not."""
    return [name for name in names() if name not in NEEDS_A_RUN]


def cases() -> tuple[str, ...]:
    """Every family as it is by default, and the variants."""
    return (*families(), *VARIANTS)


def tiny(case: str, **changes: Any) -> RunConfig:
    """The tiny config of a family or of a variant; changes are given as section__key=value,
    or section=value for all of a section."""
    name = case.partition(" ")[0]
    tree = copy.deepcopy(dict(load(name).tiny))
    for dotted, value in (VARIANTS.get(case, {}) | changes).items():
        section, _, key = dotted.partition("__")
        if key:
            tree.setdefault(section, {})[key] = value
        else:
            tree[section] = copy.deepcopy(value)
    if tree.get("model", {}).get("autoencoder") == AUTOENCODER:
        tree["model"]["autoencoder"] = autoencoder_of_glyphs()
    return resolve(tree, f"tiny {name}")


@cache
def autoencoder_of_glyphs() -> str:
    """The export of an autoencoder of glyphs of 16 px that has hardly begun: latents of 8 x 8."""
    folder = tempfile.mkdtemp(prefix="genkit-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    data = load("ddpm").tiny["data"]
    small = {"widths": [8, 8], "groups": 2, "latent": 2, "critic_width": 4, "critic_layers": 1}
    run = trainer(
        tiny("autoencoder", data=data, model=small, trainer__steps=1), Path(folder, "run")
    )
    run.fit()
    return str(save_export(run.pipeline(), Path(folder, "export"), provenance={}, config_yaml=""))


def trainer(config: RunConfig, folder: Path, **options: Any) -> Trainer[Any]:
    """A trainer on the rows of its own reader, its run folder made."""
    folder.mkdir(parents=True, exist_ok=True)
    family, rows = load(config.family), open_data(config.data, "train")
    check_needs(rows, family.needs(config), config.family)
    info = DataInfo.of(rows)
    run = family.trainer(config, info, folder, examples=lambda: _to_show(config, rows), **options)
    run.loader = Loader(run.rows(rows), config.data, config.trainer.seed)
    return run


def _to_show(config: RunConfig, rows: Rows) -> Rows:
    try:
        return open_data(config.data, "test")
    except DataError:  # a set that is not divided, of which a run shows what it learns from
        return rows


def state(trainer: Trainer[Any]) -> dict[str, torch.Tensor]:
    """Every tensor that a run has learnt: networks, averages and memory."""
    averages = trainer.ema.networks if trainer.ema else {}
    return {f"memory/{name}": value for name, value in trainer.memory.items()} | {
        f"{kind}/{name}/{key}": value
        for kind, networks in (("raw", trainer.bare_networks), ("ema", averages))
        for name, network in networks.items()
        for key, value in network.state_dict().items()
    }


def unfelt(network: nn.Module) -> set[str]:
    """Biases of layers in front of an instance norm, which takes them away again: their gradients
    are nothing but rounding."""
    return {
        f"{name}.{place}.bias"
        for name, row in network.named_modules()
        if isinstance(row, nn.Sequential)
        for (place, layer), (_, norm) in pairwise(row.named_children())
        if isinstance(norm, nn.InstanceNorm2d) and getattr(layer, "bias", None) is not None
    }


def assert_same_state(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Both hold the same tensors, bit for bit."""
    assert a.keys() == b.keys()
    differing = [key for key in a if not torch.equal(a[key], b[key])]
    assert not differing, f"{len(differing)} of {len(a)} tensors differ: {differing[:3]}"


def fed(pipeline: Any, count: int) -> Rows | None:
    """Rows of random pictures where a pipeline takes some; None where it takes none."""
    pictures = {n: c for n, c in pipeline.takes[0].items() if isinstance(c, Image)}
    if not pictures:
        return None
    keyed = torch.Generator().manual_seed(1)
    shapes = {n: (count, c.channels or 1, *(c.size or (8, 8))) for n, c in pictures.items()}
    values = {
        name: torch.randint(0, 256, shape, generator=keyed, dtype=torch.uint8)
        for name, shape in shapes.items()
    }
    columns = {name: Image(shape[2:], shape[1]) for name, shape in shapes.items()}
    return MemoryRows("pictures", columns, values)
