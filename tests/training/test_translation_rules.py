"""Each finding about translators: rows in which it is there, and rows in which it is not."""

from __future__ import annotations

import re

import pytest
import yaml

from genkit.config import flatten, to_tree, validate
from genkit.family import load
from genkit.training.diagnosis import GRACE, History, diagnose

SOUND = {
    f"{way}/{name}": value
    for way in ("a_to_b", "b_to_a")
    for name, value in {
        "change": 0.7,
        "approach": 0.8,
        "variety": 0.9,
        "luminance": 0.6,
        "checkerboard": 1.2,
        "cycle": 0.04,
        "cycle-jpeg": 0.05,
        "hidden": 0.7,
    }.items()
}
ILL = {
    "copied-input": {"b_to_a/change": 0.05, "b_to_a/approach": 0.1},
    "hidden-detail": {"a_to_b/hidden": 8.0, "a_to_b/cycle-jpeg": 0.2},
    "dead-direction": {"b_to_a/variety": 0.02},
    "inverted-colours": {"a_to_b/luminance": -0.4},
    "checkerboard": {"b_to_a/checkerboard": 6.0},
}
HALF = {  # of a condition: no finding
    "a change may be small where the picture arrives": {"b_to_a/change": 0.05},
    "nobody need come nearer by means and edges": {"b_to_a/approach": -0.2},
    "a cycle may amplify what makes no difference": {"a_to_b/hidden": 8.0},
    "a cycle may be worse behind a rough JPEG": {"a_to_b/cycle-jpeg": 0.2},
}


def names(changes: dict[str, float], previews: int = 2, after: int = GRACE) -> list[str]:
    steps = range(after + 1, after + 4 + previews)
    rows = [{"step": step, **SOUND, **(changes if step > after + 3 else {})} for step in steps]
    return [finding.name for finding in diagnose(History(rows))]


@pytest.mark.parametrize("name", ILL)
def test_it_is_found_where_two_previews_agree(name):
    assert names(ILL[name]) == [name]


@pytest.mark.parametrize("name", ILL)
def test_it_is_not_found_at_first_sight_nor_in_the_first_steps(name):
    assert names(ILL[name], previews=1) == []
    assert names(ILL[name], after=0) == []


@pytest.mark.parametrize("changes", HALF.values(), ids=HALF)
def test_half_of_a_condition_is_no_finding(changes):
    assert names(changes) == []


def test_colours_that_the_right_answers_invert_too_are_no_finding():
    wanted = {"a_to_b/luminance": -0.4, "a_to_b/luminance-wanted": -0.5}
    assert names(wanted) == []
    assert names(wanted | {"a_to_b/luminance": -0.8}) == ["inverted-colours"]


def config_of(family, *changes):
    """A tiny config of a family with settings changed."""
    tree = {**load(family).tiny}
    for change in changes:
        name, _, value = change.partition("=")
        section, _, key = name.partition(".")
        tree[section] = {**tree.get(section, {}), key: yaml.safe_load(value)}
    return validate(load(family).config, tree, family)


def said(name, config):
    """What the doctor says of a run of that config in which a finding is there."""
    rows = [{"step": GRACE + i, **SOUND, **ILL[name]} for i in (1, 2)]
    (finding,) = diagnose(History(rows, {} if config is None else flatten(to_tree(config))))
    return finding.text


@pytest.mark.parametrize("name", ILL)
def test_each_sentence_names_the_way_what_was_seen_and_what_to_change(name):
    text = said(name, config_of("cyclegan"))
    assert next(iter(ILL[name])).partition("/")[0] in text
    assert any(character.isdigit() for character in text)
    assert "model." in text


@pytest.mark.parametrize("name", ILL)
@pytest.mark.parametrize(
    "family",
    ["cyclegan", "cut", "pix2pix", "cyclegan model.upsampling=resize model.identity_weight=0"],
)
def test_what_to_change_is_there_in_the_run_with_its_value_and_may_be_set(name, family):
    family, *changes = family.split()
    if name == "hidden-detail" and family != "cyclegan":
        return  # nothing comes back there
    config = config_of(family, *changes)
    settings = flatten(to_tree(config))
    text = said(name, config)
    named = set(re.findall(r"(?:model|optim|data|trainer)[.][a-z_0-9]+[a-z]", text))
    assert named <= settings.keys()
    assert named, text
    for setting, now in re.findall(r"([a-z]+[.][a-z_0-9]+)[^ ]* \(now ([^)]*)\)", text):
        assert settings[setting] == float(now)
    for setting, value in re.findall(r"([a-z]+[.][a-z_0-9]+)=([a-z0-9.]*[a-z0-9])", text):
        assert str(settings[setting]) != value, "it is so already"
        assert flatten(to_tree(config_of(family, *changes, f"{setting}={value}")))[setting]


def test_a_remedy_does_not_ask_for_what_the_run_has_already():
    resized = config_of("cyclegan", "model.upsampling=resize")
    assert "Lower model.verdict_weight (now 2)" in said("checkerboard", resized)
    assert "model.identity_weight=1 (now 0.5)" in said("inverted-colours", config_of("cyclegan"))
    without = config_of("cyclegan", "model.identity_weight=0")
    assert "lower model.cycle_weight (now 10)" in said("copied-input", without)
    assert "identity" not in said("copied-input", without)
    free = config_of("cyclegan", "model.identity_weight=0", "model.cycle_weight=0")
    assert "raise model.verdict_weight (now 2)" in said("copied-input", free)
    assert "with model.cycle_weight above 0" in said("dead-direction", free)


@pytest.mark.parametrize("name", ILL)
def test_of_a_run_whose_settings_nobody_knows_no_weight_is_named(name):
    assert not re.search(r"model[.][a-z]+_weight", said(name, None))


def test_critics_of_patches_that_are_always_right_are_no_finding_of_a_translator():
    sure = {"critic_a/accuracy": 1.0, "critic_a/margin": 14.0}
    steps = range(GRACE + 1, GRACE + 6)
    alone = [{"step": step, **sure} for step in steps]
    assert [f.name for f in diagnose(History(alone))] == ["overwhelming-critic"]
    assert diagnose(History([{**row, **SOUND} for row in alone])) == []
