"""Attributes after edits, by hand."""

import pytest
import torch

from genkit.evaluation.changes.attributes import Seen, accuracy, guesses, preservation, values
from genkit.evaluation.changes.value import Against
from genkit.rows.base import image_rows

NAMES = ("Hat", "Blond", "Black")


def rows(*text):
    return torch.tensor([[letter == "1" for letter in line.split()] for line in text])


# Two pictures; colours of hair exclude each other.
REAL = rows("0 1 0", "1 0 0")
ASKED = torch.stack(
    [rows("1 1 0", "0 0 0"), rows("0 0 0", "1 1 0"), rows("0 0 1", "1 0 1")]
)  # edit i flips attribute i


@pytest.fixture
def against():
    return Against(image_rows("two", torch.zeros(2, 3, 8, 8, dtype=torch.uint8)))


def found(seen, against):
    return {value.name: value for value in values(seen, against)}


def test_accuracy_is_the_share_of_edits_whose_attribute_is_seen_as_asked_for():
    assert accuracy(NAMES, ASKED, ASKED).tolist() == [[1, 1]] * 3
    wrong = ASKED.clone()
    wrong[1, 0, 1] = True  # the first picture is still blond
    wrong[2, 1, 0] = False  # another attribute, which accuracy does not look at
    assert accuracy(NAMES, wrong, ASKED).tolist() == [[1, 1], [0, 1], [1, 1]]
    assert accuracy(NAMES, REAL, ASKED).tolist() == [[0, 0]] * 3


def test_preservation_counts_the_other_attributes_only():
    seen = ASKED.clone()
    seen[1, 0, 1] = True  # the edited one
    seen[2, 1, 0] = False  # one of two others
    assert preservation(seen, ASKED).tolist() == [[0, 0], [0, 0], [0, 0.5]]
    # By the papers' count a colour that another one forces off is an error.
    assert preservation(ASKED, REAL).tolist() == [[0, 0], [0, 0], [0.5, 0]]


def test_a_perfect_edit_reaches_the_floors_and_copying_none_of_it(against):
    perfect = found(Seen(NAMES, REAL, REAL, ASKED, ASKED), against)
    for name in ("attribute-accuracy", "preservation-error", "preservation-error-original"):
        assert perfect[name].value == perfect[name].floor
    assert perfect["attribute-accuracy"].value == 1
    assert perfect["attribute-accuracy"].copying == 0
    assert perfect["preservation-error"].value == 0
    assert perfect["preservation-error-original"].value == pytest.approx(1 / 12)
    assert perfect["preservation-error-original"].copying == 0
    copied = found(Seen(NAMES, REAL, REAL, ASKED, REAL.expand(3, 2, 3)), against)
    for name, value in copied.items():
        assert value.value == pytest.approx(value.copying), name


def test_a_classifier_that_errs_lowers_the_floor(against):
    before = REAL.clone()
    before[0, 0] = True  # it sees a hat that is not there
    mine = found(Seen(NAMES, REAL, before, ASKED, ASKED), against)
    assert mine["attribute-accuracy"].floor == pytest.approx(5 / 6)
    assert mine["attribute-accuracy-Hat"].floor == 0.5
    assert mine["attribute-accuracy-Hat"].copying == 0.5
    # Two edits of the first picture have it among their two other attributes.
    assert mine["preservation-error"].floor == pytest.approx(2 * 0.5 / 6)


def test_every_attribute_has_values_of_its_own(against):
    seen = ASKED.clone()
    seen[1, 0, 1] = True
    of = values(Seen(NAMES, REAL, REAL, ASKED, seen), against)
    assert [value.name for value in of[:3]] == [
        "attribute-accuracy",
        "preservation-error",
        "preservation-error-original",
    ]
    parts = {v.part: v.value for v in of if v.whole == "attribute-accuracy"}
    assert parts == {None: pytest.approx(5 / 6), "Hat": 1, "Blond": 0.5, "Black": 1}
    blond = next(v for v in of if v.name == "attribute-accuracy-Blond")
    assert 0 < blond.low < 0.5 < blond.high < 1
    assert "Wilson" in blond.protocol["interval"]


def test_guesses_are_shares_of_attributes(against):
    right = torch.tensor([[True, True, False], [True, False, False]])
    of = {value.name: value.value for value in guesses(NAMES, right, against)}
    assert of == {
        "guess-accuracy": 0.5,
        "guess-accuracy-Hat": 1,
        "guess-accuracy-Blond": 0.5,
        "guess-accuracy-Black": 0,
    }
