"""`genkit lora`: info, convert and merge."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from stable_diffusion_at_hand import TEXTS, stable_diffusion
from typer.testing import CliRunner

from genkit.cli import app
from genkit.nn import adapters
from genkit.pipelines import load_pipeline
from genkit.pipelines.adapted import Base, put_on
from genkit.pipelines.adapter_file import FILE, read_adapter


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, and an export of an adapter of it that changes something."""
    place = tmp_path_factory.mktemp("lora")
    base = stable_diffusion(place / "sd")
    pipeline = load_pipeline(base)
    adapters.adapt(pipeline.unet, 2, 2.0, ["to_q", "to_out.0"])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in pipeline.unet.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, 0, 0.5)
    pipeline.base = Base(base, "")
    pipeline.save_pretrained(place / "adapter")
    return {"base": base, "adapter": str(place / "adapter")}


def lora(*words):
    result = CliRunner().invoke(app, ["lora", *map(str, words)])
    return result.exit_code, result.output


def made(source):
    return source(2, caption=TEXTS[:2], seed=1, steps=2, guidance=2, output="tensor")


def test_info_says_what_changes_and_by_how_much(world):
    status, said = lora("info", world["adapter"])
    assert status == 0
    assert "unet: 28 layers, rank 2" in said
    (found,) = json.loads(lora("info", world["adapter"], "--json")[1])
    tensors = read_adapter(adapter_path(world))[0]["unet"]
    layer = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
    whole = tensors[f"{layer}.lora_B.weight"] @ tensors[f"{layer}.lora_A.weight"]
    assert found["changes"][layer] == pytest.approx(whole.norm().item(), rel=1e-5)
    assert found["change"] > 0


def adapter_path(world):
    from pathlib import Path

    return Path(world["adapter"]) / FILE


def test_kohyas_names_come_back_as_they_were(world, tmp_path):
    status, said = lora(
        "convert", world["adapter"], "--to", "kohya", "--out", tmp_path / "k.safetensors"
    )
    assert status == 0, said
    keys = load_file(tmp_path / "k.safetensors")
    first = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    assert keys[f"{first}.alpha"].item() == keys[f"{first}.lora_down.weight"].shape[0] == 2
    there, back = read_adapter(adapter_path(world))[0], read_adapter(tmp_path / "k.safetensors")[0]
    assert there.keys() == back.keys()
    for key, value in there["unet"].items():
        assert torch.equal(back["unet"][key], value)
    status, said = lora(
        "convert", world["adapter"], "--to", "kohya", "--out", tmp_path / "k.safetensors"
    )
    assert (status, "is there already" in said) == (2, True)


def test_kohyas_alpha_counts(world, tmp_path):
    lora("convert", world["adapter"], "--to", "kohya", "--out", tmp_path / "k.safetensors")
    tensors = load_file(tmp_path / "k.safetensors")
    halved = {k: v / 2 if k.endswith(".alpha") else v for k, v in tensors.items()}
    save_file(halved, tmp_path / "half.safetensors")
    whole, half = (
        read_adapter(path)[0]["unet"]
        for path in (tmp_path / "k.safetensors", tmp_path / "half.safetensors")
    )
    for key, value in whole.items():
        torch.testing.assert_close(half[key], value / 2 if "lora_B" in key else value)


def test_alphas_of_single_layers_are_not_passed_over(world, tmp_path):
    head = {"lora_adapter_metadata": json.dumps({"unet.alpha_pattern": {"to_q": 4}})}
    save_file(load_file(adapter_path(world)), tmp_path / "a.safetensors", head)
    status, said = lora("info", tmp_path / "a.safetensors")
    assert (status, "alphas of their own" in " ".join(said.split())) == (2, True)


def test_a_merged_export_stands_alone(world, tmp_path):
    status, said = lora(
        "merge", adapter_path(world), "--base", world["base"], "--out", tmp_path / "m"
    )
    assert status == 0, said
    adapted = load_pipeline(world["base"])
    base = made(adapted)
    put_on(adapted, read_adapter(adapter_path(world))[0], "")
    torch.testing.assert_close(
        made(load_pipeline(tmp_path / "m")), made(adapted), atol=1e-5, rtol=0
    )
    status, said = lora(
        "merge", adapter_path(world), "--base", world["base"], "--strength", 0, "--out",
        tmp_path / "none",
    )  # fmt: skip
    assert status == 0, said
    assert torch.equal(made(load_pipeline(tmp_path / "none")), base)
    assert (made(adapted) - base).abs().max() > 1e-2


def test_what_is_no_adapter_is_said(world, tmp_path):
    assert "no adapter; name a .safetensors file" in lora("info", tmp_path)[1]
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    assert "holds no adapter" in lora("info", tmp_path / "x.safetensors")[1]
    unet = load_pipeline(world["base"]).unet
    save_file({k: v.contiguous() for k, v in unet.state_dict().items()}, tmp_path / "u.safetensors")
    assert "tensors belong to no adapter of" in lora("info", tmp_path / "u.safetensors")[1]
    status, said = lora("merge", adapter_path(world), "--out", tmp_path / "m")
    assert (status, "name that by --base" in said) == (2, True)
