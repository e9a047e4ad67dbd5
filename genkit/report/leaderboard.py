"""Several runs against each other: intervals side by side, quality against what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genkit.report.compare import Column, Comparison
from genkit.report.curves import short, ticks
from genkit.report.parts import ClassAccuracy, Hardware
from genkit.report.record import Record

WIDTH, HEIGHT = 460, 280  # of a plot; the page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 20, 28, 46
BAR_WIDTH, BAR_LEFT, ROW = 460, 130, 30  # of the bars of a column
_NAME = 18  # letters of a run's name in a drawing


@dataclass(frozen=True)
class Point:
    """One run in a plot."""

    name: str
    x: float
    y: float
    low: float | None  # ends of the interval, px
    high: float | None
    slot: int
    is_best: bool  # in the Pareto set
    anchor: str  # of the text: "start" or "end"


@dataclass(frozen=True)
class Plot:
    """Quality against a cost, both ways of good marked."""

    title: str
    across: str
    up: str
    points: list[Point]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    front: str  # SVG path through the Pareto set
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    bottom: int = HEIGHT - _BOTTOM


@dataclass(frozen=True)
class Bar:
    """One run's value with its interval."""

    name: str
    y: float
    value: float
    low: float | None
    high: float | None
    floor: float | None
    text: str


@dataclass(frozen=True)
class Bars:
    """One column, drawn."""

    title: str
    bars: list[Bar]
    ticks: list[tuple[float, str]]
    height: int
    summary: str
    width: int = BAR_WIDTH
    left: int = BAR_LEFT


@dataclass(frozen=True)
class Leaderboard:
    """What the page draws of several runs."""

    bars: list[Bars]
    plots: list[Plot]
    classes: list[tuple[str, list[ClassAccuracy | None]]]  # by class, a cell for each run
    class_runs: list[str]
    machines: list[str]  # of training, where more than one
    sampled: list[str]  # how each run was sampled


def leaderboard(records: Sequence[Record], comparison: Comparison) -> Leaderboard:
    """The drawings of all columns that have two values or more."""
    shared = [c for c in comparison.columns if sum(_has_value(c)) > 1]
    quality = next((c for c in shared if c.better is not None), None)
    costs: list[tuple[str, bool, Callable[[Record], float | None]]] = [
        ("training time, minutes", True, _minutes),
        ("sampling speed, images/s", False, _speed),
    ]
    plots = []
    for title, less_is_better, of in costs:
        if quality is not None:
            made = _plot(records, quality, title, less_is_better, of)
            plots += [] if made is None else [made]
    machines = {_machine(record) for record in records} - {""}
    return Leaderboard(
        bars=[_bars(column, records) for column in shared],
        plots=plots,
        classes=_by_class(records),
        class_runs=[record.name for record in records if _classes(record)],
        machines=sorted(machines) if len(machines) > 1 else [],
        sampled=[_sampled(record) for record in records if record.sampling is not None],
    )


def pareto(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point is in the Pareto set; less is better in both numbers."""
    return [not any(a <= x and b <= y and (a, b) != (x, y) for a, b in points) for x, y in points]


# -- bars ------------------------------------------------------------------------------------------


def _bars(column: Column, records: Sequence[Record]) -> Bars:
    shown = [
        (r, m) for r, m in zip(records, column.cells, strict=True) if m and m.value is not None
    ]
    numbers = [n for _, m in shown for n in (m.value, m.low, m.high, m.floor) if n is not None]
    low, high = min(numbers), max(numbers)
    room = 0.06 * (high - low) or abs(high) / 2 or 1.0
    place = _scale(low - room, high + room, BAR_LEFT, BAR_WIDTH - 16)
    made = []
    for position, (record, metric) in enumerate(shown):
        assert metric.value is not None
        text = f"{record.name}: {short(metric.value)}"
        if metric.low is not None and metric.high is not None:
            text += f", 95 % from {short(metric.low)} to {short(metric.high)}"
        made.append(
            Bar(
                _cut(record.name),
                14 + position * ROW,
                place(metric.value),
                None if metric.low is None else place(metric.low),
                None if metric.high is None else place(metric.high),
                None if metric.floor is None else place(metric.floor),
                text,
            )
        )
    name = f"{column.name} · {column.letter}" if column.letter else column.name
    marks = [t for t in ticks(low, high, 4) if low - room <= t <= high + room]
    return Bars(
        title=f"{name}, {column.better} is better" if column.better else name,
        bars=made,
        ticks=[(place(mark), short(mark)) for mark in marks],
        height=14 + len(made) * ROW + 22,
        summary="; ".join(bar.text for bar in made),
    )


# -- quality against cost --------------------------------------------------------------------------


def _plot(
    records: Sequence[Record],
    quality: Column,
    across: str,
    less_is_better: bool,
    cost: Callable[[Record], float | None],
) -> Plot | None:
    found = []
    for slot, (record, metric) in enumerate(zip(records, quality.cells, strict=True)):
        x = cost(record)
        if metric is not None and metric.value is not None and x is not None and x > 0:
            found.append((record.name, math.log10(x), metric, metric.value, slot))
    if len(found) < 2:
        return None
    x_signs, y_sign = (1 if less_is_better else -1), (1 if quality.better == "lower" else -1)
    best = pareto([(x_signs * x, y_sign * y) for _, x, _, y, _ in found])
    xs = [x for _, x, *_ in found]
    ys = [n for _, _, m, y, _ in found for n in (y, m.low, m.high) if n is not None]
    x_room = 0.12 * (max(xs) - min(xs)) or 0.3
    y_room = 0.08 * (max(ys) - min(ys)) or abs(ys[0]) / 4 or 1.0
    at_x = _scale(min(xs) - x_room, max(xs) + x_room, _LEFT, WIDTH - _RIGHT)
    at_y = _scale(min(ys) - y_room, max(ys) + y_room, HEIGHT - _BOTTOM, _TOP)
    points = [
        Point(
            _cut(name),
            at_x(x),
            at_y(y),
            None if metric.low is None else at_y(metric.low),
            None if metric.high is None else at_y(metric.high),
            slot % 6,
            is_best,
            "end" if at_x(x) > WIDTH / 2 else "start",
        )
        for (name, x, metric, y, slot), is_best in zip(found, best, strict=True)
    ]
    front = sorted((p for p in points if p.is_best), key=lambda p: p.x)
    x_marks = _powers(min(xs) - x_room, max(xs) + x_room)
    return Plot(
        title=f"{quality.name} against {across.partition(',')[0]}",
        across=across,
        up=f"{quality.name}, {quality.better} is better",
        points=points,
        x_ticks=[(at_x(mark), short(10**mark)) for mark in x_marks],
        y_ticks=[(at_y(mark), short(mark)) for mark in ticks(min(ys), max(ys), 4)],
        front="M" + "L".join(f"{p.x:g},{p.y:g}" for p in front) if len(front) > 1 else "",
        summary="; ".join(
            f"{name}: {short(y)} at {short(10**x)}{', in the Pareto set' if is_best else ''}"
            for (name, x, _, y, _), is_best in zip(found, best, strict=True)
        ),
    )


def _minutes(record: Record) -> float | None:
    seconds = record.provenance.seconds
    return None if seconds is None else seconds / 60


def _speed(record: Record) -> float | None:
    return None if record.sampling is None else record.sampling.images_per_s


def _sampled(record: Record) -> str:
    assert record.sampling is not None
    options = [f"{name} {value}" for name, value in record.sampling.options.items()]
    how = [
        *options,
        f"{record.sampling.batch_size or '?'} at a time",
        _named(record.sampling.hardware),
    ]
    return f"{record.name}: {', '.join(filter(None, how))}"


def _machine(record: Record) -> str:
    return _named(record.provenance.hardware)


def _named(hardware: Hardware) -> str:
    cores = f"{hardware.cores} cores" if hardware.cores else ""
    return ", ".join(filter(None, [hardware.cpu, cores, *hardware.devices]))


# -- classes ---------------------------------------------------------------------------------------


def _classes(record: Record) -> list[ClassAccuracy]:
    found = record.evaluation.classes if record.evaluation else None
    return found or []


def _by_class(records: Sequence[Record]) -> list[tuple[str, list[ClassAccuracy | None]]]:
    tables = [{str(row.name): row for row in _classes(record)} for record in records]
    tables = [table for table in tables if table]
    if len(tables) < 2:
        return []
    names = dict.fromkeys(name for table in tables for name in table)
    return [(name, [table.get(name) for table in tables]) for name in names]


# -- drawing ---------------------------------------------------------------------------------------


def _scale(low: float, high: float, begin: float, end: float) -> Callable[[float], float]:
    def place(value: float) -> float:
        return round(begin + (value - low) / (high - low) * (end - begin), 1)

    return place


def _powers(low: float, high: float) -> list[float]:
    """Logarithms of 1, 2 and 5 times the powers of ten within [low, high]."""
    marks = [p + math.log10(m) for p in range(math.floor(low), math.ceil(high) + 1)
             for m in (1, 2, 5)]  # fmt: skip
    inside = [mark for mark in marks if low <= mark <= high]
    return inside[:: math.ceil(len(inside) / 7)] if inside else [low, high]


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _has_value(column: Column) -> list[bool]:
    return [cell is not None and cell.value is not None for cell in column.cells]
