"""What comes out on a GPU is what comes out on a CPU, within stated bounds."""

from __future__ import annotations

import copy

import pytest
import torch
from denoisers_at_hand import denoising
from families_at_hand import tiny, trainer

from genkit import random
from genkit.evaluation.extractor import full_precision
from genkit.evaluation.extractors import load_extractor


@pytest.fixture(autouse=True)
def _without_tf32():
    """Its rounding would hide what is to be seen."""
    with full_precision():
        yield


def apart(a: torch.Tensor, b: torch.Tensor) -> tuple[float, float]:
    """The largest and the mean distance of two sets of pictures in [0, 1], in 255ths."""
    difference = (a.cpu() - b.cpu()).abs() * 255
    return difference.max().item(), difference.mean().item()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_seed_gives_a_denoisers_pictures_on_both(gpu, precision):
    here = denoising()
    there = copy.deepcopy(here).to(gpu)
    options = {"seed": 3, "steps": 10, "precision": precision, "output": "tensor"}
    most, mean = apart(here(8, **options), there(8, **options))
    if precision == "fp32":
        assert most <= 1
    assert mean <= (0.05 if precision == "fp32" else 4)


@pytest.mark.parametrize("case", ["dcgan", "cgan projection"])
def test_a_seed_gives_a_generators_pictures_on_both(use, gpu, tmp_path, case):
    use("cpu")
    run = trainer(tiny(case), tmp_path)
    run.fit()
    here = run.pipeline()
    there = copy.deepcopy(here).to(gpu)
    most, _ = apart(here(8, seed=3, output="tensor"), there(8, seed=3, output="tensor"))
    assert most <= 1


def test_features_are_those_of_the_cpu(gpu):
    pixels = torch.randint(
        0, 256, (64, 1, 28, 28), generator=random.generator(0, "pixels"), dtype=torch.uint8
    )
    on_cpu, on_gpu = (
        extractor.features(extractor.prepare(pixels))
        for extractor in (load_extractor("digits", device=device) for device in ("cpu", gpu))
    )
    assert (on_gpu - on_cpu).norm() <= 1e-4 * on_cpu.norm()


def test_noise_of_a_key_is_one_and_the_same(use, gpu, tmp_path):
    drawn = []
    for where in ("cpu", "gpu"):
        use(where)
        run = trainer(tiny("ddpm"), tmp_path / where)
        drawn.append(run.noise("noise", next(run.loader.steps())[0], (1, 16, 16)).cpu())
    assert torch.equal(*drawn)
