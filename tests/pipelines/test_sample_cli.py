from __future__ import annotations

import importlib
import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from denoisers_at_hand import SIDE, denoising
from files_at_hand import arrays_of, size_of
from PIL import Image
from typer.testing import CliRunner

from genkit.cli import app
from genkit.pipelines import load_pipeline, save_export, write_samples
from genkit.rows.combine import fitted
from genkit.rows.files import open_path
from genkit.verbs.sample_outputs import default_out

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(exported):
    """A run folder with an export of three classes."""
    (exported.parent / "config.yaml").write_text("family: cgan\n")
    return exported.parent


@pytest.fixture
def genkit_sample(monkeypatch):
    """`genkit sample` on the CPU; its result."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)

    def call(*words: object):
        return CliRunner().invoke(app, ["sample", "--device", "cpu", *map(str, words)])

    return call


def test_samples_of_a_run_go_into_it_by_default(genkit_sample, run):
    done = genkit_sample(run, "--count", 6, "--seed", 3, "--labels", "0-1")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(run / "samples.npz")
    arrays = arrays_of(run / "samples.npz")
    assert arrays["labels"].tolist() == [0, 1] * 3
    expected = load_pipeline(run)(6, seed=3, label=[0, 1], output="np")
    assert np.array_equal(arrays["images"], expected)


def test_pictures_alone_are_made_without_samples(genkit_sample, run, tmp_path):
    sheet, film = tmp_path / "sheet.png", tmp_path / "film.gif"
    done = genkit_sample(run, "--grid", sheet, "--interpolate", film, "--labels", "1,2")
    assert done.exit_code == 0, done.output
    assert done.stdout.split() == [str(sheet), str(film)]
    width, height = size_of(sheet)
    assert (width > 10 * 72 + 8, height) == (True, 32 + 2 * 72 + 8)
    assert not (run / "samples.npz").exists()


def test_an_export_is_described_without_drawing(genkit_sample, run):
    done = genkit_sample(run, "--describe")
    assert done.exit_code == 0, done.output
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert said["pipeline"] == "NoiseToImage"
    assert said["takes"] == "label (class)"
    assert said["images"] == "1 x 16 x 16"
    assert said["classes"] == "0 a, 1 b, 2 c"
    assert "optimizer steps" in done.stdout
    assert "12000" in done.stdout
    told = json.loads(genkit_sample(run, "--describe", "--json").stdout)
    assert told["classes"] == {"0": "a", "1": "b", "2": "c"}
    assert told["origin"]["Training data"] == "synthetic:glyphs:train"
    assert not (run / "samples.npz").exists()


def test_json_says_what_was_done(genkit_sample, run, tmp_path):
    words = [run, "--count", 5, "--out", tmp_path / "x.tar", "--grid", tmp_path / "x.png", "--json"]
    first, second = (json.loads(genkit_sample(*words).stdout) for _ in range(2))
    assert first["count"] == first["written"] == 5
    assert first["images_per_s"] > 0
    assert (first["out"], first["grid"]) == (str(tmp_path / "x.tar"), str(tmp_path / "x.png"))
    assert second["written"] == 0


def test_two_processes_write_what_one_writes(genkit_sample, run, tmp_path):
    words = ["--count", 21, "--batch-size", 4, "--labels", "2,0"]
    for out in ("alone.npz", "together.npz"):
        processes = 1 if out == "alone.npz" else 2
        done = genkit_sample(run, *words, "--out", tmp_path / out, "--processes", processes)
        assert done.exit_code == 0, done.output
    assert (tmp_path / "alone.npz").read_bytes() == (tmp_path / "together.npz").read_bytes()
    assert sorted(p.suffix for p in tmp_path.iterdir() if p.is_file()) == [".npz", ".npz"]


def test_ranks_of_a_launcher_share_the_work(genkit_sample, run, tmp_path, monkeypatch):
    words = [str(run), "--count=21", "--batch-size=4", f"--out={tmp_path / 'shared'}"]
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    launcher = [sys.executable, str(ROOT / "sample" / "run.py"), "--device=cpu", *words]
    first = subprocess.Popen(launcher, stdout=subprocess.PIPE, text=True)
    monkeypatch.setenv("RANK", "1")
    second = genkit_sample(*words)
    assert second.exit_code == 0, second.output
    assert second.stdout == ""
    assert first.communicate(timeout=120)[0].strip() == str(tmp_path / "shared")
    assert first.returncode == 0
    write_samples(load_pipeline(run), tmp_path / "alone", count=21, batch_size=4)
    for path in (tmp_path / "alone").iterdir():
        assert (tmp_path / "shared" / path.name).read_bytes() == path.read_bytes()


def test_a_process_that_fails_fails_the_command(genkit_sample, run, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    done = genkit_sample(run, "--count", 9, "--out", tmp_path / "x", "--processes", 2)
    assert done.exit_code == 2
    # Both do, and either may be seen first.
    assert re.search(r"process [01] of 2 ended with exit status 1", done.stderr)


@pytest.fixture
def photos(tmp_path):
    """A folder of pictures of two sizes, in two folders."""
    keyed = np.random.default_rng(0)
    for name, size in (("a/x.jpg", (20, 16)), ("a/y.png", (20, 16)), ("b/x.png", (9, 30))):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(keyed.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
    return tmp_path / "photos"


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))


def test_one_picture_is_made_of_each_that_is_given_and_called_like_it(
    genkit_sample, photos, tmp_path
):
    run = export_of(denoising(), tmp_path / "run")
    words = [run, "--given", photos, "--steps", 20, "--strength", 0.05]
    done = genkit_sample(*words, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["count"], told["written"]) == (3, 3)
    assert told["out"] == str(run / "made")
    assert names(run / "made") == ["a/x.png", "a/y.png", "b/x.png"]
    assert size_of(run / "made" / "b" / "x.png") == (SIDE, SIDE)
    # The pictures that they are made of, brought to the size of the model, are still to be seen.
    rows = fitted(open_path(photos), (SIDE, SIDE), 1).read(range(3))["image"]
    made = open_path(run / "made").read(range(3))["image"]
    far = [[(m.float() - r.float()).abs().mean() for r in rows] for m in made]
    assert [int(np.argmin(row)) for row in far] == [0, 1, 2]
    again = genkit_sample(*words, "--json")
    assert json.loads(again.stdout)["written"] == 0


def test_two_processes_make_of_a_folder_what_one_makes(genkit_sample, photos, tmp_path):
    run = export_of(denoising(), tmp_path / "run")
    words = [run, "--given", photos, "--steps", 2, "--batch-size", 1]
    for name, processes in (("alone", 1), ("both", 2)):
        done = genkit_sample(*words, "--out", tmp_path / name, "--processes", processes)
        assert done.exit_code == 0, done.output
    for name in (*names(tmp_path / "alone"), "metadata.jsonl"):
        same = (tmp_path / "both" / name).read_bytes() == (tmp_path / "alone" / name).read_bytes()
        assert same, name


def test_a_pipeline_of_another_package_takes_a_folder_and_keeps_sizes(
    genkit_sample, photos, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(ROOT / "tests" / "pipelines" / "plugin")
    pipelines = importlib.import_module("tinygan.pipeline")
    run = export_of(pipelines.Brighten(pipelines.Brightener(0.5)), tmp_path / "run")
    done = genkit_sample(run, "--given", f"source={photos}")
    assert done.exit_code == 0, done.output
    assert names(run / "made") == ["a/x.png", "a/y.png", "b/x.png"]
    assert size_of(run / "made" / "b" / "x.png") == (30, 9)
    before, after = (
        np.asarray(Image.open(folder / "a" / "y.png")).astype(float)
        for folder in (photos, run / "made")
    )
    assert np.abs(np.clip(before + 0.5 * 127.5, 0, 255) - after).max() <= 1
    renamed = genkit_sample(run, "--given", photos, "--out", tmp_path / "again")
    assert "are given as 'source', which this pipeline takes" in renamed.stderr
    refused = genkit_sample(run, "--count", 3)
    assert refused.exit_code == 2
    assert "source: this pipeline takes (source); give source= or rows" in refused.stderr


def export_of(pipeline: object, folder: Path) -> Path:
    """A run folder with an export."""
    save_export(pipeline, folder / "export", provenance={}, config_yaml="family: x\n")
    (folder / "config.yaml").write_text("family: x\n")
    return folder


def test_samples_of_an_export_go_to_a_folder_named_after_it(
    genkit_sample, run, tmp_path, monkeypatch
):
    (run / "export").rename(tmp_path / "shapes")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = genkit_sample(tmp_path / "shapes")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == "shapes-samples"
    assert "64 images into shapes-samples; --count and --out ask for others" in done.stderr
    assert len(list((tmp_path / "here" / "shapes-samples").glob("*.png"))) == 64
    again = genkit_sample(tmp_path / "shapes", "--count", 70, "--json")
    assert json.loads(again.stdout)["written"] == 6
    assert "ask for others" not in again.stderr


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("RUN", "RUN/samples.npz"),
        ("RUN/export", "run-samples"),
        ("RUN/best", "run-best-samples"),
        ("RUN/../shapes/", "shapes-samples"),
        ("somebody/model", "model-samples"),
    ],
)
def test_what_samples_are_called_by_default(run, source, name):
    for folder in (run / "best", run.parent / "shapes"):
        folder.mkdir()
    found = default_out(source.replace("RUN", str(run)), "samples.npz", "samples")
    assert str(found) == name.replace("RUN", str(run))


def test_an_export_that_is_older_than_its_run_is_said_to_be(genkit_sample, run, tmp_path):
    (run / "config.yaml").write_text("family: cgan\ntrainer:\n  steps: 20000\n")
    (run / "checkpoints" / "step-0012000").mkdir(parents=True)
    words = [run, "--count", 2, "--out", tmp_path / "x", "--json"]
    assert "note" not in json.loads(genkit_sample(*words).stdout)
    (run / "checkpoints" / "step-0012500").mkdir()
    done = genkit_sample(*words)
    said = f"the export is step 12000 of a run that is at 12500; `genkit export {run}` brings"
    assert said in done.stderr
    assert said in json.loads(done.stdout)["note"]


def test_a_folder_may_have_a_dot_in_its_name(genkit_sample, run, tmp_path):
    for name in ("g1.25", "v2.old", "run.a", "made.by.me"):
        done = genkit_sample(run, "--count", 2, "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        assert (tmp_path / name / "metadata.jsonl").is_file()


def test_a_file_of_samples_is_written_through_a_link_and_never_into_a_pipe(
    genkit_sample, run, tmp_path
):
    (tmp_path / "link.npz").symlink_to(tmp_path / "far.npz")
    done = genkit_sample(run, "--count", 2, "--out", tmp_path / "link.npz")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "link.npz").is_symlink()
    assert len(arrays_of(tmp_path / "far.npz")["images"]) == 2
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.tar").mkdir()
    for name, what in (("pipe.npz", "pipe or a device"), ("folder.tar", "folder")):
        done = genkit_sample(run, "--count", 2, "--out", tmp_path / name)
        assert done.exit_code == 2
        assert f"{name}: is a {what}, and samples grow in a file" in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["RUN", "--labels", "7"], "labels '7': '7' is no class; they are 0 to 2: 0 a, 1 b, 2 c"),
        (["RUN", "--labels", "two"], "'two' is no class; they are 0 to 2: 0 a, 1 b, 2 c"),
        (["RUN", "--device", "abacus"], "--device abacus: not usable here"),
        (["RUN", "--given", "RUN/lost"], "no such file or folder of images"),
        (["RUN", "--given", "RUN", "--grid", "x.png"], "show samples, not what is made of"),
        (["RUN/nope"], "no such folder; give a run folder, an export folder or a Hub id"),
        (["RUN/lost", "--out", "RUN/x"], "no such folder"),
        (["RUN", "--out", "RUN/x.zip"], "samples go to a folder, FILE.npz or FILE.tar"),
        (["RUN", "--out", "RUN/x.jpg"], "or FILE.tar; for a picture of some give --grid FILE.png"),
        (["RUN", "--out", "RUN/x.jsonl"], "samples go to a folder, FILE.npz or FILE.tar"),
        (["RUN", "--grid", "RUN/x.jpg"], "x.jpg: what is written there ends in .png"),
        (["RUN", "--interpolate", "RUN/x.png", "--grid", "RUN/x.png"], "--grid goes there too"),
        (["RUN", "--out", "RUN/x.png", "--grid", "RUN/x.png"], "--grid goes there too"),
        (["RUN", "--grid", "RUN"], "that is a folder; name a file"),
    ],
)
def test_a_mistake_is_one_message_and_status_2(genkit_sample, run, words, said):
    done = genkit_sample(*(word.replace("RUN", str(run)) for word in words))
    assert done.exit_code == 2
    assert done.stderr.startswith("genkit: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_processes_and_a_launcher_exclude_each_other(genkit_sample, run, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    done = genkit_sample(run, "--processes", 2)
    assert done.exit_code == 2
    assert "leave --processes out under a launcher" in done.stderr


def test_the_launchers_make_their_pictures(run, tmp_path, monkeypatch, capsys):
    for script, name in (("grid.py", "x.png"), ("interpolate.py", "x.gif")):
        monkeypatch.setattr(sys, "argv", [script, str(run), str(tmp_path / name)])
        runpy.run_path(str(ROOT / "sample" / script))
        assert capsys.readouterr().out.strip() == str(tmp_path / name)
        # The title, then three rows of classes, or their names above one.
        height = 32 + (3 * 72 if name == "x.png" else 21 + 72) + 8
        assert size_of(tmp_path / name)[1] == height
