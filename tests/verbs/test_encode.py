"""`genkit data encode`: the cache is full before a training begins."""

from __future__ import annotations

import pytest
from PIL import Image as Pillow
from sets_at_hand import captions, pixels
from stable_diffusion_at_hand import TEXTS, stable_diffusion
from typer.testing import CliRunner

from genkit.cli import app


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


def test_what_is_encoded_before_is_not_encoded_in_training(tmp_path):
    (tmp_path / "set").mkdir()
    for i in range(8):
        Pillow.fromarray(pixels(32, 32 + i, 3).numpy()).save(tmp_path / "set" / f"{i}.png")
    captions(tmp_path / "set", TEXTS)
    base = stable_diffusion(tmp_path / "sd")
    config = tmp_path / "lora.yaml"
    config.write_text(
        f"family: stable_diffusion\ndata: {{root: {tmp_path / 'set'}, image_size: 32, "
        f"batch_size: 4}}\nmodel: {{source: {base}}}\npreview: {{steps: 1}}\n"
        "trainer: {steps: 1, log_every: 1, save_every: 1}\n"
    )
    runner = CliRunner()
    done = runner.invoke(app, ["data", "encode", str(config)])
    assert (done.exit_code, "8 rows are encoded" in done.output) == (0, True)
    assert "latents: 8 of 8 to be encoded" in done.output
    assert "texts: 5 of 5 to be encoded" in done.output  # no text is one of them
    done = runner.invoke(app, ["train", str(config), "--out", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    assert "to be encoded" not in done.output
    done = runner.invoke(app, ["data", "encode", "configs/dcgan/glyphs.yaml"])
    assert (done.exit_code, "dcgan encodes nothing" in done.output) == (2, True)
