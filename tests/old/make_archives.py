"""Makes the archives beside this file, with the code of commit cf76530: see README.md.

git worktree add --detach /somewhere/old cf76530
PYTHONPATH=/somewhere/old python tests/old/make_archives.py EMPTY_FOLDER
"""

from __future__ import annotations

import io
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from genkit import load_pipeline
from genkit.families import cgan
from genkit.family import resolve
from genkit.runs import train
from genkit.training import checkpoints

DATA = {
    "kind": "synthetic",
    "image_size": 16,
    "train_count": 32,
    "test_count": 16,
    "batch_size": 4,
}
TRAINER = {
    "log_every": 1,
    "save_every": 2,
    "preview_every": 2,
    "preview_count": 10,
    "keep_last": 1,
    "precision": "fp32",
}
UNET = {"channels": [8, 8], "layers": 1, "attention": []}
OPTIM = {"warmup_steps": 0}
RUNS: dict[str, dict[str, Any]] = {
    "dcgan": {"family": "dcgan", "model": {"latent_dim": 4, "width": 2}},
    "cgan-conv": {"family": "cgan", "model": {"latent_dim": 4, "width": 2, "embed_dim": 2}},
    "cgan-mlp": {
        "family": "cgan",
        "data": {"image_size": 8},
        "model": {"kind": "mlp"},
        "optim": {"kind": "sgd", "lr": 0.1, "momentum": [0.5, 0.7], "momentum_steps": 3},
    },
    "ddpm": {
        "family": "ddpm",
        "model": UNET,
        "noise": {"steps": 20, "schedule": "cosine"},
        "preview": {"steps": 2},
        "optim": OPTIM,
    },
    "ddpm-class": {
        "family": "ddpm",
        "model": UNET | {"conditional": True, "patch_size": 2},
        "noise": {"prediction": "v", "schedule": "cosine"},
        "preview": {"steps": 2},
        "optim": OPTIM | {"kind": "muon"},
    },
    "ddpm-dit": {
        "family": "ddpm",
        "model": {
            "kind": "dit",
            "patch_size": 4,
            "width": 8,
            "layers": 1,
            "heads": 2,
            "conditional": True,
        },
        "noise": {"prediction": "flow"},
        "preview": {"steps": 2},
        "optim": OPTIM,
    },
}
SAMPLED = ("cgan-conv", "ddpm-class")  # runs whose samples are written and evaluated


def make(name: str) -> None:
    """One run of two steps with its export and samples, and what two more steps lead to."""
    run, more = Path(name), Path(f"{name}-more")
    train(config(name, steps=2), out=run)
    np.save(run / "samples.npy", load_pipeline(run)(4, seed=5, output="np"))
    shutil.copytree(run, more, ignore=shutil.ignore_patterns(".lock"))
    train(config(name, steps=4), out=more, resume=True)
    save_file(networks(more), run / "after-two-more-steps.safetensors")
    if name in SAMPLED:
        sample_and_evaluate(name)
    pack(run)


def config(name: str, steps: int) -> Any:
    """The config of a run that ends at so many steps."""
    tree = RUNS[name]
    whole = {"data": DATA | tree.get("data", {}), "trainer": TRAINER | {"steps": steps}}
    return resolve(tree | whole, name)


def networks(run: Path) -> dict[str, torch.Tensor]:
    """Every tensor of the networks and their averages at step 4: raw/NAME/KEY and ema/NAME/KEY."""
    learnt = checkpoints.load(run / "checkpoints", 4)[0]
    return {
        f"{kind}/{name}/{key}": value.contiguous().clone()
        for kind, part in (("raw", "networks"), ("ema", "ema"))
        for name, tensors in learnt[part].items()
        for key, value in tensors.items()
    }


def sample_and_evaluate(name: str) -> None:
    """Samples in each form and an evaluation.json, by the command line of then."""
    for out in ("samples.npz", "samples.tar", "samples"):
        command("sample", name, "--count", "40", "--out", f"{name}/{out}")
    command(
        *("evaluate", f"{name}/samples.npz", "--reference", "synthetic:glyphs:test"),
        *("--train", "synthetic:glyphs:train"),
    )


def command(*words: str) -> None:
    """One `genkit` command, which must do well."""
    subprocess.run([sys.executable, "-m", "genkit", *words], check=True)


def pack(run: Path) -> None:
    """NAME.tar.xz of a run folder: files in order, without times and owners."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for path in sorted(run.rglob("*")):
            if path.is_file() and path.name != ".lock":
                member = tarfile.TarInfo(path.as_posix())
                member.size = path.stat().st_size
                archive.addfile(member, io.BytesIO(path.read_bytes()))
    Path(f"{run.name}.tar.xz").write_bytes(lzma.compress(packed.getvalue(), preset=9))


# -- the dense networks, made small ----------------------------------------------------------------


def silence_units(trainer: Any) -> Any:
    """The networks and optimizers of `cgan` with all but a few hidden units of `mlp` silenced.

    A unit whose weights in, bias and weights out are zero says nothing and is taught nothing, so
    that its zeros, its average and its momentum stay zeros, and compress to nothing.
    """
    built, optimizers = build(trainer)
    if trainer.config.model.kind == "mlp":
        generator, critic = built["generator"], built["critic"]
        units(generator.of_z[0], 4, 1)
        units(generator.of_label[0], 8, 1)
        inputs(generator.joined[0], (200, 4), (1000, 8))
        units(generator.joined[0], 8, 1)
        inputs(generator.to_pixels, (1200, 8))
        units(critic.of_image[2].linear, 8, 5)
        units(critic.of_label[0].linear, 4, 5)
        inputs(critic.joined[0].linear, (240, 8), (50, 4))
        units(critic.joined[0].linear, 8, 4)
        inputs(critic.to_logit, (240, 8))
    return built, optimizers


@torch.no_grad()
def units(layer: nn.Linear, kept: int, pieces: int) -> None:
    """Silence all outputs but those of the first so many units."""
    layer.weight[kept * pieces :] = 0
    layer.bias[kept * pieces :] = 0


@torch.no_grad()
def inputs(layer: nn.Linear, *parts: tuple[int, int]) -> None:
    """Hear only the first `kept` inputs of each part of `size`."""
    start = 0
    for size, kept in parts:
        layer.weight[:, start + kept : start + size] = 0
        start += size


build = cgan.CGANTrainer.build
cgan.CGANTrainer.build = silence_units

if __name__ == "__main__":
    os.chdir(sys.argv.pop(1))  # a run's provenance holds the command: no path of this machine in it
    os.environ["GENKIT_CACHE"] = str(Path("cache").absolute())
    for each in RUNS:
        make(each)
