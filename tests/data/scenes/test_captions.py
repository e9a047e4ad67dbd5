"""Captions tell what is there, in many words, and are read back."""

from __future__ import annotations

import pytest

from genkit.data.scenes.captions import Prompt, Told, captions, claims
from genkit.data.scenes.things import Scene, Thing, scene
from genkit.errors import DataError

SCENES = [scene(0, "test", i, "all") for i in range(400)]
CAPTIONS = [captions(each, 0, "test", i, 5) for i, each in enumerate(SCENES)]
WRONG = {"red": "blue", "blue": "red", "star": "heart", "small": "big", "little": "large",
         "left": "right", "right": "left", "above": "below", "white": "black"}  # fmt: skip


def thing(shape: str, color: str, x: float, y: float, size: str = "small") -> Thing:
    return Thing(shape, color, size, x, y, 0.15, 0.0)


def test_every_caption_holds_of_its_scene():
    for each, said in zip(SCENES, CAPTIONS, strict=True):
        assert all(claims(text).holds(each) for text in said)


def test_a_caption_with_one_word_exchanged_does_not_hold():
    tried = 0
    for each, said in zip(SCENES, CAPTIONS, strict=True):
        for text in said:
            words = text.split(" ")
            for i, word in enumerate(words):
                if word in WRONG:
                    other = " ".join([*words[:i], WRONG[word], *words[i + 1 :]])
                    assert not _holds(other, each), (other, each)
                    tried += 1
    assert tried > 500


def _holds(text, scene):
    try:
        return claims(text).holds(scene)
    except DataError:  # of three things two are now of one look
        return False


def test_the_first_caption_tells_everything_and_others_leave_something_out():
    for each, said in zip(SCENES, CAPTIONS, strict=True):
        told = claims(said[0])
        assert told.ground == each.ground
        assert all(one.size for one in told.things)
        assert (told.relation is None) == (each.relation is None)
    others = [claims(text) for said in CAPTIONS for text in said[1:]]
    assert 0.3 < sum(told.ground is None for told in others) / len(others) < 0.5
    assert 0.3 < sum(told.things[0].size is None for told in others) / len(others) < 0.5


def test_captions_are_keyed_and_differ():
    assert captions(SCENES[0], 0, "test", 0, 3) == CAPTIONS[0][:3]
    assert captions(SCENES[0], 1, "test", 0, 5) != CAPTIONS[0]
    assert sum(len({*said}) for said in CAPTIONS) > 4.5 * len(CAPTIONS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a red star", Prompt((Told("star", "red"),))),
        ("An orange disc.", Prompt((Told("circle", "orange"),))),
        ("three little boxes in violet on a beige ground",
         Prompt((Told("square", "purple", 3, "small"),), None, "cream")),
        ("there are two pluses in pink that are large",
         Prompt((Told("cross", "pink", 2, "big"),))),
        ("a red star to the left of a big blue hoop in front of grey",
         Prompt((Told("star", "red"), Told("ring", "blue", 1, "big")), "left of", "grey")),
        ("under a red star, a blue ring",
         Prompt((Told("ring", "blue"), Told("star", "red")), "below")),
        ("a red star, a blue ring and a green heart",
         Prompt((Told("star", "red"), Told("ring", "blue"), Told("heart", "green")))),
    ],
)  # fmt: skip
def test_words_are_read_as_they_are_meant(text, told):
    assert claims(text) == told


@pytest.mark.parametrize(
    "text", ["a red star and a red star", "a small red star left of a big red star on grey"]
)
def test_things_of_one_look_are_told_of_together(text):
    with pytest.raises(DataError, match="write 'two red stars'"):
        claims(text)


@pytest.mark.parametrize("text", ["a red dog", "a star", "", "a red star left of", "red star"])
def test_words_of_other_things_are_refused(text):
    with pytest.raises(DataError, match="tells of no things that scenes have"):
        claims(text)


def test_a_claim_holds_only_of_what_is_shown_exactly():
    star, ring = thing("star", "red", 0.2, 0.5), thing("ring", "blue", 0.7, 0.5, "big")
    both = Scene("two", (star, ring), "grey")
    for text in ("a red star left of a blue ring", "a big blue ring and a red star on grey"):
        assert claims(text).holds(both)
    for text in ("a red star", "a red star above a blue ring", "a red ring and a blue star",
                 "two red stars and a blue ring", "a red star left of a small blue ring",
                 "a red star and a blue ring on white"):  # fmt: skip
        assert not claims(text).holds(both)
    two = Scene("alike", (star, thing("star", "red", 0.7, 0.5)), "grey")
    assert not claims("a red star").holds(two)
    assert claims("two red stars").holds(two)
    rings = [thing("ring", "blue", x, 0.4, "small") for x in (0.8, 0.2)]
    between = Scene("three", (thing("star", "red", 0.5, 0.5), *rings), "grey")
    assert not claims("a red star left of two blue rings").holds(between)
    assert claims("a red star and two blue rings").holds(between)
