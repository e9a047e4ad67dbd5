"""`genkit import cyclegan`: an export that opens, translates, and tells where it comes from."""

from __future__ import annotations

import json

import pytest
import torch
from PIL import Image
from published_at_hand import published, resnet
from typer.testing import CliRunner

from genkit.cli import app
from genkit.pipelines import load_pipeline


def run(*words: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, [str(word) for word in ("import", "cyclegan", *words)])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.output


@pytest.fixture
def files(tmp_path):
    """Weights of each way, between grey and coloured pictures."""
    for name, channels in (("there", (1, 3)), ("back", (3, 1))):
        network = published(resnet(blocks=1, channels=channels))
        torch.save(network.state_dict(), tmp_path / f"{name}.pth")
    return tmp_path / "there.pth", tmp_path / "back.pth"


def test_one_way_becomes_an_export_that_translates_any_picture(files, tmp_path):
    status, text = run(files[0], "--out", tmp_path / "export", "--names", "grey, colour")
    assert (status, text.strip()) == (0, str(tmp_path / "export"))
    pipeline = load_pipeline(tmp_path / "export")
    assert pipeline.names == ("grey", "colour")
    made = pipeline(image_a=Image.new("L", (21, 13), 90))[0]
    assert (made.mode, made.size) == ("RGB", (21, 13))
    card = (tmp_path / "export" / "README.md").read_text()
    assert "grey → colour" in card
    assert "there.pth (SHA-256" in card
    assert str(tmp_path) not in card


def test_both_ways_become_one_export(files, tmp_path):
    status, text = run(
        files[0], "--back", files[1], "--out", tmp_path / "export", "--license", "mit", "--json"
    )
    assert status == 0
    pipeline = load_pipeline(json.loads(text)["export"])
    assert [next(iter(taken)) for taken in pipeline.takes] == ["image_a", "image_b"]
    assert pipeline(image_b=Image.new("RGB", (8, 8)))[0].mode == "L"
    assert "license: mit" in (tmp_path / "export" / "README.md").read_text()


def test_two_ways_that_do_not_fit_and_names_that_are_not_two_are_refused(files, tmp_path):
    status, text = run(files[0], "--back", files[0], "--out", tmp_path / "export")
    assert status == 2
    assert "one is not the way back of the other" in " ".join(text.split())
    assert run(files[0], "--out", tmp_path / "export", "--names", "horse")[0] == 2
    assert not (tmp_path / "export").exists()


def test_what_lies_in_the_way_is_kept_and_named(files, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "note.txt").write_text("keep")
    status, text = run(files[0], "--out", tmp_path / "mine")
    assert status == 2
    assert "holds something other than an export" in " ".join(text.split())
    assert (tmp_path / "mine" / "note.txt").read_text() == "keep"
