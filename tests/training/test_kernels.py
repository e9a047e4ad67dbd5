"""The layout of weights and compiled kernels: the same run to rounding."""

from __future__ import annotations

import logging

import pytest
import torch
from families_at_hand import assert_same_state, state, tiny, trainer
from torch import nn


def losses(run) -> list[dict[str, float]]:
    """Of each step of a run."""
    seen = []
    step = run.train_step
    run.train_step = lambda batches: seen.append(step(batches)) or seen[-1]
    run.fit()
    return [{name: value.item() for name, value in row.items()} for row in seen]


def assert_alike(a, b, relative):
    assert len(a) == len(b) > 0
    for ours, theirs in zip(a, b, strict=True):
        assert ours == pytest.approx(theirs, rel=relative, abs=relative)


def is_channels_last(network: nn.Module) -> bool:
    """Whether each kernel that can tell lies so."""
    kernels = [p for p in network.parameters() if p.ndim == 4 and min(p.shape[1:3]) > 1]
    assert kernels
    return all(p.is_contiguous(memory_format=torch.channels_last) for p in kernels)


@pytest.mark.parametrize(
    ("case", "asked", "expected"),
    [
        ("dcgan", "auto", True),
        ("dcgan", "contiguous", False),
        ("ddpm", "auto", False),
        ("ddpm", "channels_last", True),
    ],
)
def test_weights_lie_as_asked_in_networks_and_averages(tmp_path, case, asked, expected):
    run = trainer(tiny(case, trainer__memory_format=asked), tmp_path)
    networks = [*run.bare_networks.values(), *run.ema.networks.values()]
    assert [is_channels_last(network) for network in networks] == [expected] * len(networks)


@pytest.mark.parametrize("case", ["dcgan", "cgan projection", "ddpm", "ddpm dit"])
def test_the_layout_of_weights_changes_a_run_by_rounding_only(tmp_path, case):
    found = [
        losses(trainer(tiny(case, trainer__memory_format=layout), tmp_path / layout))
        for layout in ("contiguous", "channels_last")
    ]
    assert_alike(*found, relative=2e-4)


def test_a_run_of_channels_last_weights_resumes_bit_for_bit(tmp_path):
    settings = {"trainer__memory_format": "channels_last"}
    unbroken = trainer(tiny("ddpm", **settings), tmp_path / "unbroken")
    unbroken.fit()
    trainer(tiny("ddpm", **settings, trainer__steps=2), tmp_path / "broken").fit()
    resumed = trainer(tiny("ddpm", **settings), tmp_path / "broken")
    resumed.resume()
    assert is_channels_last(resumed.bare_networks["denoiser"])
    resumed.fit()
    assert_same_state(state(resumed), state(unbroken))


@pytest.fixture
def compiled(monkeypatch):
    """The names of compiled modules; they are compiled without inductor, which takes a minute."""
    seen = []

    def quick(module, *args, **kwargs):
        seen.append(type(module).__name__)
        module._compiled_call_impl = torch.compile(module._call_impl, backend="aot_eager")

    monkeypatch.setattr(nn.Module, "compile", quick)
    yield seen
    torch.compiler.reset()


def test_a_network_with_spectral_norm_is_not_compiled_and_said_to_be(tmp_path, compiled, caplog):
    caplog.set_level(logging.INFO, "genkit")
    run = trainer(tiny("dcgan hinge", trainer__compile=True), tmp_path)
    run.wrap()
    assert compiled == [type(run.bare_networks["generator"]).__name__]
    assert "critic: not compiled, which spectral norm does not allow" in caplog.text


# A penalty is differentiated twice, which compiled code can't be. (torch's compiler looks at the
# gradients of what has none, and is warned by torch.)
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
@pytest.mark.parametrize("case", ["dcgan wgan-gp", "ddpm"])
def test_a_compiled_run_is_the_plain_one_to_rounding(tmp_path, compiled, case, caplog):
    caplog.set_level(logging.INFO, "genkit")
    plain = losses(trainer(tiny(case, trainer__steps=2), tmp_path / "plain"))
    assert compiled == []
    run = trainer(tiny(case, trainer__steps=2, trainer__compile=True), tmp_path / "compiled")
    assert_alike(losses(run), plain, relative=1e-3)
    assert len(compiled) == len(run.optimizers)
    assert "compiled by torch.compile" in caplog.text
    names = {key for name in run.optimizers for key in run.bare_networks[name].state_dict()}
    assert not any("_orig_mod" in name for name in names)
