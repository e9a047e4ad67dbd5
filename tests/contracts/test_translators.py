"""What every family that translates pictures keeps on the command line: found by their files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from families_at_hand import families, tiny, trainer
from PIL import Image as Pillow
from typer.testing import CliRunner

from genkit.cli import app
from genkit.family import load
from genkit.images import to_pil, to_uint8
from genkit.pipelines import load_pipeline, save_export
from genkit.pipelines.translation import TranslationPipeline
from genkit.verbs.translate import directions

TRANSLATORS = [name for name in families() if load(name).task == "translation"]
OURS = [name for name in TRANSLATORS if load(name).config.__module__.startswith("genkit.")]


@pytest.fixture(params=TRANSLATORS, scope="module")
def trained(request, tmp_path_factory):
    """A trainer after its steps, and an export of its pipeline."""
    folder = tmp_path_factory.mktemp(request.param)
    run = trainer(tiny(request.param), folder / "run")
    run.fit()
    facts = {"family": request.param}
    return run, save_export(run.pipeline(), folder / "export", provenance=facts, config_yaml="")


def translated(
    export: Path, folder: Path, direction: str, out: Path, *options: str
) -> dict[str, np.ndarray]:
    words = ["translate", str(export), str(folder), "--direction", direction, "--out", str(out)]
    done = CliRunner().invoke(app, [*words, *options])
    assert done.exit_code == 0, done.output
    made = {}
    for path in out.glob("*.png"):
        with Pillow.open(path) as picture:
            made[path.stem.partition("-")[0]] = np.array(picture)
    return made


def test_what_translate_makes_is_what_the_preview_shows(trained, tmp_path):
    run, export = trained
    pipeline = load_pipeline(export)
    for way, sheet in zip(directions(pipeline, "it"), run.preview(), strict=False):
        names = (way.column, "source", "image")
        before = next(run.examples[name] for name in names if name in run.examples)
        folder = tmp_path / way.word
        folder.mkdir()
        for i, image in enumerate(to_uint8(before)):
            to_pil(image).save(folder / f"{i}.png")
        made = translated(export, folder, way.word, tmp_path / f"out-{way.word}")
        shown = to_uint8(sheet.images)
        pictures = [np.atleast_3d(picture) for picture in made.values()]
        assert len(pictures) == len(before)
        for picture in pictures:
            image = torch.from_numpy(picture).permute(2, 0, 1)
            if image.shape[0] < shown.shape[1]:
                image = image.expand(shown.shape[1], -1, -1)
            nearest = (shown.int() - image.int()).abs().flatten(1).amax(1).min()
            assert int(nearest) == 0, f"{way.word}: no picture of the preview is this one"


def test_a_picture_of_any_size_comes_out_at_its_size(trained, tmp_path):
    _, export = trained
    pipeline = load_pipeline(export)
    (column,) = pipeline.takes[0].values()
    drawn = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    folder = tmp_path / "photos"
    folder.mkdir()
    Pillow.fromarray(drawn).save(folder / "0.png")
    if column.size is None:
        made = translated(export, folder, "a2b", tmp_path / "out")
        assert made["0"].shape[:2] == (37, 53)


def test_tiles_equal_the_whole(trained, tmp_path):
    _, export = trained
    if load_pipeline(export).takes[0].popitem()[1].size is not None:
        pytest.skip("takes pictures of one size")
    folder = tmp_path / "photos"
    folder.mkdir()
    drawn = np.random.default_rng(0).integers(0, 256, (40, 700, 3), dtype=np.uint8)
    Pillow.fromarray(drawn).save(folder / "0.png")
    whole = translated(export, folder, "a2b", tmp_path / "whole")["0"].astype(int)
    tiled = translated(export, folder, "a2b", tmp_path / "tiled", "--tile", "448")["0"]
    (record,) = (json.loads(p.read_text()) for p in (tmp_path / "tiled").glob("*.json"))
    assert record["tiles"]["reach"] < record["tiles"]["halo"]
    assert record["tiles"]["tiles"] > 1
    assert np.abs(whole - tiled).max() <= 1


@pytest.mark.parametrize("name", OURS)
def test_ours_give_the_pipeline_of_translation(name, tmp_path):
    assert isinstance(trainer(tiny(name), tmp_path).pipeline(), TranslationPipeline)
