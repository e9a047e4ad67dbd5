"""Points in a plane as inline SVG: quality against what it costs, with names that don't collide."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

from genkit.report.curves import short, ticks
from genkit.report.parts import Frontier

WIDTH, HEIGHT = 380, 270  # of a plot; the page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 54, 18, 30, 46
_LETTER, _LINE = 8.2, 16  # px that a letter takes, and a line
_NAME = 24  # letters of a name in a drawing
_COLOURS = 6  # in the style sheet
# Where a name may stand beside its point: right and left of it, above and below.
_PLACES = ((10, -8, "start"), (-10, -8, "end"), (10, 17, "start"), (-10, 17, "end"),
           (0, -13, "middle"), (0, 23, "middle"), (14, 5, "start"), (-14, 5, "end"))  # fmt: skip

T = TypeVar("T")
Marks = list[tuple[float, str]]
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Datum:
    """One run, or one way to sample."""

    name: str
    x: float
    y: float
    ends: tuple[float, float] | None = None  # of the interval of y
    is_best: bool = False  # in the Pareto set
    group: str = ""  # has a colour of its own
    is_hollow: bool = False


@dataclass(frozen=True)
class Point:
    """A datum, placed: px from the top left corner."""

    name: str
    x: float
    y: float
    low: float | None
    high: float | None
    slot: int
    is_best: bool
    is_hollow: bool
    label_x: float
    label_y: float
    anchor: str


@dataclass(frozen=True)
class Plot:
    """A plane with its points, ready to draw."""

    title: str
    across: str
    up: str
    points: list[Point]
    x_ticks: Marks
    y_ticks: Marks
    front: str  # SVG path through the Pareto set
    groups: list[tuple[int, str]]  # colour and name, where there are several
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Axis:
    """What an axis shows.

    Attributes:
        name: Beside it.
        is_log: Whether equal ratios are equally long.
        is_time: Whether the numbers are seconds.
    """

    name: str
    is_log: bool = True
    is_time: bool = False

    def place(self, values: Sequence[float], begin: float, end: float, room: float) -> _Scale:
        """How values are placed between two ends, px, with some room beyond them."""
        low, high = self._at(min(values)), self._at(max(values))
        more = room * (high - low) or (0.3 if self.is_log else abs(low) / 4 or 1.0)
        return _Scale(self, low - more, high + more, begin, end)

    def _at(self, value: float) -> float:
        return math.log10(value) if self.is_log else value


@dataclass(frozen=True)
class _Scale:
    axis: Axis
    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        at = self.axis._at(value)
        share = (at - self.low) / (self.high - self.low)
        return round(self.begin + share * (self.end - self.begin), 1)

    @property
    def ticks(self) -> Marks:
        """Round numbers along it, in words."""
        if not self.axis.is_log:
            return [(self(mark), short(mark)) for mark in ticks(self.low, self.high, 4)
                    if self.low <= mark <= self.high]  # fmt: skip
        low, high = 10**self.low, 10**self.high
        if self.axis.is_time:
            return [(self(seconds), text) for seconds, text in _thin(_times(low, high))]
        return [(self(mark), short(mark)) for mark in _thin(round_numbers(low, high))]


def round_numbers(low: float, high: float) -> list[float]:
    """Positive numbers of few digits across a range, at least two: the roundest that are enough."""
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    for digits in ((1,), (1, 3), (1, 2, 5)):
        marks = [float(f"{digit}e{power}") for power in powers for digit in digits]
        inside = [mark for mark in marks if low <= mark <= high]
        if len(inside) > 2:
            return inside
    return [mark for mark in ticks(low, high, 4) if low <= mark <= high]


_UNITS = ((1, "s", (1, 2, 5, 10, 20, 30)), (60, "min", (1, 2, 5, 10, 20, 30)),
          (3600, "h", (1, 2, 5, 12)), (86400, "d", (1, 2, 5, 10, 20, 50, 100)))  # fmt: skip


def _times(low: float, high: float) -> list[tuple[float, str]]:
    marks = [(float(unit * n), f"{n} {name}") for unit, name, numbers in _UNITS for n in numbers]
    inside = [(seconds, text) for seconds, text in marks if low <= seconds <= high]
    if len(inside) > 2:
        return inside
    unit, name, _ = next((u for u in reversed(_UNITS) if u[0] <= high), _UNITS[0])
    return [(n * unit, f"{short(n)} {name}") for n in round_numbers(low / unit, high / unit)]


def _thin(marks: Sequence[T]) -> list[T]:
    """At most five of them."""
    return list(marks[:: math.ceil(len(marks) / 5)])


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point is in the Pareto set; less is better in both numbers."""
    return [not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points) for x, y in points]


def plot(title: str, x_axis: Axis, y_axis: Axis, data: Sequence[Datum]) -> Plot:
    """The data laid into a plane; those of the Pareto set have their names beside them.

    Args:
        title: Above it.
        x_axis: What lies across.
        y_axis: What rises.
        data: At least one, with positive numbers on axes that are logarithmic.
    """
    heights = [v for d in data for v in (d.y, *(d.ends or ())) if v > 0 or not y_axis.is_log]
    at_x = x_axis.place([d.x for d in data], _LEFT, WIDTH - _RIGHT, 0.12)
    at_y = y_axis.place(heights, HEIGHT - _BOTTOM, _TOP, 0.08)
    groups = list(dict.fromkeys(d.group for d in data))
    named = all(not d.group for d in data)  # then names are all that tells one from the other
    taken: list[Box] = [(at_x(d.x) - 5, at_y(d.y) - 5, at_x(d.x) + 5, at_y(d.y) + 5) for d in data]
    best = sorted((at_x(d.x), at_y(d.y)) for d in data if d.is_best)
    taken += [box for ends in pairwise(best) for box in _along(*ends)]
    points = []
    for d in data:
        x, y = at_x(d.x), at_y(d.y)
        low, high = (None, None) if d.ends is None or y_axis.is_log else map(at_y, d.ends)
        text = _cut(d.name) if named or d.is_best else ""
        label = _beside(text, x, y, taken)
        slot = groups.index(d.group) % _COLOURS
        points.append(Point(text, x, y, low, high, slot, d.is_best, d.is_hollow, *label))
    return Plot(
        title=title,
        across=x_axis.name,
        up=y_axis.name,
        points=points,
        x_ticks=at_x.ticks,
        y_ticks=at_y.ticks,
        front="M" + "L".join(f"{x:g},{y:g}" for x, y in best) if len(best) > 1 else "",
        groups=[(i % _COLOURS, name) for i, name in enumerate(groups)] if not named else [],
        summary="; ".join(f"{d.name}: {short(d.y)} at {short(d.x)}"
                          f"{', in the Pareto set' if d.is_best else ''}" for d in data),
    )  # fmt: skip


def _along(begin: tuple[float, float], end: tuple[float, float]) -> list[Box]:
    """What a line between two points takes up."""
    (x, y), (to_x, to_y) = begin, end
    middles = [(x + (to_x - x) * i / 20, y + (to_y - y) * i / 20) for i in range(1, 20)]
    return [(left - 3, top - 3, left + 3, top + 3) for left, top in middles]


def _beside(text: str, x: float, y: float, taken: list[Box]) -> tuple[float, float, str]:
    """Where a name stands with the least overlap of what stands there; its box is then taken."""
    best: tuple[float, Box, tuple[float, float, str]] | None = None
    for right, down, anchor in _PLACES:
        long = _LETTER * len(text)
        left = x + right - {"start": 0.0, "end": long, "middle": long / 2}[anchor]
        box = (left, y + down - _LINE + 4, left + long, y + down + 4)
        outside = max(0.0, -box[0]) + max(0.0, box[2] - WIDTH) + max(0.0, _TOP - 12 - box[1])
        cost = sum(_overlap(box, other) for other in taken) + 40 * outside
        if best is None or cost < best[0]:
            best = (cost, box, (round(x + right, 1), round(y + down, 1), anchor))
    assert best is not None
    if text:
        taken.append(best[1])
    return best[2]


def _overlap(one: Box, other: Box) -> float:
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, across) * max(0.0, down)


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def frontier_plot(found: Frontier) -> Plot | None:
    """The ways to sample a run: quality against speed, a colour for each scheduler."""
    data = []
    for row in found.rows:
        metric = row.metric(found.quality)
        if metric is not None and metric.value and metric.value > 0 and row.images_per_s > 0:
            guided = "" if row.guidance == 1 else f", g {row.guidance:g}"
            data.append(
                Datum(
                    f"{row.scheduler} {row.steps}{guided}",
                    row.images_per_s,
                    metric.value,
                    is_best=row.pareto,
                    group=row.scheduler,
                    is_hollow=row.precision == "bf16",
                )
            )
    if not data:
        return None
    up = Axis(f"{found.quality}, lower is better")
    return plot(f"{found.quality} against speed", Axis("images/s"), up, data)
