"""Several runs against each other: intervals side by side, quality against what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from genkit.report.compare import Column, Comparison, aim, direction
from genkit.report.curves import short, ticks
from genkit.report.parts import ClassAccuracy, Hardware
from genkit.report.plots import Axis, Datum, Plot, pareto, plot
from genkit.report.record import Record

BAR_WIDTH, BAR_LEFT, ROW = 380, 128, 30  # of the bars of a column
_NAME = 16  # letters of a run's name in a drawing

Cost = Callable[[Record], float | None]


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
    quality = next((c for c in shared if c.better is not None and aim(c.name) is None), None)
    costs: list[tuple[Axis, bool, Cost]] = [
        (Axis("training time", is_time=True), True, _seconds),
        (Axis("sampling speed, images/s"), False, _speed),
    ]
    plots = []
    for axis, less_is_better, of in costs:
        if quality is not None:
            made = _plot(records, quality, axis, less_is_better=less_is_better, of=of)
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
        title=f"{name}, {way}" if (way := direction(column)) else name,
        bars=made,
        ticks=[(place(mark), short(mark)) for mark in marks],
        height=14 + len(made) * ROW + 22,
        summary="; ".join(bar.text for bar in made),
    )


# -- quality against cost --------------------------------------------------------------------------


def _plot(
    records: Sequence[Record], quality: Column, axis: Axis, *, less_is_better: bool, of: Cost
) -> Plot | None:
    """Quality against a cost; None of fewer than two runs that have both."""
    found = []
    for record, metric in zip(records, quality.cells, strict=True):
        x = of(record)
        if metric is not None and metric.value is not None and x is not None and x > 0:
            found.append((record.name, x, metric.value, metric))
    if len(found) < 2:
        return None
    x_sign, y_sign = (1 if less_is_better else -1), (1 if quality.better == "lower" else -1)
    best = pareto([(x_sign * x, y_sign * y) for _, x, y, _ in found])
    data = [Datum(name, x, y, metric.interval, is_best)
            for (name, x, y, metric), is_best in zip(found, best, strict=True)]  # fmt: skip
    up = Axis(f"{quality.name}, {quality.better} is better", is_log=False)
    return plot(f"{quality.name} against {axis.name.partition(',')[0]}", axis, up, data)


def _seconds(record: Record) -> float | None:
    return record.provenance.seconds


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


def _cut(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"


def _has_value(column: Column) -> list[bool]:
    return [cell is not None and cell.value is not None for cell in column.cells]
