"""`genkit classify` and `genkit search` on one's own pictures."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from families_at_hand import tiny, trainer
from PIL import Image
from typer.testing import CliRunner

from genkit.cli import app
from genkit.data.readers.scenes import ScenesData
from genkit.errors import DataError, OutputError, PipelineError
from genkit.images import to_pil
from genkit.pipelines import ImageTextPipeline, open_image_text, save_export
from genkit.verbs import classify, search
from genkit.verbs.classify import calibration_error
from genkit.verbs.embed_pictures import Embedded, embed_pictures
from genkit.verbs.own_pictures import find_pictures


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    run = trainer(tiny("clip"), tmp_path_factory.mktemp("run"))
    run.fit()
    place = tmp_path_factory.mktemp("export") / "clip"
    return str(save_export(run.pipeline(), place, provenance={}, config_yaml=""))


@pytest.fixture(autouse=True)
def _a_cache_without_vectors(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """Six drawn scenes and a file that is no picture inside."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    rows = ScenesData(train_count=6, test_count=2).open("train")
    for i, image in enumerate(rows.read(range(6), ("image",))["image"]):
        to_pil(image).save(folder / ("more" if i % 2 else ".") / f"{i}.png")
    (folder / "2a.png").write_bytes(b"no picture")
    return folder


def classified(photos, model, **options):
    labels = options.pop("labels", ["red star", "blue ring"])
    return classify.classify(classify.Request([str(photos)], labels, model, **options))


def test_every_picture_gets_a_share_of_each_label(photos, model):
    found = classified(photos, model)
    assert len(found.names) == 6
    assert found.shares.shape == (6, 2)
    torch.testing.assert_close(found.shares.sum(1), torch.ones(6))
    assert [name.rsplit("/", 1)[1] for name in found.failed] == ["2a.png"]
    tree = found.to_tree()
    assert list(tree["pictures"]) == found.names
    assert tree["templates"] == ["{}"]


def test_shares_are_those_of_the_pipeline(photos, model):
    found = classified(photos, model, templates=["a {}", "the {}"])
    pipeline = open_image_text(model)
    path = next(name for name in found.names if name.endswith("0.png"))
    classes = pipeline.classes(["red star", "blue ring"], ["a {}", "the {}"])
    expected = pipeline.shares(pipeline(image=Image.open(path)), classes)[0]
    torch.testing.assert_close(found.shares[found.names.index(path)], expected)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"labels": ["red star"]}, "told apart by two labels or more"),
        ({"labels": ["red star", " "]}, "one of them is empty"),
        ({"labels": ["red star", "Red Star"]}, "'red star' stands twice"),
        ({"templates": ["a photo"]}, "has no {} where the label goes"),
    ],
)
def test_labels_that_say_nothing_are_refused(photos, model, options, problem):
    with pytest.raises(PipelineError, match=problem):
        classified(photos, model, **options)


def test_the_fitted_temperature_makes_shares_say_how_often_they_are_right(photos, model, tmp_path):
    sets = tmp_path / "known"
    rows = ScenesData(train_count=40, test_count=2).open("train")
    for i, image in enumerate(rows.read(range(40), ("image",))["image"]):
        (sets / ("red star" if i % 2 else "blue ring")).mkdir(parents=True, exist_ok=True)
        to_pil(image).save(sets / ("red star" if i % 2 else "blue ring") / f"{i}.png")
    found = classified(photos, model, calibrate=sets)
    how = found.calibration
    assert how is not None
    assert how["pictures"] == 40
    assert how["error"] <= how["error_before"]
    pipeline = open_image_text(model)
    vectors = embed_pictures(pipeline, find_pictures([str(photos)])).vectors
    classes = pipeline.classes(["red star", "blue ring"])
    expected = (how["scale"] * vectors @ classes.T).softmax(1)
    torch.testing.assert_close(found.shares, expected, atol=2e-3, rtol=0)


def test_where_every_picture_is_named_rightly_nothing_says_how_sure_to_be(
    photos, model, monkeypatch
):
    vectors = torch.eye(16)[torch.arange(24) % 2]
    known = Embedded([], vectors), torch.arange(24) % 2
    monkeypatch.setattr(classify, "_labelled", lambda *asked: known)
    monkeypatch.setattr(ImageTextPipeline, "classes", lambda *asked: torch.eye(2, 16))
    with pytest.raises(DataError, match="all 24 pictures are named rightly"):
        classified(photos, model, calibrate=photos)


def test_a_folder_to_calibrate_by_has_one_for_each_label(photos, model, tmp_path):
    (tmp_path / "red star").mkdir()
    with pytest.raises(DataError, match="no folder of pictures called 'blue ring'"):
        classified(photos, model, calibrate=tmp_path)


def test_the_calibration_error_is_how_far_shares_are_off():
    # Four answers of share .8, two of them right: off by .3; two of .6, both right: off by .4.
    shares = torch.tensor([[0.8, 0.2]] * 4 + [[0.6, 0.4]] * 2, dtype=torch.float64)
    truth = torch.tensor([0, 0, 1, 1, 0, 0])
    assert calibration_error(shares, truth) == pytest.approx((4 * 0.3 + 2 * 0.4) / 6)
    assert calibration_error(torch.eye(2), torch.tensor([0, 1])) == 0


# -- search ----------------------------------------------------------------------------------------


def found(photos, model, query="a red star", **options):
    return search.search(search.Request(query, [str(photos)], model, **options))


def test_the_nearest_come_first_and_each_with_its_own_vector(photos, model):
    hits = found(photos, model, count=4)
    assert hits.among == 6
    assert hits.cosines == sorted(hits.cosines, reverse=True)
    pipeline = open_image_text(model)
    wanted = pipeline.texts(["a red star"])[0]
    for source, cosine in zip(hits.sources, hits.cosines, strict=True):
        alone = pipeline(image=Image.open(source.path))[0]
        assert float(alone @ wanted) == pytest.approx(cosine, abs=1e-5)
    assert [name.rsplit("/", 1)[1] for name in hits.failed] == ["2a.png"]


def test_a_second_search_knows_the_vectors_and_a_changed_picture_is_new(photos, model):
    first = found(photos, model)
    again = found(photos, model)
    assert (first.known, again.known) == (0, 6)
    assert [s.path for s in again.sources] == [s.path for s in first.sources]
    assert again.cosines == first.cosines
    shutil.move(photos / "0.png", photos / "moved.png")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(photos / "4.png")
    assert found(photos, model).known == 5


def test_a_damaged_cache_is_made_anew(photos, model):
    found(photos, model)
    from genkit.files import cache_folder

    (path,) = (cache_folder() / "embedded").glob("*.npz")
    path.write_bytes(path.read_bytes()[:100])
    assert found(photos, model).known == 0
    assert found(photos, model).known == 6


def test_a_picture_finds_itself(photos, model):
    path = photos / "0.png"
    hits = found(photos, model, str(path), count=1)
    assert hits.sources[0].path == str(path)
    assert hits.cosines[0] == pytest.approx(1, abs=1e-5)


def test_a_sheet_shows_what_was_found_and_goes_over_no_picture(photos, model, tmp_path):
    found(photos, model, grid=tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 5 * 128
    with pytest.raises(OutputError, match=r"0\.png"):
        found(photos, model, grid=photos / "0.png")


def test_a_query_that_is_a_place_is_refused(photos, model):
    with pytest.raises(PipelineError, match="is no picture that is there"):
        found(photos, model, "nofile.png")
    with pytest.raises(PipelineError, match="is a folder; the text or picture"):
        found(photos, model, str(photos))


def test_a_text_that_is_read_in_part_is_said_to_be(photos, model, caplog):
    found(photos, model, "red " * 60)
    assert "longer than the 32 tokens" in caplog.text


def test_an_empty_query_is_refused(photos, model):
    with pytest.raises(PipelineError, match="an empty text finds nothing"):
        found(photos, model, "  ")


# -- the command line ------------------------------------------------------------------------------


def test_the_command_line_names_what_failed_and_ends_with_1(photos, model):
    words = ["classify", str(photos), "--labels", "red star,blue ring", "--model", model]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 6
    assert "red star 0." in result.stdout
    found = CliRunner().invoke(app, [*words, "--json"])
    assert len(json.loads(found.stdout)["pictures"]) == 6
    (photos / "2a.png").unlink()
    assert CliRunner().invoke(app, words).exit_code == 0


def test_labels_come_from_a_file_too(photos, model, tmp_path):
    (tmp_path / "kinds.txt").write_text("red star\n\nblue ring\n")
    words = ["classify", str(photos / "0.png"), "--labels", str(tmp_path / "kinds.txt")]
    result = CliRunner().invoke(app, [*words, "--model", model])
    assert result.exit_code == 0
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe")
    words = ["classify", str(photos / "0.png"), "--labels", str(tmp_path / "bad.txt")]
    assert CliRunner().invoke(app, [*words, "--model", model]).exit_code == 2


def test_search_prints_cosines_and_paths(photos, model):
    (photos / "2a.png").unlink()
    words = ["search", "a red star", str(photos), "--model", model, "--count", "2"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert len(lines) == 2
    assert all(str(photos) in line for line in lines)
