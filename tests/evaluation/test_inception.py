import dataclasses
import hashlib
import urllib.error
import urllib.request

import pytest
import torch
from networks_at_hand import save_torchscript, smooth_pictures
from torch import nn

from genkit.errors import EvaluationError
from genkit.evaluation import evaluate
from genkit.evaluation.extractors import load_extractor
from genkit.nn.pretrained import inception
from genkit.random import generator
from genkit.rows.base import image_rows


class Layers(nn.Module):
    """Input at 299 px in [-1, 1] -> twelve features."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 13, stride=13)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny seeded network in the format of the TorchScript file."""
    network = Layers()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.05, generator=generator(0, "inception"))
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    save_torchscript(network, path)
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def publish(path, monkeypatch, url=None):
    """Let that file be the published one."""
    published = dataclasses.replace(
        inception.TORCHSCRIPT, sha256=digest(path), urls=(url or path.as_uri(),)
    )
    monkeypatch.setattr(inception, "TORCHSCRIPT", published)


def load(path=None, **options):
    return load_extractor("inception-v3-torchscript", path, **options)


def test_an_unknown_file_works_but_its_distance_is_never_called_fid(weights):
    extractor = load(weights)
    assert extractor.sha256 == digest(weights)
    assert extractor.frechet_name == f"fd-inception-v3-{digest(weights)[:8]}"


def test_the_file_with_the_known_hash_gives_fid(weights, monkeypatch):
    publish(weights, monkeypatch)
    assert load(weights).frechet_name == "fid"


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated:FutureWarning")
def test_features_are_those_of_clean_fid_on_its_own_resize(weights):
    import numpy as np
    from cleanfid.resize import build_resizer

    images = smooth_pictures(3, 16)
    resize = build_resizer("clean")
    arrays = [resize(image.permute(1, 2, 0).numpy()) for image in images]
    network = torch.jit.load(str(weights))
    with torch.inference_mode():
        expected = network(torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2))
    torch.testing.assert_close(load(weights).of(images), expected, rtol=1e-4, atol=1e-5)


def test_grey_images_count_as_grey_colour(weights):
    grey = smooth_pictures(2)[:, :1]
    found = load(weights).of(grey)
    torch.testing.assert_close(found, load(weights).of(grey.repeat(1, 3, 1, 1)))


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "other.pt").write_bytes(b"not a network")
    for name in ("other.pt", "gone.pt"):
        with pytest.raises(EvaluationError, match=r"not a TorchScript Inception file.*fetch it"):
            load(tmp_path / name)
        with pytest.raises(EvaluationError, match="not a readable file of weights"):
            load_extractor("inception-v3", tmp_path / name)
    torch.save({"a": torch.zeros(2)}, tmp_path / "state.pth")
    with pytest.raises(EvaluationError, match="not weights of the FID Inception network"):
        load_extractor("inception-v3", tmp_path / "state.pth")


def test_offline_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    for name, published in (
        ("inception-v3", inception.PUBLISHED),
        ("inception-v3-torchscript", inception.TORCHSCRIPT),
    ):
        with pytest.raises(EvaluationError) as caught:
            load_extractor(name)
        message = str(caught.value)
        assert str(tmp_path / "weights" / published.file) in message
        assert published.urls[0] in message
        assert f"--weights {name}=PATH" in message


def test_the_published_file_is_fetched_once_and_its_hash_is_checked(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    wrong = dataclasses.replace(inception.TORCHSCRIPT, urls=(weights.as_uri(),))
    monkeypatch.setattr(inception, "TORCHSCRIPT", wrong)
    with pytest.raises(EvaluationError, match="SHA-256 is"):
        load()
    assert not wrong.path.exists(), "a wrong file is not kept"
    publish(weights, monkeypatch)
    assert load().name == "inception-v3"
    publish(weights, monkeypatch, "file:///nowhere")
    assert load().name == "inception-v3"
    inception.TORCHSCRIPT.path.write_bytes(b"tampered with")
    with pytest.raises(EvaluationError, match="delete it"):
        load()


def test_an_evaluation_with_both_extractors_names_every_metric_differently(weights):
    samples = image_rows("samples", smooth_pictures(40))
    reference = image_rows("reference", 255 - smooth_pictures(40))
    found = evaluate(
        samples,
        reference,
        extractors=("digits", "inception-v3-torchscript"),
        weights={"inception-v3-torchscript": weights},
    )
    names = [metric.name for metric in found.metrics]
    assert len(set(names)) == len(names)
    name = f"inception-v3-{digest(weights)[:8]}"
    assert {f"fd-{name}", f"fd-infinity-{name}", f"kid-{name}", f"recall-{name}"} <= set(names)
    metric = found[f"fd-{name}"]
    assert metric.protocol["extractor_sha256"] == digest(weights)
    assert "bicubic" in metric.protocol["resize"]
    assert metric.low < metric.value < metric.high


# -- what may be chosen ----------------------------------------------------------------------------


def test_options_that_an_extractor_does_not_take_are_refused(weights):
    with pytest.raises(EvaluationError, match="has no choice of precision: leave --precision out"):
        load(weights, precision="bf16")
    with pytest.raises(EvaluationError, match="has no choice of resize: leave --resize out"):
        load_extractor("digits", resize="legacy-pytorch")
    with pytest.raises(EvaluationError, match="there are clean, legacy-pytorch, legacy-tensor"):
        load(weights, resize="sharp")


def test_weights_of_no_extractor_and_unknown_metrics_are_refused(weights):
    images = image_rows("images", smooth_pictures(10))
    with pytest.raises(EvaluationError, match="not among the extractors"):
        evaluate(images, images, extractors=["digits"], weights={"inception-v3": weights})
    with pytest.raises(EvaluationError, match="metric 'fid': no such metric; there are: fd, "):
        evaluate(images, images, metrics=("fid",))


def test_an_extractor_of_ones_own_is_found_by_module_and_class():
    images = image_rows("images", smooth_pictures(30))
    found = evaluate(images, images, extractors=("extractor_of_ones_own:Corners",))
    assert found["fd-corners"].value == pytest.approx(0, abs=1e-9)
    for name, reason in (
        ("extractor_of_ones_own:Missing", "can't be made"),
        ("no_such_module:Corners", "can't be made"),
        ("pathlib:Path", "expected a genkit.evaluation.Extractor"),
    ):
        with pytest.raises(EvaluationError, match=reason):
            load_extractor(name)


def test_only_published_weights_in_fp32_give_fid_kid_and_is(tmp_path, monkeypatch):
    from networks_at_hand import seeded_inception

    path = tmp_path / "inception.pth"
    torch.save(seeded_inception().state_dict(), path)
    published = dataclasses.replace(inception.PUBLISHED, sha256=digest(path))
    monkeypatch.setattr(inception, "PUBLISHED", published)
    sets = [image_rows(n, smooth_pictures(8, 16, n)) for n in ("a", "b")]
    names = {}
    for precision in ("fp32", "bf16"):
        found = evaluate(
            *sets,
            extractors=("inception-v3",),
            weights={"inception-v3": path},
            precision=precision,
            metrics=("fd", "kid", "is"),
        )
        names[precision] = [metric.name for metric in found.metrics]
    assert names["fp32"] == ["fid", "kid", "is"]
    ends = [f"{name}-inception-v3-bf16-preview" for name in ("fd", "kid", "is")]
    assert names["bf16"] == ends


def test_an_extractor_of_ones_own_may_not_borrow_a_name(monkeypatch):
    import extractor_of_ones_own

    monkeypatch.setattr(extractor_of_ones_own.Corners, "name", "inception-v3")
    with pytest.raises(EvaluationError, match="calls itself 'inception-v3'"):
        load_extractor("extractor_of_ones_own:Corners")
    with pytest.raises(EvaluationError, match="leave --weights, --resize and --precision out"):
        load_extractor("extractor_of_ones_own:Corners", precision="bf16")
