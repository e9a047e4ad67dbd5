import math
import re

import pytest

from genkit.report.curves import Chart, chart, charts, short, ticks


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [
        (0, 5000, [0, 1000, 2000, 3000, 4000, 5000]),
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.3, 0.3, [-0.2, 0, 0.2]),
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
