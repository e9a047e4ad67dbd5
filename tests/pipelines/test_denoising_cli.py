from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from denoisers_at_hand import SIDE, denoising
from files_at_hand import arrays_of, size_of
from PIL import Image
from typer.testing import CliRunner

from genkit.cli import app
from genkit.cli.diffusion import Options
from genkit.cli.drawing import Advance, bar
from genkit.errors import PipelineError
from genkit.pipelines import load_pipeline, read_mask, save_export
from genkit.verbs import sample as verb

GUIDED = ["--scheduler", "heun", "--steps", 3, "--guidance", 2, "--guidance-interval", "0.1,0.9"]
CELL = SIDE + 2  # px of a sheet, before it is enlarged


def run_of(pipeline: object, folder: Path) -> Path:
    config = "family: ddpm\n"
    save_export(pipeline, folder / "export", provenance={}, config_yaml=config)
    (folder / "config.yaml").write_text(config)
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with a diffusion model of three classes."""
    return run_of(denoising(classes=3), tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """One without classes."""
    return run_of(denoising(), tmp_path_factory.mktemp("free"))


@pytest.fixture
def sample(monkeypatch):
    """`genkit sample` on the CPU; its result."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    def call(*words: object):
        return CliRunner().invoke(app, ["sample", "--device", "cpu", *map(str, words)])

    return call


@pytest.fixture
def files(tmp_path):
    """A picture, a mask whose white part is in the middle, and such of another size."""
    keyed = np.random.default_rng(0)
    picture = keyed.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[4:9, 5:11] = 255
    named = {"picture": picture, "mask": mask, "black": 0 * mask}
    named |= {"large": np.kron(picture, np.ones((2, 2), np.uint8)), "wide": picture[:8]}
    for name, pixels in named.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "picture.png")
    (tmp_path / "torn.png").write_bytes((tmp_path / "large.png").read_bytes()[:200])
    return {name: tmp_path / f"{name}.png" for name in (*named, "link", "torn", "lost")}


def arrays(path: Path) -> np.ndarray:
    return arrays_of(path)["images"]


def far(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.abs(a.astype(int) - b).max())


# -- options ---------------------------------------------------------------------------------------


def test_every_option_arrives_and_is_recorded(sample, run, tmp_path):
    more = ["--guidance-rescale", 0.5, "--option", "use_karras_sigmas=true", "--precision", "bf16"]
    words = [*GUIDED, *more, "--count", 4, "--seed", 5, "--labels", "2,0"]
    done = sample(run, *words, "--out", tmp_path / "x")
    assert done.exit_code == 0, done.output
    recorded = json.loads((tmp_path / "x" / "samples.json").read_text())["sampling"]
    assert recorded == {
        "scheduler": "heun",
        "steps": 3,
        "guidance": 2.0,
        "guidance_interval": [0.1, 0.9],
        "guidance_rescale": 0.5,
        "options": {"use_karras_sigmas": True},
        "precision": "bf16",
        "eta": 0.0,
    }
    expected = load_pipeline(run)(
        4,
        seed=5,
        label=[2, 0],
        output="np",
        **recorded | {"guidance_interval": (0.1, 0.9)},
    )
    for i, image in enumerate(expected):
        assert np.array_equal(np.array(Image.open(tmp_path / "x" / f"{i:06d}.png")), image[..., 0])


@pytest.mark.parametrize(
    "words",
    [
        ["--scheduler", "ddim"],
        ["--steps", 5],
        ["--guidance", 3],
        ["--guidance", 3, "--guidance-interval", "0.5,1"],
        ["--guidance", 3, "--guidance-rescale", 0.9],
        ["--scheduler", "ddim", "--eta", 1],
        ["--option", "solver_order=1"],
        ["--precision", "bf16"],
    ],
)
def test_each_option_changes_the_images(sample, run, tmp_path, words):
    base = ["--steps", 4, "--count", 3]
    if "--eta" in words:
        base += ["--scheduler", "ddim"]
    elif "--guidance-interval" in words or "--guidance-rescale" in words:
        base += words[:2]
    for name, extra in (("a", []), ("b", words)):
        done = sample(run, *base, *extra, "--out", tmp_path / f"{name}.npz")
        assert done.exit_code == 0, done.output
    assert far(arrays(tmp_path / "a.npz"), arrays(tmp_path / "b.npz")) >= 1


def test_other_options_than_those_of_the_samples_are_refused(sample, run, tmp_path):
    words = [run, *GUIDED, "--count", 3, "--out", tmp_path / "x.npz"]
    assert [sample(*words).exit_code for _ in range(2)] == [0, 0]
    done = sample(*words, "--guidance", 3)
    assert done.exit_code == 2
    assert "holds other samples (sampling.guidance is 2.0, asked for 3.0)" in done.stderr


def test_two_processes_make_the_images_of_one_with_options_too(sample, run, tmp_path):
    more = ["--option", "use_karras_sigmas=true", "--option", "timestep_spacing=linspace"]
    words = [run, *GUIDED, *more, "--guidance-rescale", 0.3, "--count", 9]
    for name, extra in (("alone", ["--batch-size", 4]), ("both", ["--processes", 2])):
        size = [] if name == "alone" else ["--batch-size", 3]
        done = sample(*words, *extra, *size, "--out", tmp_path / f"{name}.npz")
        assert done.exit_code == 0, done.output
    assert far(arrays(tmp_path / "alone.npz"), arrays(tmp_path / "both.npz")) <= 1


def test_options_are_keywords_of_the_call_where_they_are_given():
    options = Options("ddim", 7, 2.5, "0.1,0.9", 0.5, 1.0, "bf16", ["a=1e-3", "b=x=y"])
    assert options.of_call() == {
        "scheduler": "ddim",
        "steps": 7,
        "guidance": 2.5,
        "guidance_interval": (0.1, 0.9),
        "guidance_rescale": 0.5,
        "eta": 1.0,
        "precision": "bf16",
        "options": {"a": 0.001, "b": "x=y"},
    }
    assert Options().of_call() == {}


@pytest.mark.parametrize(
    ("text", "value"), [("3", 3), ("true", True), ("1e-4", 1e-4), ("karras", "karras"), ("", None)]
)
def test_a_scheduler_option_is_a_yaml_scalar(text, value):
    assert Options(option=[f"name={text}"]).of_call()["options"] == {"name": value}


@pytest.mark.parametrize("text", ["true # x", "[1", "&a 3", "!!int 3", "[" * 100_000, "9" * 5000])
def test_a_scheduler_option_of_which_yaml_would_drop_something_is_refused(text):
    with pytest.raises(PipelineError, match="is no single value") as refused:
        Options(option=[f"name={text}"]).of_call()
    assert len(str(refused.value)) < 1000


@pytest.mark.slow
def test_compiled_samples_are_the_same(sample, run, tmp_path):
    for name, extra in (("a", []), ("b", ["--compile"])):
        words = ["--count", 5, "--batch-size", 4, "--steps", 3, "--guidance", 2, *extra]
        done = sample(run, *words, "--out", tmp_path / f"{name}.npz")
        assert done.exit_code == 0, done.output
    assert far(arrays(tmp_path / "a.npz"), arrays(tmp_path / "b.npz")) <= 1


# -- editing ---------------------------------------------------------------------------------------


def test_variants_of_a_picture_go_to_a_sheet_by_default(sample, run, files):
    done = sample(run, "--init", files["picture"], "--steps", 3)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(run / "variants.png")
    sheet = np.array(Image.open(run / "variants.png"))
    assert sheet.shape == (32 + 21 + 4 * (CELL + 2), 4 * (9 * CELL + 2))
    sheet = sheet[-4 * (CELL + 2) :]
    cells = [sheet[8:-8:4, 8 + 4 * CELL * i :: 4][:, :SIDE] for i in range(9)]
    assert np.array_equal(cells[0], np.array(Image.open(files["picture"])))
    assert len({cell.tobytes() for cell in cells}) == 9


def test_a_variant_is_the_same_in_a_sheet_and_in_a_folder_by_two_processes(
    sample, run, files, tmp_path
):
    words = [run, "--init", files["picture"], "--strength", 0.4, "--steps", 5, "--labels", 1]
    for extra in (["--out", tmp_path / "x.png", "--count", 3], ["--out", tmp_path / "x"]):
        folder = ["--count", 5, "--batch-size", 2, "--processes", 2] if len(extra) == 2 else []
        done = sample(*words, *extra, *folder)
        assert done.exit_code == 0, done.output
    sheet = np.array(Image.open(tmp_path / "x.png"))[-4 * (CELL + 2) :]
    for i in range(3):
        cell = sheet[8:-8:4, 8 + 4 * CELL * (i + 1) :: 4][:, :SIDE]
        assert far(cell, np.array(Image.open(tmp_path / "x" / f"{i:06d}.png"))) <= 1
    assert len(list((tmp_path / "x").glob("*.png"))) == 5
    recorded = json.loads((tmp_path / "x" / "samples.json").read_text())
    assert recorded["sampling"]["strength"] == 0.4
    assert recorded["given"].keys() == {"image"}


def test_what_the_mask_leaves_black_stays_exactly(sample, run, files, tmp_path):
    words = ["--inpaint", files["picture"], "--mask", files["mask"], "--steps", 4, "--count", 3]
    done = sample(run, *words, "--out", tmp_path / "x.npz")
    assert done.exit_code == 0, done.output
    picture, mask = (np.array(Image.open(files[name])) for name in ("picture", "mask"))
    for image in arrays(tmp_path / "x.npz")[..., 0]:
        assert np.array_equal(image[mask == 0], picture[mask == 0])
        assert (image[mask > 0] != picture[mask > 0]).mean() > 0.8


def test_another_picture_or_mask_is_refused_where_variants_are(sample, run, files, tmp_path):
    words = [run, "--count", 2, "--steps", 2, "--out", tmp_path / "x"]
    assert sample(*words, "--init", files["picture"]).exit_code == 0
    done = sample(*words, "--init", files["mask"])
    assert done.exit_code == 2
    assert "holds other samples (given.image is " in done.stderr


# -- the way ---------------------------------------------------------------------------------------


def test_a_trajectory_is_three_strips_for_each_image_and_makes_no_samples(sample, run, tmp_path):
    done = sample(run, "--trajectory", tmp_path / "way.png", "--labels", "0,2", "--steps", 12)
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(tmp_path / "way.png")
    assert not (run / "samples.npz").exists()
    sheet = torch.from_numpy(np.array(Image.open(tmp_path / "way.png")))
    title, words = 32, 21  # px; the words stand above the first two strips of each image
    assert sheet.shape[0] == title + 2 * (2 * words + 3 * 4 * CELL) + 8
    sheet = sheet[:, -4 * (10 * CELL + 2) :]
    second = sheet[-(words + 2 * 4 * CELL + 4 * CELL + 8) :]
    tops = [8, 8 + 4 * CELL + words, 8 + 2 * 4 * CELL + words]
    strips = [second[top::4, 8::4][:SIDE] for top in tops]
    image = load_pipeline(run)(2, label=[0, 2], steps=12, output="np")[1, ..., 0]
    # The first strip begins with the image, the second ends with it.
    assert far(strips[1][:, 9 * CELL :][:, :SIDE].numpy(), image) <= 1
    begins = strips[0][:, :SIDE].numpy().astype(int)
    assert np.abs(begins - image).mean() < 15
    assert np.abs(strips[0][:, 9 * CELL :][:, :SIDE].numpy() - image.astype(int)).mean() > 40


def test_a_trajectory_can_come_with_samples(sample, free, tmp_path):
    words = ["--trajectory", tmp_path / "way.png", "--out", tmp_path / "x.npz", "--count", 2]
    done = sample(free, *words, "--steps", 2, "--json")
    told = json.loads(done.stdout)
    assert (told["trajectory"], told["written"]) == (str(tmp_path / "way.png"), 2)
    assert size_of(tmp_path / "way.png")[1] == 32 + 4 * (2 * 21 + 3 * 4 * CELL) + 8  # of 4 images


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("RUN --steps 51", "steps: 51 is more than the 50 timesteps of this model; give 50"),
        ("RUN --labels 3", "labels '3': '3' is no class; they are 0 to 2"),
        ("FREE --guidance 2", "guidance: this model knows no classes to be guided by"),
        ("RUN --scheduler edm_euler", "choose one of ddpm, ddim"),
        ("RUN --scheduler dpmsolver", "did you mean"),
        ("RUN --option use_karras=1", "did you mean 'use_karras_sigmas'?"),
        ("RUN --option use_karras_sigmas", "write NAME=VALUE"),
        ("RUN --option sigmas=[1,2]", "is no single value; write a number, a word, true or false"),
        ("RUN --guidance 2 --guidance-interval 0.5", "write LOW,HIGH, for example 0.1,0.8"),
        ("RUN --guidance 2 --guidance-interval 0.8,0.1", "must be low < high within 0 to 1"),
        ("RUN --guidance nan", "guidance: must be a number from 0 on, got nan"),
        ("RUN --precision fp8", "give one of auto, fp32, bf16"),
        ("RUN --eta 1", "eta: is for ddim; with dpmsolver++ leave it out"),
        ("RUN --init PICTURE --strength 0", "strength: must be above 0 and at most 1, got 0.0"),
        ("RUN --init PICTURE --strength 2", "strength: must be above 0 and at most 1, got 2.0"),
        ("RUN --init LARGE", "is 32 x 32 px, expected 16 x 16 px, the size of this model's "
         "images; resize it to that"),
        ("RUN --init WIDE", "is 16 x 8 px, expected 16 x 16 px"),
        ("RUN --init LOST", "no such file; give a picture of 16 x 16 px"),
        ("RUN --init TORN", "not a readable image"),
        ("RUN --inpaint PICTURE --mask LARGE", "is 32 x 32 px, expected 16 x 16 px"),
        ("RUN --inpaint PICTURE --mask BLACK", "black everywhere, so nothing would change; paint"),
        ("RUN --inpaint PICTURE", "--inpaint: needs --mask FILE"),
        ("RUN --init PICTURE --mask MASK", "give it with --inpaint"),
        ("RUN --init PICTURE --inpaint PICTURE --mask MASK", "give one picture to begin with"),
        ("RUN --strength 0.5", "--strength: says how much of a picture to change; give --init"),
        ("RUN --init PICTURE --grid x.png", "for a sheet of variants give --out FILE.png"),
        ("RUN --init PICTURE --processes 2", "a sheet is made by one process; leave it out, or"),
        ("RUN --trajectory x.gif", "--trajectory x.gif: what is written there ends in .png"),
        ("RUN --init PICTURE --out PICTURE", "picture.png: that is read here"),
        ("RUN --init PICTURE --out LINK", "link.png: that is read here"),
        ("RUN --inpaint PICTURE --mask MASK --out MASK", "mask.png: that is read here"),
        ("RUN --inpaint PICTURE --mask MASK --out PICTURE", "picture.png: that is read here"),
        ("GAN --steps 5", "steps: this generator makes images in one pass"),
        ("GAN --guidance 2", "guidance: this generator makes images in one pass"),
        ("GAN --option a=1", "options: this generator makes images in one pass"),
        ("GAN --compile", "compile: this generator makes images in one pass"),
        ("GAN --init PICTURE", "init and inpaint: this generator makes images in one pass"),
        ("GAN --trajectory x.png", "x.png: this generator makes images in one pass"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_that_says_what_to_do(
    sample, run, free, exported, files, monkeypatch, tmp_path, words, said
):
    monkeypatch.chdir(tmp_path)
    (exported.parent / "config.yaml").write_text("family: cgan\n")
    places = {"RUN": run, "FREE": free, "GAN": exported.parent}
    places |= {name.upper(): path for name, path in files.items()}
    done = sample(*(places.get(word, word) for word in words.split()))
    assert done.exit_code == 2, done.output
    assert done.stderr.startswith("genkit: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


# -- progress --------------------------------------------------------------------------------------


def test_the_bar_moves_within_a_batch_and_counts_for_all_processes():
    told: list[float] = []
    advance = Advance(total=20, own=10, batch_size=8, tell=told.append)
    for step in (1, 2):
        advance.step(step, 2)
    advance.batch(8)
    advance.step(1, 2)
    advance.batch(2)
    assert told == [8.0, 16.0, 16.0, 18.0, 20.0]


def test_steps_reach_the_bar_and_no_longer_when_it_is_gone(monkeypatch, free, tmp_path):
    told: list[float] = []
    pipeline = load_pipeline(free)
    monkeypatch.setattr(Advance, "step", lambda self, done, steps: told.append(done / steps))
    monkeypatch.setattr(verb, "load_pipeline", lambda *_, **__: pipeline)
    request = verb.Request(
        str(free), 3, out=tmp_path / "x.npz", batch_size=2, device="cpu", options={"steps": 2}
    )
    assert verb.sample(request, bar)["written"] == 3
    assert told == [0.5, 1.0] * 2
    assert pipeline.on_step is None


def test_a_mask_of_greys_is_split_in_the_middle(free, tmp_path):
    greys = np.linspace(0, 255, SIDE * SIDE).reshape(SIDE, SIDE).astype(np.uint8)
    Image.fromarray(greys).save(tmp_path / "greys.png")
    mask = read_mask(tmp_path / "greys.png", load_pipeline(free))
    assert np.array_equal(mask[0].numpy(), greys >= 128)
    Image.fromarray(greys).resize((8, 8)).save(tmp_path / "small.png")
    with pytest.raises(PipelineError, match="is 8 x 8 px, expected 16 x 16 px"):
        read_mask(tmp_path / "small.png", load_pipeline(free))


def rgba(alpha: np.ndarray, value: int = 255) -> Image.Image:
    grey = np.full_like(alpha, value)
    return Image.fromarray(np.stack([grey, grey, grey, alpha], -1))


UPPER = np.zeros((SIDE, SIDE), np.uint8)
UPPER[: SIDE // 2] = 255


@pytest.mark.parametrize(
    ("mask", "said"),
    [
        (rgba(UPPER), "is transparent where it must say black or white; save it without"),
        (rgba(UPPER).convert("LA"), "is transparent where it must say black or white"),
        (rgba(255 - UPPER, 0), "is transparent where it must say black or white"),
        (Image.new("L", (SIDE, SIDE), 255), "is white everywhere, so nothing would be kept"),
        (Image.new("RGBA", (SIDE, SIDE), "white"), "is white everywhere, so nothing would be"),
        (Image.new("L", (SIDE, SIDE), 100), r"is nowhere white \(at most 100 of 255\)"),
        (Image.fromarray(UPPER // 255), r"is nowhere white \(at most 1 of 255\)"),
        (Image.new("L", (SIDE, SIDE), 0), "is black everywhere, so nothing would change"),
    ],
)
def test_a_mask_that_does_not_say_what_to_keep_is_refused(free, tmp_path, mask, said):
    mask.save(tmp_path / "m.png")
    with pytest.raises(PipelineError, match=rf"m\.png: this mask {said}"):
        read_mask(tmp_path / "m.png", load_pipeline(free))


def test_a_mask_with_a_layer_of_opacity_is_taken_where_it_is_opaque(free, tmp_path):
    opaque = Image.fromarray(UPPER).convert("RGBA")
    opaque.save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", load_pipeline(free))
    assert np.array_equal(mask[0].numpy(), UPPER > 0)
