"""How often the right one is found: closed forms, and drawn scenes with known answers."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
import torch

from genkit.data.readers.scenes import ScenesData
from genkit.data.scenes.captions import claims, with_exchanged_colours
from genkit.data.scenes.things import scene
from genkit.errors import DataError, EvaluationError
from genkit.evaluation.retrieval import found_among, nearer
from genkit.evaluation.scenes import exchanged, facts, scenes_of
from genkit.evaluation.task import Asked
from genkit.evaluation.tasks import find


def test_wrong_ones_that_are_nearer_are_counted_and_equal_ones_pass_by():
    queries = torch.eye(3)
    candidates = torch.tensor([[0.5, 0.9, 0.0], [0.6, 0.8, 0.0], [0.5, 0.0, 1.0]])
    better, wrong = nearer(queries, candidates, torch.tensor([0, 1, 2]))
    assert better.tolist() == [2, 1, 0]  # a tie counts against it
    assert wrong.tolist() == [2, 2, 2]
    better, wrong = nearer(queries, candidates, torch.tensor([0, 0, 2]))
    assert better.tolist() == [1, 0, 0]
    assert wrong.tolist() == [1, 1, 2]


def test_the_share_among_some_is_the_mean_over_all_ways_to_draw_them():
    better, wrong, among, most = 3, 7, 4, 2
    draws = [*combinations(range(wrong), among - 1)]
    expected = sum(sum(i < better for i in draw) < most for draw in draws) / len(draws)
    found = found_among(torch.tensor([better]), torch.tensor([wrong]), most, among)
    assert found.item() == pytest.approx(expected)
    assert found_among(torch.tensor([0, 1, 2]), torch.tensor([9] * 3), 2).tolist() == [1, 1, 0]


def test_by_chance_one_in_a_hundred_is_found():
    count = 1000  # own places from the first to the last
    better = torch.arange(count)
    found = found_among(better, torch.full((count,), count - 1), 1, 100)
    assert found.mean().item() == pytest.approx(1 / 100)


def test_scenes_of_which_the_same_is_told_have_the_same_facts():
    one = scene(0, "test", 3, "seen", "two")
    turned = type(one)("two", one.things[::-1], one.ground)
    assert facts(one) == facts(turned)
    other = scene(0, "test", 4, "seen", "two")
    assert facts(one) != facts(other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a small red star left of a big blue ring", "a small blue star left of a big red ring"),
        ("below a star in violet, a ring in red", "below a star in red, a ring in violet"),
    ],
)
def test_colours_change_places(text, expected):
    assert with_exchanged_colours(text) == expected


def test_other_than_two_colours_are_refused():
    with pytest.raises(DataError, match="names 1 colours"):
        with_exchanged_colours("two red stars on grey")


def test_an_exchanged_caption_holds_of_its_scene_no_more():
    rows = ScenesData(train_count=2, test_count=60).open("test")
    known = scenes_of(rows)
    assert known is not None
    said = [texts[0] for texts in rows.read(range(60), ("caption",))["caption"]]
    places, wrong = exchanged(known, said)
    assert len(places) > 10
    for place, text in zip(places, wrong, strict=True):
        assert claims(said[place]).holds(known[place])
        assert not claims(text).holds(known[place])


class Knows:
    """Stands for a model that knows every scene, or what it says of them, up to a weakness."""

    def __init__(self, rows, weakness: str = "") -> None:
        self.rows, self.weakness = rows, weakness
        self.words: dict[str, int] = {}

    def vector(self, key: str) -> torch.Tensor:
        place = self.words.setdefault(key, len(self.words))
        return torch.nn.functional.one_hot(torch.tensor(place), 4096).float()

    def key(self, text: str) -> str:
        told = claims(text)
        looks = sorted(str(each) for each in told.things)
        if self.weakness == "binding":  # a bag of words
            return str(sorted(w for t in told.things for w in (t.shape, t.color, str(t.size))))
        return f"{looks} {told.ground}"

    def texts(self, texts):
        return torch.stack([self.vector(self.key(text)) for text in texts])

    def stream(self, indices, *, given, batch_size):
        said = given.read(list(indices), ("caption",))["caption"]
        yield indices, {"embedding": self.texts([texts[0] for texts in said])}


@pytest.fixture(scope="module")
def rows():
    return ScenesData(train_count=2, test_count=300).open("test")


def values(rows, **options) -> dict[str, float]:
    found = find("retrieval").measure(Knows(rows, **options), rows, Asked(pictures=False))
    return {value.name: value.value for value in found.metrics}


def test_a_model_that_knows_finds_everything(rows):
    found = values(rows)
    # It takes no notice of where things lie, which is all that tells some apart.
    assert found["binding"] > 0.9
    assert found["retrieval-1-of-100-by-text"] > 0.97
    assert found["retrieval-10-of-100-by-picture"] == 1


def test_a_bag_of_words_binds_nothing(rows):
    found = values(rows, weakness="binding")
    assert found["binding"] == 0  # the same vector: it is not nearer
    assert found["retrieval-1-of-100-by-text"] > 0.5


def test_every_value_has_an_interval_and_the_floor_of_guessing(rows):
    found = find("retrieval").measure(Knows(rows), rows, Asked(pictures=False))
    by_name = {value.name: value for value in found.metrics}
    assert by_name["retrieval-5-of-100-by-text"].floor == pytest.approx(0.05)
    # Rows of which the same is said are no wrong answers, so guessing finds a little more.
    assert 10 / 300 <= by_name["retrieval-10-by-text"].floor < 10.5 / 300
    assert by_name["binding"].floor == 0.5
    assert all(value.low is not None and math.isfinite(value.low) for value in found.metrics)


def test_rows_without_captions_and_models_without_texts_are_refused(rows):
    from genkit.data.readers.glyphs import GlyphsData

    bare = GlyphsData(train_count=8, test_count=8).open("test")
    with pytest.raises(EvaluationError, match="no captions to find pictures by"):
        find("retrieval").measure(Knows(rows), bare, Asked())
    with pytest.raises(EvaluationError, match="embeds no texts; give a run of family clip"):
        find("retrieval").measure(object(), rows, Asked())
