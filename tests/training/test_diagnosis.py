"""Each finding: rows in which it is there, and rows in which it is not."""

from __future__ import annotations

import math

import pytest

from genkit.training.diagnosis import COLLAPSED, GRACE, LOOKS, Doctor, History, diagnose

SOUND = {
    "images_per_s": 500.0,
    "critic/accuracy": 0.9,
    "critic/margin": 2.0,
    "gradient/generator": 4.0,
    "gradient/critic": 30.0,
    "update/generator": 0.007,
    "update/critic": 0.003,
    "ema/lag/generator": 0.1,
    "ema/follow/generator": 1.0,
    "loader/wait": 0.01,
    "diversity/overall": 0.95,
    "diversity/within-class": 0.9,
    "diversity/narrowest-class": 0.8,
    "diversity/label-entropy": 2.2,
}

ILL = {
    "learning-rate": {"update/critic": 0.025},
    "vanishing-gradients": {"gradient/generator": 2e-3, "critic/accuracy": 1.0},
    "overwhelming-critic": {"critic/accuracy": 1.0, "critic/margin": 40.0},
    "overwhelmed-critic": {"critic/accuracy": 0.51, "diversity/overall": 0.4},
    "collapse": {"diversity/overall": 0.1, "diversity/narrowest-class": 0.1},
    "collapse-in-class": {"diversity/narrowest-class": 0.05},
    "dead-ema": {"ema/follow/generator": 0.0, "ema/lag/generator": 1.2},
    "loader-bound": {"loader/wait": 0.6},
}
TOGETHER = {  # each half of these conditions alone is no finding
    "a gradient may fall": {"gradient/generator": 2e-3},
    "a critic may always be right": {"critic/accuracy": 1.0},
    "a margin may be wide": {"critic/margin": 40.0},
    "a critic may guess at good samples": {"critic/accuracy": 0.51},
}


def row(number: int, **changes: float) -> dict[str, float]:
    """Row 0 is that of the first step after the grace period."""
    step = GRACE + 1 + number
    return {"step": step, "seconds": float(step), **SOUND, **changes}


def names(rows) -> list[str]:
    return [finding.name for finding in diagnose(History(rows))]


def rows(changes: dict[str, float], count: int = LOOKS) -> list[dict[str, float]]:
    """A sound start, then rows with these changes."""
    return [row(0), row(1)] + [row(2 + i, **changes) for i in range(count)]


@pytest.mark.parametrize("name", ILL)
def test_it_is_found_where_it_persists(name):
    assert names(rows(ILL[name])) == [name]


@pytest.mark.parametrize("name", ILL)
def test_it_is_not_found_at_first_sight(name):
    assert names(rows(ILL[name], count=1)) == []


@pytest.mark.parametrize("changes", TOGETHER.values(), ids=TOGETHER)
def test_half_of_a_condition_is_no_finding(changes):
    assert names(rows(changes)) == []


def test_a_sound_run_and_an_empty_one_have_no_finding():
    assert names([]) == []
    assert names([row(i) for i in range(50)]) == []


@pytest.mark.parametrize("name", sorted(ILL.keys() - {"dead-ema", "loader-bound"}))
def test_the_first_steps_are_not_judged(name):
    early = [{**r, "step": r["step"] - GRACE} for r in rows(ILL[name])]
    assert names(early) == []


@pytest.mark.parametrize("name", ILL)
def test_each_sentence_says_what_was_seen_and_what_to_change(name):
    (finding,) = diagnose(History(rows(ILL[name])))
    assert any(character.isdigit() for character in finding.text)
    assert any(f"{part}." in finding.text for part in ("optim", "adversarial", "trainer", "data"))


def test_a_critic_that_knows_its_one_batch_by_heart_is_no_finding():
    assert names(rows(ILL["overwhelming-critic"] | {"overfit/nearness": 0.6})) == []


def test_samples_of_few_classes_are_a_collapse():
    few = math.log(2)
    assert names(rows({"diversity/label-entropy": few})) == ["collapse"]


def test_an_average_that_moves_too_far_is_found_as_one_that_stands_still():
    assert names(rows({"ema/follow/generator": 2.5})) == ["dead-ema"]


def test_previews_of_a_dead_average_are_not_held_against_the_training():
    assert names(rows(ILL["dead-ema"] | ILL["collapse"])) == ["dead-ema"]


def test_a_wait_that_costs_no_time_is_none():
    quick = [{**r, "seconds": r["step"] / 1000} for r in rows(ILL["loader-bound"])]
    assert names(quick) == []


def test_a_gradient_is_compared_with_the_largest_it_has_been():
    always_small = [row(i, **ILL["vanishing-gradients"]) for i in range(9)]
    assert names(always_small) == []
    always_flat = [{**r, "gradient/generator": 1e-4} for r in always_small]
    assert names(always_flat) == ["vanishing-gradients"]


def test_previews_that_are_rarer_than_rows_are_judged_by_themselves():
    bare = {k: v for k, v in SOUND.items() if not k.startswith("diversity/")}
    found = []
    for number in range(20):
        step = {"step": GRACE + 1 + number, "seconds": 1.0 * number, **bare}
        found.append(step | ({"diversity/overall": 0.1} if number % 10 == 9 else {}))
    assert names(found[:19]) == []
    assert names(found) == ["collapse"]


def test_the_doctor_speaks_once_when_a_finding_begins_and_once_when_it_ends():
    doctor, said = Doctor(), []
    course = [*rows(ILL["learning-rate"], 10), *(row(12 + i) for i in range(10))]
    for each in course:
        said += doctor.examine(each)
    assert [entry["finding"] for entry in said] == ["learning-rate"] * 2
    assert [("text" in entry, entry.get("ended")) for entry in said] == [
        (True, None),
        (False, True),
    ]
    assert said[0]["step"] == course[1 + LOOKS]["step"]
    assert said[1]["step"] == course[11 + LOOKS]["step"]


def test_a_single_better_row_does_not_end_a_finding():
    doctor, said = Doctor(), []
    ill = ILL["collapse"]
    for each in [*rows(ill, 4), row(6, **{"diversity/overall": COLLAPSED * 1.1}), row(7, **ill)]:
        said += doctor.examine(each)
    assert [entry["step"] for entry in said] == [GRACE + 1 + 3]


def test_a_doctor_that_is_given_the_rows_so_far_goes_on_as_the_one_that_saw_them():
    course = [*rows(ILL["learning-rate"], 6), *(row(8 + i) for i in range(6))]
    for cut in range(len(course)):
        first, said = Doctor(), []
        for each in course[:cut]:
            said += [each, *first.examine(each)]
        second = Doctor(said)
        for each in course[cut:]:
            assert first.examine(each) == second.examine(each)


def test_rows_of_an_evaluation_are_no_looks_for_a_resumed_run_either():
    ill = rows(ILL["learning-rate"], 6)
    scored = [entry for each in ill for entry in (each, {"step": each["step"], "eval/fd": 1.0})]
    assert Doctor(scored)._absent == Doctor(ill)._absent


def test_critics_of_any_name_are_judged_and_named():
    sound = {"critic_a/accuracy": 0.9, "critic_a/margin": 1.0, "gradient/a_to_b": 1.0}
    ill = sound | {"critic_b/accuracy": 1.0, "critic_b/margin": 40.0}
    rows = [{"step": 1000 + i, **ill} for i in range(5)]
    (finding,) = diagnose(History(rows))
    assert finding.name == "overwhelming-critic"
    assert finding.text.startswith("the critic_b is right")
    still = ill | {"critic_a/accuracy": 1.0, "gradient/a_to_b": 1e-5}
    found = diagnose(History([*rows, *({"step": 2000 + i, **still} for i in range(5))]))
    assert "the a_to_b stands still" in found[0].text


GAN = {"adversarial.r1_weight": 0.0, "adversarial.critic_steps": 1, "model.critic_norm": "batch"}
TRANSLATOR = {"adversary.r1_weight": 0.0, "model.critic_norm": "instance"}
ATTGAN = {"adversarial.gp_weight": 10.0, "adversarial.critic_steps": 5}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "adversarial.critic_steps"),
        (GAN, "bound the critic (adversarial.r1_weight=1 or adversarial.spectral_norm=true, each "
         "with model.critic_norm=none), or lower optim.critic_lr and adversarial.critic_steps"),
        (TRANSLATOR, "bound the critic (adversary.r1_weight=1 or adversary.spectral_norm=true, "
         "each with model.critic_norm=none), or lower optim.critic_lr"),
        (ATTGAN, "bound the critic (adversarial.gp_weight=20 (now 10)), or lower optim.critic_lr "
         "and adversarial.critic_steps"),
    ],
)  # fmt: skip
def test_a_remedy_names_settings_that_the_run_has(settings, said):
    (finding,) = diagnose(History(rows(ILL["vanishing-gradients"]), settings))
    assert finding.text.endswith(said)


def test_a_critic_that_is_too_strong_is_bound_by_what_the_run_has():
    (finding,) = diagnose(History(rows(ILL["overwhelming-critic"]), ATTGAN))
    assert "bound it (adversarial.gp_weight=20 (now 10))" in finding.text
