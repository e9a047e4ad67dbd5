"""Several runs by one command: each built on those before, overridden, resumed, refused."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
import yaml
from families_at_hand import tiny
from typer.testing import CliRunner

from genkit.cli import app
from genkit.config import to_tree
from genkit.errors import CheckpointError, ConfigError
from genkit.pipelines import TextToImage, load_pipeline
from genkit.verbs.stages import is_staged, load_stages, train_stages

SCENES = {"kind": "scenes", "image_size": 32, "train_count": 64, "test_count": 32, "batch_size": 8}
LENGTH = {"steps": 2, "log_every": 1, "save_every": 2, "preview_every": 2, "preview_count": 4}


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file with three tiny stages, the first in a file of its own."""
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    small = {"widths": [8, 8], "groups": 2, "latent": 2}
    vae = tiny("autoencoder", data=SCENES, model=small, losses={"perceptual": "edges",
               "critic_weight": 0}, trainer=LENGTH)  # fmt: skip
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "vae.yaml").write_text(yaml.safe_dump(to_tree(vae)))
    stages = {
        "vae": "parts/vae.yaml",
        "words": to_tree(tiny("clip", trainer=LENGTH)),
        "pictures": {
            "family": "latent_diffusion",
            "data": SCENES,
            "model": {
                "autoencoder": "stage:vae",
                "text": "stage:words",
                "widths": [8, 16],
                "attention": [16],
                "heads": 2,
            },
            "optim": {"warmup_steps": 0},
            "preview": {"steps": 2},
            "trainer": LENGTH,
        },
    }
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    return path


def test_stages_are_found_in_order_with_the_runs_that_they_build_on(file, tmp_path):
    assert is_staged(file)
    assert not is_staged(tmp_path / "parts" / "vae.yaml")
    stages = load_stages(file, ["pictures.trainer.steps=7"], tmp_path / "out")
    assert [stage.name for stage in stages] == ["vae", "words", "pictures"]
    assert stages[2].config.model.autoencoder == str(tmp_path / "out" / "vae")
    assert stages[2].config.model.text == str(tmp_path / "out" / "words")
    assert [stage.config.trainer.steps for stage in stages] == [2, 2, 7]


def test_the_shipped_file_is_sound():
    stages = load_stages(Path("configs/text-to-image/scenes.yaml"))
    assert [stage.config.family for stage in stages] == ["autoencoder", "clip", "latent_diffusion"]
    assert stages[0].out.parts[:2] == ("runs", "text-to-image-scenes")


def test_all_stages_are_trained_and_the_last_makes_pictures_of_texts(file, tmp_path, caplog):
    out = train_stages(file, out=tmp_path / "out")
    for name in ("vae", "words", "pictures"):
        record = json.loads((out / name / "provenance.json").read_text())
        assert record["finished"]
    pipeline = load_pipeline(out / "pictures")
    assert isinstance(pipeline, TextToImage)
    assert len(pipeline(2, caption="a red star", steps=2)) == 2
    before = (out / "vae" / "export" / "README.md").stat().st_mtime_ns
    with pytest.raises(CheckpointError):
        train_stages(file, out=out)  # nothing is trained over
    with caplog.at_level(logging.INFO, "genkit"):
        train_stages(file, ["pictures.trainer.steps=4"], out=out, resume=True)
    assert "stage vae: finished already" in caplog.text
    assert "resumed at step 2" in caplog.text
    assert (out / "vae" / "export" / "README.md").stat().st_mtime_ns == before
    assert json.loads((out / "pictures" / "provenance.json").read_text())["steps"] == 4


def test_the_command_line_knows_stages(file, tmp_path):
    shown = CliRunner().invoke(app, ["config", "show", str(file), "vae.trainer.steps=9"]).stdout
    tree = yaml.safe_load(shown)
    assert tree["stages"]["vae"]["trainer"]["steps"] == 9
    assert tree["stages"]["pictures"]["family"] == "latent_diffusion"
    checked = CliRunner().invoke(app, ["config", "check", str(file)])
    assert "all.yaml: ok" in checked.stdout
    words = ["train", str(file), "--out", str(tmp_path / "o"), "--overfit-batch"]
    refused = CliRunner().invoke(app, words)
    assert (refused.exit_code, "are of one run" in refused.output) == (2, True)


@pytest.mark.parametrize(
    ("tree", "problem"),
    [
        ({"stages": {}}, "expected `stages:` alone"),
        ({"stages": {"a": "x.yaml"}, "family": "clip"}, "expected `stages:` alone"),
        ({"stages": {"a": 3}}, "stage a: expected the name of a config file, or settings"),
        ({"stages": {"a": "no.yaml"}}, "no such config file"),
        ({"stages": {"a": {"family": "clop"}}}, "no such family; did you mean 'clip'"),
        (
            {"stages": {"a": {"family": "clip", "model": {"kind": "pretrained",
             "source": "stage:b"}}}},
            "'?stage:b'? names no stage before this one; there are: none",
        ),
    ],
)  # fmt: skip
def test_files_that_say_something_else_are_refused(tmp_path, tree, problem):
    path = tmp_path / "all.yaml"
    path.write_text(yaml.safe_dump(tree))
    with pytest.raises(ConfigError, match=problem):
        load_stages(path)


def test_overrides_name_their_stage(file):
    with pytest.raises(ConfigError, match=r"begins with none of the stages; write vae\.trainer"):
        load_stages(file, ["trainer.steps=3"])
