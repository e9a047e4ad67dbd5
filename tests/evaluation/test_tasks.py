"""Tasks measured on pipelines that are simple enough to know the answer."""

import sys

import pytest
import torch
from networks_at_hand import smooth_pictures

from genkit.errors import EvaluationError
from genkit.evaluation import evaluate, evaluate_pairs, load_extractor, tasks
from genkit.evaluation.task import Asked, Task
from genkit.images import to_float
from genkit.pipelines.base import Pipeline
from genkit.rows.base import image_rows
from genkit.rows.columns import Image
from genkit.rows.combine import renamed, unpaired, zipped

SIZE = (16, 16)
BY_DIGITS = {"extractors": ["digits"], "metrics": ["fd"]}


class Darker(Pipeline):
    """Pictures a little darker than they are given."""

    def __init__(self, takes=("image",), gives="image", by=0.2):
        super().__init__()
        self.register_to_config()
        self.given, self.made, self.by = takes, gives, by

    @property
    def takes(self):
        """A picture under one of its names."""
        return tuple({name: Image(SIZE, 3)} for name in self.given)

    @property
    def gives(self):
        """A picture of the same size."""
        return {self.made: Image(SIZE, 3)}

    def generate(self, begun, given, options):
        """The picture, darker."""
        (picture,) = given.values()
        return {self.made: (picture - self.by).clamp(-1, 1)}


def pictures(name="pictures", count=12):
    return image_rows(name, smooth_pictures(count, SIZE[0], name))


def darker(rows, by=0.2):
    pixels = to_float(rows.values["image"]) - by
    return image_rows("darker", ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8))


def values(found):
    return {value.name: value.value for value in found.metrics}


def test_a_reconstruction_is_measured_against_what_it_was_given():
    rows = pictures()
    found = tasks.find("reconstruction").measure(Darker(), rows, Asked(request=BY_DIGITS))
    by_hand = darker(rows)
    expected = values(evaluate_pairs(by_hand, rows)) | values(
        evaluate(by_hand, rows, extractors=["digits"], metrics=["fd"])
    )
    assert values(found) == pytest.approx(expected, rel=0.02)
    assert found.samples["count"] == 12
    exact = tasks.find("reconstruction").measure(
        Darker(by=0.0), rows, Asked(count=8, request=BY_DIGITS)
    )
    assert exact.notes[0].startswith("8 of 8 pairs are equal")


@pytest.mark.parametrize(("takes", "gives"), [(("source",), "target"), (("image",), "image")])
def test_a_translation_is_measured_against_its_targets(takes, gives):
    sources = pictures("sources")
    pairs = zipped(
        renamed(sources, {"image": "source"}), renamed(darker(sources), {"image": "target"})
    )
    asked = Asked(request=BY_DIGITS)
    near = values(tasks.find("translation").measure(Darker(takes, gives, by=0.21), pairs, asked))
    far = values(tasks.find("translation").measure(Darker(takes, gives, by=0.6), pairs, asked))
    assert [*near] == ["psnr", "ssim", "fd-digits"]
    assert near["psnr"] > 40
    assert far["psnr"] < 20
    assert near["fd-digits"] < 0.1 * far["fd-digits"]


def test_without_pairs_each_way_is_measured_against_the_other_side():
    a = pictures("a")
    sides = unpaired(a, darker(pictures("b")))
    asked = Asked(request=BY_DIGITS)
    both = tasks.find("translation").measure(Darker(("image_a", "image_b")), sides, asked)
    assert [*values(both)] == ["fd-digits-a-to-b", "fd-digits-b-to-a"]
    one = values(tasks.find("translation").measure(Darker(("image_a",)), sides, asked))
    assert one == {"fd-digits": both["fd-digits-a-to-b"].value}
    assert both.samples["count"] == 12


def test_what_a_task_does_not_find_is_said():
    with pytest.raises(EvaluationError, match="no column 'target' to compare with"):
        tasks.find("translation").measure(Darker(), pictures(), Asked())
    with pytest.raises(
        EvaluationError, match=r"no such task; there are: .*reconstruction, retrieval, samples"
    ):
        tasks.find("sampels")
    with pytest.raises(EvaluationError, match=r"expected a genkit\.evaluation\.Task"):
        tasks.find("pathlib:Path")
    with pytest.raises(EvaluationError, match=r"can't be imported"):
        tasks.find("no_such_module:TASK")


def test_a_task_of_ones_own_is_found_by_its_module(monkeypatch):
    module = type(sys)("task_of_ones_own")
    module.TASK = Task(lambda pipeline, rows, asked: None, lambda extractor: ["mine"])
    monkeypatch.setitem(sys.modules, "task_of_ones_own", module)
    assert tasks.find("task_of_ones_own:TASK") is module.TASK


def test_every_task_says_which_values_it_gives():
    extractor = load_extractor("digits")
    for name in tasks.names():
        task = tasks.find(name)
        found = task.values(extractor if task.by_extractor else None)
        assert ("fd-digits" in found) == task.by_extractor
        assert found
        assert len(found) == len(set(found))
