"""`genkit edit`: attributes of people's pictures, guessed, switched, recorded."""

from __future__ import annotations

import json
import runpy
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from genkit.cli import app
from genkit.images import from_numpy, to_float
from genkit.images.regions import Region, middle
from genkit.nn.editors import AttributeCritic, EditDecoder, EditEncoder
from genkit.pipelines import load_pipeline, save_export
from genkit.pipelines.editing import EditingPipeline

NAMES = ("Bald", "Bangs", "Eyeglasses", "Smiling")
EXCLUDES = (("Bald", ("Bangs",)), ("Bangs", ("Bald",)))
SIDE = 8


def louder(network: torch.nn.Module, seed: int) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.3, generator=generator)
    return network.eval()


def export(folder: Path) -> Path:
    pipeline = EditingPipeline(
        louder(EditEncoder(3, 4, 2), 1),
        louder(EditDecoder(4, 3, 4, 2), 2),
        louder(AttributeCritic((SIDE, SIDE), 4, 3, 4, 2, 8), 3),
        attributes=NAMES,
        excludes=EXCLUDES,
        image_size=SIDE,
    )
    return save_export(pipeline, folder, provenance={"family": "attgan"}, config_yaml="")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("model") / "faces")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)

    def invoke(*words: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, [str(word) for word in words])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return invoke


def photo(width: int = SIDE, height: int = SIDE, seed: int = 0, mode: str = "RGB") -> Image.Image:
    shape = (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def saved(path: Path, picture: Image.Image | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or photo()).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def test_a_picture_of_the_models_size_becomes_what_the_pipeline_makes(run, model, tmp_path):
    saved(tmp_path / "me.png")
    status, said = run("edit", model, "me.png", "--set", "Eyeglasses=1", "--out", "out")
    assert status == 0, said
    made = load_pipeline(model)(image=photo(), set={"Eyeglasses": 1}, output="np")[0]
    assert np.array_equal(pixels(tmp_path / "out/me-Eyeglasses_on.png"), made)


def test_guesses_are_shown_and_recorded_and_what_is_known_goes_before_them(run, model, tmp_path):
    saved(tmp_path / "me.png")
    said = run("edit", model, "me.png", "--set", "Smiling=1", "--out", "out")[1]
    record = json.loads((tmp_path / "out/me-Smiling_on.json").read_text())
    seen = to_float(from_numpy(np.array(photo())[None]))
    shares = dict(zip(NAMES, load_pipeline(model).guess(seen)[0].tolist(), strict=True))
    assert record["guessed"] == pytest.approx(shares, abs=1e-4)
    assert "me.png: taken for" in said
    name = next(n for n, state in record["attributes"].items() if n != "Smiling")
    other = 1 - record["attributes"][name]
    run("edit", model, "me.png", "--set", "Smiling=1", "--have", f"{name}={other}", "--out", "two")
    known = json.loads((tmp_path / "two/me-Smiling_on.json").read_text())
    assert known["attributes"][name] == other
    assert known["guessed"] == record["guessed"]


def test_an_attribute_that_is_given_is_shown_as_given(run, model, tmp_path):
    saved(tmp_path / "me.png")
    said = run("edit", model, "me.png", "--set", "Smiling=1", "--have", "Bald=1", "--out", "o")[1]
    assert "taken for Bald (given)" in said
    said = run("edit", model, "me.png", "--set", "Smiling=1", "--have", "Bald=0", "--out", "p")[1]
    assert "Bald" not in said.partition("taken for")[2].partition("\n")[0]


def test_the_strength_multiplies_the_edited_entry_alone(run, model, tmp_path):
    saved(tmp_path / "me.png")
    for strength in ("1", "1.5"):
        run("edit", model, "me.png", "--set", "Smiling=0", "--strength", strength, "--out", "out")
    one, more = (
        json.loads((tmp_path / f"out/me-Smiling_off{x}.json").read_text())["code"]
        for x in ("", "-x1.5")
    )
    assert more.pop("Smiling") == 1.5 * one.pop("Smiling") == -1.5
    assert more == one


def test_one_flipped_attribute_changes_pixels(run, model, tmp_path):
    saved(tmp_path / "me.png")
    for state in (0, 1):
        run("edit", model, "me.png", "--set", f"Eyeglasses={state}", "--out", "out")
    on, off = (pixels(tmp_path / f"out/me-Eyeglasses_{s}.png") for s in ("on", "off"))
    assert not np.array_equal(on, off)


def test_a_larger_picture_keeps_its_size_transparency_and_what_lies_outside(run, model, tmp_path):
    picture = photo(40, 24, mode="RGBA")
    saved(tmp_path / "me.png", picture)
    status, said = run(
        "edit", model, "me.png", "--set", "Bald=1", "--crop", "4,10,16", "--out", "o"
    )
    assert status == 0, said
    assert "the change was brought to" in said
    made, before = pixels(tmp_path / "o/me-Bald_on.png"), np.array(picture)
    assert made.shape == before.shape
    assert np.array_equal(made[..., 3], before[..., 3])
    white = np.array(Image.alpha_composite(Image.new("RGBA", (40, 24), "white"), picture))
    outside = np.ones((24, 40), bool)
    outside[4:20, 10:26] = False
    assert np.array_equal(made[outside][:, :3], white[outside][:, :3])
    assert (made[~outside][:, :3] != white[~outside][:, :3]).any()
    assert json.loads((tmp_path / "o/me-Bald_on.json").read_text())["part"] == [4, 10, 16, 16]


def test_a_part_of_the_models_size_is_replaced_and_another_changed_by_the_difference():
    image = torch.full((1, 4, 6), 100, dtype=torch.uint8)
    seen, changed = torch.full((1, 2, 2), 100), torch.full((1, 2, 2), 130)
    same = Region(1, 2, 2, 2).put_back(image, seen.byte(), changed.byte())
    assert same[0, 1:3, 2:4].eq(130).all()
    assert same.sum() == 100 * 24 + 30 * 4
    image[0, 0, 0] = 250
    grown = Region(0, 0, 4, 4).put_back(image, seen.byte(), changed.byte())
    assert int(grown[0, 0, 0]) == 255
    assert grown[0, 1:, :4].eq(130).all()
    assert grown[0, :, 4:].eq(100).all()
    assert middle(image, (2, 2)) == Region(0, 1, 4, 4)


def test_an_unfamiliar_picture_is_said_to_be_so(run, model, tmp_path, monkeypatch):
    saved(tmp_path / "dark.png", Image.new("RGB", (30, 30), (90, 90, 90)))
    saved(tmp_path / "light.png", Image.new("RGB", (30, 30), (200, 200, 200)))
    words = ("dark.png", "light.png", "--set", "Bald=1")
    said = run("edit", model, *words, "--out", "blind")[1]
    assert "dark.png, light.png: this export does not know what is familiar to it" in said
    monkeypatch.setattr(EditingPipeline, "familiar_below", property(lambda self: 0.0))
    monkeypatch.setattr(EditingPipeline, "unfamiliarity", lambda self, x: x.mean((1, 2, 3)))
    said = run("edit", model, *words, "--out", "out")[1]
    assert "light.png: unlike 99 %" in said
    assert "dark.png: unlike" not in said
    record = json.loads((tmp_path / "out/light-Bald_on.json").read_text())
    assert record["unfamiliarity"] == pytest.approx(200 / 127.5 - 1, abs=1e-4)
    assert record["familiar_below"] == 0
    assert any("--crop" in note for note in record["notes"])


def test_a_strip_goes_from_minus_two_to_two(run, model, tmp_path):
    saved(tmp_path / "me.png", photo(20, 20))
    words = ("--sweep", "Smiling", "--sweep", "Bald", "--out", "out")
    status, said = run("edit", model, "me.png", *words)
    assert status == 0, said
    strip = pixels(tmp_path / "out/me-sweep-Smiling-Bald.png")
    assert strip.shape[1] > 10 * 8 * 12  # the picture and nine of it, enlarged
    record = json.loads((tmp_path / "out/me-sweep-Smiling-Bald.json").read_text())
    assert record["levels"] == [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2]
    assert run("again", "out/me-sweep-Smiling-Bald.json")[0] == 0


def test_a_sheet_has_a_line_for_each_picture_and_a_column_for_each_attribute(run, model, tmp_path):
    for i in range(3):
        saved(tmp_path / f"photos/{i}.png", photo(12, 10, seed=i))
    (tmp_path / "photos/3.png").write_bytes(b"")
    status, said = run("edit", model, "photos", "--grid", "sheet.png")
    assert status == 1
    height, width = pixels(tmp_path / "sheet.png").shape[:2]
    assert width > 5 * 128
    assert 3 * 128 < height < 5 * 128
    assert not (tmp_path / "faces-edited").exists()
    assert said.splitlines()[-1] == "sheet.png"


def test_a_sheet_says_and_records_of_its_pictures_what_an_edit_of_each_does(run, model, tmp_path):
    for i in range(2):
        saved(tmp_path / f"photos/{i}.png", photo(12, 10, seed=i))
    (tmp_path / "photos/2.png").write_bytes(b"")
    known = ("--have", "Bald=1", "--strength", 1.5)
    said = run("edit", model, "photos", "--grid", "sheet.png", *known)[1]
    assert "photos/0.png: taken for Bald (given)" in said
    assert "this export does not know what is familiar to it" in said
    record = json.loads((tmp_path / "sheet.json").read_text())
    run("edit", model, "photos", "--set", "Smiling=1", *known, "--out", "out")
    for i, mine in enumerate(record["pictures"]):
        alone = json.loads((tmp_path / f"out/{i}-Smiling_on-x1.5.json").read_text())
        for name in ("attributes", "guessed"):
            assert mine[name] == alone[name]
        assert mine["sha256"] == alone["source"]["sha256"]
        assert set(alone["notes"]) >= {*mine["notes"]} > set()
        assert mine["shown"][1] == "-Bald"
    assert [*record["failed"]] == ["photos/2.png"]
    before = (tmp_path / "sheet.png").read_bytes()
    assert run(*shlex.split(record["command"])[1:])[0] == 1
    assert (tmp_path / "sheet.png").read_bytes() == before
    status, said = run("again", "sheet.json")
    assert status == 0, said
    assert (tmp_path / "again/sheet.png").read_bytes() == before
    saved(tmp_path / "photos/1.png", photo(12, 10, seed=7))
    status, said = run("again", "sheet.json", "--out", "two")
    assert status == 2
    assert "photos/1.png: is another picture than that of the record" in said


def test_a_sheet_goes_over_nothing_but_that_of_the_very_command(run, model, tmp_path):
    saved(tmp_path / "me.png")
    saved(tmp_path / "mine.png", photo(9, 9))
    (tmp_path / "sheet.json").write_text("{}")
    for name in ("mine", "sheet"):
        status, said = run("edit", model, "me.png", "--grid", f"{name}.png")
        assert status == 2
        assert "of this very" in said
    assert (tmp_path / "sheet.json").read_text() == "{}"
    assert np.array_equal(pixels(tmp_path / "mine.png"), np.array(photo(9, 9)))
    assert run("edit", model, "me.png", "--grid", "own.png")[0] == 0
    assert run("edit", model, "me.png", "--grid", "own.png")[0] == 0
    assert run("edit", model, "me.png", "--grid", "own.png", "--have", "Bald=1")[0] == 2
    (tmp_path / "f").mkdir()
    (tmp_path / "f/own.json").write_text("{}")
    status, said = run("again", "own.json", "--out", "f")
    assert (status, "no record of this very sheet" in said) == (2, True)
    assert run("again", "own.json", "--out", ".")[0] == 2
    content = (tmp_path / "own.png").read_bytes()
    (tmp_path / "own.png").write_bytes(content + b"changed")
    assert run("edit", model, "me.png", "--grid", "own.png")[0] == 2
    saved(tmp_path / "in/a.png")
    status, said = run("edit", model, "in", "--grid", "in/sheet.png")
    assert (status, "would be read as pictures next time" in said) == (2, True)


def test_strengths_are_told_to_the_last_digit(run, model, tmp_path):
    saved(tmp_path / "me.png")
    words = ("edit", model, "me.png", "--set", "Bald=1", "--out", "out", "--strength")
    assert run(*words, "1.0000001")[0] == run(*words, "1.0000002")[0] == 0
    made = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert made == ["me-Bald_on-x1.0000001.png", "me-Bald_on-x1.0000002.png"]
    record = json.loads((tmp_path / "out/me-Bald_on-x1.0000001.json").read_text())
    assert "--strength=1.0000001" in record["command"]


def test_a_sheet_says_what_is_not_kept_and_why_a_picture_is_left_out(run, model, tmp_path):
    saved(tmp_path / "deep.png", Image.fromarray(np.full((9, 9), 40_000, np.uint16)))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    status, said = run("edit", model, "deep.png", "broken.png", "--grid", "sheet.png")
    assert status == 1
    assert "deep.png: it has more than 8 bits" in said
    assert "broken.png: left out, " in said
    status, said = run("edit", model, "broken.png", "--grid", "none.png")
    assert status == 1
    assert said.splitlines()[-1].endswith("none.png: 0 pictures written, 1 not made (broken.png)")
    assert not (tmp_path / "none.png").exists()


def test_a_broken_picture_is_named_once_for_edits_and_sheet(run, model, tmp_path):
    saved(tmp_path / "me.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    words = ("me.png", "broken.png", "--set", "Bald=1", "--grid", "sheet.png", "--out", "out")
    status, said = run("edit", model, *words)
    assert status == 1
    assert said.count("broken.png: left out") == 1
    assert "broken.png" in json.loads((tmp_path / "sheet.json").read_text())["failed"]


def test_an_attribute_is_swept_once(run, model, tmp_path):
    saved(tmp_path / "me.png")
    status, said = run("edit", model, "me.png", "--sweep", "Bald", "--sweep", "Bald", "--out", "o")
    assert (status, "--sweep Bald: stands twice" in said) == (2, True)


def test_what_the_model_made_itself_is_of_its_own_size(run, model, tmp_path):
    saved(tmp_path / "me.png", photo(40, 24))
    said = run("edit", model, "me.png", "--set", "Bald=1", "--out", "out")[1]
    assert "thin lines of it are blurred; --model-size gives what the model made itself" in said
    status, said = run("edit", model, "me.png", "--set", "Bald=1", "--model-size", "--out", "out")
    assert status == 0, said
    seen = middle(from_numpy(np.array(photo(40, 24))[None])[0], (SIDE, SIDE)).seen(
        from_numpy(np.array(photo(40, 24))[None])[0], (SIDE, SIDE)
    )
    made = load_pipeline(model)(image=seen, set={"Bald": 1}, output="np")[0]
    assert np.array_equal(pixels(tmp_path / "out/me-Bald_on-8px.png"), made)
    assert run("again", "out/me-Bald_on-8px.json")[0] == 0


def test_a_strip_is_of_the_picture_as_it_was_switched(run, model, tmp_path):
    saved(tmp_path / "me.png")
    words = ("--sweep", "Smiling", "--out", "out")
    assert run("edit", model, "me.png", *words)[0] == 0
    assert run("edit", model, "me.png", "--set", "Eyeglasses=1", *words)[0] == 0
    path = tmp_path / "out/me-sweep-Smiling-with-Eyeglasses_on.png"
    assert not np.array_equal(pixels(path), pixels(tmp_path / "out/me-sweep-Smiling.png"))
    assert (tmp_path / "out/me-Eyeglasses_on.png").exists()
    assert run("again", path.with_suffix(".json"))[0] == 0


def test_edits_are_the_same_in_any_order(run, model, tmp_path):
    saved(tmp_path / "me.png")
    words = ("--set", "Smiling=1", "--set", "Eyeglasses=0")
    assert run("edit", model, "me.png", *words, "--out", "out")[0] == 0
    status, said = run("edit", model, "me.png", *words[2:], *words[:2], "--out", "out")
    assert status == 0
    assert "1 there already" in said


def test_a_strength_far_beyond_what_was_learnt_is_said(run, model, tmp_path):
    saved(tmp_path / "me.png")
    words = ("me.png", "--set", "Bald=1", "--out", "out", "--strength")
    assert "of what it was trained with" not in run("edit", model, *words, 2)[1]
    assert "tells the model 6 times what it was trained with" in run("edit", model, *words, 3)[1]


def test_what_a_picture_was_taken_for_is_shown_of_the_first_and_counted_then(
    run, model, tmp_path, monkeypatch
):
    monkeypatch.setattr("genkit.verbs.change_pictures.MOST_SAID", 2)
    for i in range(5):
        saved(tmp_path / f"photos/{i}.png", photo(seed=i))
    said = run("edit", model, "photos", "--set", "Bald=1", "--out", "out")[1]
    assert said.count(": taken for") == 2
    assert "what 3 more were taken for stands in their .json files" in said


def test_the_record_makes_the_very_picture_again(run, model, tmp_path):
    saved(tmp_path / "me.png", photo(30, 20))
    words = ("--set", "Bald=1", "--set", "Smiling=0", "--strength", 1.5, "--have", "Bangs=1",
             "--crop", "1,2,16", "--out", "out")  # fmt: skip
    assert run("edit", model, "me.png", *words)[0] == 0
    path = tmp_path / "out/me-Bald_on-Smiling_off-x1.5.png"
    status, said = run("again", path.with_suffix(".json"))
    assert status == 0, said
    assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()
    record = json.loads(path.with_suffix(".json").read_text())
    assert run(*shlex.split(record["command"])[1:], "--out", "typed")[0] == 0
    assert (tmp_path / "typed" / path.name).read_bytes() == path.read_bytes()


def test_the_crop_of_the_training_is_that_of_the_runs_config(run, tmp_path):
    made = export(tmp_path / "run/export")
    (tmp_path / "run/config.yaml").write_text("data: {kind: celeba, crop: [2, 3, 16]}\n")
    saved(tmp_path / "me.png", photo(40, 24))
    words = ("me.png", "--set", "Bald=1", "--crop", "training")
    assert run("edit", "run", *words, "--out", "out")[0] == 0
    record = json.loads((tmp_path / "out/me-Bald_on.json").read_text())
    assert record["part"] == [2, 3, 16, 16]
    assert record["settings"]["crop"] == [2, 3, 16]
    (tmp_path / "run/config.yaml").write_text("data: {kind: faces}\n")
    status, said = run("edit", made, *words, "--out", "two")
    assert status == 2
    assert "does not say that its pictures were cut" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "Smilin=1"), "--set: no attribute 'Smilin'"),
        (("--set", "Smiling=1,Bald=1"), "write --set Smiling=1 --set Bald=1"),
        (("--set", "Smiling=1", "--sweep", "Smiling"), "--sweep Smiling: --set switches it too"),
        (("--sweep", "Bald", "--model-size"), "--model-size: is of --set"),
        (("--set", "Smiling"), "write NAME=1"),
        (("--set", "Smiling=2"), "write NAME=1"),
        (("--set", "Smiling=1", "--set", "Smiling=0"), "given twice"),
        (("--set", "Bald=1", "--set", "Bangs=1"), "can't hold together"),
        (("--have", "Glasses=1", "--set", "Bald=1"), "--have: no attribute 'Glasses'"),
        (("--sweep", "Bold"), "--sweep: no attribute 'Bold'"),
        (("--set", "Bald=1", "--crop", "1,2"), "TOP,LEFT,SIDE"),
        (("--sweep", "Bald", "--strength", "2"), "is of --set"),
        ((), "nothing to edit"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(
    run, model, tmp_path, words, said
):
    saved(tmp_path / "me.png")
    status, text = run("edit", model, "me.png", *words, "--out", "out")
    assert status == 2
    assert said in text
    assert not (tmp_path / "out").exists()


def test_a_crop_that_leaves_the_picture_is_named_with_it(run, model, tmp_path):
    saved(tmp_path / "me.png", photo(12, 12))
    words = ("--set", "Bald=1", "--crop", "26,3,170", "--out", "out")
    status, said = run("edit", model, "me.png", *words)
    assert status == 1
    assert "me.png: left out, the crop of 170 x 170 px" in said


def test_a_model_that_does_not_edit_says_so(run, tmp_path):
    from genkit.nn.translators import ResnetTranslator
    from genkit.pipelines.translation import TranslationPipeline

    pipeline = TranslationPipeline(ResnetTranslator(width=2, blocks=1))
    save_export(pipeline, tmp_path / "t", provenance={"family": "cut"}, config_yaml="")
    saved(tmp_path / "me.png")
    status, said = run("edit", "t", "me.png", "--set", "Bald=1")
    assert status == 2
    assert "edits no attributes" in said


def test_the_short_script_edits_too(model, tmp_path, monkeypatch):
    saved(tmp_path / "me.png", photo(20, 16))
    words = [model, tmp_path / "me.png", tmp_path / "made.png", "Bald=1"]
    monkeypatch.setattr("sys.argv", ["edit.py", *map(str, words)])
    runpy.run_path("sample/edit.py")
    assert pixels(tmp_path / "made.png").shape == (SIDE, SIDE, 3)
