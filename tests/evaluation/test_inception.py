import hashlib
import urllib.error
import urllib.request
import warnings

import pytest
import torch
from torch import nn

from genkit.errors import EvaluationError
from genkit.evaluation import ImageSet, evaluate, inception
from genkit.evaluation.extractors import frechet_name, load_extractor
from genkit.random import generator


class Layers(nn.Module):
    """Input at 299 px in [-1, 1] -> twelve features."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 13, stride=13)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


class Network(nn.Module):
    """The outer shape of the published file: `layers`, and a forward pass over them."""

    def __init__(self):
        super().__init__()
        self.layers = Layers()

    def forward(self, x):
        return self.layers((x - 128) / 128)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A tiny seeded network in the format of the Inception file."""
    network = Network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.05, generator=generator(0, "inception"))
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        torch.jit.script(network.eval()).save(str(path))
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures(count, channels=3, size=16):
    drawn = torch.randint(256, (count, channels, size, size), generator=generator(0, "pictures"))
    return drawn.to(torch.uint8)


def test_an_unknown_file_works_but_its_distance_is_never_called_fid(weights):
    extractor = load_extractor("inception", weights)
    assert extractor.sha256 == digest(weights)
    assert frechet_name(extractor) == f"fd-inception-{digest(weights)[:8]}"


def test_the_file_with_the_known_hash_gives_fid(weights, monkeypatch):
    monkeypatch.setattr(inception, "SHA256", digest(weights))
    assert frechet_name(load_extractor("inception", weights)) == "fid"


def test_features_are_those_of_clean_fid_on_its_own_resize(weights):
    import numpy as np
    from cleanfid.resize import build_resizer

    images = pictures(3)
    resize = build_resizer("clean")
    arrays = [resize(image.permute(1, 2, 0).numpy()) for image in images]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        network = torch.jit.load(str(weights))
    with torch.inference_mode():
        expected = network(torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2))
    found = load_extractor("inception", weights).features(images)
    torch.testing.assert_close(found, expected)


def test_grey_images_count_as_grey_colour(weights):
    extractor = load_extractor("inception", weights)
    grey = pictures(2, 1)
    found = extractor.features(grey)
    torch.testing.assert_close(found, extractor.features(grey.repeat(1, 3, 1, 1)))


def test_a_file_of_another_format_is_refused(tmp_path):
    (tmp_path / "other.pt").write_bytes(b"not a network")
    for name in ("other.pt", "gone.pt"):
        with pytest.raises(EvaluationError, match=r"not a TorchScript Inception file.*fetch it"):
            load_extractor("inception", tmp_path / name)


def test_offline_the_error_says_what_to_put_where(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(EvaluationError) as caught:
        load_extractor("inception")
    message = str(caught.value)
    assert str(tmp_path / "inception" / inception.FILE) in message
    assert inception.URL in message
    assert "--inception" in message


def test_the_published_file_is_fetched_once_and_its_hash_is_checked(weights, tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(inception, "URL", weights.as_uri())
    with pytest.raises(EvaluationError, match="SHA-256 is"):
        load_extractor("inception")
    assert not (tmp_path / "inception" / inception.FILE).exists(), "a wrong file is not kept"
    monkeypatch.setattr(inception, "SHA256", digest(weights))
    assert load_extractor("inception").name == "inception"
    monkeypatch.setattr(inception, "URL", "file:///nowhere")
    assert load_extractor("inception").name == "inception"
    (tmp_path / "inception" / inception.FILE).write_bytes(b"damaged")
    with pytest.raises(EvaluationError, match="delete it"):
        load_extractor("inception")


def test_an_evaluation_with_both_extractors_names_every_metric_differently(weights):
    samples = ImageSet.from_arrays("samples", None, pictures(20))
    reference = ImageSet.from_arrays("reference", None, 255 - pictures(20))
    found = evaluate(
        samples, reference, extractors=("digits", "inception"), inception=weights, resamples=5
    )
    names = [metric.name for metric in found.metrics]
    assert len(set(names)) == len(names)
    metric = found[f"fd-inception-{digest(weights)[:8]}"]
    assert metric.protocol["extractor_sha256"] == digest(weights)
    assert "bicubic" in metric.protocol["resize"]
