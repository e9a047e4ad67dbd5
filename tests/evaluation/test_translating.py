"""Task translation beside copying, the truth and the way back, on translators that are known."""

import pytest
import torch
from networks_at_hand import smooth_pictures

from genkit.evaluation import Extractor, evaluate, tasks
from genkit.evaluation.changes import translating
from genkit.evaluation.changes.counterparts import l1
from genkit.evaluation.task import Asked
from genkit.pipelines.base import Pipeline
from genkit.rows.base import image_rows
from genkit.rows.columns import Image
from genkit.rows.combine import renamed, unpaired, zipped

SIZE = (16, 16)
OWN = ["truth", "retrieval", "cycle", "structure", "copying"]


class Means(Extractor):
    """Means of quarters of a picture, and of its colours."""

    name, sha256, layer, resize = "means", "none", "means", "none"

    def prepare(self, images):
        return images.expand(-1, 3, -1, -1).float() / 255

    def features(self, inputs):
        quarters = torch.nn.functional.adaptive_avg_pool2d(inputs, 2)
        return torch.cat([quarters.flatten(1), inputs.mean((2, 3))], 1)


class Negative(Pipeline):
    """The negative of a picture, either way, or something near to it."""

    def __init__(self, takes=("image_a", "image_b"), off=0.0, channels=3):
        super().__init__()
        self.register_to_config()
        self.given, self.off, self.channels = takes, off, channels

    @property
    def takes(self):
        return tuple({name: Image(None, self.channels)} for name in self.given)

    @property
    def gives(self):
        return {"image": Image(None, 3)}

    def generate(self, begun, given, options):
        (picture,) = given.values()
        return {"image": (self.off - picture.expand(-1, 3, -1, -1)).clamp(-1, 1)}


def pictures(name, count=12):
    return image_rows(name, smooth_pictures(count, SIZE[0], name) // 2)  # dark ones


def negative(rows):
    return image_rows(f"negative {rows.name}", 255 - rows.values["image"])


def truth(rows=None):
    rows = rows or pictures("a")
    return zipped(
        renamed(rows, {"image": "image_a"}), renamed(negative(rows), {"image": "image_b"})
    )


def measured(pipeline, metrics=OWN, *, parts=True, rows=None, **asked):
    a = pictures("a")
    rows = rows or unpaired(a, negative(pictures("b")))
    how = Asked(
        parts={"truth": truth(a)} if parts else {},
        request={"extractors": [Means()], "metrics": metrics},
        **asked,
    )
    return tasks.find("translation").measure(pipeline, rows, how)


def test_a_perfect_translation_is_its_counterpart_both_ways():
    found = measured(Negative())
    for way in ("a-to-b", "b-to-a"):
        assert found[f"truth-l1-{way}"].value == 0
        assert found[f"cycle-l1-{way}"].value == 0
        for space in ("pixels", "means"):
            assert found[f"retrieval-1-{space}-{way}"].value == 1
            assert found[f"retrieval-5-{space}-{way}"].value == 1
        assert found[f"structure-means-{way}"].value == pytest.approx(0, abs=1e-3)
    a = pictures("a").values["image"]
    copied = l1(a, 255 - a).mean().item()
    assert found["truth-l1-a-to-b"].copying == pytest.approx(copied)
    assert found["retrieval-1-pixels-a-to-b"].protocol["candidates"] == 12
    assert found["cycle-l1-a-to-b"].protocol["between"].startswith("8-bit")


def test_structure_that_is_not_measured_for_small_pictures_is_said(monkeypatch):
    assert not any("structure" in note for note in measured(Negative()).notes)
    monkeypatch.setattr(translating, "SIDE", 32)
    found = measured(Negative())
    assert not any(value.name.startswith("structure") for value in found.metrics)
    assert "structure is not measured: it takes pictures of 32 px or more" in found.notes
    assert measured(Negative(), ["cycle"]).notes == ()


def test_a_translator_that_copies_is_as_good_as_copying():
    class Copy(Negative):
        def generate(self, begun, given, options):
            (picture,) = given.values()
            return {"image": picture}

    found = measured(Copy(), [*OWN, "fd"])
    compared = [value for value in found.metrics if value.copying is not None]
    assert {v.name.removesuffix("-a-to-b").removesuffix("-b-to-a") for v in compared} >= {
        *("truth-l1", "retrieval-1-pixels", "retrieval-5-means", "fd-means", "ssim")
    }
    for value in compared:
        assert value.value == pytest.approx(value.copying, abs=1e-6), value.name


def test_the_distance_to_the_target_stands_beside_the_untranslated_one():
    a, b = pictures("a"), negative(pictures("b"))
    found = measured(Negative(), ["fd", "copying"], parts=False)
    by_hand = evaluate(a, b, extractors=[Means()], metrics=["fd"])["fd-means"].value
    assert found["fd-means-a-to-b"].copying == pytest.approx(by_hand)
    assert found["fd-means-a-to-b"].value < 0.5 * by_hand


def test_what_is_lost_on_the_way_back_is_the_cycle_error():
    # Both ways add 0.1 of a range of 2: the cycle is off by nothing, but where it is clipped.
    one_way = measured(Negative(("image_a",)))
    assert not [v for v in one_way.metrics if v.name.startswith("cycle")]
    assert "truth-l1" in {v.name for v in one_way.metrics}

    class Lossy(Negative):
        def generate(self, begun, given, options):
            (picture,) = given.values()
            return {"image": -0.5 * picture}

    found = measured(Lossy())
    a = pictures("a").values["image"].float() / 127.5 - 1
    expected = (a - 0.25 * a).abs().mean().item() / 2
    assert found["cycle-l1-a-to-b"].value == pytest.approx(expected, abs=2 / 255)


def test_pairs_are_counterparts():
    sources = pictures("sources")
    pairs = zipped(
        renamed(sources, {"image": "source"}), renamed(negative(sources), {"image": "target"})
    )
    found = measured(Negative(("image_a",), off=0.1), rows=pairs, parts=False)
    names = [value.name for value in found.metrics]
    assert names[:3] == ["psnr", "ssim", "truth-l1"]
    assert found["truth-l1"].value == pytest.approx(0.05, abs=0.01)
    assert found["psnr"].copying < found["psnr"].value
    assert found["retrieval-1-pixels"].value == 1


def test_grey_pictures_become_colour_ones_and_are_measured_too():
    grey = image_rows("grey", pictures("a").values["image"][:, :1])
    colour = image_rows("colour", 255 - grey.values["image"].expand(-1, 3, -1, -1))
    known = zipped(renamed(grey, {"image": "image_a"}), renamed(colour, {"image": "image_b"}))
    how = Asked(parts={"truth": known}, request={"extractors": [Means()], "metrics": [*OWN, "fd"]})
    pipeline = Negative(("image_a",), channels=1)
    found = tasks.find("translation").measure(pipeline, unpaired(grey, colour), how)
    assert found["truth-l1"].value == 0
    assert found["truth-l1"].copying > 0
    assert found["fd-means"].copying is not None


def test_where_there_are_many_retrieval_among_few_is_given_too():
    many = pictures("many", 230)
    found = measured(
        Negative(("image_a",), off=0.3),
        ["retrieval"],
        parts=False,
        rows=zipped(
            renamed(many, {"image": "source"}), renamed(negative(many), {"image": "target"})
        ),
    )
    few = found["retrieval-1-of-200-pixels"]
    assert few.protocol["candidates"] == 200
    assert few.value >= found["retrieval-1-pixels"].value


def test_pictures_are_shown_with_the_best_and_the_worst():
    found = measured(Negative(off=0.1))
    names = [shown.name for shown in found.pictures]
    assert names == [
        f"translations-{way}{end}"
        for way in ("a-to-b", "b-to-a")
        for end in ("", "-best", "-worst")
    ]
    without = measured(Negative(("image_a",)), parts=False)
    assert [shown.name for shown in without.pictures] == ["translations"]
    assert measured(Negative(), pictures=False).pictures == ()


def test_every_translation_is_made_once():
    made = []

    class Counted(Negative):
        def generate(self, begun, given, options):
            made.append(len(next(iter(given.values()))))
            return super().generate(begun, given, options)

    measured(Counted(), [*OWN, "fd"])
    # Twelve of each side, twelve with known counterparts each way, and twelve back each way.
    assert sum(made) == 12 * 6
