"""Latent diffusion by a transformer: its export in plain diffusers, its words, what it refuses."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
import torch
from families_at_hand import tiny
from latents_at_hand import TEXTS, config, export_of, run_of
from rank_at_work import work
from typer.testing import CliRunner

from genkit import random
from genkit.cli import app
from genkit.config import to_tree
from genkit.errors import CheckpointError, ConfigError, PipelineError
from genkit.launch import run_together
from genkit.nn.text_transformers import MISSING, make_text_transformer
from genkit.pipelines import TextToImageTransformer, load_pipeline, save_export
from genkit.verbs.train import train

TESTS = __file__.rpartition("/families/")[0]
# Runs the code of a card where genkit can't be imported, with each picture's own noise.
STRANGER = """
import json, sys, warnings
sys.modules["genkit"] = None
warnings.simplefilter("ignore")
import torch
try:
    import genkit
except ImportError:
    pass
else:
    raise SystemExit("genkit can be imported")
code, keys, out = json.loads(sys.argv[1])
names = {"noise": [torch.Generator().manual_seed(key) for key in keys]}
exec(code, names)
torch.save(names["images"], out)
"""


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def text_2(tmp_path_factory):
    """Another tower, of another width, which knows other tokens."""
    sizes = {"model__text_width": 24, "model__embed": 20, "model__vocabulary": 620}
    return export_of(tiny("clip", **sizes), tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def export(parts, text_2, tmp_path_factory):
    """Of a run with two towers and a shift."""
    place = tmp_path_factory.mktemp("mmdit")
    noise = {"prediction": "flow", "shift": 2.0}
    run = run_of({**parts, "text_2": text_2}, place / "run", "mmdit", noise=noise)
    pipeline = run.pipeline()
    _loud(pipeline.transformer)
    return save_export(pipeline, place / "export", provenance={}, config_yaml="")


def _loud(network):
    """Weights by which words are seen: first ones leave the output near zero."""
    torch.manual_seed(0)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)


def pictures(pipeline, **options):
    return pipeline(2, seed=3, caption=TEXTS, output="tensor", precision="fp32", **options)


# -- the export ------------------------------------------------------------------------------------


def test_the_card_makes_the_same_pictures_where_genkit_is_not(export, tmp_path):
    index = json.loads((export / "model_index.json").read_text())
    assert index["_class_name"] == "StableDiffusion3Pipeline"
    assert json.loads((export / "vae/config.json").read_text())["shift_factor"] == 0
    code = re.findall(r"```python\n(.*?)```", (export / "README.md").read_text(), re.S)[1]
    assert "text_encoder_3=None, tokenizer_3=None" in code
    code = code.replace("PATH_OR_HUB_ID", str(export)).replace('["a red star"] * 4', repr(TEXTS))
    code = code.replace("sigmas=sigmas", 'sigmas=sigmas, generator=noise, output_type="pt"')
    keys = [random.key(3, "latent", i) for i in range(2)]
    given = json.dumps([code, keys, str(tmp_path / "made.pt")])
    words = [sys.executable, "-I", "-c", STRANGER, given]
    done = subprocess.run(words, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    ours = load_pipeline(export)
    assert isinstance(ours, TextToImageTransformer)
    made, theirs = pictures(ours, guidance=5, steps=20), torch.load(tmp_path / "made.pt")
    assert (made - theirs).abs().max() < 1e-4
    assert (made[0] - made[1]).abs().mean() > 0.05
    assert (pictures(ours, guidance=1, steps=20) - made).abs().max() > 1e-3  # it is guided


def test_any_such_folder_of_diffusers_opens_and_makes_its_pictures(export, tmp_path):
    """With latents that are shifted and scaled, and a network that has room for wider words."""
    from diffusers import StableDiffusion3Pipeline

    absent = {"text_encoder_3": None, "tokenizer_3": None}
    plain = StableDiffusion3Pipeline.from_pretrained(export, **absent)
    plain.vae.register_to_config(shift_factor=0.3, scaling_factor=1.7)
    plain.transformer = make_text_transformer(16, 2, 60, 36, width=16, layers=2, heads=2)
    _loud(plain.transformer)
    plain.save_pretrained(tmp_path / "plain")
    keyed = [torch.Generator().manual_seed(random.key(3, "latent", i)) for i in range(2)]
    plain = StableDiffusion3Pipeline.from_pretrained(tmp_path / "plain", **absent)
    plain.set_progress_bar_config(disable=True)
    told = {"sigmas": [1 - i / 5 for i in range(5)], "negative_prompt": ["a green heart"] * 2}
    theirs = plain(TEXTS, guidance_scale=3, generator=keyed, output_type="pt", **told).images
    ours = load_pipeline(tmp_path / "plain")
    made = pictures(ours, guidance=3, steps=5, negative="a green heart")
    assert (made - theirs).abs().max() < 1e-4
    assert (pictures(ours, guidance=3, steps=5) - made).abs().max() > 1e-3
    # A picture that is kept comes back through shifted and scaled latents.
    picture, mask = torch.full((1, 3, 32, 32), 0.2), torch.zeros(1, 1, 32, 32)
    kept = ours(1, image=picture, mask=mask, caption="a red star", steps=2, output="tensor")
    latents = ours.vae.encode(picture * 2 - 1).latent_dist.mean
    back = ours.vae.decode(latents).sample.clamp(-1, 1) / 2 + 0.5
    torch.testing.assert_close(kept, back, atol=1e-5, rtol=0)


def test_a_walk_leads_from_one_picture_of_a_seed_to_another(export):
    pipeline = load_pipeline(export)
    options = {"caption": "a red star", "steps": 3, "guidance": 2, "output": "tensor"}
    walk = pipeline.interpolate(0, 1, 3, seed=3, **options)
    ends = pipeline(2, seed=3, **options)
    torch.testing.assert_close(walk[[0, 2]], ends, atol=1e-4, rtol=0)


def test_prompts_become_pictures_on_the_command_line(export, tmp_path):
    words = ["sample", str(export), "--prompt", "a red star", "--prompt", "two pink moons"]
    words += ["--negative", "a heart", "--guidance", "3", "--steps", "2", "--out", str(tmp_path)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    assert [row["caption"] for row in rows] == ["a red star", "two pink moons"]


# -- words -----------------------------------------------------------------------------------------


def test_training_reads_words_as_diffusers_encodes_them(parts, text_2, tmp_path):
    from diffusers import StableDiffusion3Pipeline

    run = run_of({**parts, "text_2": text_2}, tmp_path, "mmdit", model__caption_drop=0.5)
    (batch,) = next(run.loader.steps())
    states, pooled = run.given.words(batch)
    hidden = run.diffusion.hidden(batch, 0.5).tolist()
    assert 0 < sum(hidden) < len(hidden)
    texts = ["" if hides else text for text, hides in zip(batch["caption"], hidden, strict=True)]
    plain = StableDiffusion3Pipeline(**run.pipeline().components)
    with torch.no_grad():
        wanted, none, wanted_pooled, none_pooled = plain.encode_prompt(texts, None, None)
    assert wanted.shape[1] == states.shape[1] - 1 + MISSING
    assert torch.equal(states[:, :-1], wanted[:, :-MISSING])
    assert not wanted[:, -MISSING:].any()
    assert not states[:, -1].any()
    assert torch.equal(pooled, wanted_pooled)
    at = hidden.index(True)  # what guidance leads away from
    assert torch.equal(states[at, :-1], none[at, :-MISSING])
    assert torch.equal(pooled[at], none_pooled[at])


def test_one_tower_stands_for_both_unless_there_is_a_second(parts, text_2, tmp_path):
    alone = run_of(parts, tmp_path / "a", "mmdit")
    assert alone.learnt.frozen.keys() == {"vae", "text_encoder"}
    assert alone.bare_networks["transformer"].config["joint_attention_dim"] == 32
    alone.fit()
    both = run_of({**parts, "text_2": text_2}, tmp_path / "b", "mmdit")
    assert both.learnt.frozen.keys() == {"vae", "text_encoder", "text_encoder_2"}
    assert both.bare_networks["transformer"].config["joint_attention_dim"] == 16 + 24
    again = run_of({**parts, "text_2": parts["text"]}, tmp_path / "a", "mmdit")
    with pytest.raises(CheckpointError, match="text_encoder_2"):
        again.resume()


# -- training --------------------------------------------------------------------------------------


def test_two_processes_learn_what_one_does(parts, tmp_path, monkeypatch):
    states = []
    monkeypatch.setenv("PYTHONPATH", TESTS)
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        tree = to_tree(config(parts, "mmdit", data__batch_size=8 // processes))
        if processes == 1:
            work(folder, tree)
        else:
            run_together(work, {"folder": folder, "tree": tree}, processes)
        states.append([torch.load(folder / f"rank-{r}.pt") for r in range(processes)])
    (one,), (first, second) = states
    assert all(torch.equal(first["state"][k], v) for k, v in second["state"].items())
    moved, apart = (
        sum((one["state"][k] - other[k]).double().square().sum() for k in other if "raw/" in k)
        for other in (one["begun"], first["state"])
    )
    assert 0 < apart**0.5 < 1e-3 * moved**0.5


def test_a_run_is_trained_exported_and_gone_on_with(parts, tmp_path):
    run = train(config(parts, "mmdit", trainer__steps=2), out=tmp_path / "run")
    assert [*(run / "previews").glob("*.png")]
    train(config(parts, "mmdit"), out=tmp_path / "run", resume=True)
    assert load_pipeline(run).transformer.config["num_layers"] == 2


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"noise": {"prediction": "epsilon", "schedule": "cosine"}},
            "noise.prediction=epsilon: .* knows flows only; set noise.prediction=flow",
        ),
        ({"model__width": 18, "model__heads": 3}, "width=18 .*; take a multiple of 12"),
        ({"model__patch": 3}, "patch"),
        ({"model__widths": [8]}, "widths"),
        ({"model__kind": "dit"}, "no kind 'dit'; did you mean 'mmdit'"),
    ],
)
def test_settings_that_can_not_be_are_refused(parts, changes, problem):
    with pytest.raises(ConfigError, match=problem):
        config(parts, "mmdit", **changes)


def test_towers_that_can_not_read_together_are_refused(parts, tmp_path):
    short = export_of(tiny("clip", model__context=16), tmp_path / "short")
    with pytest.raises(PipelineError, match=r"32 tokens of the first tokenizer.* reads 16"):
        run_of({**parts, "text_2": short}, tmp_path / "a", "mmdit")
    run_of({**parts, "text": short, "text_2": parts["text"]}, tmp_path / "b", "mmdit")


def test_parts_of_different_models_and_towers_of_t5_are_refused(parts, tmp_path):
    held = run_of(parts, tmp_path, "mmdit").pipeline().components
    good = {k: v for k, v in held.items() if v is not None}
    sizes = {"width": 16, "layers": 1, "heads": 2}
    narrow, other, wide = (
        make_text_transformer(16, *each, **sizes) for each in ((2, 24, 32), (3, 32, 32), (2, 32, 8))
    )
    with pytest.raises(PipelineError, match="latents have 2 channels, the network takes 3"):
        TextToImageTransformer(**good | {"transformer": other})
    for network, read in ((narrow, "24 and 32"), (wide, "32 and 8")):
        with pytest.raises(PipelineError, match=f"32 wide and texts 32, the network reads {read}"):
            TextToImageTransformer(**good | {"transformer": network})
    with pytest.raises(PipelineError, match="a tower of T5 is not read here"):
        TextToImageTransformer(**good, text_encoder_3=object())


def test_a_walk_leads_from_text_to_text_and_a_picture_comes_back_of_its_noise(parts, tmp_path):
    pipeline = run_of(parts, tmp_path, "mmdit").pipeline()
    asked = {"seed": 2, "steps": 3, "guidance": 2.0, "output": "tensor"}
    walk = pipeline.interpolate(count=3, caption=TEXTS, **asked)
    for end, text in zip(walk[[0, 2]], TEXTS, strict=True):
        torch.testing.assert_close(end, pipeline(1, caption=text, **asked)[0], atol=1e-4, rtol=0)
    assert not torch.equal(walk[1], walk[0])
    through = pipeline.vae.decode(pipeline._encoded(walk[:1] * 2 - 1)).sample.clamp(-1, 1)
    found = pipeline.invert(image=walk[:1], caption=TEXTS[0], steps=200)
    torch.testing.assert_close(found.back / 255, (through.detach() + 1) / 2, atol=2 / 255, rtol=0)
