import pytest

from genkit.errors import DataError
from genkit.rows.class_names import called, number_of, numbered, numbers_of
from genkit.rows.columns import Class

FRUIT = Class(3, ("apple", "salt, pepper", "kiwi-gold"))
DIGITS = Class(10, tuple("0123456789"))
ODD = Class(3, ("3", "7", "9"))  # names that are whole numbers, and none its own number
BY_LETTERS = Class(5, ("0", "1", "10", "11", "2"))
PADDED = Class(3, ("000", "001", "010"))
MIXED = Class(3, ("1", "cat", "dog"))
NAMELESS = Class(12)


@pytest.mark.parametrize(
    ("column", "text", "numbers"),
    [
        (FRUIT, "apple", [0]),
        (FRUIT, "kiwi-gold, salt, pepper ,apple", [2, 1, 0]),
        (FRUIT, "apple,1-2", [0, 1, 2]),
        (DIGITS, "0-9", list(range(10))),
        (DIGITS, "1,3,5-7", [1, 3, 5, 6, 7]),
        (ODD, "3", [0]),
        (ODD, "9,3-7", [2, 0, 1]),
        (ODD, "3-9", [0, 1, 2]),
        (BY_LETTERS, "2", [4]),
        (BY_LETTERS, "0-11", [0, 1, 4, 2, 3]),
        (PADDED, "1,010", [1, 2]),
        (MIXED, "1,cat", [0, 1]),
        (NAMELESS, "2,0-1,11", [2, 0, 1, 11]),
    ],
)
def test_a_list_holds_names_and_numbers_and_ranges(column, text, numbers):
    assert numbers_of(text, column) == numbers


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        (FRUIT, "appel", "'appel' is no class; they are 0 to 2: 0 apple.*did you mean 'apple'"),
        (FRUIT, "", "'' is no class"),
        (FRUIT, "1-3", "'3' is no class; they are 0 to 2: 0 apple"),
        (FRUIT, "a\x1b[2J", r"\\x1b\[2J' is no class"),
        (ODD, "1", "'1' is no class; they are called 3, 7, 9"),
        (ODD, "0-9", "'0' is no class; they are called 3, 7, 9"),
        (MIXED, "2", "'2' is no class; they are called 1, cat, dog"),
        (DIGITS, "12", "'12' is no class; they are 0 to 9$"),
        (NAMELESS, "apple", "'apple' is no class; they are 0 to 11, and their names are not known"),
        (NAMELESS, "0-99999999999", "out of reach"),
        (NAMELESS, "7-3", "runs backwards"),
    ],
)
def test_what_is_no_class_is_refused_with_those_that_there_are(column, text, said):
    with pytest.raises(DataError, match=said):
        numbers_of(text, column)


def test_a_number_that_is_no_text_is_the_number_of_a_class():
    assert number_of(ODD, 2) == 2
    assert number_of(ODD, "9") == 2
    with pytest.raises(DataError, match="3 is no class; they are 0 to 2: 0 3, 1 7, 2 9"):
        number_of(ODD, 3)


def test_many_classes_are_told_shortly():
    names = [f"kind {i}" for i in range(40)]
    assert numbered(range(40), names).endswith("11 kind 11 and 28 more")
    assert called([39], names) == "kind 39 (number 39)"
    with pytest.raises(DataError, match="and 28 more; did you mean 'kind 3"):
        number_of(Class(40, tuple(names)), "kinds 3")
