"""The task by closed forms: answers that are known, of pictures that say what they are."""

import pytest
import torch

from genkit.errors import EvaluationError
from genkit.evaluation import tasks
from genkit.evaluation.task import Asked
from genkit.pipelines.base import Pipeline
from genkit.rows.base import MemoryRows, image_rows
from genkit.rows.columns import Class, Flags, Image, Latent

TASK = tasks.find("classification")


class Says(Pipeline):
    """Reads its answers off the first pixels of a picture, which are 0 or 255."""

    def __init__(self, answers=None):
        super().__init__()
        self.register_to_config()
        self.answers = answers
        self.outputs = answers.count if isinstance(answers, Class) else len(answers.names)

    @property
    def takes(self):
        """A small grey picture."""
        return ({"image": Image((4, 4), 1)},)

    @property
    def gives(self):
        """As many shares as there are answers."""
        return {"shares": Latent((self.outputs,))}

    def generate(self, begun, given, options):
        """The pixels as shares."""
        return {"shares": (given["image"].flatten(1)[:, : self.outputs] + 1) / 2}


def pictures(said):
    """(N, 1, 4, 4) whose first pixels are (N, K) of 0 and 1."""
    said = torch.tensor(said, dtype=torch.uint8)
    pixels = torch.zeros(len(said), 16, dtype=torch.uint8)
    pixels[:, : said.shape[1]] = said * 255
    return pixels.view(-1, 1, 4, 4)


def flagged(said, real, names):
    columns = {"image": Image((4, 4), 1), "attributes": Flags(names)}
    values = {"image": pictures(said), "attributes": torch.tensor(real, dtype=torch.uint8)}
    return MemoryRows("faces:test", columns, values)


def values(found):
    return {value.name: value.value for value in found.metrics}


def test_classes_named_rightly_are_counted_by_class_and_beside_the_commonest_one():
    said = [[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]]
    rows = image_rows(
        "x:test", pictures(said), torch.tensor([0, 0, 1, 1, 1]), class_names=("ape", "cat")
    )
    found = TASK.measure(Says(Class(2, ("ape", "cat"))), rows, Asked())
    assert values(found) == {"accuracy": 0.8}
    value = found["accuracy"]
    assert value.floor == 0.6  # always saying cat
    assert 0 < value.low < 0.8 < value.high < 1
    assert found.classes == (
        {"class": "ape", "accuracy": 1.0, "count": 2},
        {"class": "cat", "accuracy": pytest.approx(2 / 3), "count": 3},
    )


def test_classes_are_matched_by_their_names():
    rows = image_rows(
        "x:test", pictures([[1, 0], [0, 1]]), torch.tensor([1, 0]), class_names=("cat", "dog")
    )
    found = TASK.measure(Says(Class(2, ("dog", "cat"))), rows, Asked())
    assert values(found) == {"accuracy": 1.0}
    more = image_rows("x:test", pictures([[1, 0], [0, 1]]), torch.tensor([1, 0]),
                      class_names=("cow", "dog"))  # fmt: skip
    found = TASK.measure(Says(Class(2, ("dog", "cat"))), more, Asked())
    assert values(found) == {"accuracy": 0.5}
    assert "1 pictures are of classes that it does not know" in found.notes


def test_attributes_are_measured_one_by_one_in_the_mean_and_balanced():
    said = [[1, 0], [0, 0], [0, 0], [0, 1]]
    real = [[1, 0], [1, 0], [0, 0], [0, 0]]
    found = TASK.measure(Says(Flags(("Hat", "Smile"))), flagged(said, real, ("Hat", "Smile")),
                         Asked())  # fmt: skip
    # Hat: 1 of 2 and 2 of 2 right; nobody smiles, so that has no balance.
    assert values(found) == {
        "accuracy": 0.75,
        "balanced-accuracy": 0.75,
        "accuracy-Hat": 0.75,
        "accuracy-Smile": 0.75,
    }
    floors = {value.name: value.floor for value in found.metrics}
    assert floors == {
        "accuracy": 0.75,
        "balanced-accuracy": 0.5,
        "accuracy-Hat": 0.5,
        "accuracy-Smile": 1.0,
    }
    assert [row["class"] for row in found.classes] == ["Hat", "Smile"]


def test_the_interval_of_balanced_accuracy_is_that_of_two_shares():
    generator = torch.Generator().manual_seed(0)
    real = (torch.rand(2000, generator=generator) < 0.2).int()
    wrong = torch.rand(2000, generator=generator) < torch.where(real > 0, 0.3, 0.1)
    said = torch.where(wrong, 1 - real, real)
    rows = flagged(said[:, None].tolist(), real[:, None].tolist(), ("Hat",))
    value = TASK.measure(Says(Flags(("Hat",))), rows, Asked())["balanced-accuracy"]
    shares = [(~wrong)[real == kind].double().mean() for kind in (1, 0)]
    counts = [int((real == kind).sum()) for kind in (1, 0)]
    assert value.value == pytest.approx(sum(shares).item() / 2)
    spread = sum(p * (1 - p) / n for p, n in zip(shares, counts, strict=True)) ** 0.5 / 2
    assert value.high - value.value == pytest.approx(1.96 * spread.item(), rel=0.01)


def test_attributes_are_matched_by_name_and_what_is_not_there_is_said():
    rows = flagged([[1, 0, 1]], [[1, 0]], ("Smile", "Hat"))
    found = TASK.measure(Says(Flags(("Hat", "Beard", "Smile"))), rows, Asked())
    assert values(found) == {"accuracy": 0.5, "accuracy-Hat": 0.0, "accuracy-Smile": 1.0}
    assert "not in faces:test, so not measured: Beard" in found.notes


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_moves_nothing_and_count_takes_the_first(batch_size):
    rows = flagged([[1], [0], [0]], [[1], [0], [1]], ("Hat",))
    asked = Asked(batch_size=batch_size)
    assert values(TASK.measure(Says(Flags(("Hat",))), rows, asked))["accuracy"] == pytest.approx(
        2 / 3
    )
    few = Asked(batch_size=batch_size, count=2)
    assert values(TASK.measure(Says(Flags(("Hat",))), rows, few))["accuracy"] == 1


def test_what_does_not_fit_is_said():
    says = Says(Flags(("Hat",)))
    with pytest.raises(EvaluationError, match="no column 'attributes' to compare with"):
        TASK.measure(says, image_rows("x:test", pictures([[1]])), Asked())
    with pytest.raises(EvaluationError, match="no column 'label' to compare with"):
        TASK.measure(Says(Class(2)), image_rows("x:test", pictures([[1]])), Asked())
    with pytest.raises(EvaluationError, match="knows none of the attributes Hat"):
        TASK.measure(says, flagged([[1]], [[1]], ("Hut",)), Asked())
    found = TASK.measure(says, flagged([[1]], [[1]], ("Hat",)),
                         Asked(request={"extractors": ["digits"]}))  # fmt: skip
    assert "a classifier is measured by its own answers: no extractors" in found.notes
