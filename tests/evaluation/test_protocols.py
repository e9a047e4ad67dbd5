"""Named protocols."""

import pytest
import torch
from networks_at_hand import smooth_pictures

from genkit.errors import EvaluationError
from genkit.evaluation import evaluate, extractors, metrics
from genkit.evaluation.protocols import PRESETS, Preset, settings
from genkit.evaluation.resize import RESIZES
from genkit.rows.base import image_rows
from genkit.rows.combine import picked


def test_every_preset_names_what_there_is():
    for preset in PRESETS.values():
        assert set(preset.extractors) <= set(extractors.names())
        assert set(preset.metrics) <= {metric.name for metric in metrics.every()}
        assert preset.resize in RESIZES
        assert preset.source


def test_a_preset_fixes_extractor_metrics_and_resize():
    found = settings("torch-fidelity", {"seed": 3})
    assert found == {
        "seed": 3,
        "extractors": ("inception-v3",),
        "metrics": ("fd", "kid", "is"),
        "resize": "legacy-tensorflow",
        "precision": "fp32",
    }


def test_what_a_preset_fixes_can_not_be_asked_otherwise():
    for asked in ({"resize": "clean"}, {"extractors": ["digits"]}, {"precision": "bf16"}):
        with pytest.raises(EvaluationError, match=r"--protocol torch-fidelity has .* leave one"):
            settings("torch-fidelity", asked)
    assert settings("torch-fidelity", {"extractors": ["inception-v3"]})["resize"]
    with pytest.raises(EvaluationError, match="protocol 'fid': there are: clean-fid, pytorch-fid"):
        settings("fid", {})


def test_an_evaluation_says_how_it_departs_from_its_protocol(monkeypatch):
    preset = Preset(("digits",), ("fd",), "a paper", reference="mnist:train", count=50_000)
    monkeypatch.setitem(PRESETS, "paper", preset)
    images = image_rows("images", smooth_pictures(20)[:, :1])
    found = evaluate(images, picked(images, torch.arange(10)), protocol="paper")
    assert [metric.name for metric in found.metrics] == ["fd-digits"]
    assert "protocol paper: a paper" in found.notes
    assert "20 samples; 50,000 are usual under paper" in found.notes
    assert "reference images (10); mnist:train is usual under paper" in found.notes
