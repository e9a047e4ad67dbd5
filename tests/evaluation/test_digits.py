import hashlib

import pytest
import torch

from genkit.data import open_data
from genkit.data.readers.glyphs import GlyphsData
from genkit.errors import EvaluationError
from genkit.evaluation.extractors import load_extractor
from genkit.evaluation.extractors.digits import load_digits
from genkit.nn.pretrained.digits import WEIGHTS, WEIGHTS_SHA256, DigitsNet, to_grey


def test_the_shipped_weights_are_the_ones_named_in_the_code_and_below_one_megabyte():
    content = WEIGHTS.read_bytes()
    assert hashlib.sha256(content).hexdigest() == WEIGHTS_SHA256
    assert len(content) <= 1_000_000
    assert load_digits().sha256 == WEIGHTS_SHA256


def test_the_network_has_204506_parameters_and_128_features():
    network = DigitsNet().eval()
    assert sum(p.numel() for p in network.parameters()) == 204_506
    grey = torch.rand(2, 1, 32, 32)
    features = network.features(grey)
    assert features.shape == (2, 128)
    assert (features >= 0).all()
    torch.testing.assert_close(network(grey), network.head(features))


def test_one_changed_byte_or_a_missing_file_is_refused(tmp_path):
    content = bytearray(WEIGHTS.read_bytes())
    content[-1] ^= 1
    (tmp_path / "tampered.safetensors").write_bytes(content)
    with pytest.raises(EvaluationError, match="these are other weights"):
        load_digits(tmp_path / "tampered.safetensors")
    with pytest.raises(EvaluationError, match="can't be read"):
        load_digits(tmp_path / "gone.safetensors")


def test_it_names_99_percent_of_the_glyph_test_images_rightly():
    source = open_data(GlyphsData(image_size=32), "test")
    extractor = load_digits()
    features = extractor.of(source.values["image"])
    right = extractor.classify(features) == source.labels
    assert right.double().mean() >= 0.99


def test_features_do_not_depend_on_the_batch():
    images = torch.randint(256, (9, 1, 32, 32)).to(torch.uint8)
    extractor = load_digits()
    parts = torch.cat([extractor.of(part) for part in torch.split(images, 2)])
    torch.testing.assert_close(parts, extractor.of(images))


def test_colour_becomes_luma():
    primaries = 255 * torch.eye(3, dtype=torch.uint8)[:, :, None, None].expand(-1, -1, 32, 32)
    found = to_grey(primaries)[:, 0, 0, 0]
    torch.testing.assert_close(found, torch.tensor([0.299, 0.587, 0.114]))
    grey = torch.randint(256, (2, 1, 32, 32)).to(torch.uint8)
    torch.testing.assert_close(to_grey(grey.expand(-1, 3, -1, -1)), to_grey(grey))


def test_28_px_gain_a_black_border_and_other_sizes_are_resized_into_range():
    white = torch.full((1, 1, 28, 28), 255, dtype=torch.uint8)
    padded = to_grey(white)
    assert padded.shape == (1, 1, 32, 32)
    assert padded.sum() == 28 * 28
    noise = torch.randint(256, (2, 3, 50, 70)).to(torch.uint8)
    resized = to_grey(noise)
    assert resized.shape == (2, 1, 32, 32)
    assert 0 <= resized.min() <= resized.max() <= 1


def test_only_the_inception_weights_give_a_value_called_fid():
    assert load_extractor("digits").frechet_name == "fd-digits"
    with pytest.raises(EvaluationError, match=r"there are: .*digits, .*inception-v3, .*vgg16"):
        load_extractor("vgg")
