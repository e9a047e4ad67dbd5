"""What a file of metrics offers to the rest."""

import subprocess
import sys

import pytest
import torch

from genkit.errors import EvaluationError
from genkit.evaluation import Found, Metric, evaluate, metrics, paired, perceptual
from genkit.evaluation.changes import attributes, counterparts, cycle, regions, structure
from genkit.evaluation.tasks import classification, retrieval
from genkit.random import generator
from genkit.rows.base import image_rows


def lightness(view):
    """A metric of one's own: the mean feature."""
    rows = view.samples.rows.double().mean(1)
    return [Found(f"lightness-{view.extractor.name}", rows.mean().item(), "higher", rows)]


METRIC = Metric("lightness", lightness, {"lightness": "how light"}, order=5)
BORROWED = Metric("fd", lightness, {}, order=5)


def noise(purpose):
    drawn = torch.randint(256, (30, 1, 16, 16), generator=generator(0, purpose))
    return image_rows(purpose, drawn.to(torch.uint8))


def test_metrics_are_found_in_their_order_and_every_name_is_unlike_the_others():
    found = metrics.every()
    assert [m.name for m in found][:4] == ["fd", "fd-infinity", "fd-class", "kid"]
    for values in ([m.name for m in found], [m.order for m in found]):
        assert len(set(values)) == len(values)


def test_the_words_for_a_report_are_those_of_the_metrics_and_need_no_torch():
    words = paired.MEANING | perceptual.MEANING | classification.MEANING | retrieval.MEANING
    for measure in (attributes, counterparts, cycle, regions, structure):
        words |= measure.MEANING
    for metric in metrics.every():
        words |= metric.meaning
    assert metrics.meanings() == words
    code = "import sys; from genkit.evaluation.metrics import meanings; meanings(); "
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_metric_of_ones_own_is_measured_with_the_others(monkeypatch):
    monkeypatch.setitem(sys.modules, "metric_of_ones_own", sys.modules[__name__])
    found = evaluate(
        noise("a"), noise("b"), extractors=["digits"], metrics=["fd", "metric_of_ones_own:METRIC"]
    )
    assert [value.name for value in found.metrics] == ["lightness-digits", "fd-digits"]
    assert found["lightness-digits"].low < found["lightness-digits"].high
    assert found["lightness-digits"].protocol["extractor"] == "digits"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("metric_of_ones_own:BORROWED", "calls itself 'fd'"),
        ("metric_of_ones_own:lightness", "expected a genkit.evaluation.Metric"),
        ("no_such_module:METRIC", "can't be imported"),
        ("fid", "no such metric; there are: fd, "),
    ],
)
def test_what_is_no_metric_of_ones_own_is_refused(name, reason, monkeypatch):
    monkeypatch.setitem(sys.modules, "metric_of_ones_own", sys.modules[__name__])
    with pytest.raises(EvaluationError, match=reason):
        evaluate(noise("a"), noise("b"), extractors=["digits"], metrics=[name])
