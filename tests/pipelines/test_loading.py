from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from denoisers_at_hand import denoising
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

from genkit.errors import PipelineError
from genkit.pipelines import Denoising, NoiseToImage, load_pipeline, push, save_export

PLUGIN = Path(__file__).parent / "plugin"
WEIGHTS = "generator/diffusion_pytorch_model.safetensors"

ELSEWHERE = """
import sys
import numpy as np
from genkit.pipelines import load_pipeline
np.save(sys.argv[2], load_pipeline(sys.argv[1])(10, seed=3, output="np"))
strangers = {"genkit.training", "genkit.families", "genkit.data", "genkit.verbs.train"}
print(sorted(strangers & sys.modules.keys()))
"""


def edit(folder: Path, **entries: object) -> None:
    path = folder / "model_index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_an_export_opens_elsewhere_without_training_code_and_gives_the_same_images(
    make, exported, tmp_path
):
    command = [sys.executable, "-c", ELSEWHERE, str(exported.parent), str(tmp_path / "there.npy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    here = make(3)(10, seed=3, output="np")
    assert np.array_equal(np.load(tmp_path / "there.npy"), here)


def test_a_run_folder_and_its_export_folder_are_the_same_source(exported):
    from_run, from_export = (
        load_pipeline(exported.parent),
        load_pipeline(str(exported), device="cpu"),
    )
    assert isinstance(from_run, NoiseToImage)
    assert not from_run.generator.training
    assert from_run.config["class_names"] == ["a", "b", "c"]
    assert from_run(3) == from_export(3)


def test_two_class_names_are_not_taken_for_a_component(make, tmp_path):
    names = ["os", "system"]
    save_export(make(2, class_names=names), tmp_path / "x", provenance={}, config_yaml="")
    assert load_pipeline(tmp_path / "x").config["class_names"] == names


def test_a_diffusers_pipeline_opens_as_ours(tmp_path):
    torch.manual_seed(0)
    unet = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        norm_num_groups=4,
    )
    pipeline = DDPMPipeline(unet, DDPMScheduler(num_train_timesteps=10))
    save_export(pipeline, tmp_path / "x", provenance={"family": "ddpm"}, config_yaml="family: ddpm")
    again = load_pipeline(tmp_path / "x")
    assert type(again) is Denoising
    assert again(2, scheduler="ddim", steps=2, output="np").shape == (2, 8, 8, 1)
    assert again.scheduler.config["num_train_timesteps"] == 10
    assert all(
        torch.equal(a, b) for a, b in zip(unet.parameters(), again.unet.parameters(), strict=True)
    )


def test_networks_of_another_package_open_when_it_offers_families(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(PLUGIN)
    networks = importlib.import_module("tinygan.networks")
    pipeline = NoiseToImage(networks.Generator(), latent_dim=4, image_size=8, channels=1)
    folder = save_export(pipeline, tmp_path / "x", provenance={}, config_yaml="")
    assert np.array_equal(load_pipeline(folder)(3, output="np"), pipeline(3, output="np"))
    monkeypatch.undo()  # the package is still imported, but no longer installed
    with pytest.raises(PipelineError, match=r"names tinygan\.networks\.Generator, and classes are"):
        load_pipeline(folder)


def test_a_pipeline_of_another_package_opens_when_it_offers_families(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(PLUGIN)
    pipelines = importlib.import_module("tinygan.pipeline")
    pipeline = pipelines.Brighten(pipelines.Brightener(0.25))
    folder = save_export(pipeline, tmp_path / "x", provenance={}, config_yaml="")
    named = json.loads((folder / "model_index.json").read_text())["_class_name"]
    assert named == ["tinygan.pipeline", "Brighten"]
    loaded, picture = load_pipeline(folder), torch.rand(3, 5, 7)
    assert type(loaded) is pipelines.Brighten
    assert np.array_equal(
        loaded(source=picture, output="np"), pipeline(source=picture, output="np")
    )
    monkeypatch.undo()
    with pytest.raises(PipelineError, match=r"names tinygan\.pipeline\.Brighten, and classes are"):
        load_pipeline(folder)


@pytest.mark.parametrize("name", ["NoiseToImage", "Denoising"])
def test_our_own_are_named_without_a_module_and_found_by_their_file(name, make, tmp_path):
    pipeline = make(3) if name == "NoiseToImage" else denoising(classes=3)
    folder = save_export(pipeline, tmp_path / "x", provenance={}, config_yaml="")
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == name
    assert type(load_pipeline(folder)) is type(pipeline)


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"generator": ["os", "system"]}, r"names os\.system, and classes are taken from"),
        ({"generator": ["subprocess", "Popen"]}, r"names subprocess\.Popen"),
        ({"generator": ["genkitty", "G"]}, r"names genkitty\.G"),
        ({"_class_name": ["builtins", "exec"]}, r"names builtins\.exec"),
        ({"generator": ["genkit.pipelines.export", "shutil"]}, "is no pipeline, network"),
        ({"generator": ["genkit.pipelines.export", "Path"]}, "is no pipeline, network"),
        ({"generator": ["genkit.random", "generator"]}, "is no pipeline, network"),
        ({"generator": ["genkit.nn.generators", "Lost"]}, r"Lost can't be imported"),
        ({"generator": ["genkit.no.such", "G"]}, r"genkit\.no\.such\.G can't be imported"),
        ({"_class_name": "NoSuchPipeline"}, "NoSuchPipeline can't be imported"),
        ({"_class_name": None}, "names no pipeline class"),
        ({"_class_name": "Card"}, r"genkit\.pipelines\.card\.Card is no pipeline"),
        ({"_class_name": ["diffusers", "UNet2DModel"]}, "UNet2DModel is no pipeline class"),
        ({"generator": ["genkit.pipelines.base", "Pipeline"]}, "is no network, scheduler"),
        ({"generator": ["genkit.pipelines.denoising", "Denoising"]}, "is no network, scheduler"),
        ({"generator": 3}, r"generator is not \[module, class\]"),
        ({"extra": ["genkit.nn.generators", "DCGANGenerator"]}, "takes no 'extra'"),
        ({"../up": ["genkit.nn.generators", "DCGANGenerator"]}, r"takes no '\.\./up'"),
        ({"latent_dim": -3}, "latent_dim: must be a whole number"),
        ({"format_version": "one"}, "is no version"),
        ({"generator": [None, None]}, r"generator is not \[module, class\]"),
    ],
)
def test_a_hostile_or_damaged_index_is_refused(exported, entries, said):
    edit(exported, **entries)
    with pytest.raises(PipelineError, match=said):
        load_pipeline(exported)


HELPER = "import pathlib\npathlib.Path(__file__).with_name('was-run').touch()\n\nclass X: pass\n"


@pytest.mark.parametrize(
    "named",
    [
        ["diffusers", "DiffusionPipeline"],
        ["diffusers", "DDPMPipeline"],
        ["diffusers", "AutoModel"],
        ["diffusers", "AutoPipelineForText2Image"],
        ["transformers", "AutoModel"],
        ["transformers", "AutoTokenizer"],
    ],
)
def test_what_loads_classes_by_itself_is_no_component(exported, named):
    part = exported / "generator"
    (part / "helper.py").write_text(HELPER)
    (part / "model_index.json").write_text(json.dumps({"_class_name": ["helper", "X"]}))
    (part / "config.json").write_text(json.dumps({"auto_map": {named[1]: "helper.X"}}))
    edit(exported, generator=named)
    with pytest.raises(PipelineError, match="is all that an export is made of; name the class"):
        load_pipeline(exported)
    assert not (part / "was-run").exists()


@pytest.mark.parametrize(
    "entry",
    [
        {"auto_map": {"AutoModel": "helper.X"}},
        {"text_config": [{"trust_remote_code": True}]},
        {"_attn_implementation": "somebody/kernel"},
    ],
)
def test_a_component_that_asks_for_code_is_refused_at_any_depth(exported, entry):
    path = exported / "generator" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entry))
    with pytest.raises(PipelineError, match=r"asks for code of its own .* none of it was run"):
        load_pipeline(exported)


@pytest.mark.parametrize("name", ["../../elsewhere.safetensors", "pytorch_model.bin"])
def test_weights_in_several_files_are_safetensors_beside_their_list(exported, name):
    listing = exported / "generator" / "diffusion_pytorch_model.safetensors.index.json"
    listing.write_text(json.dumps({"weight_map": {"weight": name}}))
    with pytest.raises(PipelineError, match="safetensors files beside it are read only"):
        load_pipeline(exported)


@pytest.mark.parametrize("name", ["model_index.json", "generator/config.json"])
def test_json_too_deep_to_be_read_is_named(exported, name):
    (exported / name).write_text('{"a":' * 100_000 + "1" + "}" * 100_000)
    with pytest.raises(PipelineError, match=rf"{name}: can't be read"):
        load_pipeline(exported)


@pytest.mark.parametrize("name", [WEIGHTS, "generator/config.json", "model_index.json"])
def test_a_file_that_may_not_be_read_is_not_called_corrupt(exported, monkeypatch, name):
    opened = Path.open

    def forbidding(path: Path, *given: Any, **more: Any) -> Any:
        if path == exported / name:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *given, **more)

    monkeypatch.setattr(Path, "open", forbidding)  # root, who runs tests, may read anything
    with pytest.raises(PipelineError, match=rf"{name}: you have no right to read it; its owner"):
        load_pipeline(exported)


def test_a_newer_format_asks_for_a_newer_genkit(exported):
    edit(exported, format_version=2)
    said = rf"export of format 2; genkit {version('genkit')} reads formats up to 1: install a newer"
    with pytest.raises(PipelineError, match=said):
        load_pipeline(exported)


def test_weights_that_are_cut_short_are_named(exported):
    path = exported / WEIGHTS
    whole = path.read_bytes()
    for length in (0, 4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(PipelineError, match=rf"{path.name}: cut short or corrupt"):
            load_pipeline(exported)


def test_a_pickle_is_never_opened(exported):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (exported / "exploded",)

    (exported / WEIGHTS).unlink()
    (exported / "generator" / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(PipelineError, match=r"no \.safetensors file"):
        load_pipeline(exported)
    assert not (exported / "exploded").exists()


def test_weights_of_another_model_are_refused(exported):
    path = exported / WEIGHTS
    weights = load_file(path)
    name, value = weights.popitem()
    save_file(weights, path)
    with pytest.raises(PipelineError, match=rf"missing keys: {name}"):
        load_pipeline(exported)
    save_file(weights | {name: value, "stranger": torch.zeros(1)}, path)
    with pytest.raises(PipelineError, match="unexpected keys: stranger"):
        load_pipeline(exported)
    save_file(weights | {name: torch.zeros(2, 2)}, path)
    with pytest.raises(PipelineError, match="generator"):
        load_pipeline(exported)


def test_a_damaged_json_file_is_named(exported):
    config = exported / "generator" / "config.json"
    config.write_text(config.read_text()[:-10])
    with pytest.raises(PipelineError, match=r"generator/config\.json: can't be read"):
        load_pipeline(exported)
    config.write_text('{"_class_name": "DCGANGenerator", "image_size": "large"}')
    with pytest.raises(PipelineError, match="can't be made of it"):
        load_pipeline(exported)
    (exported / "model_index.json").write_text("[]")
    with pytest.raises(PipelineError, match="expected a JSON object"):
        load_pipeline(exported)


def test_a_missing_component_is_named(exported):
    (exported / "generator").rename(exported / "elsewhere")
    with pytest.raises(PipelineError, match="generator: missing; export again"):
        load_pipeline(exported)


def test_a_folder_that_is_no_export_says_what_to_do(tmp_path):
    with pytest.raises(PipelineError, match="neither a run folder nor an export"):
        load_pipeline(tmp_path)
    (tmp_path / "config.yaml").write_text("family: dcgan\n")
    with pytest.raises(PipelineError, match=f"make one: genkit export {tmp_path}"):
        load_pipeline(tmp_path)
    with pytest.raises(PipelineError, match="no such folder; give a run folder"):
        load_pipeline(tmp_path / "nothing")


def test_the_hub_out_of_reach_says_what_to_check(monkeypatch, exported):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(PipelineError, match="no such folder here, and the Hub gave nothing"):
        load_pipeline("someone/no-such-model")
    with pytest.raises(PipelineError, match="was not uploaded"):
        push(exported, "someone/no-such-model")
    with pytest.raises(PipelineError, match="was not uploaded"):
        push(exported, "not a valid name!")
    with pytest.raises(PipelineError, match="no export"):
        push(exported.parent, "someone/model")


# -- writing ---------------------------------------------------------------------------------------


def test_an_export_holds_json_safetensors_and_a_card_only(exported):
    files = {str(p.relative_to(exported)) for p in exported.rglob("*") if p.is_file()}
    assert files == {"README.md", "model_index.json", "generator/config.json", WEIGHTS}
    assert [p.name for p in exported.parent.iterdir()] == ["export"]


def test_the_card_says_where_the_model_comes_from(exported):
    _, front, text = (exported / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(front)["library_name"] == "genkit"
    assert "cgan" in yaml.safe_load(front)["tags"]
    for fact in ("12000", "f00d", "0123abc", "torch 2.6.0", "generator 1,234,567", "a, b, c"):
        assert fact in text
    assert "family: cgan\nmodel:\n  width: 4\n" in text


def test_an_export_that_cannot_be_written_leaves_the_earlier_one(make, exported, full_disk):
    before = load_pipeline(exported)(2, output="np")
    with full_disk(1000), pytest.raises(PipelineError, match="export can't be written"):
        save_export(make(3, seed=1), exported, provenance={}, config_yaml="")
    assert np.array_equal(load_pipeline(exported)(2, output="np"), before)
    assert [p.name for p in exported.parent.iterdir()] == ["export"]


def test_importing_pipelines_does_not_import_torch():
    code = "import sys, genkit.pipelines; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
