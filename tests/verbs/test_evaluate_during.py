"""Which weights of a model that changes pictures are the best."""

import pytest

from genkit.errors import ConfigError
from genkit.evaluation import load_extractor, tasks
from genkit.evaluation.results import Value
from genkit.verbs.evaluate_training import _chosen_by, _judged


def value(name, number, better="lower"):
    return {name: Value(name, number, None, None, better, None, "", {})}


def test_of_two_ways_the_mean_of_both_decides():
    ways = value("fd-faces-a-to-b", 1.0) | value("fd-faces-b-to-a", 4.0)
    assert _judged("fd-faces", ways) == (2.5, "lower")
    assert _judged("fd-faces", value("fd-faces-a-to-b", 1.0)) == (1.0, "lower")
    assert _judged("psnr", ways | value("psnr", 20.0, "higher")) == (20.0, "higher")
    with pytest.raises(ConfigError, match="best_by=fid: not measured here; there are fd-faces-a-"):
        _judged("fid", ways)


@pytest.mark.parametrize(
    ("task", "name"),
    [("editing", "attribute-accuracy"), ("editing", "inside-ratio"), ("translation", "truth-l1"),
     ("translation", "retrieval-1-pixels"), ("translation", "cycle-l1")],
)  # fmt: skip
def test_the_best_may_be_chosen_by_values_of_a_task_of_its_own(task, name):
    extractor = load_extractor("faces")
    possible = tasks.find(task).values(extractor)
    assert _chosen_by(name, possible, extractor) == name
    assert _chosen_by("frechet", possible, extractor) == "fd-faces"


def test_attributes_after_edits_decide_nothing_without_a_classifier():
    extractor = load_extractor("digits")
    possible = tasks.find("editing").values(extractor)
    with pytest.raises(ConfigError, match="best_by=attribute-accuracy: not measured during"):
        _chosen_by("attribute-accuracy", possible, extractor)
