"""Exports in plain diffusers: a process where genkit can't be imported runs their model cards."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from denoisers_at_hand import STEPS, denoising
from files_at_hand import arrays_of

from genkit.errors import PipelineError
from genkit.pipelines import load_pipeline, save_export
from genkit.pipelines.card import model_card

OPENED: dict[str, dict[str, Any]] = {  # as diffusers' own pipelines
    "v": {},
    "epsilon": {"prediction": "epsilon", "schedule": "cosine"},
    "zero terminal snr": {"zero_terminal_snr": True},
    "learned variance": {"learned_variance": True, "prediction": "epsilon"},
}
LOOPED: dict[str, dict[str, Any]] = {  # by the loop of the card
    "classes": {"classes": 3},
    "classes, always shown": {"classes": 3, "null_label": False},
    "classes and variances": {"classes": 3, "learned_variance": True, "prediction": "epsilon"},
    "classes, zero terminal snr": {"classes": 3, "zero_terminal_snr": True},
    "classes, sigmoid": {"classes": 3, "schedule": "sigmoid"},
    "patches": {"patch_size": 2},
    "patches and classes": {"patch_size": 2, "classes": 3, "learned_variance": True},
    "edm": {"prediction": "edm"},
    "edm with classes": {"prediction": "edm", "classes": 3},
    "flow with classes": {"prediction": "flow", "classes": 3},
    "dit": {"dit": True},
    "dit with classes": {"dit": True, "classes": 3, "learned_variance": True},
    "flow dit": {"prediction": "flow", "dit": True, "classes": 3},
    "latents": {"latents": True},
    "latents and classes": {"latents": True, "classes": 3},
    "latents, edm": {"latents": True, "classes": 3, "prediction": "edm"},
    "latents, flow": {"latents": True, "classes": 3, "prediction": "flow", "patch_size": 2},
    "latents, dit": {"latents": True, "dit": True},
    "latents, dit, variances": {"latents": True, "dit": True, "classes": 3,
                                "learned_variance": True, "prediction": "epsilon"},
}  # fmt: skip
DIT: dict[str, dict[str, Any]] = {  # of latents and classes, as diffusers' `DiTPipeline`
    "dit pipeline": {},
    "dit pipeline, epsilon": {"prediction": "epsilon"},
    "dit pipeline, names": {"names": ["cat", "dog, or wolf", "owl"]},
    "dit pipeline, flow": {"prediction": "flow"},
}
DITS = {n: {"latents": True, "dit": True, "classes": 3, **o} for n, o in DIT.items()}
# Runs in a process without genkit: the code of each card, and DDIM where diffusers opens it.
STRANGER = """
import json, re, sys, warnings
sys.modules["genkit"] = None
warnings.simplefilter("ignore")
import numpy as np, torch
from diffusers import DDIMPipeline, DDPMPipeline
try:
    import genkit
except ImportError:
    pass
else:
    raise SystemExit("genkit can be imported")
made = {}
for name, folder in json.loads(sys.argv[1]).items():
    blocks = re.findall(r"```python\\n(.*?)```", open(folder + "/README.md").read(), re.S)
    names = {}
    exec(blocks[1].replace("PATH_OR_HUB_ID", folder), names)
    images = names["images"]
    if isinstance(images, list):
        images = np.stack([np.array(image) for image in images])
        if "variance" not in name and "dit" not in name:
            begin = [torch.Generator().manual_seed(seed) for seed in names["seeds"]]
            ddim = DDIMPipeline.from_pretrained(folder)
            found = ddim(4, begin, num_inference_steps=10, output_type="np").images
            made["ddim " + name] = found
    made[name] = np.asarray(images)
np.savez(sys.argv[2], **made)
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """Every export, by name."""
    root = tmp_path_factory.mktemp("exports")
    return {
        name: save_export(
            denoising(**options), root / name.replace(" ", "-"), provenance={}, config_yaml=""
        )
        for name, options in (OPENED | LOOPED | DITS).items()
    }


@pytest.fixture(scope="module")
def stranger(folders, tmp_path_factory):
    """What the cards made where genkit can't be imported, by export."""
    out = tmp_path_factory.mktemp("made") / "images.npz"
    given = json.dumps({name: str(folder) for name, folder in folders.items()})
    words = [sys.executable, "-I", "-c", STRANGER, given, str(out)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return arrays_of(out)


@pytest.mark.parametrize("name", OPENED)
def test_diffusers_pipeline_opens_an_unconditional_export_and_makes_our_images(
    folders, stranger, name
):
    assert json.loads((folders[name] / "model_index.json").read_text())["_class_name"] == (
        "DDPMPipeline"
    )
    ours = load_pipeline(folders[name])(
        4, scheduler="ddpm", steps=STEPS, precision="fp32", output="np"
    )
    assert np.abs(ours[..., 0].astype(int) - stranger[name]).max() <= 1
    assert ours.std() > 20


@pytest.mark.parametrize("name", [name for name in OPENED if "variance" not in name])
def test_diffusers_ddim_makes_our_images_too(folders, stranger, name):
    ours = load_pipeline(folders[name])(
        4, scheduler="ddim", steps=10, precision="fp32", output="tensor"
    )
    theirs = stranger[f"ddim {name}"]
    assert np.abs(ours.permute(0, 2, 3, 1).numpy() - theirs).max() < 1e-3


@pytest.mark.parametrize(("steps", "said"), [(1000, 50), (4000, 50), (999, 37), (1009, None)])
def test_the_card_names_a_number_of_steps_that_diffusers_ddim_can_take(steps, said):
    pipeline = denoising()
    pipeline.scheduler.register_to_config(num_train_timesteps=steps)
    card = pipeline.card().plain
    assert "DDPMPipeline" in card
    if said is None:  # a prime number
        assert "DDIMPipeline" not in card
    else:
        assert steps % said == 0
        assert f"training, {steps}, or noise is left in the images: {said} is such" in card


@pytest.mark.parametrize("name", LOOPED)
def test_the_loop_of_the_card_makes_our_images_without_genkit(folders, stranger, name):
    # The card says which call of ours makes the same.
    card = (folders[name] / "README.md").read_text()
    call = card.partition("These are the images of `")[2].partition("` in genkit")[0]
    assert call.startswith("pipeline(4, ")
    options = LOOPED[name]
    assert ("label=0" in call) == ("classes" in options)
    assert ("guidance=2.0" in call) == ("classes" in options and "null_label" not in options)
    pipeline = load_pipeline(folders[name])
    ours = eval(call[:-1] + ', output="tensor")', {"pipeline": pipeline})
    theirs = torch.from_numpy(stranger[name])
    assert (ours - theirs).abs().max() < 1e-3
    assert ours.std() > 0.1
    assert (ours[0] - ours[1]).abs().mean() > 0.05


@pytest.mark.parametrize("name", DITS)
def test_diffusers_dit_pipeline_opens_a_transformer_of_latents_and_makes_our_images(
    folders, stranger, name
):
    index = json.loads((folders[name] / "model_index.json").read_text())
    assert index["_class_name"] == "DiTPipeline"
    card = (folders[name] / "README.md").read_text()
    call = card.partition("These are the images of `")[2].partition("` in genkit")[0]
    assert "guidance=2.0" in call
    pipeline = load_pipeline(folders[name])
    ours = eval(call[:-1] + ', output="np")', {"pipeline": pipeline})
    assert np.abs(ours[..., 0].astype(int) - stranger[name]).max() <= 1
    assert ours.std() > 20
    names = DITS[name].get("names")
    assert pipeline.config["class_names"] == names
    assert ("get_label_ids" in card) == (names is not None)


def test_a_table_of_classes_comes_back_from_a_dit_pipeline_as_it_was(folders):
    # Diffusers takes 1000 for no class: the rows between are there for it alone.
    made, saved = denoising(**DITS["dit pipeline"]), folders["dit pipeline"]
    config = json.loads((saved / "transformer" / "config.json").read_text())
    assert config["num_embeds_ada_norm"] == 1000
    opened = load_pipeline(saved)
    assert opened.transformer.config["num_embeds_ada_norm"] == 3
    for key, value in made.transformer.state_dict().items():
        assert torch.equal(value, opened.transformer.state_dict()[key]), key


def test_a_dit_pipeline_that_names_no_classes_has_as_many_as_its_table(folders, tmp_path):
    shutil.copytree(folders["dit pipeline"], tmp_path / "export")
    index = tmp_path / "export" / "model_index.json"
    tree = json.loads(index.read_text())
    del tree["id2label"]  # as diffusers itself saves what it opened
    index.write_text(json.dumps(tree))
    assert load_pipeline(tmp_path / "export").config["num_classes"] == 1000
    tree["id2label"] = {"0": "cat", "2": "owl"}
    index.write_text(json.dumps(tree))
    with pytest.raises(PipelineError, match="id2label: must name the classes 0 to 1"):
        load_pipeline(tmp_path / "export")


def test_the_card_of_a_generator_says_nothing_of_plain_diffusers(make):
    card = model_card(make(3), {}, "")
    assert "plain diffusers" not in card
    assert "pipeline(16, seed=0, label=[0])" in card


def test_the_first_block_of_a_card_runs_too(folders):
    card = (folders["classes"] / "README.md").read_text()
    code = card.partition("```python\n")[2].partition("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace("PATH_OR_HUB_ID", str(folders["classes"])), names)
    assert len(names["images"]) == 16
