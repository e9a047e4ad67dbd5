"""Metrics of live pipelines, and by several processes."""

import json
import os
import shutil
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from families_at_hand import tiny, trainer

import genkit
from genkit.errors import EvaluationError, PipelineError
from genkit.images import png_bytes
from genkit.pipelines.export import save_export
from genkit.random import generator
from genkit.rows.base import image_rows
from genkit.rows.batch import DataInfo
from genkit.rows.columns import Class, Image
from genkit.verbs.evaluate import evaluate_samples
from genkit.verbs.live import opened

DIGITS = {"extractors": ["digits"]}  # the sets here are noise, for which it is not the default


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


def noise(count, purpose="noise"):
    drawn = torch.randint(256, (count, 1, 16, 16), generator=generator(0, purpose))
    return drawn.to(torch.uint8)


def write(folder, images):
    folder.mkdir(parents=True)
    for i, image in enumerate(images):
        (folder / f"{i:05d}.png").write_bytes(png_bytes(image))
    return folder


@pytest.mark.parametrize("count", [600, 1001])
def test_any_number_of_processes_gives_the_same_numbers(count, tmp_path):
    fake, real = write(tmp_path / "fake", noise(count)), write(tmp_path / "real", noise(300, "r"))
    found = {}
    for processes in (1, 2, 3):
        found[processes] = evaluate_samples(
            fake, str(real), out=tmp_path / f"{processes}.json", processes=processes, **DIGITS
        )
        (tmp_path / "cache").rename(tmp_path / f"cache-{processes}")  # each extracts anew
    for processes in (2, 3):
        for one, other in zip(found[1].metrics, found[processes].metrics, strict=True):
            assert one.name == other.name
            assert other.value == pytest.approx(one.value, rel=1e-9)
            assert other.low == pytest.approx(one.low, rel=1e-6)


def test_moments_that_are_streamed_are_those_of_one_process_too(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    for name in ("fake", "real"):
        pixels = noise(4500, name).permute(0, 2, 3, 1).numpy()  # more than the rows that are kept
        np.savez(tmp_path / f"{name}.npz", images=pixels)
    found = {}
    for processes in (1, 2, 3):
        found[processes] = evaluate_samples(
            tmp_path / "fake.npz",
            str(tmp_path / "real.npz"),
            extractors=["extractor_of_ones_own:Corners"],
            metrics=["fd"],
            out=tmp_path / f"{processes}.json",
            processes=processes,
        )["fd-corners"]
        shutil.rmtree(tmp_path / "cache")
    for processes in (2, 3):
        assert found[processes].value == pytest.approx(found[1].value, rel=1e-9)
        assert found[processes].low == pytest.approx(found[1].low, rel=1e-9)


def test_more_processes_than_batches_leave_some_without_images(tmp_path):
    fake, real = write(tmp_path / "fake", noise(30)), write(tmp_path / "real", noise(40, "r"))
    one = evaluate_samples(fake, str(real), out=tmp_path / "1.json", metrics=["fd"], **DIGITS)
    two = evaluate_samples(
        fake, str(real), out=tmp_path / "2.json", metrics=["fd"], processes=2, workers=2, **DIGITS
    )
    assert two["fd-digits"].value == pytest.approx(one["fd-digits"].value, rel=1e-9)


def test_an_error_in_one_process_is_an_error_and_no_waiting(tmp_path):
    fake, real = write(tmp_path / "fake", noise(300)), write(tmp_path / "real", noise(40, "r"))
    (fake / "00299.png").write_bytes(b"no picture")  # of the second process
    with pytest.raises(genkit.errors.GenkitError, match="00299"):
        evaluate_samples(fake, str(real), out=tmp_path / "out.json", processes=2, **DIGITS)


# -- live pipelines --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """A tiny unconditional diffusion model, as trained and exported."""
    folder = tmp_path_factory.mktemp("run")
    run = trainer(tiny("ddpm"), folder)
    save_export(run.pipeline(), folder / "export", provenance={}, config_yaml="")
    run.close()
    return folder / "export"


def test_a_live_pipeline_is_measured_as_its_images_in_files_are(export, tmp_path):
    pipeline = genkit.load_pipeline(export)
    size = pipeline.gives["image"].side
    real = image_rows("real", noise(40)[:, :, :size, :size])
    options = {"steps": 2, "scheduler": "ddim"}
    live = genkit.evaluate(pipeline, real, count=20, batch_size=7, options=options, **DIGITS)
    pixels = torch.cat([made["image"] for _, made in pipeline.stream(range(20), **options)])
    files = genkit.evaluate(image_rows("files", pixels), real, **DIGITS)
    assert live["fd-digits"].value == pytest.approx(files["fd-digits"].value, rel=1e-5)
    by_path = genkit.evaluate(export, real, count=20, options=options, **DIGITS)
    assert by_path["fd-digits"].value == pytest.approx(live["fd-digits"].value, rel=1e-5)


def test_images_that_are_not_finite_are_refused_and_counted(export):
    pipeline = genkit.load_pipeline(export)
    with torch.no_grad():
        pipeline.denoiser.conv_out.bias.fill_(float("nan"))
    real = image_rows("real", noise(40))
    with pytest.raises(PipelineError, match="7 of 7 images are not finite"):
        genkit.evaluate(pipeline, real, count=20, batch_size=7, options={"steps": 1}, **DIGITS)


def test_what_says_how_to_draw_is_refused_where_nothing_is_drawn(export):
    images = image_rows("real", noise(40))
    with pytest.raises(EvaluationError, match="count: says how a pipeline draws"):
        genkit.evaluate(images, images, count=20)
    with pytest.raises(EvaluationError, match="prompts: a Denoising makes no pictures of texts"):
        genkit.evaluate(export, images, prompts=["a seven"])


def test_a_plain_diffusers_pipeline_is_measured_in_three_lines(capsys):
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DModel(
            sample_size=16,
            in_channels=1,
            out_channels=1,
            block_out_channels=(32, 32),
            layers_per_block=1,
            down_block_types=("DownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "UpBlock2D"),
        )
    pipeline = DDIMPipeline(unet, DDIMScheduler())
    real = image_rows("real", noise(40))
    options = {"num_inference_steps": 2}
    found = genkit.evaluate(pipeline, real, count=12, options=options, **DIGITS)
    assert not capsys.readouterr().err, "a bar for each batch"
    assert not getattr(pipeline, "_progress_bar_config", {})
    assert found.samples["count"] == 12
    assert found["fd-digits"].value > 0
    again = genkit.evaluate(pipeline, real, count=12, batch_size=5, options=options, **DIGITS)
    assert again["fd-digits"].value == pytest.approx(found["fd-digits"].value, rel=1e-4)


def test_prompts_go_to_the_images_in_turn():
    asked = []

    class Painter:
        components: ClassVar = {}

        def __call__(self, *, prompt, generator, output_type):
            asked.extend(prompt)
            pixels = [[[[len(p) / 10] * 3] * 8] * 8 for p in prompt]
            return type("Out", (), {"images": torch.tensor(pixels)})

    real = image_rows("real", noise(20))
    genkit.evaluate(Painter(), real, count=7, batch_size=4, prompts=["a", "bb"], **DIGITS)
    assert asked == ["a", "bb", "a", "bb", "a", "bb", "a"]


def test_the_identity_of_a_live_set_knows_its_weights_seed_and_options(export):
    pipeline = genkit.load_pipeline(export)
    real = image_rows("real", noise(40))

    def identity(**how):
        found = genkit.evaluate(pipeline, real, count=10, metrics=["fd"], **DIGITS, **how)
        return found.samples["sha256"]

    first = identity(options={"steps": 1})
    assert identity(options={"steps": 1}, batch_size=3) == first
    assert identity(options={"steps": 1}, seed=1) != first
    assert identity(options={"steps": 2}) != first


def test_a_run_is_measured_without_naming_anything(tmp_path):
    run = genkit.train(tiny("dcgan"), out=tmp_path / "run")
    with pytest.raises(EvaluationError, match="no reference: name real images"):
        genkit.evaluate(image_rows("samples", noise(20)))
    live = evaluate_samples(run, count=30, metrics=["fd"])
    assert live.reference["name"] == "synthetic:glyphs:test"
    assert live.samples["name"] == "30 images of a NoiseToImage"
    assert type(live).load(run / "evaluation.json") == live
    pixels = torch.cat([made["image"] for _, made in genkit.load_pipeline(run).stream(range(30))])
    np.savez(run / "samples.npz", images=pixels.permute(0, 2, 3, 1).numpy())
    stored = evaluate_samples(run, train=f"{run}:train", metrics=["fd"])
    assert stored.samples["name"] == "samples.npz"
    assert stored.train["name"] == "synthetic:glyphs:train"
    assert stored["fd-digits"].value == pytest.approx(live["fd-digits"].value, rel=1e-6)
    assert (run / "nearest.png").is_file()
    assert not any("older than" in note for note in stored.notes)
    os.utime(run / "samples.npz", (0, 0))
    old = evaluate_samples(run, metrics=["fd"], out=tmp_path / "old.json")
    assert [note for note in old.notes if "samples.npz is older than the run's export" in note]
    by_file = evaluate_samples(run / "samples.npz", metrics=["fd"], out=tmp_path / "file.json")
    named = evaluate_samples(run / "samples.npz", str(run), metrics=["fd"], out=tmp_path / "n.json")
    assert by_file.metrics == named.metrics


def test_a_task_is_refused_where_nothing_is_measured_at_one():
    with pytest.raises(EvaluationError, match="task=translation: says what a pipeline of genkit"):
        genkit.evaluate(image_rows("samples", noise(20)), "mnist:test", task="translation")


def test_what_is_no_set_and_no_pipeline_is_refused():
    with pytest.raises(EvaluationError, match="a int, expected rows, a path, or a pipeline"):
        genkit.evaluate(3, "synthetic:glyphs:test")


def test_stored_samples_of_a_run_have_the_classes_that_it_was_trained_on(tmp_path):
    columns = {"image": Image((16, 16), 1), "label": Class(3, ("ant", "bee", "cat"))}
    tree = DataInfo("set", 9, "0", columns).to_tree()
    np.savez(tmp_path / "samples.npz", images=noise(20).permute(0, 2, 3, 1), labels=[0, 2] * 10)
    for name in ("ant", "cat"):  # without bee, so that by itself cat would be number 1
        write(tmp_path / "real" / name, noise(10, name))
    (tmp_path / "provenance.json").write_text("{}")
    assert opened(tmp_path / "samples.npz", "cpu").class_names is None
    (tmp_path / "provenance.json").write_text(json.dumps({"data": tree}))
    asked = {**DIGITS, "metrics": ["fd-class"]}
    found = genkit.evaluate(tmp_path / "samples.npz", tmp_path / "real", **asked)
    assert found["fd-class-digits"].protocol["classes"] == 2
    np.savez(tmp_path / "samples.npz", images=noise(20).permute(0, 2, 3, 1), labels=[0, 1] * 10)
    found = genkit.evaluate(tmp_path / "samples.npz", tmp_path / "real", **asked)
    assert not found.metrics
    assert "class bee has 10 samples and 0 reference images, fewer than 10" in found.notes[0]


def test_an_evaluation_comes_back_from_its_file(tmp_path):
    images = image_rows("images", noise(30))
    found = genkit.evaluate(images, images, **DIGITS)
    found.save(tmp_path / "evaluation.json")
    assert json.loads((tmp_path / "evaluation.json").read_text())["format"] == 1
    assert type(found).load(tmp_path / "evaluation.json") == found
