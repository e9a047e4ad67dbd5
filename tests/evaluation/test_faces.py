import hashlib

import pytest
import torch

from genkit.data import open_data
from genkit.data.readers.faces import FacesData
from genkit.errors import EvaluationError
from genkit.evaluation import load_extractor
from genkit.evaluation.extractors.faces import load_faces
from genkit.nn.pretrained.faces import NAMES, WEIGHTS, WEIGHTS_SHA256
from genkit.rows.flags import DRAWN_NAMES


def test_the_shipped_weights_are_the_ones_named_in_the_code_and_below_one_megabyte():
    content = WEIGHTS.read_bytes()
    assert hashlib.sha256(content).hexdigest() == WEIGHTS_SHA256
    assert len(content) <= 1_000_000
    extractor = load_extractor("faces")
    assert (extractor.sha256, extractor.frechet_name) == (WEIGHTS_SHA256, "fd-faces")
    assert extractor.flag_names == NAMES == DRAWN_NAMES
    assert not extractor.has_classes


def test_one_changed_byte_is_refused(tmp_path):
    content = bytearray(WEIGHTS.read_bytes())
    content[-1] ^= 1
    (tmp_path / "tampered.safetensors").write_bytes(content)
    with pytest.raises(EvaluationError, match="these are other weights"):
        load_faces(tmp_path / "tampered.safetensors")


def test_it_names_98_percent_of_the_attributes_of_unseen_faces_rightly():
    rows = open_data(FacesData(image_size=32, test_count=400), "test")
    extractor = load_faces()
    shares = extractor.shares(extractor.of(rows.values["image"]))
    right = ((shares > 0.5) == (rows.values["attributes"] > 0)).double().mean(0)
    assert right.mean() >= 0.98
    # Of 400 pictures a share of .98 is off by .014 for chance alone, at the 95 % level.
    short = {n: round(r, 3) for n, r in zip(NAMES, right.tolist(), strict=True) if r < 0.965}
    assert not short


def test_features_do_not_depend_on_the_batch():
    images = torch.randint(256, (9, 3, 32, 32)).to(torch.uint8)
    extractor = load_faces()
    parts = torch.cat([extractor.of(part) for part in torch.split(images, 2)])
    torch.testing.assert_close(parts, extractor.of(images), atol=1e-4, rtol=1e-4)
