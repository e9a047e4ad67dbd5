"""Task editing on editors that are simple enough to know the answer."""

import dataclasses
import json

import pytest
from editing_at_hand import (
    FLAGS,
    OFF,
    ON,
    Editor,
    Guesser,
    Squares,
    counterfactuals,
    faces,
)

from genkit.errors import EvaluationError
from genkit.evaluation import tasks
from genkit.evaluation.task import Asked
from genkit.rows.base import MemoryRows
from genkit.rows.columns import Flags

OWN = ["attributes", "regions", "guesses"]


def measured(pipeline, rows=None, metrics=OWN, truth=None, **asked):
    parts = {} if truth is None else {"counterfactual": truth}
    request = {"extractors": [Squares()], "metrics": metrics}
    how = Asked(parts=parts, request=request, **asked)
    return tasks.find("editing").measure(pipeline, rows or faces(), how)


def test_a_perfect_editor_makes_no_error():
    found = measured(Editor(), truth=counterfactuals())
    assert found["attribute-accuracy"].value == 1
    assert found["preservation-error"].value == 0
    for name in ("inside-error", "inside-ratio", "outside-error"):
        assert found[name].value == pytest.approx(0, abs=1e-9)
    assert found["inside-ratio"].copying == 1
    assert found["inside-error"].copying == pytest.approx((ON - OFF) / 255)
    assert [v.name for v in found.metrics if v.name == "psnr"] == []  # equal pictures have none
    assert found.notes[0].startswith("12 of 12 pairs are equal") or any(
        note.startswith("12 of 12 pairs are equal") for note in found.notes
    )
    # A colour of hair switches another one off in four of 36 edits, one of two others each.
    original = found["preservation-error-original"]
    assert original.value == pytest.approx(original.floor)
    assert original.value > 0


def test_an_editor_that_does_nothing_is_as_good_as_copying():
    found = measured(Editor(by=0.0), truth=counterfactuals())
    assert found["attribute-accuracy"].value == 0
    for value in found.metrics:
        if value.copying is not None:
            assert value.value == pytest.approx(value.copying, abs=1e-6), value.name
    assert found["inside-ratio"].value == 1


def test_half_an_edit_has_half_the_error_inside_and_noise_is_an_error_outside():
    found = measured(Editor(by=0.5, noise=8 / 127.5), truth=counterfactuals())
    assert found["inside-ratio"].value == pytest.approx(0.5, abs=0.06)
    assert found["outside-error"].value == pytest.approx(8 / 255, rel=0.15)  # some are clipped
    assert found["psnr"].value > 20


def test_only_right_answers_that_are_unique_are_measured_inside_and_outside():
    found = measured(Editor(by=0.0), truth=counterfactuals())
    parts = {v.part for v in found.metrics if v.whole == "inside-ratio"}
    assert parts == {None, "Blond", "Black"}
    assert {v.part for v in found.metrics if v.whole == "outside-error"} == parts
    protocol = found["outside-error"].protocol
    assert "4/255 or more, in the mean over channels" in protocol["region"]
    assert protocol["edits"] == "those with a unique right answer"
    assert any("for 0 of 2 attributes that have a unique right answer" in n for n in found.notes)
    good = measured(Editor(), truth=counterfactuals())
    assert any("for 2 of 2 attributes" in n and n.endswith("Blond, Black") for n in good.notes)


def test_guesses_and_what_is_unfamiliar_are_measured_where_a_model_has_them():
    found = measured(Guesser())
    hats = 0.5
    assert found["guess-accuracy-Hat"].value == hats
    assert found["guess-accuracy-Blond"].value == 1
    assert found["guess-accuracy"].value == pytest.approx((hats + 2) / 3)
    assert found["unfamiliar-rate"].value == hats
    protocol = found["unfamiliar-rate"].protocol
    assert protocol["familiar_below"] == Guesser.familiar_below
    assert "training pictures" in protocol["limit"]
    with pytest.raises(KeyError):
        measured(Editor())["guess-accuracy"]


def test_guesses_are_measured_as_they_are_used_of_two_that_exclude_each_other_the_likelier():
    class Unsure(Guesser):
        def guess(self, images):
            return super().guess(images) * 0.3 + 0.6  # all hold more likely than not

    found = measured(Unsure())
    assert found["guess-accuracy-Hat"].value == 0.5
    assert found["guess-accuracy-Blond"].value == pytest.approx(2 / 3)  # where there is neither
    assert found["guess-accuracy-Black"].value == 1


def test_how_far_edits_go_is_not_asked_of_pictures_that_are_given_back():
    class Strict(Editor):
        def options(self, **asked):
            assert "set" in asked or "strength" not in asked
            return super().options(**asked)

    found = measured(Strict(), call={"strength": 1.5})
    assert found["attribute-accuracy"].value == 1


def test_edits_as_a_set_are_measured_by_any_extractor():
    found = measured(Editor(), metrics=["fd"], rows=faces(24))
    assert [v.name for v in found.metrics] == ["ssim", "fd-squares"]  # equal pictures: no PSNR
    everything = measured(Editor(noise=0.1), metrics=None, rows=faces(24))
    names = [v.name for v in everything.metrics]
    assert {"attribute-accuracy", "psnr", "ssim", "fd-squares", "kid-squares"} <= {*names}


def test_pictures_before_and_after_are_shown_with_the_best_and_the_worst():
    found = measured(Editor(), truth=counterfactuals(40))
    assert [shown.name for shown in found.pictures] == ["edits", "edits-best", "edits-worst"]
    assert found.pictures[0].picture.width > 5 * 90
    assert found.to_json()["pictures"][0]["name"] == "edits"
    without = measured(Editor(), faces(40))
    assert [shown.name for shown in without.pictures] == ["edits", "edits-best", "edits-worst"]
    assert measured(Editor(), pictures=False).pictures == ()


def test_an_evaluation_with_parts_and_pictures_is_read_back(tmp_path):
    found = measured(Editor(), truth=counterfactuals())
    found.save(tmp_path / "evaluation.json")
    again = type(found).load(tmp_path / "evaluation.json")
    assert again == dataclasses.replace(found, pictures=())
    assert again["attribute-accuracy-Hat"].part == "Hat"
    tree = json.loads((tmp_path / "evaluation.json").read_text())
    for value in tree["metrics"]:  # as versions before 0.18 wrote them
        del value["copying"], value["part"]
    (tmp_path / "old.json").write_text(json.dumps(tree))
    assert type(found).load(tmp_path / "old.json")["attribute-accuracy"].copying is None


def test_attributes_may_come_in_another_order_and_among_others():
    other = Flags(("Black", "Other", "Hat", "Blond"))
    rows = faces(flags=FLAGS)
    values = rows.values["attributes"][:, [2, 0, 0, 1]]
    rows = MemoryRows(
        "more", {**rows.columns, "attributes": other}, rows.values | {"attributes": values}
    )
    found = measured(Editor(), rows)
    assert found["attribute-accuracy"].value == 1


def test_attributes_that_a_classifier_does_not_know_are_said():
    class Few(Squares):
        flag_names = ("Hat",)

        def shares(self, features):
            return super().shares(features)[:, :1]

    how = Asked(request={"extractors": [Few()], "metrics": OWN})
    found = tasks.find("editing").measure(Editor(), faces(), how)
    assert {v.part for v in found.metrics if v.whole == "attribute-accuracy"} == {None, "Hat"}
    assert "squares does not know Blond, Black: not measured after edits" in found.notes


def test_of_several_classifiers_the_first_judges_and_that_is_said():
    class Other(Squares):
        name = "others"

    how = Asked(request={"extractors": [Squares(), Other()], "metrics": OWN})
    found = tasks.find("editing").measure(Editor(), faces(), how)
    said = "attributes after edits are judged by squares alone, not by others: give it first"
    assert said in found.notes
    assert found["attribute-accuracy"].protocol["extractor"] == "squares"
    assert not any("alone" in note for note in measured(Editor()).notes)


def test_a_classifier_that_does_not_know_such_pictures_is_said_to_say_little():
    class Blind(Squares):
        def shares(self, features):
            return super().shares(features) * 0  # sees nothing

    how = Asked(request={"extractors": [Blind()], "metrics": OWN})
    found = tasks.find("editing").measure(Editor(), faces(), how)
    assert any(note.startswith("squares sees 61% of the attributes") for note in found.notes)
    assert not any("sees" in note for note in measured(Editor()).notes)


def test_what_editing_needs_is_said():
    class Strange(Squares):
        flag_names = ("Wings",)

    how = Asked(request={"extractors": [Strange()], "metrics": OWN})
    with pytest.raises(EvaluationError, match="none of the attributes that the model edits"):
        tasks.find("editing").measure(Editor(), faces(), how)
    columns, values = faces().columns, faces().values
    two = MemoryRows(
        "two",
        {**columns, "attributes": Flags(("Hat", "Blond"))},
        {**values, "attributes": values["attributes"][:, :2]},
    )
    with pytest.raises(EvaluationError, match=r"no attribute Black; the model edits .* has Hat"):
        measured(Editor(), two)
    bare = MemoryRows("bare", {"image": columns["image"]}, {"image": values["image"]})
    with pytest.raises(EvaluationError, match="no column 'attributes'"):
        measured(Editor(), bare)


def test_without_a_classifier_the_rest_is_measured_and_the_way_out_is_said():
    how = Asked(parts={"counterfactual": counterfactuals()})
    found = tasks.find("editing").measure(Editor(noise=0.1), faces(), how)
    assert {v.whole for v in found.metrics} == {
        *("inside-error", "inside-ratio", "outside-error", "psnr", "ssim")
    }
    assert "no classifier of genkit knows these attributes" in found.notes[0]


def test_a_metric_that_there_is_not_is_refused_with_those_of_the_task():
    with pytest.raises(EvaluationError, match=r"'regoins': no such metric; this task has attr.*fd"):
        measured(Editor(), metrics=["regoins"])
