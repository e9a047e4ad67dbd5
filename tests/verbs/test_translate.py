"""`genkit translate`: pictures of people, at their size, with all that they had."""

from __future__ import annotations

import io
import json
import runpy
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms
from torch import nn
from typer.testing import CliRunner

from genkit.cli import app
from genkit.images import from_numpy, to_float, to_uint8
from genkit.nn.translators import ResnetTranslator
from genkit.pipelines import load_pipeline, save_export
from genkit.pipelines.any_size import Way
from genkit.pipelines.translation import TranslationPipeline
from genkit.verbs import change_pictures

SAMPLE = Path(__file__).parent.parent.parent / "sample"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def louder(network: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.3, generator=generator)
    return network


def export(folder: Path, *, back: bool = True, channels: tuple[int, int] = (3, 3)) -> Path:
    a, b = channels
    there = louder(ResnetTranslator(a, b, width=2, blocks=1), 1)
    home = louder(ResnetTranslator(b, a, width=2, blocks=1), 2) if back else None
    pipeline = TranslationPipeline(there, home, names=("horse", "zebra"))
    return save_export(pipeline, folder, provenance={"family": "cyclegan"}, config_yaml="")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(tmp_path_factory.mktemp("model") / "zebras")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)

    def invoke(*words: object, stdin: bytes | None = None) -> tuple[int, str]:
        done = CliRunner().invoke(app, [str(word) for word in words], input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    return invoke


def photo(width: int = 53, height: int = 37, mode: str = "RGB", seed: int = 0) -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def saved(path: Path, picture: Image.Image | None = None, **how: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    (picture or photo()).save(path, **how)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def through(network: nn.Module, array: np.ndarray) -> np.ndarray:
    """What a network makes of a picture whose sides are multiples of 4."""
    with torch.no_grad():
        made = to_uint8(network.eval()(to_float(from_numpy(array[None]))))
    return made[0].permute(1, 2, 0).numpy()


# -- sizes, directions, counts ---------------------------------------------------------------------


def test_a_picture_comes_out_at_its_size_and_twice_the_same(run, model, tmp_path):
    saved(tmp_path / "photo.png")
    for out in ("one", "two"):
        assert run("translate", model, "photo.png", "--out", out)[0] == 0
    first, second = (pixels(tmp_path / out / "photo-horse2zebra.png") for out in ("one", "two"))
    assert first.shape == (37, 53, 3)
    assert np.array_equal(first, second)


def test_a_wide_picture_is_never_cut_in_half(run, model, tmp_path):
    saved(tmp_path / "pair.png", photo(96, 48))
    assert run("translate", model, "pair.png", "--out", "out")[0] == 0
    assert pixels(tmp_path / "out/pair-horse2zebra.png").shape == (48, 96, 3)


def test_the_way_back_goes_through_the_other_network_and_names_say_so(run, model, tmp_path):
    saved(tmp_path / "photo.png", photo(40, 24))
    for direction in ("a2b", "b2a"):
        assert (
            run("translate", model, "photo.png", "--out", "out", "--direction", direction)[0] == 0
        )
    pipeline, given = load_pipeline(model), pixels(tmp_path / "photo.png")
    for name, network in (("horse2zebra", pipeline.a_to_b), ("zebra2horse", pipeline.b_to_a)):
        assert np.array_equal(pixels(tmp_path / f"out/photo-{name}.png"), through(network, given))
    record = json.loads((tmp_path / "out/photo-zebra2horse.json").read_text())
    assert (record["from"], record["to"]) == ("zebra", "horse")


def test_a_direction_goes_by_the_names_of_its_kinds_too(run, model, tmp_path):
    saved(tmp_path / "photo.png")
    run("translate", model, "photo.png", "--out", "out", "--direction", "zebra2horse")
    assert (tmp_path / "out/photo-zebra2horse.png").exists()


def test_a_direction_goes_by_the_word_of_other_programs_too(run, model, tmp_path):
    saved(tmp_path / "photo.png", photo(8, 8))
    for i, word in enumerate(("AtoB", "BtoA", "btoa")):
        assert run("translate", model, "photo.png", "--out", f"o{i}", "--direction", word)[0] == 0
    made = sorted(path.name for path in tmp_path.glob("o*/*.png"))
    assert made == ["photo-horse2zebra.png", "photo-zebra2horse.png", "photo-zebra2horse.png"]


def test_a_direction_that_is_not_there_is_refused_with_those_that_are(run, tmp_path):
    one = export(tmp_path / "one", back=False)
    saved(tmp_path / "photo.png")
    status, said = run("translate", one, "photo.png", "--direction", "b2a")
    assert status == 2
    assert "a2b (horse to zebra)" in said


def test_a_folder_of_51_pictures_gives_51(run, model, tmp_path):
    for i in range(51):
        saved(tmp_path / f"photos/{i}.png", photo(8, 8, seed=i))
    status, said = run("translate", model, "photos", "--out", "out", "--json")
    assert status == 0
    assert len(list((tmp_path / "out").glob("*.png"))) == 51
    assert len(json.loads(said.splitlines()[-1])["written"]) == 51


def test_alone_and_with_others_a_picture_is_the_same_as_from_the_pipeline(run, model, tmp_path):
    for i in range(4):
        saved(tmp_path / f"photos/{i}.png", photo(16, 16, seed=i))
    run("translate", model, "photos", "--out", "out")
    pictures = [photo(16, 16, seed=i) for i in range(4)]
    together = load_pipeline(model)(image_a=pictures, output="np")
    for i in range(4):
        own = pixels(tmp_path / f"out/{i}-horse2zebra.png").astype(int)
        assert np.abs(own - together[i]).max() <= 1
    assert run("translate", model, "photos/2.png", "--out", "alone")[0] == 0
    assert np.array_equal(
        pixels(tmp_path / "alone/2-horse2zebra.png"), pixels(tmp_path / "out/2-horse2zebra.png")
    )


def test_tiles_equal_the_whole_and_are_told(run, model, tmp_path):
    saved(tmp_path / "photo.png", photo(260, 150))
    run("translate", model, "photo.png", "--out", "whole")
    status, said = run("translate", model, "photo.png", "--out", "tiled", "--tile", 128)
    assert status == 0
    assert "tiles of up to 128 px" in said
    whole, tiled = (pixels(tmp_path / o / "photo-horse2zebra.png") for o in ("whole", "tiled"))
    assert np.abs(whole.astype(int) - tiled.astype(int)).max() <= 1
    record = json.loads((tmp_path / "tiled/photo-horse2zebra.json").read_text())
    assert record["tiles"]["tile"] == 128
    assert record["tiles"]["statistics_of"] == [150, 260]


# -- what a picture keeps --------------------------------------------------------------------------


def test_transparency_and_profile_stay(run, model, tmp_path):
    picture = photo(mode="RGBA")
    saved(tmp_path / "photo.png", picture, icc_profile=PROFILE)
    assert run("translate", model, "photo.png", "--out", "out")[0] == 0
    with Image.open(tmp_path / "out/photo-horse2zebra.png") as made:
        assert made.mode == "RGBA"
        assert made.info["icc_profile"] == PROFILE
        assert np.array_equal(np.array(made)[..., 3], np.array(picture)[..., 3])


def test_a_transparent_palette_stays_transparent(run, model, tmp_path):
    picture = photo().quantize(8)
    saved(tmp_path / "photo.png", picture, transparency=3)
    run("translate", model, "photo.png", "--out", "out")
    made = pixels(tmp_path / "out/photo-horse2zebra.png")
    assert np.array_equal(made[..., 3] == 0, np.array(picture) == 3)


def test_a_picture_is_turned_upright_by_its_mark_once(run, model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    saved(tmp_path / "photo.png", photo(40, 20), exif=exif)
    status, said = run("translate", model, "photo.png", "--out", "out")
    assert status == 0
    assert "turned upright" in said
    with Image.open(tmp_path / "out/photo-horse2zebra.png") as made:
        assert made.size == (20, 40)
        assert made.getexif().get(0x0112, 1) == 1
    upright = np.array(photo(40, 20).transpose(Image.Transpose.ROTATE_270))
    expected = through(load_pipeline(model).a_to_b, upright)
    assert np.array_equal(pixels(tmp_path / "out/photo-horse2zebra.png"), expected)


def test_what_can_not_be_kept_is_said(run, tmp_path):
    to_grey = export(tmp_path / "grey", channels=(3, 1))
    saved(tmp_path / "profile.png", icc_profile=PROFILE)
    saved(tmp_path / "deep.png", Image.fromarray(np.full((8, 8), 40_000, np.uint16)))
    frames = [photo(8, 8, seed=i) for i in range(3)]
    saved(tmp_path / "film.gif", frames[0], save_all=True, append_images=frames[1:])
    status, said = run("translate", to_grey, "profile.png", "deep.png", "film.gif", "--out", "out")
    assert status == 0
    assert "profile.png: its colour profile is for RGB and was left out" in said
    assert "deep.png: it has more than 8 bits" in said
    assert "film.gif: the first of its 3 pictures" in said
    notes = json.loads((tmp_path / "out/deep-horse2zebra.json").read_text())["notes"]
    assert any("8 bits" in note for note in notes)


def test_colour_for_a_grey_model_is_said(run, tmp_path):
    from_grey = export(tmp_path / "colours", channels=(1, 3))
    saved(tmp_path / "photo.png")
    said = run("translate", from_grey, "photo.png", "--out", "out")[1]
    assert "its colours were left out" in said
    assert pixels(tmp_path / "out/photo-horse2zebra.png").shape == (37, 53, 3)


# -- what goes wrong -------------------------------------------------------------------------------


def test_a_broken_picture_is_named_and_the_rest_goes_on(run, model, tmp_path):
    saved(tmp_path / "photos/a.png")
    (tmp_path / "photos/b.jpg").write_bytes(b"no picture")
    (tmp_path / "photos/c.mp4").write_bytes(b"\0\0\0\x18ftypisom")
    saved(tmp_path / "photos/d.png")
    status, said = run("translate", model, "photos", "nowhere.png", "--out", "out", "--json")
    assert status == 1
    done = json.loads(said.splitlines()[-1])
    assert [Path(each).name for each in done["written"]] == [
        "a-horse2zebra.png", "d-horse2zebra.png"
    ]  # fmt: skip
    assert done["failed"].keys() == {"photos/b.jpg", "nowhere.png"}
    assert "data.on_error" not in said
    assert "1 file left out: 1 .mp4" in said


def test_a_film_is_called_one(run, model, tmp_path):
    (tmp_path / "film.png").write_bytes(b"\0\0\0\x18ftypisom" + b"\0" * 40)
    status, said = run("translate", model, "film.png", "--out", "out")
    assert status == 1
    assert "film.png: left out, a film" in said


def test_nothing_is_written_over_what_was_made_otherwise(run, model, tmp_path):
    saved(tmp_path / "photo.png")
    assert run("translate", model, "photo.png", "--out", "out")[0] == 0
    before = (tmp_path / "out/photo-horse2zebra.png").stat().st_mtime_ns
    status, said = run("translate", model, "photo.png", "--out", "out")
    assert status == 0
    assert "1 there already" in said
    assert (tmp_path / "out/photo-horse2zebra.png").stat().st_mtime_ns == before
    saved(tmp_path / "photo.png", photo(seed=9))
    status, said = run("translate", model, "photo.png", "--out", "out")
    assert status == 2
    assert "made of something else" in said
    (tmp_path / "out/photo-horse2zebra.json").unlink()
    status, said = run("translate", model, "photo.png", "--out", "out")
    assert status == 2
    assert "is there without its record photo-horse2zebra.json" in said


def test_results_do_not_go_among_what_is_read(run, model, tmp_path):
    saved(tmp_path / "photos/a.png")
    for out in ("photos", "photos/made"):
        status, said = run("translate", model, "photos", "--out", out)
        assert status == 2
        assert "name a folder elsewhere" in said
    status, said = run("translate", model, "photos/a.png", "--out", "photos")
    assert status == 2
    assert "name a folder elsewhere" in said
    (tmp_path / "file").write_text("")
    assert run("translate", model, "photos", "--out", "file")[0] == 2


def test_a_file_where_a_folder_is_asked_for_is_refused(run, model, tmp_path):
    saved(tmp_path / "photos/a.png")
    status, said = run("translate", model, "photos/a.png", "--out", "made.png")
    assert status == 2
    assert "each result goes into a folder" in said
    assert not (tmp_path / "made.png").exists()


def test_a_picture_that_was_changed_afterwards_is_not_taken_for_ours(run, model, tmp_path):
    saved(tmp_path / "photo.png")
    assert run("translate", model, "photo.png", "--out", "out")[0] == 0
    assert run("again", "out/photo-horse2zebra.json")[0] == 0
    for folder, command in (
        ("out", ("translate", model, "photo.png", "--out", "out")),
        ("again", ("again", "out/photo-horse2zebra.json")),
    ):
        saved(tmp_path / folder / "photo-horse2zebra.png", photo(seed=5))
        status, said = run(*command)
        assert status == 2
        assert "is not the picture that its record was written for" in said


def test_a_model_that_does_not_translate_says_what_it_does(run, tmp_path):
    from genkit.nn.generators import DCGANGenerator
    from genkit.pipelines import NoiseToImage

    network = DCGANGenerator(6, 1, 16, 2)
    pipeline = NoiseToImage(network, latent_dim=6, image_size=16, channels=1)
    save_export(pipeline, tmp_path / "noise", provenance={"family": "dcgan"}, config_yaml="")
    saved(tmp_path / "photo.png")
    status, said = run("translate", "noise", "photo.png")
    assert status == 2
    assert "does not translate" in said
    assert "genkit sample" in said


# -- what is named ---------------------------------------------------------------------------------


def test_standard_input_is_a_picture(run, model, tmp_path):
    buffer = io.BytesIO()
    photo(12, 8).save(buffer, format="PNG")
    status, said = run("translate", model, "-", "--out", "out", stdin=buffer.getvalue())
    assert status == 0, said
    expected = through(load_pipeline(model).a_to_b, np.array(photo(12, 8)))
    assert np.array_equal(pixels(tmp_path / "out/stdin-horse2zebra.png"), expected)


def test_patterns_folders_and_files_of_one_name_all_have_results(run, model, tmp_path):
    for name in ("one/x.png", "two/x.png", "two/x.jpg", "deep/er/y.png"):
        saved(tmp_path / name, photo(8, 8))
    status, said = run("translate", model, "one", "two/*.png", "two/x.jpg", "deep", "--out", "out")
    assert status == 0, said
    run("translate", model, "d*/**/*.png", "--out", "two")
    assert (tmp_path / "two/deep/er/y-horse2zebra.png").exists()
    made = {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.png")}
    assert made == {
        *("one/x_png-horse2zebra.png", "two/x_png-horse2zebra.png", "x_jpg-horse2zebra.png"),
        "er/y-horse2zebra.png",
    }


def test_a_picture_named_twice_is_made_once(run, model, tmp_path):
    saved(tmp_path / "photos/a.png", photo(8, 8))
    said = run("translate", model, "photos", "photos/a.png", "photos/*", "--out", "out")[1]
    assert "1 picture written" in said


def test_a_sheet_shows_before_and_after(run, model, tmp_path):
    for i in range(3):
        saved(tmp_path / f"photos/{i}.png", photo(20 + i, 16, seed=i))
    status, said = run("translate", model, "photos", "--out", "out", "--grid", "sheet.png")
    assert status == 0
    assert said.splitlines()[-1] == "sheet.png"
    height, width = pixels(tmp_path / "sheet.png").shape[:2]
    assert width > 2 * 128 - 20
    assert height > 3 * 100
    words = ("translate", model, "photos", "--out", "out", "--grid", "sheet.png")
    assert run(*words)[0] == 0
    saved(tmp_path / "sheet.png", photo(9, 9))
    status, said = run(*words)
    assert status == 2
    assert "is no sheet of this very command" in said


def test_the_short_script_makes_what_the_command_makes(run, model, tmp_path, monkeypatch):
    saved(tmp_path / "photo.png")
    run("translate", model, "photo.png", "--out", "out", "--direction", "b2a")
    words = [model, tmp_path / "photo.png", tmp_path / "made.png", "b2a"]
    monkeypatch.setattr("sys.argv", ["translate.py", *map(str, words)])
    runpy.run_path(str(SAMPLE / "translate.py"))
    made = pixels(tmp_path / "made.png")
    assert np.array_equal(made, pixels(tmp_path / "out/photo-zebra2horse.png"))


# -- again -----------------------------------------------------------------------------------------


def test_the_record_makes_the_very_picture_again(run, model, tmp_path):
    saved(tmp_path / "photo.png", photo(mode="RGBA"), icc_profile=PROFILE)
    words = ("--out", "out", "--direction", "b2a", "--tile", 64)
    assert run("translate", model, "photo.png", *words)[0] == 0
    status, said = run("again", "out/photo-zebra2horse.json")
    assert status == 0, said
    assert "every pixel is the same" in said
    first, second = (tmp_path / out / "photo-zebra2horse.png" for out in ("out", "again"))
    assert first.read_bytes() == second.read_bytes()
    record = json.loads((tmp_path / "out/photo-zebra2horse.json").read_text())
    assert run(*shlex.split(record["command"])[1:], "--out", "typed")[0] == 0
    assert (tmp_path / "typed/photo-zebra2horse.png").read_bytes() == first.read_bytes()


def test_tiles_that_memory_asked_for_are_made_again_as_they_were(run, model, tmp_path, monkeypatch):
    saved(tmp_path / "photo.png", photo(300, 200))
    with monkeypatch.context() as patched:
        patched.setattr("genkit.pipelines.any_size.free_memory", lambda device: 1_500_000)
        status, said = run("translate", model, "photo.png", "--out", "out")
    assert status == 0
    assert "tiles of up to" in said
    record = json.loads((tmp_path / "out/photo-horse2zebra.json").read_text())
    assert record["settings"]["tile"] is None
    assert record["tiles"]["tile"] is not None
    assert record["tiles"]["statistics_of"] < [200, 300]
    status, said = run("again", "out/photo-horse2zebra.json")
    assert status == 0, said


def test_a_kill_between_record_and_picture_leaves_nothing_in_the_way(run, model, tmp_path):
    saved(tmp_path / "photo.png")
    run("translate", model, "photo.png", "--out", "out")
    result = tmp_path / "out/photo-horse2zebra.png"
    before = result.read_bytes()
    result.unlink()
    status, said = run("translate", model, "photo.png", "--out", "out")
    assert status == 0, said
    assert "1 picture written" in said
    assert result.read_bytes() == before


def test_another_model_or_picture_is_refused_and_the_right_one_can_be_named(run, model, tmp_path):
    saved(tmp_path / "photo.png")
    assert run("translate", model, "photo.png", "--out", "out")[0] == 0
    other = export(tmp_path / "other", channels=(3, 1))
    record = "out/photo-horse2zebra.json"
    status, said = run("again", record, "--model", other)
    assert (status, "other weights" in said) == (2, True)
    (tmp_path / "photo.png").rename(tmp_path / "moved.png")
    saved(tmp_path / "photo.png", photo(seed=3))
    status, said = run("again", record, "--out", "x")
    assert (status, "another picture" in said) == (2, True)
    assert not (tmp_path / "x").exists()
    (tmp_path / "photo.png").unlink()
    status, said = run("again", record, "--out", "x")
    assert (status, "say where it is by --picture" in said) == (2, True)
    assert run("again", record, "--out", "y", "--picture", "moved.png", "--json")[0] == 0


def test_the_line_that_makes_it_again_does_where_the_first_was_given(run, model, tmp_path):
    saved(tmp_path / "photos/photo.png")
    assert run("translate", model, "photos/photo.png", "--out", "deep/out")[0] == 0
    record = json.loads((tmp_path / "deep/out/photo-horse2zebra.json").read_text())
    assert record["again"] == "genkit again deep/out/photo-horse2zebra.json"
    assert run(*shlex.split(record["again"])[1:])[0] == 0


def test_several_are_made_again_and_one_that_fails_is_named(run, model, tmp_path):
    for i in range(3):
        saved(tmp_path / f"in/{i}.png", photo(seed=i))
    run("translate", model, "in", "--out", "out")
    (tmp_path / "in/1.png").unlink()
    records = sorted((tmp_path / "out").glob("*.json"))
    status, said = run("again", *records)
    assert status == 1
    assert said.count("every pixel is the same") == 2
    assert "say where it is by --picture" in said
    status, said = run("again", *records, "--picture", "in/0.png")
    assert (status, "of one record" in said) == (2, True)


def test_results_made_again_keep_their_names_and_the_folders_of_their_records(run, model, tmp_path):
    for name in ("in/x.png", "in/x.jpg", "in/sub/x.png"):
        saved(tmp_path / name, photo(8, 8))
    run("translate", model, "in", "--out", "out")
    made = sorted(path.relative_to(tmp_path / "out") for path in (tmp_path / "out").rglob("*.png"))
    assert len(made) == 3
    status, said = run("again", *(tmp_path / "out").rglob("*.json"))
    assert status == 0, said
    again = (path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.png"))
    assert sorted(again) == made


def test_a_picture_is_really_made_again_and_never_over_the_one_it_is_compared_with(
    run, model, tmp_path, monkeypatch
):
    saved(tmp_path / "photo.png")
    run("translate", model, "photo.png", "--out", "out")
    record = "out/photo-horse2zebra.json"
    status, said = run("again", record, "--out", "out")
    assert (status, "there lies the picture" in said) == (2, True)
    assert run("again", record)[0] == 0
    monkeypatch.setattr(
        "genkit.verbs.translate.AnySize.__call__",
        lambda self, pixels: (255 - pixels, Way()),
    )
    status, said = run("again", record)
    assert (status, "pixels differ by" in said) == (1, True)


@pytest.mark.parametrize("part", ["tiles", "settings", "direction"])
def test_a_record_that_was_changed_by_hand_is_said_to_be_so(run, model, tmp_path, part):
    saved(tmp_path / "photo.png")
    run("translate", model, "photo.png", "--out", "out")
    path = tmp_path / "out/photo-horse2zebra.json"
    record = json.loads(path.read_text())
    (record["settings"] if part == "direction" else record).pop(part)
    record["settings"] = record.get("settings", {})
    record["picture"] = "../../evil.png"
    path.write_text(json.dumps(record))
    status, said = run("again", path, "--json")
    assert status == 2
    assert "changed by hand" in said
    assert not (tmp_path.parent / "evil.png").exists()


def test_what_came_by_standard_input_or_in_a_zip_is_made_again(run, model, tmp_path):
    buffer = io.BytesIO()
    photo(12, 8).save(buffer, format="PNG")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as file:
        file.writestr("x/a.png", buffer.getvalue())
    run("translate", model, "set.zip", "--out", "zipped")
    assert run("again", "zipped/x/a-horse2zebra.json")[0] == 0
    run("translate", model, "-", "--out", "out", stdin=buffer.getvalue())
    status, said = run("again", "out/stdin-horse2zebra.json")
    assert (status, "give its file by --picture" in said) == (2, True)
    saved(tmp_path / "kept.png", photo(12, 8))
    (tmp_path / "kept.png").write_bytes(buffer.getvalue())
    words = ("--picture", "kept.png", "--out", "two")
    assert run("again", "out/stdin-horse2zebra.json", *words)[0] == 0


def test_what_differs_is_said_with_how_much(run, model, tmp_path):
    saved(tmp_path / "photo.png")
    run("translate", model, "photo.png", "--out", "out")
    path = tmp_path / "out/photo-horse2zebra.json"
    path.write_text(path.read_text().replace('"pixels_sha256": "', '"pixels_sha256": "0'))
    status, said = run("again", path)
    assert status == 1
    assert "whose pixels_sha256 says otherwise: the record was changed" in said


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"format": 9}'])
def test_what_is_no_record_is_refused(run, tmp_path, text):
    (tmp_path / "x.json").write_text(text)
    status, said = run("again", "x.json")
    assert status == 2
    assert "no record of a picture" in said


def test_ctrl_c_says_how_far_it_came_and_the_same_command_goes_on(run, model, tmp_path):
    for i in range(3):
        saved(tmp_path / "in" / f"{i}.png", photo(seed=i))
    command = ("translate", model, tmp_path / "in", "--out", tmp_path / "out")
    real, calls = change_pictures.written, []

    def stopped_in_the_second(*given):
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*given)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(change_pictures, "written", stopped_in_the_second)
        status, text = run(*command)
    assert status != 0
    assert "stopped with 1 of 3 made; the same command goes on" in text
    assert len([*(tmp_path / "out").glob("*.png")]) == 1
    status, text = run(*command)
    assert status == 0
    assert "2 pictures written, 1 there already" in text
