"""Switching attributes: what excludes what is data of the column."""

import pytest
import torch

from genkit.errors import DataError
from genkit.rows.columns import Flags, column_of
from genkit.rows.flags import (
    CELEBA_EXCLUDES,
    DRAWN_EXCLUDES,
    DRAWN_NAMES,
    conflicts,
    excluded,
    known_excludes,
    one_of,
    switched,
)

NAMES = ("Bald", "Bangs", "Black_Hair", "Blond_Hair", "Smiling")
CELEBA = Flags(NAMES, excludes=known_excludes(NAMES))


@pytest.mark.parametrize(
    ("name", "on", "before", "after"),
    [
        ("Bald", True, [0, 1, 1, 0, 0], [1, 0, 1, 0, 0]),
        ("Bangs", True, [1, 0, 0, 0, 1], [0, 1, 0, 0, 1]),
        ("Black_Hair", True, [0, 1, 0, 1, 1], [0, 1, 1, 0, 1]),
        ("Black_Hair", False, [0, 1, 1, 0, 1], [0, 1, 0, 0, 1]),
        ("Smiling", True, [1, 0, 0, 1, 0], [1, 0, 0, 1, 1]),
    ],
)
def test_an_edit_follows_the_public_rules_of_celeba(name, on, before, after):
    values = torch.tensor([before])
    assert switched(CELEBA, values, name, on).tolist() == [after]
    assert values.tolist() == [before]


def test_rows_are_edited_each_by_itself_and_keep_their_type():
    values = torch.tensor([[1.0, 0, 0, 0, 0], [0, 0, 0, 1, 0]])
    edited = switched(CELEBA, values, "Bangs", True)
    assert edited.tolist() == [[0, 1, 0, 0, 0], [0, 1, 0, 1, 0]]
    assert edited.dtype == values.dtype


def test_rules_name_only_attributes_that_are_here():
    assert known_excludes(("Bald", "Male")) == ()
    assert known_excludes(("Straight_Hair", "Wavy_Hair")) == one_of("Straight_Hair", "Wavy_Hair")
    assert known_excludes(DRAWN_NAMES[::-1]) == DRAWN_EXCLUDES
    assert known_excludes(("Eyeglasses", "Sunglasses")) == one_of("Eyeglasses", "Sunglasses")
    assert known_excludes(("Eyeglasses", "Sunglasses", "Male")) == ()
    assert known_excludes(("Bald", "Wearing_Hat")) == ()  # CelebA's, where both hold of some
    assert excluded(Flags(("Bald",), excludes=CELEBA_EXCLUDES), "Bald") == ()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Smilling", "no attribute 'Smilling'; did you mean 'Smiling'?"),
        ("black_hair", "no attribute 'black_hair'; did you mean 'Black_Hair'?"),
        ("Male", f"no attribute 'Male'; there are {', '.join(NAMES)}"),
    ],
)
def test_an_attribute_that_does_not_exist_is_refused_with_the_nearest(name, said):
    with pytest.raises(DataError) as error:
        switched(CELEBA, torch.zeros(1, 5), name, True)
    assert str(error.value) == said


def test_what_holds_together_and_cannot_is_found():
    rows = torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 0, 1]])
    assert conflicts(CELEBA, rows) == [("Bald", "Bangs")]
    assert conflicts(CELEBA, rows[1:]) == []


def test_rules_survive_json_and_former_groups_become_rules():
    assert column_of(CELEBA.to_tree()) == CELEBA
    former = {"kind": "flags", "names": ["a", "b", "c"], "groups": [["a", "b"]], "optional": False}
    assert column_of(former) == Flags(("a", "b", "c"), excludes=one_of("a", "b"))
    assert column_of(former | {"groups": []}) == Flags(("a", "b", "c"))
