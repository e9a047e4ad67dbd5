"""`genkit evaluate` and `genkit compare` as they are typed."""

import json
import tarfile

import numpy as np
import pytest
import torch
import yaml
from families_at_hand import tiny
from typer.testing import CliRunner

from genkit.cli import app
from genkit.config import to_tree
from genkit.images import png_bytes
from genkit.random import generator


def pixels(count, purpose):
    drawn = torch.randint(256, (count, 1, 16, 16), generator=generator(0, purpose))
    return drawn.to(torch.uint8)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Samples, test and training images as a user has them."""
    root = tmp_path_factory.mktemp("sets")
    np.savez(root / "fake.npz", images=pixels(30, "fake").permute(0, 2, 3, 1).numpy())
    for name in ("real", "train"):
        (root / name).mkdir()
        for i, image in enumerate(pixels(40, name)):
            (root / name / f"{i}.png").write_bytes(png_bytes(image))
    return root


def run(*words):
    return CliRunner().invoke(app, ["evaluate", "--device", "cpu", *map(str, words)])


DIGITS = ("--extractor", "digits")  # the sets here are noise, for which it is not the default


def test_the_numbers_are_printed_and_written_beside_the_samples(sets):
    done = run(sets / "fake.npz", "--reference", sets / "real", "--train", sets / "train", *DIGITS)
    assert done.exit_code == 0, done.output
    written = json.loads((sets / "fake.npz-evaluation.json").read_text())
    names = {metric["name"] for metric in written["metrics"]}
    assert names >= {"fd-digits", "precision-digits", "coverage-digits", "near-copy-rate"}
    assert all(name in done.stdout for name in names)
    assert "fewer images than features (128)" in done.stdout  # a metric's own warning
    assert "samples have no labels" in done.stdout
    assert (sets / "fake.npz-nearest.png").read_bytes().startswith(b"\x89PNG")
    for metric in written["metrics"]:
        assert "torch" in metric["protocol"]["versions"]


@pytest.mark.parametrize("pattern", ["part-*.tar", "part-{0..1}.tar", "part-[01].tar"])
def test_of_shards_the_numbers_lie_beside_them(sets, pattern):
    for shard in (0, 1):
        with tarfile.open(sets / f"part-{shard}.tar", "w") as tar:
            for file in sorted((sets / "train").glob(f"*{shard}.png")):
                tar.add(file, file.name)
    done = run(sets / pattern, "--reference", sets / pattern, "--metric", "kid", *DIGITS)
    assert done.exit_code == 0, done.output
    found = json.loads((sets / "part-evaluation.json").read_text())
    assert (found["samples"]["count"], found["reference"]["count"]) == (8, 8)


def test_json_weights_metrics_and_a_part_of_the_reference(sets, tmp_path):
    out = tmp_path / "out.json"
    words = [sets / "fake.npz", "--reference", sets / "real", "--reference-count", 30]
    words += ["--metric", "kid", "--extractor", "digits", "--out", out, "--json"]
    done = run(*words)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found == json.loads(out.read_text())
    assert [metric["name"] for metric in found["metrics"]] == ["kid-digits"]
    assert found["reference"]["count"] == 30


def test_pairs_are_compared_image_by_image(sets):
    done = run(sets / "real", "--reference", sets / "train", "--paired", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads((sets / "real-pairs.json").read_text())
    assert [metric["name"] for metric in found["metrics"]] == ["psnr", "ssim"]
    assert found == json.loads(done.stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--paired", "--metric", "fd"], "leave --metric out"),
        (["--paired", "--train", "real"], "leave --train out"),
        (["--paired", "--weights", "lpips-alex=x.pth"], "ask for --lpips alex"),
        (["--weights", "inception-v3"], "expected NAME=PATH"),
        (["--weights", "vgg16=x.pth", *DIGITS], "add --extractor vgg16"),
        (["--reference-count", "41"], "--reference-count 41: real has 40 images"),
        (["--metric", "fid"], "metric 'fid': no such metric"),
        (["--extractor", "inception"], "inception-v3"),
        (["--protocol", "clean"], "clean-fid"),
        (["--parzen"], "--train SET"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_type(sets, words, said):
    done = run(sets / "train", "--reference", sets / "real", *words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_pairs_need_files_and_not_a_name(sets):
    done = run(sets / "train", "--reference", "mnist:test", "--paired")
    assert done.exit_code == 2
    assert "--paired needs a folder or file" in done.output


# -- compare ---------------------------------------------------------------------------------------


def evaluated(folder, sets, *words):
    """A run folder whose samples were evaluated."""
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(to_tree(tiny("dcgan"))))
    (folder / "samples.npz").write_bytes((sets / "fake.npz").read_bytes())
    done = run(folder / "samples.npz", "--reference", sets / "real", *DIGITS, *words)
    assert done.exit_code == 0, done.output
    assert (folder / "evaluation.json").is_file()
    return str(folder)


def test_runs_are_compared_in_what_both_have_and_the_rest_is_named(sets, tmp_path):
    first = evaluated(tmp_path / "a", sets, "--metric", "kid", "--metric", "fd")
    second = evaluated(tmp_path / "b", sets, "--metric", "kid", "--metric", "detector-auc")
    third = evaluated(tmp_path / "c", sets, "--metric", "detector-auc")
    done = CliRunner().invoke(app, ["compare", first, second])
    assert done.exit_code == 0, done.output
    assert "kid-digits" in done.stdout
    assert "measured in one of them only: fd-digits, detector-auc-digits" in done.stdout
    done = CliRunner().invoke(app, ["compare", first, third])
    assert done.exit_code == 2
    assert "no metric was measured in both: fd-digits, kid-digits in a" in done.output


# -- files that were there -------------------------------------------------------------------------


@pytest.fixture
def folders(sets, tmp_path):
    """Two sets of the same pictures under other names, and what else lies about."""
    for name, ending in (("g1.25", "{}.png"), ("g1.5", "{:04d}.png"), ("g1", "{}_fake.png")):
        (tmp_path / name).mkdir()
        for i, image in enumerate(pixels(12, "pairs")):
            (tmp_path / name / ending.format(i)).write_bytes(png_bytes(image))
    return tmp_path


def test_every_set_has_a_result_of_its_own_name(folders, sets):
    for name in ("g1.25", "g1.5", "g1"):
        words = ("--reference", sets / "real", "--train", sets / "train", "--metric", "fd")
        assert run(folders / name, *words, *DIGITS).exit_code == 0
    found = {path.name for path in folders.glob("g1*-*")}
    assert found == {
        f"{name}-{kind}" for name in ("g1.25", "g1.5", "g1")
        for kind in ("evaluation.json", "nearest.png")
    }  # fmt: skip


def test_the_folder_that_one_stands_in_is_measured_by_its_name(folders, sets, monkeypatch):
    monkeypatch.chdir(folders / "g1.25")
    done = run(".", "--reference", sets / "real", "--metric", "fd", *DIGITS)
    assert done.exit_code == 0, done.output
    assert (folders / "g1.25-evaluation.json").is_file()


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("fake.npz", "ends in .json"),
        (".", "that is a folder; name a file"),
        ("real", "that is a folder; name a file"),
        ("table.html", "ends in .json"),
        ("notes.json", "holds something else than an evaluation"),
        ("read.json", "that is read here"),
    ],
)
def test_a_result_never_replaces_what_is_no_result(sets, tmp_path, out, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fake.npz").write_bytes((sets / "fake.npz").read_bytes())
    (tmp_path / "real").mkdir()
    (tmp_path / "notes.json").write_text('{"mine": 1}')
    (tmp_path / "read.json").symlink_to("fake.npz")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    done = run("fake.npz", "--reference", sets / "real", "--metric", "fd", *DIGITS, "--out", out)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reference", ""], "an empty word: a variable of the shell that is not set?"),
        (["--reference", "nowhere/at/all"], "nowhere/at/all: no such file or folder of images"),
        (["--reference", "rael"], "rael: no such file or folder of images"),
    ],
)
def test_a_set_that_is_not_there_is_called_so(sets, words, said):
    done = run(sets / "train", *words, *DIGITS)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())


def test_samples_that_are_not_finished_are_no_set(folders, sets):
    (folders / "g1" / "samples.json").write_text(json.dumps({
        "format": 1, "count": 2000, "labels": None, "image_size": 16, "channels": 1,
    }))  # fmt: skip
    for words in (
        [folders / "g1", "--reference", sets / "real"],
        [folders / "g1.5", "--reference", folders / "g1"],
        [folders / "g1", "--reference", folders / "g1.5", "--paired"],
    ):
        done = run(*words)
        assert done.exit_code == 2
        assert "g1: 0 of 2,000 samples, not finished" in " ".join(done.output.split())


def test_pairs_are_joined_by_name_or_refused(folders):
    pairs = [folders / "g1.5", "--reference", folders / "g1.25", "--paired", "--json"]
    done = run(*pairs)
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert "no partner of the same name for 0000, 0001, 0002, ... (12) in g1.5" in said
    assert "and 0, 1, 10, ... (12) in g1.25" in said
    assert run(*pairs, "--by-position").exit_code == 0  # as the message says
    done = run(folders / "g1.5", "--reference", folders / "g1.25", "--by-position")
    assert done.exit_code == 2
    assert "add --paired" in done.output


def test_names_of_sets_are_printed_as_they_are(sets, tmp_path):
    real = tmp_path / "[bold]of:cat:\x1b[2J"
    real.symlink_to(sets / "real")
    done = run(sets / "fake.npz", "--reference", real, "--metric", "fd", *DIGITS)
    assert done.exit_code == 0, done.output
    assert r"30 samples against [bold]of:cat:\x1b[2J" in done.stdout
    assert "\x1b[2J" not in done.output
