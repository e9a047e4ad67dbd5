"""Pictures as the noise that they come from: closed forms, diffusers' own way back, commands."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest
import torch
from denoisers_at_hand import denoising
from files_at_hand import size_of
from painters_at_hand import SIDE, TEXTS, painter
from PIL import Image
from typer.testing import CliRunner

from genkit.cli import app
from genkit.errors import PipelineError
from genkit.noise.process import NoiseProcess
from genkit.pipelines import save_export, schedulers
from genkit.pipelines.denoise import denoise, invert

from .gaussian import MEAN, STD, exact_pipeline

SHAPE = (2, 1, 8, 8)


def scheduler(name="ddim", **options):
    prediction = "flow" if name == "flow_euler" else "epsilon"
    exported = NoiseProcess(prediction=prediction).scheduler()
    if prediction == "epsilon":
        exported.register_to_config(clip_sample=False)
    return schedulers.make(name, exported, options)


def drawn(shape=SHAPE, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# -- closed forms ----------------------------------------------------------------------------------


def test_a_linear_answer_multiplies_every_step_by_a_number_that_is_known():
    # eps = c x: a step back is x_t = (a_t (1 - c s) / a + s_t c) x, with a, s of the step's end.
    steps, c, x = 5, 0.3, drawn()
    made = invert(scheduler(), lambda x, time, done: c * x, x, steps=steps)
    kept = NoiseProcess().scheduler().alphas_cumprod.double()
    levels = [(1.0, 0.0)]
    levels += [(float(kept[t] ** 0.5), float((1 - kept[t]) ** 0.5)) for t in range(199, 1000, 200)]
    factor = 1.0
    for (a, s), (a_t, s_t) in pairwise(levels):
        factor *= a_t * (1 - c * s) / a + s_t * c
    torch.testing.assert_close(made, factor * x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["ddim", "flow_euler"])
def test_where_the_answer_does_not_change_the_way_back_is_exact(name):
    answer, x = drawn(seed=1), drawn()
    times: list[list[float]] = [[], []]

    def predict(which):
        def asked(x, time, done):
            times[which].append((float(time), done))
            return answer

        return asked

    made = invert(scheduler(name), predict(0), x, steps=7)
    back = denoise(scheduler(name), predict(1), made, [], steps=7)
    torch.testing.assert_close(back, x, atol=1e-4, rtol=0)
    assert times[0] == times[1][::-1]
    if name == "flow_euler":  # x_1 = x_0 + v
        torch.testing.assert_close(made, x + answer)


RECIPES = {
    "epsilon": {},
    "v": {"zero_terminal_snr": True},
    "sample": {"zero_terminal_snr": True},
    "flow": {},
    "flow shifted": {"shift": 3.0},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_on_gaussian_data_noise_and_picture_are_met_ever_better(recipe):
    process = NoiseProcess(prediction=recipe.split()[0], **RECIPES[recipe])
    pipeline = exact_pipeline(process)
    pipeline.scheduler.register_to_config(clip_sample=False)
    pixels = ((MEAN + STD * drawn()).clamp(-1, 1) + 1) / 2
    image = (pixels * 255).round() / 255
    far, psnr = [], []
    for steps in (25, 50, 100):
        found = pipeline.invert(image=image, steps=steps)
        last = 1000.0 if recipe.startswith("flow") else 999.0
        level = schedulers.level_at(pipeline.scheduler, torch.tensor([last]))
        spread = (level.alpha**2 * STD**2 + level.sigma**2).sqrt()
        # The probability flow keeps each pixel's distance from the mean, in standard deviations.
        exact = level.alpha * MEAN + spread * (image * 2 - 1 - MEAN) / STD
        far.append((found.noise - exact).abs().max().item())
        psnr.append(found.psnr.mean().item())
    # Of first order: twice as many steps, half the error, 6 dB more.
    assert far[0] / far[1] == pytest.approx(2, rel=0.25)
    assert far[1] / far[2] == pytest.approx(2, rel=0.25)
    assert psnr[1] - psnr[0] == pytest.approx(6, abs=1.5)
    assert psnr[2] > 38


def test_the_error_is_that_of_what_comes_back():
    pipeline = exact_pipeline(NoiseProcess(prediction="flow"))
    image = (drawn() * 40 + 128).clamp(0, 255).to(torch.uint8)
    found = pipeline.invert(image=image, steps=10)
    again = pipeline(
        noise=found.noise, steps=found.steps, scheduler=found.scheduler, output="tensor"
    )
    error = (again - image / 255).double()
    torch.testing.assert_close(found.l1, error.abs().mean((1, 2, 3)), atol=1e-6, rtol=0)
    square = error.square().mean((1, 2, 3))
    torch.testing.assert_close(found.psnr, -10 * square.log10(), atol=1e-2, rtol=0)
    assert torch.equal(found.back, (again * 255).round().to(torch.uint8))


def test_diffusers_own_way_back_is_the_same_for_epsilon():
    # For v and sample it reads the answer at the level of the known x, ours at that of the time
    # asked; of sample its first step divides by 0.
    from diffusers import DDIMInverseScheduler

    weight = drawn((8, 8), seed=2) / 8

    def predict(x, time, done=0.0):
        return torch.tanh(x @ weight) * (0.5 + float(time) / 1000)

    theirs = DDIMInverseScheduler(
        beta_start=1e-4, beta_end=0.02, clip_sample=False, timestep_spacing="trailing"
    )
    theirs.set_timesteps(20)
    x = drawn()
    expected = x
    for time in theirs.timesteps:
        expected = theirs.step(predict(expected, time), time, expected).prev_sample
    made = invert(scheduler(), predict, x, steps=20)
    torch.testing.assert_close(made, expected, atol=1e-4, rtol=1e-4)


# -- pipelines -------------------------------------------------------------------------------------


def pictures(count, channels=1, side=SIDE):
    keyed = torch.Generator().manual_seed(5)
    return torch.randint(40, 216, (count, channels, side, side), generator=keyed).to(torch.uint8)


@pytest.mark.parametrize("prediction", ["v", "flow"])
def test_noise_of_a_class_gives_its_picture_and_of_another_class_another(prediction):
    pipeline = denoising(prediction, classes=3)
    image = pipeline(2, label=1, seed=1, output="tensor", steps=50, **quiet(prediction))
    found = pipeline.invert(image=image, label=1, steps=50)
    few = pipeline.invert(image=image, label=1, steps=5)
    assert (found.psnr > few.psnr).all()
    call = {"noise": found.noise, "scheduler": found.scheduler, "steps": 50, "output": "tensor"}
    own, other = pipeline(label=1, **call), pipeline(label=2, **call)
    torch.testing.assert_close(own, found.back / 255, atol=0.6 / 255, rtol=0)
    assert (other - own).abs().mean() > 5 * (own - image).abs().mean()


def quiet(prediction):
    return {"scheduler": "flow_euler" if prediction == "flow" else "ddim"}


@pytest.mark.parametrize("prediction", ["flow", "v"])
def test_noise_of_a_text_gives_its_picture_and_of_another_text_another(prediction):
    pipeline = painter(prediction)
    image = pictures(2, 3)
    errors = []
    for steps in (4, 24):
        found = pipeline.invert(image=image, caption=TEXTS[:2], steps=steps)
        with pipeline.generating():  # what the autoencoder alone makes of it
            latents = pipeline.vae.encode(image / 127.5 - 1).latent_dist.mean
            given = {"caption": TEXTS[:2], "noise": found.noise}
            options = pipeline.options(steps=steps, scheduler=found.scheduler)
            begun = pipeline.begin([0, 1], 0, given, options)
            back = pipeline.vae.decode(latents).sample.clamp(-1, 1)
            made = pipeline.generate(begun, given, options)["image"]
        errors.append((made - back).abs().mean().item())
    assert errors[1] < 0.7 * errors[0]
    call = {"noise": found.noise, "steps": steps, "output": "tensor", **quiet(prediction)}
    assert (
        pipeline(caption=TEXTS[2], **call) - pipeline(caption=TEXTS[:2], **call)
    ).abs().max() > 0.01


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"scheduler": "dpmsolver++"}, "which ddim .* and flow_euler .* have; give ddim"),
        ({"eta": 0.5}, "noise that is added on the way has no way back"),
        ({"strength": 0.3}, "strength: says nothing to an inversion"),
        ({"mask": torch.ones(1, 16, 16)}, "mask: says nothing to an inversion"),
        ({"guidance": 2, "label": 1}, "guidance: says nothing to an inversion"),
    ],
)
def test_what_has_no_way_back_is_refused(asked, problem):
    pipeline = denoising(classes=3)
    with pytest.raises(PipelineError, match=problem):
        pipeline.invert(image=pictures(1), steps=2, **asked)


def test_a_model_on_noise_levels_and_a_call_without_pictures_are_refused():
    with pytest.raises(PipelineError, match=r"ddim .* or flow_euler"):
        denoising("edm").invert(image=pictures(1))
    with pytest.raises(PipelineError, match="image: give the pictures to invert"):
        denoising().invert()
    with pytest.raises(PipelineError, match="not taken together"):
        denoising()(image=pictures(1), noise=drawn((1, 1, 16, 16)))


# -- commands --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    place = tmp_path_factory.mktemp("exports")
    made = {"texts": painter(), "classes": denoising(classes=3), "plain": denoising()}
    return {
        name: str(save_export(pipeline, place / name, provenance={}, config_yaml=""))
        for name, pipeline in made.items()
    }


@pytest.fixture
def given(tmp_path):
    folder = tmp_path / "given"
    folder.mkdir()
    for name, image in zip(("a.png", "b.png"), pictures(2, 3), strict=True):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / name)
    return folder


def sample(export, *words):
    done = CliRunner().invoke(
        app, ["sample", export, *map(str, words), "--device", "cpu", "--steps", "4"]
    )
    return done.exit_code, done.output


def test_one_picture_is_shown_beside_what_comes_back_and_what_is_made_of_its_noise(
    exports, given, tmp_path
):
    words = ["--init", given / "a.png", "--invert", "--shows", TEXTS[0], "--prompt", TEXTS[1]]
    status, said = sample(exports["texts"], *words, "--guidance", 2, "--out", tmp_path / "x.png")
    assert status == 0, said
    assert size_of(tmp_path / "x.png")[1] == 3 * 72 + 8
    record = json.loads((tmp_path / "x-inversion.json").read_text())
    (row,) = record["pictures"]
    image = np.asarray(Image.open(given / "a.png"))
    pipeline = painter()
    found = pipeline.invert(image=image, caption=TEXTS[0], steps=4)
    assert row["psnr"] == record["psnr"] == pytest.approx(found.psnr.item(), abs=0.01)
    assert row["l1"] == pytest.approx(found.l1.item(), abs=1e-4)
    assert (record["scheduler"], record["steps"]) == ("flow_euler", 4)
    assert f"a.png comes back with PSNR {row['psnr']:.1f} dB" in said


def test_of_a_folder_each_picture_is_made_again_with_its_error_beside(exports, given, tmp_path):
    rows = [{"file_name": f"{name}.png", "caption": TEXTS[0]} for name in "ab"]
    (given / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    words = ["--given", given, "--invert", "--prompt", TEXTS[1], "--out", tmp_path / "made"]
    status, said = sample(exports["texts"], *words)
    assert status == 0, said
    assert sorted(path.name for path in (tmp_path / "made").glob("*.png")) == ["a.png", "b.png"]
    record = json.loads((tmp_path / "made-inversion.json").read_text())
    assert [
        row["picture"].endswith(n)
        for row, n in zip(record["pictures"], ("a.png", "b.png"), strict=True)
    ] == [True] * 2
    assert record["psnr"] == pytest.approx(
        np.mean([r["psnr"] for r in record["pictures"]]), abs=0.01
    )
    assert "mean of 2 pictures" in said
    lines = (tmp_path / "made" / "metadata.jsonl").read_text().splitlines()
    assert {json.loads(line)["caption"] for line in lines} == {TEXTS[1]}
    images = torch.stack(
        [torch.from_numpy(np.array(Image.open(given / f"{n}.png"))).permute(2, 0, 1) for n in "ab"]
    )
    pipeline = painter()
    noise = pipeline.invert(image=images, caption=TEXTS[0], steps=4).noise
    expected = pipeline(noise=noise, caption=TEXTS[1], steps=4, output="np").astype(int)
    shown = np.stack([np.array(Image.open(tmp_path / "made" / f"{n}.png")) for n in "ab"])
    assert np.abs(shown - expected).max() <= 1
    again = sample(exports["texts"], *words, "--json")
    assert json.loads(again[1].splitlines()[-1])["written"] == 0


def test_classes_are_named_and_models_without_any_need_no_word(exports, given, tmp_path):
    words = ["--init", given / "a.png", "--invert", "--out", tmp_path / "x.png"]
    status, said = sample(exports["classes"], *words, "--shows", "1", "--labels", "0-2")
    assert status == 0, said
    assert size_of(tmp_path / "x.png")[1] == 5 * 72 + 8
    status, said = sample(exports["plain"], *words)
    assert status == 0, said


@pytest.mark.parametrize(
    ("which", "words", "problem"),
    [
        ("texts", ["--invert"], "give pictures too, by --init PICTURE or --given FOLDER"),
        ("texts", ["--init", "A", "--invert", "--prompt", "b"], "by --shows TEXT"),
        ("classes", ["--init", "A", "--invert"], "by --shows TEXT (or CLASS)"),
        ("plain", ["--init", "A", "--invert", "--shows", "b"], "knows no texts and no classes"),
        ("texts", ["--init", "A", "--shows", "b", "--prompt", "b"], "add --invert, or leave it"),
        ("plain", ["--init", "A", "--invert", "--strength", ".5"], "leave --strength out"),
        ("plain", ["--init", "A", "--invert", "--seed", "3"], "leave --seed out"),
        ("plain", ["--init", "A", "--invert", "--count", "3"], "leave --count out"),
        ("plain", ["--init", "A", "--invert", "--eta", "1"], "leave --eta out"),
        ("plain", ["--init", "A", "--invert", "--processes", "2"], "--invert is work of one"),
        ("plain", ["--init", "A", "--invert", "--scheduler", "heun"], "give ddim, or leave it"),
    ],
)
def test_what_says_nothing_to_it_is_refused(exports, given, tmp_path, which, words, problem):
    words = [str(given / "a.png") if word == "A" else word for word in words]
    status, said = sample(exports[which], *words, "--out", tmp_path / "x.png")
    assert (status, problem in " ".join(said.split())) == (2, True), said
