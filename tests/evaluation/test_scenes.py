"""The reader of scenes that comes with genkit reads scenes that it never saw."""

from __future__ import annotations

import hashlib
import json

import pytest
import torch

from genkit.data import open_data
from genkit.data.readers.scenes import ScenesData
from genkit.data.scenes.captions import claims
from genkit.data.scenes.things import Scene
from genkit.errors import EvaluationError
from genkit.evaluation import load_extractor
from genkit.evaluation.extractors.scenes import SceneExtractor
from genkit.evaluation.scenes import is_whole, read_scenes
from genkit.images import to_float
from genkit.nn.pretrained import scenes


def rows(split: str, **settings):
    return open_data(ScenesData(test_count=500, seed=7, **settings), split)


def truth(some) -> list[Scene]:
    return [Scene.from_tree(json.loads(each)) for each in some.values["scene"]]


def test_the_shipped_weights_are_the_ones_named_in_the_code_and_below_one_megabyte():
    content = scenes.WEIGHTS.read_bytes()
    assert hashlib.sha256(content).hexdigest() == scenes.WEIGHTS_SHA256
    assert len(content) <= 1_000_000
    extractor = load_extractor("scenes")
    assert (extractor.sha256, extractor.frechet_name) == (scenes.WEIGHTS_SHA256, "fd-scenes")


def test_one_changed_byte_is_refused(tmp_path):
    content = bytearray(scenes.WEIGHTS.read_bytes())
    content[-1] ^= 1
    (tmp_path / "tampered.safetensors").write_bytes(content)
    with pytest.raises(EvaluationError, match="these are other weights"):
        SceneExtractor(tmp_path / "tampered.safetensors")


@pytest.mark.parametrize("split", ["test", "unseen"])
def test_99_percent_of_fresh_scenes_are_read_rightly_as_a_whole(split):
    some = rows(split)
    read = read_scenes(scenes.load(), to_float(some.values["image"]))
    right = [is_whole(one, other) for one, other in zip(read, truth(some), strict=True)]
    assert sum(right) / len(right) >= 0.99


def test_captions_are_judged_by_the_picture_alone():
    some = rows("test")
    read = read_scenes(scenes.load(), to_float(some.values["image"]))
    said = [claims(captions[-1]) for captions in some.values["caption"]]
    own = sum(prompt.holds(scene) for prompt, scene in zip(said, read, strict=True))
    others = sum(prompt.holds(scene) for prompt, scene in zip(said[1:], read, strict=False))
    assert own / len(said) >= 0.98
    assert others / len(said) < 0.02


def test_larger_pictures_are_read_at_the_size_of_the_reader():
    some = rows("test", image_size=64)
    extractor = SceneExtractor()
    read = read_scenes(extractor.network, extractor.prepare(some.values["image"]))
    right = [is_whole(one, other) for one, other in zip(read, truth(some), strict=True)]
    assert sum(right) / len(right) >= 0.97


def test_features_do_not_depend_on_the_batch():
    images = torch.randint(256, (9, 3, 32, 32)).to(torch.uint8)
    extractor = SceneExtractor()
    parts = torch.cat([extractor.of(part) for part in torch.split(images, 2)])
    torch.testing.assert_close(parts, extractor.of(images), atol=1e-4, rtol=1e-4)
    grey = images[:, :1]
    assert torch.equal(extractor.of(grey), extractor.of(grey.expand(-1, 3, -1, -1)))
