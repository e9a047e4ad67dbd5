"""An edit is marked as having one answer exactly where what is hidden has no say in it."""

from dataclasses import replace

import numpy as np
import pytest

from genkit.data.faces import attributes, drawing, parameters
from genkit.data.faces import parameters as p

FACES = parameters.drawn(2, "test", range(300))
OTHERS = parameters.drawn(9, "test", range(300))


def hidden_otherwise(faces, others):
    """The same faces with all that can't be seen of them taken from others."""
    who, wear, does = faces.identity, faces.wear, faces.expression
    hair, hat = wear.head == p.HAIR, wear.head == p.HAT
    long, dark = hair & wear.long, wear.glasses == p.SUNGLASSES

    def seen(part, where, *names):
        mine, theirs = (getattr(each, part) for each in (faces, others))
        return {n: np.where(where, getattr(mine, n), getattr(theirs, n)) for n in names}

    who = replace(
        who,
        **seen("identity", hair, "top", "volume", "parting"),
        **seen("identity", long, "length"),
        **seen("identity", ~dark, "iris"),
        **seen("identity", np.zeros_like(hair), "other"),
    )
    wear = replace(wear, **seen("wear", hat, "hat", "hat_color"), **seen("wear", hair, "long"))
    does = replace(does, **seen("expression", ~dark, "gaze_x", "gaze_y", "winking"))
    return replace(faces, identity=who, wear=wear, expression=does)


def pictures(faces):
    return drawing.draw(faces, 32).pictures["soft"]


TWINS = hidden_otherwise(FACES, OTHERS)


def test_what_is_hidden_shows_in_no_picture():
    assert np.array_equal(pictures(FACES), pictures(TWINS))
    assert np.array_equal(attributes.rows(FACES), attributes.rows(TWINS))


@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("name", attributes.NAMES)
def test_an_edit_has_one_answer_where_it_is_marked_so(name, on):
    places = np.flatnonzero(attributes.rows(FACES)[:, attributes.NAMES.index(name)] != on)[:60]
    before, twins = FACES.at(places), TWINS.at(places)
    after = attributes.switched(before, name, on)
    one = attributes.unique(before, after)
    same = (pictures(after) == pictures(attributes.switched(twins, name, on))).all((1, 2, 3))
    assert same[one].all()
    if (~one).sum() > 8:  # some of those that are hidden are alike by chance
        assert same[~one].mean() < 0.75


def test_edits_of_one_attribute_leave_the_rest_of_the_picture_alone():
    rows = attributes.rows(FACES)
    for name, region in {"Smiling": slice(10, 32), "Mustache": slice(16, 32)}.items():
        before = FACES.at(rows[:, attributes.NAMES.index(name)] == 0).at(slice(0, 40))
        moved = pictures(before) != pictures(attributes.switched(before, name, True))
        outside = np.ones(32, bool)
        outside[region] = False
        assert not moved[:, :, outside].any(), name


def test_an_edit_and_its_return_give_the_first_picture():
    rows = attributes.rows(FACES)
    for name in ("Eyeglasses", "Beard", "Mustache", "Smiling", "Mouth_Open", "Winking"):
        off = rows[:, attributes.NAMES.index(name)] == 0
        free = (FACES.wear.glasses != p.SUNGLASSES) & (FACES.wear.chin == p.SHAVEN)
        before = FACES.at(off & free).at(slice(0, 20))
        back = attributes.switched(attributes.switched(before, name, True), name, False)
        assert np.array_equal(pictures(before), pictures(back)), name
