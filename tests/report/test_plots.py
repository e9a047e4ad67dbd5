"""Points in a plane: names that don't collide, marks in the units of what they mark."""

import pytest

from genkit.report.parts import Frontier
from genkit.report.plots import Axis, Datum, frontier_plot, plot


def test_names_in_a_plot_do_not_lie_over_each_other() -> None:
    data = [Datum(f"fruit-run-{i}", 100 + i, 5 + i / 100, is_best=i == 0) for i in range(4)]
    found = plot("t", Axis("time", is_time=True), Axis("fd", is_log=False), data)
    boxes = []
    for point in found.points:
        long = 8.2 * len(point.name)
        left = point.label_x - {"start": 0, "end": long, "middle": long / 2}[point.anchor]
        assert left >= 0
        assert left + long <= found.width
        boxes.append((left, point.label_y, left + long))
    for i, (left, y, right) in enumerate(boxes):
        for other_left, other_y, other_right in boxes[:i]:
            assert abs(y - other_y) >= 12 or right <= other_left or other_right <= left


@pytest.mark.parametrize(
    ("seconds", "texts"),
    [
        ((3, 37), ["5 s", "10 s", "20 s", "30 s"]),
        ((3600, 90000), ["2 h", "5 h", "12 h", "1 d"]),
        ((300, 470), ["5 min", "6 min", "7 min"]),
    ],
)
def test_times_are_marked_in_their_units(seconds: tuple[float, float], texts: list[str]) -> None:
    data = [Datum("a", second, 1.0) for second in seconds]
    found = plot("t", Axis("time", is_time=True), Axis("fd", is_log=False), data)
    assert [text for _, text in found.x_ticks if text in texts] == texts


def test_a_frontier_is_drawn_with_several_marks_on_both_axes() -> None:
    rows = [
        {"scheduler": name, "steps": steps, "guidance": 1, "precision": "fp32",
         "evaluations": steps, "images_per_s": 1000 / steps, "pareto": steps == 10,
         "metrics": [{"name": "fd-digits", "value": 3.0 + 10 / steps}]}
        for name in ("ddim", "heun") for steps in (5, 10, 20)
    ]  # fmt: skip
    tree = {"format": 1, "count": 100, "quality": "fd-digits", "reference": {"name": "r"},
            "speed": {"how": "h", "batch_size": 8}, "machine": {}, "rows": rows}  # fmt: skip
    found = frontier_plot(Frontier.model_validate(tree))
    assert found is not None
    assert len(found.x_ticks) > 2
    assert len(found.y_ticks) > 2
    assert [name for _, name in found.groups] == ["ddim", "heun"]
    assert {point.name for point in found.points} == {"", "ddim 10", "heun 10"}
