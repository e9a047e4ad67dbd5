"""What people hand to families that read captions and is wrong: said, counted or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from diffusers import AutoencoderKL, StableDiffusionPipeline
from latents_at_hand import autoencoder
from PIL import Image as Pillow
from sets_at_hand import captions, pixels
from stable_diffusion_at_hand import CONTEXT, TEXTS, VOCABULARY, stable_diffusion
from typer.testing import CliRunner

from genkit.cli import app
from genkit.nn.text_unets import encoded_text
from genkit.nn.tokens import learnt
from genkit.pipelines import load_pipeline


@pytest.fixture(autouse=True)
def _at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return stable_diffusion(tmp_path_factory.mktemp("source") / "sd")


def pictures(name: str = "set", **changed: str | None) -> str:
    """A folder of eight captioned pictures; changes are of the captions of some, by number."""
    folder = Path(name)
    folder.mkdir()
    for i in range(8):
        Pillow.fromarray(pixels(32, 32 + i, 3).numpy()).save(folder / f"{i}.png")
    captions(folder, TEXTS)
    lines = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    for place, text in changed.items():
        lines[int(place.removeprefix("of_"))]["caption"] = text
    rows = [{key: value for key, value in line.items() if value is not None} for line in lines]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return name


def trained(family: str, model: dict, *words: str, root: str = "set") -> tuple[int, str]:
    tree = {
        "family": family,
        "data": {"kind": "folder", "root": root, "image_size": 32, "batch_size": 4},
        "model": model,
        "preview": {"steps": 1},
        "trainer": {"steps": 1, "log_every": 1, "save_every": 1, "precision": "fp32"},
    }
    Path("run.yaml").write_text(yaml.safe_dump(tree))
    return genkit("train", "run.yaml", *words)


def genkit(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(words))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, " ".join(done.output.split())


def latent(parts: dict, **changes: str) -> dict:
    return {**parts, "widths": [8, 16], "attention": [16], "heads": 2, **changes}


# -- captions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["latent_diffusion", "stable_diffusion"])
@pytest.mark.parametrize("text", [None, "", "  "])
def test_a_picture_without_caption_is_counted_named_and_refused(parts, source, family, text):
    pictures(of_2=text)
    model = {"source": source} if family == "stable_diffusion" else latent(parts)
    status, said = trained(family, model)
    assert status == 2
    assert "1 of 8 images have no caption, the first is set/2.png" in said
    assert "write metadata.jsonl beside the images, a line for each" in said


@pytest.mark.parametrize("family", ["latent_diffusion", "stable_diffusion"])
def test_captions_that_are_too_long_are_counted(parts, source, family):
    pictures(of_2="star " * 200, of_3="ring " * 200)
    model = {"source": source} if family == "stable_diffusion" else latent(parts)
    status, said = trained(family, model, "--out", "run")
    assert status == 0, said
    assert "set:train: 2 of 6 texts have more than the" in said


def test_prompts_that_are_too_long_are_counted_once_and_keep_their_end(source):
    words = ("sample", source, "--prompt", "moon " * 99, "--prompt", "a box", "--steps", "1")
    status, said = genkit(*words, "--batch-size", "1", "--count", "4", "--out", "out")
    assert status == 0, said
    assert said.count(f"1 of 1 texts have more than the {CONTEXT} tokens that are read") == 1


# -- prompts in files ------------------------------------------------------------------------------


def test_prompts_with_a_mark_in_front_and_blank_lines_are_read(source):
    Path("prompts.txt").write_bytes(b"\xef\xbb\xbfa red star\r\n\r\na box\r\n")
    status, said = genkit(
        "sample", source, "--prompts", "prompts.txt", "--steps", "1", "--out", "o"
    )
    assert status == 0, said
    assert "prompts.txt: blank lines are left out (2)" in said
    rows = [json.loads(line) for line in Path("o/metadata.jsonl").read_text().splitlines()]
    assert [row["caption"] for row in rows] == ["a red star", "a box"]


# -- tokenizers and towers -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "context", "problem"),
    [
        (VOCABULARY + 9, CONTEXT, "569 tokens, and the tower knows 560"),
        (VOCABULARY - 9, CONTEXT, "texts end with token 550, and the tower looks for 559"),
        (VOCABULARY, CONTEXT + 1, "texts of up to 17 tokens, and the tower reads 16"),
    ],
)
def test_a_tokenizer_that_is_not_the_towers_is_refused(source, size, context, problem):
    shutil.copytree(source, "mixed")
    learnt(TEXTS, size, context)[0].save_pretrained("mixed/tokenizer")
    status, said = genkit("sample", "mixed", "--prompt", "a box", "--out", "out")
    assert status == 2
    assert f"tokenizer and text_encoder don't fit: {problem}; take both from one model" in said


@pytest.mark.filterwarnings("ignore")
def test_a_tokenizer_of_shorter_texts_is_read_as_diffusers_does(source):
    shutil.copytree(source, "short")
    learnt(TEXTS, VOCABULARY, CONTEXT - 6)[0].save_pretrained("short/tokenizer")
    ours, plain = load_pipeline("short"), StableDiffusionPipeline.from_pretrained("short")
    theirs, _ = plain.encode_prompt(["a red star"], "cpu", 1, False)
    with torch.no_grad():
        found = encoded_text(ours.text_encoder, ours.tokenizer, ["a red star"])
    torch.testing.assert_close(found, theirs)


# -- autoencoders ----------------------------------------------------------------------------------


def test_a_network_is_not_begun_from_latents_of_another_autoencoder_or_scale(parts, tmp_path):
    pictures()
    status, said = trained("latent_diffusion", latent(parts), "--out", "run")
    assert status == 0, said
    other = autoencoder(tmp_path / "other", trainer__seed=9, trainer__steps=1)
    shutil.copytree(parts["autoencoder"], "scaled")
    config = Path("scaled/vae/config.json")
    config.write_text(json.dumps(json.loads(config.read_text()) | {"scaling_factor": 5.0}))
    for name, why in (
        (other, "of another autoencoder"),
        ("scaled", "of scaling_factor 1, here it is 5"),
    ):
        model = latent(parts, autoencoder=name)
        status, said = trained("latent_diffusion", model, "--init", "run", "--out", "next")
        assert status == 2
        assert f"the export was trained on latents {why}" in said
        assert "set model.autoencoder=run#vae" in said
    assert "latents have a deviation of" in said  # of the last, and five times as large as noise
    model = latent(parts, autoencoder="run#vae")
    status, said = trained("latent_diffusion", model, "--init", "run", "--out", "next")
    assert (status, "latents have a deviation" in said) == (0, False), said


def test_latents_of_other_channels_are_refused(parts):
    pictures()
    assert trained("latent_diffusion", latent(parts), "--out", "run")[0] == 0
    shutil.copytree("run/export", "mixed")
    shutil.rmtree("mixed/vae")
    AutoencoderKL(norm_num_groups=2, block_out_channels=(8,), latent_channels=3).save_pretrained(
        "mixed/vae"
    )
    status, said = genkit("sample", "mixed", "--prompt", "a box", "--out", "out")
    assert (status, "latents have 3 channels, the network takes 2" in said) == (2, True)


@pytest.mark.parametrize("family", ["latent_diffusion", "ddpm"])
def test_what_is_no_autoencoder_is_refused(parts, family):
    pictures()
    model = {"autoencoder": parts["text"]}
    model = latent(parts, **model) if family == "latent_diffusion" else model
    status, said = trained(family, model, "--out", "run")
    assert status == 2
    assert "model.autoencoder is a CLIPModel; name a run of family autoencoder" in said


# -- the Hub ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["autoencoder", "text", "source"])
def test_a_model_that_the_hub_does_not_give_is_said(parts, setting, monkeypatch):
    pictures()
    monkeypatch.setattr("huggingface_hub.snapshot_download", _gated)
    if setting == "source":
        status, said = trained("stable_diffusion", {"source": "org/model"}, "--out", "run")
    else:
        model = latent(parts, **{setting: "org/model"})
        status, said = trained("latent_diffusion", model, "--out", "run")
    assert status == 2
    assert "org/model: no such folder here, and the Hub gave nothing (Access is restricted)" in said
    assert "for a private model, `hf auth login`" in said


def _gated(*given, **options):
    raise OSError("Access is restricted")
