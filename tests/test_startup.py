"""What a verb imports before it works: by modules, since times depend on the machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from genkit.family import module_name, names

ROOT = Path(__file__).parent.parent
OWN = [name for name in names() if module_name(name).startswith("genkit.")]
HEAVY = {
    "accelerate", "diffusers", "huggingface_hub", "lpips", "matplotlib", "scipy", "sympy",
    "tensorboard", "torchvision", "transformers", "triton",
}  # fmt: skip


def imported(*commands: list[str]) -> set[str]:
    """Top-level modules in memory after these command lines, run one after the other."""
    code = f"""
import sys
from genkit.cli import main
for command in {commands!r}:
    try:
        main(command)
    except SystemExit as end:
        assert end.code in (None, 0), (command, end.code)
print(*{{name.partition(".")[0] for name in sys.modules}}, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stderr.split())


def test_help_and_the_list_of_families_need_no_torch():
    verbs = ["train", "sample", "evaluate", "report", "config show", "machine"]
    helps = [[*verb.split(), "--help"] for verb in verbs]
    assert not imported(["--help"], ["--version"], ["families"], *helps) & {"torch", *HEAVY}


def test_a_config_is_shown_checked_and_described_with_torch_alone():
    configs = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("configs/*/*.yaml"))
    configs = [path for path in configs if "accelerate" not in path]
    shown = [["config", "show", path] for path in configs]
    described = [["config", "schema", name] for name in OWN]
    found = imported(["config", "check", *configs], *shown, *described)
    assert "torch" in found
    assert not found & HEAVY


@pytest.mark.parametrize("name", OWN)
def test_a_family_is_imported_with_torch_alone(name):
    code = f"import sys, genkit.families.{name}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {m.partition(".")[0] for m in done.stdout.split()} & HEAVY
    assert "torch._dynamo" not in done.stdout.split()


def test_an_evaluation_by_the_shipped_classifier_needs_torch_alone(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (2, 120, 16, 16, 1), dtype=np.uint8)
    for name, images in zip(("fake", "real"), pixels, strict=True):
        np.savez(tmp_path / f"{name}.npz", images=images)
    samples, real = (str(tmp_path / f"{name}.npz") for name in ("fake", "real"))
    words = ["evaluate", samples, "--reference", real, "--metric", "fd"]
    found = imported([*words, "--extractor", "digits"])
    assert not found & HEAVY


def test_a_gan_trains_without_pipelines_and_networks_of_others(tmp_path):
    code = f"""
import sys
from genkit.training.loop import Loop
from genkit.verbs.train import train
from genkit.family import resolve

class Begins(Exception):
    pass

def begin(loop):
    raise Begins

Loop.run = begin
data = {{"image_size": 16, "train_count": 8, "test_count": 8, "batch_size": 4}}
tree = {{"family": "dcgan", "data": data, "model": {{"width": 2}}}}
try:
    train(resolve(tree, "test"), out={str(tmp_path)!r})
except Begins:
    print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "diffusers.models.modeling_utils" in modules  # of which its networks are made
    others = ("diffusers.pipelines.pipeline_utils", "diffusers.models.unets", "torchvision")
    assert not modules & {*others, "transformers.models", "lpips"}
