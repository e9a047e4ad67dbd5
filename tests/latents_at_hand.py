"""Tiny runs of latent diffusion, and what they build on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from families_at_hand import tiny, trainer

from genkit.family import resolve
from genkit.pipelines import save_export
from genkit.training.config import RunConfig
from genkit.training.trainer import Trainer

SCENES: dict[str, Any] = {
    "kind": "scenes",
    "image_size": 32,
    "train_count": 64,
    "test_count": 32,
    "batch_size": 8,
}
SMALL = {"widths": [8, 8], "groups": 2, "latent": 2, "critic_width": 4, "critic_layers": 1}
TEXTS = ["a red star", "a big blue ring on grey"]
NETWORKS: dict[str, dict[str, Any]] = {
    "unet": {"widths": [8, 16], "attention": [16, 8], "heads": 2},
    "mmdit": {"kind": "mmdit", "width": 16, "layers": 2, "heads": 2},
}


def export_of(config: RunConfig, folder: Path) -> str:
    """The export of a run that is trained to its end."""
    run = trainer(config, folder / "run")
    run.fit()
    return str(save_export(run.pipeline(), folder / "export", provenance={}, config_yaml=""))


def autoencoder(folder: Path, **changes: Any) -> str:
    """The export of an autoencoder of scenes."""
    return export_of(tiny("autoencoder", data=SCENES, model=SMALL, **changes), folder)


def config(parts: dict[str, str], kind: str = "unet", **changes: Any) -> RunConfig:
    """A run on `parts` with one of `NETWORKS`; changes as `tiny` takes them."""
    tree: dict[str, Any] = {
        "family": "latent_diffusion",
        "data": dict(SCENES),
        "model": {**parts, **NETWORKS[kind]},
        "optim": {"warmup_steps": 0},
        "preview": {"steps": 2},
        "trainer": {
            "steps": 4,
            "log_every": 1,
            "save_every": 2,
            "preview_every": 2,
            "preview_count": 4,
            "precision": "fp32",
        },
    }
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        if key:
            tree.setdefault(section, {})[key] = value
        else:
            tree[section] = value
    return resolve(tree, "test.yaml")


def run_of(parts: dict[str, str], folder: Path, kind: str = "unet", **changes: Any) -> Trainer[Any]:
    """The trainer of such a run."""
    return trainer(config(parts, kind, **changes), folder)
