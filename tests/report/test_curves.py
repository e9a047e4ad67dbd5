import math
import re

import pytest

from genkit.report.curves import Chart, chart, charts, doctor_charts, short, ticks


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 5000, [0, 1000, 2000, 3000, 4000, 5000]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.3, 0.3, [-0.2, 0, 0.2]),
        (0.22, 0.96, [0.4, 0.6, 0.8]),
    ],
)
def test_ticks_are_round_numbers_inside_the_range(
    low: float, high: float, marks: list[float]
) -> None:
    assert ticks(low, high) == pytest.approx(marks)


@pytest.mark.parametrize("value", [0.0, 1.0, -3.0, 2e-4, 1e9])
def test_a_constant_still_gets_two_ticks_around_it(value: float) -> None:
    marks = ticks(value, value)
    assert len(marks) >= 2
    assert marks[0] <= value <= marks[-1]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (5000, "5000"),
        (12345, "12.3k"),
        (1.5e6, "1.5M"),
        (0.25, "0.25"),
        (2e-4, "2e-4"),
        (2.5e-4, "2.5e-4"),
        (-3.14159, "-3.142"),
    ],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text


def corners(drawn: Chart) -> list[tuple[float, float]]:
    numbers = re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(x.path for x in drawn.lines))
    return [(float(x), float(y)) for x, y in numbers]


def test_a_straight_line_goes_from_the_lower_left_to_the_upper_right_corner() -> None:
    drawn = chart("t", {"a": [(0, 0.0), (10, 10.0)]})
    assert corners(drawn) == [(drawn.left, drawn.bottom), (drawn.right, drawn.top)]


def test_every_point_lies_inside_the_drawing() -> None:
    points = [(float(i), math.sin(i) * 1e3) for i in range(1000)]
    drawn = chart("t", {"a": points, "b": [(0.0, -7.0), (2000.0, 3.0)]})
    for x, y in corners(drawn):
        assert drawn.left <= x <= drawn.right
        assert drawn.top <= y <= drawn.bottom


def test_a_running_mean_keeps_the_ends_and_the_slope_of_a_line() -> None:
    drawn = chart("t", {"a": [(float(i), float(i)) for i in range(101)]})
    assert drawn.smoothed
    for x, y in corners(drawn):
        across = (x - drawn.left) / (drawn.right - drawn.left)
        up = (drawn.bottom - y) / (drawn.bottom - drawn.top)
        assert across == pytest.approx(up, abs=1e-3)


def test_a_single_point_can_be_drawn() -> None:
    drawn = chart("t", {"a": [(50.0, 1.0)]})
    assert len(drawn.lines[0].dots) == 1


def test_losses_share_a_drawing_and_other_values_have_their_own() -> None:
    rows = [
        {"step": s, "images": s, "seconds": s, "lr": 1.0, "loss/a": 1.0, "loss/b": 2.0, "eval/x": 3}
        for s in (1.0, 2.0)
    ]
    drawn = charts(rows)
    assert [c.title for c in drawn] == ["Losses", "eval/x", "Learning rate"]
    assert [line.name for line in drawn[0].lines] == ["a", "b"]


def test_of_a_step_logged_twice_the_later_line_counts() -> None:
    rows = [{"step": 1.0, "lr": 1.0}, {"step": 2.0, "lr": 5.0}, {"step": 2.0, "lr": 3.0}]
    assert charts(rows)[0].lines[0].last == 3.0


def test_what_the_doctor_watched_is_drawn_apart_and_in_groups() -> None:
    numbers = {
        "lr": 1.0,
        "loss/generator": 1.0,
        "gradient/generator": 1.0,
        "gradient/critic": 10.0,
        "diversity/overall": 1.0,
        "diversity/within-class": 0.9,
        "diversity/label-entropy": 2.3,
        "ema/lag/generator": 0.1,
        "ema/follow/generator": 1.0,
    }
    rows = [{"step": s, **numbers} for s in (1.0, 2.0)]
    assert [c.title for c in charts(rows)] == ["Losses", "Learning rate"]
    drawn = {c.title: [line.name for line in c.lines] for c in doctor_charts(rows)}
    assert drawn == {
        "Gradient norms": ["generator", "critic"],
        "Diversity of previews, 1 = as real images": ["overall", "within-class"],
        "Label entropy of previews, nats": ["label-entropy"],
        "Distance of average and weights": ["generator"],
    }


def test_on_a_log_scale_equal_ratios_are_equally_high() -> None:
    drawn = chart("t", {"a": [(0, 0.01), (1, 0.1), (2, 10.0)]}, log_scale=True)
    (_, low), (_, middle), (_, high) = corners(drawn)
    assert (low - high) == pytest.approx(3 * (low - middle), abs=0.2)
    assert [text for _, text in drawn.y_ticks] == ["0.01", "0.1", "1", "10"]
    assert drawn.lines[0].last == 10


@pytest.mark.parametrize("values", [(0.02, 0.021), (0.5, 0.5), (1e-8, 1e8), (0.003, 0.02)])
def test_a_log_scale_has_between_two_and_eight_ticks(values: tuple[float, float]) -> None:
    drawn = chart("t", {"a": list(enumerate(values))}, log_scale=True)
    assert 2 <= len(drawn.y_ticks) <= 8


def test_on_a_log_scale_zeros_are_left_out_and_only_zeros_are_drawn_as_they_are() -> None:
    assert len(corners(chart("t", {"a": [(0, 0.0), (1, 1.0), (2, 5.0)]}, log_scale=True))) == 2
    assert len(corners(chart("t", {"a": [(0, 0.0), (1, 0.0)]}, log_scale=True))) == 2
