"""Trained classifiers as extractors, by the path of their run or export."""

import pytest
import torch
from networks_at_hand import smooth_pictures

from genkit.errors import EvaluationError, WeightsError
from genkit.evaluation import evaluate, load_extractor
from genkit.images import to_float
from genkit.nn.classifiers import Classifier, shares
from genkit.pipelines import ClassificationPipeline
from genkit.rows.base import image_rows


def judge(folder, **more):
    """An export of a classifier of first weights."""
    torch.manual_seed(0)
    how = {"outputs": 3, "width": 2, "levels": 1, "units": 5} | more
    network = Classifier((8, 8), how.pop("channels", 3), **how).eval()
    ClassificationPipeline(network).save_pretrained(folder)
    return network


@pytest.mark.parametrize("place", ["", "export", "best"])
def test_a_run_an_export_and_the_best_of_a_run_are_extractors_by_their_path(tmp_path, place):
    network = judge(tmp_path / place, answers="attributes", names=["Hat", "Beard", "Smile"])
    found = load_extractor(str(tmp_path / place if place == "best" else tmp_path))
    assert found.name == f"classifier-{found.sha256[:8]}"
    assert found.frechet_name == f"fd-{found.name}"
    assert (found.flag_names, found.class_names) == (("Hat", "Beard", "Smile"), None)
    assert not found.has_classes
    images = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8)
    features = found.of(images)
    torch.testing.assert_close(features, network.features(to_float(images)))
    expected = shares(network(to_float(images)), "attributes")
    torch.testing.assert_close(found.shares(features), expected)


def test_pictures_of_other_sizes_and_channels_are_brought_to_its_own(tmp_path):
    judge(tmp_path)
    found = load_extractor(str(tmp_path))
    flat = [torch.full((c, h, w), 90, dtype=torch.uint8) for c, h, w in
            ((3, 8, 8), (1, 8, 8), (3, 20, 12), (1, 5, 5))]  # fmt: skip
    features = found.of(flat)
    torch.testing.assert_close(features, features[:1].expand(4, -1), atol=1e-5, rtol=1e-4)
    grey = judge(tmp_path / "grey", channels=1)
    found = load_extractor(str(tmp_path / "grey"))
    colours = torch.tensor([255, 0, 0], dtype=torch.uint8)[None, :, None, None]
    luma = torch.full((1, 1, 8, 8), 2 * 0.299 - 1)
    torch.testing.assert_close(found.of(colours.expand(1, 3, 8, 8)), grey.features(luma))


def test_a_judge_of_classes_gives_the_accuracy_of_samples_by_their_names(tmp_path):
    network = judge(tmp_path, names=["ape", "cat", "dog"])
    pixels = smooth_pictures(24, 8, "pictures")
    named = network(to_float(pixels)).argmax(1)
    # The set numbers its classes otherwise: the same names, turned round.
    rows = image_rows("real", pixels, 2 - named, class_names=("dog", "cat", "ape"))
    found = evaluate(rows, rows, extractors=[str(tmp_path)], metrics=["accuracy"])
    assert found["accuracy"].value == 1
    wrong = image_rows("wrong", pixels, (3 - named) % 3, class_names=("dog", "cat", "ape"))
    found = evaluate(wrong, rows, extractors=[str(tmp_path)], metrics=["accuracy"])
    assert found["accuracy"].value == 0
    assert found["accuracy"].floor == 1
    assert found["accuracy"].protocol["extractor"].startswith("classifier-")


def test_a_judge_of_other_classes_says_so(tmp_path):
    judge(tmp_path, names=["ape", "cat", "dog"])
    rows = image_rows("real", smooth_pictures(12, 8, "x"), torch.zeros(12), class_names=("cow",))
    found = evaluate(rows, rows, extractors=[str(tmp_path)], metrics=["accuracy", "fd"])
    assert [value.name.partition("-")[0] for value in found.metrics] == ["fd"]
    assert any("knows none of the reference's classes" in note for note in found.notes)


def test_what_is_no_classifier_is_named(tmp_path):
    with pytest.raises(EvaluationError, match="neither a run folder nor an export"):
        load_extractor(str(tmp_path))
    (tmp_path / "config.yaml").touch()
    with pytest.raises(EvaluationError, match="this run has no export; make one: genkit export"):
        load_extractor(str(tmp_path))
    (tmp_path / "model_index.json").write_text('{"_class_name": "NoiseToImage"}')
    with pytest.raises(EvaluationError, match="an export of a NoiseToImage, which names no"):
        load_extractor(str(tmp_path))
    (tmp_path / "model_index.json").write_text("[]")
    with pytest.raises(EvaluationError, match="can't be read"):
        load_extractor(str(tmp_path))
    judge(tmp_path)
    weights = tmp_path / "classifier" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(WeightsError, match=r"no classifier can be made of .*; export again"):
        load_extractor(str(tmp_path))


def test_it_takes_no_choice_of_weights_resize_or_precision(tmp_path):
    judge(tmp_path)
    with pytest.raises(EvaluationError, match="finds its own weights and resizes by itself"):
        load_extractor(str(tmp_path), precision="bf16")


def test_an_extractor_without_attributes_says_so(tmp_path):
    judge(tmp_path)
    for extractor in (load_extractor("digits"), load_extractor(str(tmp_path))):
        with pytest.raises(EvaluationError, match="knows no attributes; give a classifier that"):
            extractor.shares(torch.zeros(1, 5))
