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
    written = json.loads((sets / "fake-evaluation.json").read_text())
    names = {metric["name"] for metric in written["metrics"]}
    assert names >= {"fd-digits", "precision-digits", "coverage-digits", "near-copy-rate"}
    assert all(name in done.stdout for name in names)
    assert "fewer images than features (128)" in done.stdout  # a metric's own warning
    assert "samples have no labels" in done.stdout
    assert (sets / "nearest.png").read_bytes().startswith(b"\x89PNG")
    for metric in written["metrics"]:
        assert "torch" in metric["protocol"]["versions"]


def test_of_shards_the_numbers_lie_beside_them(sets):
    for shard in (0, 1):
        with tarfile.open(sets / f"part-{shard}.tar", "w") as tar:
            for file in sorted((sets / "train").glob(f"*{shard}.png")):
                tar.add(file, file.name)
    done = run(sets / "part-*.tar", "--reference", sets / "real", "--metric", "kid", *DIGITS)
    assert done.exit_code == 0, done.output
    assert json.loads((sets / "part-evaluation.json").read_text())["samples"]["count"] == 8


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
