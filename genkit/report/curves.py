"""Curves of a run as inline SVG: no script, no file, colours from the page's own style sheet."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Points = list[tuple[float, float]]  # (step, value), steps rising

WIDTH, HEIGHT = 380, 230  # of the drawing; the page scales it
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 24, 12, 34
_MOST_POINTS = 300
_SMOOTH_FROM = 30  # fewer points are drawn as they are


@dataclass(frozen=True)
class Line:
    """One curve, ready to draw: SVG paths, its colour slot and its last value."""

    name: str
    slot: int
    path: str
    faint: str  # every value, where `path` is a running mean; else ""
    last: float
    dots: list[tuple[float, float]]  # a curve of few points shows them


@dataclass(frozen=True)
class Chart:
    """One drawing: lines on shared axes, tick marks in drawing coordinates."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    smoothed: bool
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = _LEFT
    right: int = WIDTH - _RIGHT
    top: int = _TOP
    bottom: int = HEIGHT - _BOTTOM


def charts(rows: Sequence[Mapping[str, float]]) -> list[Chart]:
    """The drawings of a run: losses together, every other quantity by itself."""
    return _drawn(rows, lambda key: not key.startswith(_WATCHED))


def doctor_charts(rows: Sequence[Mapping[str, float]]) -> list[Chart]:
    """The drawings of what the training doctor watched."""
    return _drawn(rows, lambda key: key.startswith(_WATCHED))


def _drawn(rows: Sequence[Mapping[str, float]], is_wanted: Callable[[str], bool]) -> list[Chart]:
    groups: dict[str, dict[str, Points]] = {}
    for row in rows:
        for key, value in row.items():
            if key not in _UNDRAWN and not key.startswith("ema/follow/") and is_wanted(key):
                series = groups.setdefault(_group(key), {})
                series.setdefault(key.rpartition("/")[2], []).append((row["step"], value))
    order = sorted(groups, key=lambda group: (_rank(group), group))
    return [
        chart(
            _TITLES.get(group, group),
            {name: _rising(points) for name, points in groups[group].items()},
            log_scale=group in _LOG_SCALE,
        )
        for group in order
    ]


_UNDRAWN = ("step", "images", "seconds")
_WATCHED = ("critic/", "gradient/", "update/", "diversity/", "ema/", "loader/", "overfit/")
_LOG_SCALE = ("gradient/", "update/")

# Of a number, or of all that begin so, in the order of the drawings; evaluations come second.
_TITLES = {
    "loss/": "Losses",
    "lr": "Learning rate",
    "images_per_s": "Images per second",
    "overfit/nearness": "Distance to the batch, 0 = learnt by heart",
    "critic/accuracy": "Critic accuracy, 0.5 = guessing",
    "critic/margin": "Critic margin, in spreads of its logits",
    "diversity/label-entropy": "Label entropy of previews, nats",
    "diversity/": "Diversity of previews, 1 = as real images",
    "gradient/": "Gradient norms",
    "update/": "Change of the weights in one update",
    "ema/lag/": "Distance of average and weights",
    "loader/wait": "Share of time waiting for batches",
}


def _group(key: str) -> str:
    return next((group for group in _TITLES if key.startswith(group)), key)


def _rank(group: str) -> int:
    if group.startswith("eval/"):
        return 1
    names = list(_TITLES)
    return 2 * names.index(group) if group in names else 2 * len(names)


def _rising(points: Points) -> Points:
    # A resumed run may have logged a step twice: the later line counts.
    return sorted(dict(points).items())


def chart(title: str, series: Mapping[str, Points], *, log_scale: bool = False) -> Chart:
    """One drawing of some curves that share their axes.

    Args:
        title: Above it.
        series: (step, value) by name.
        log_scale: Whether equal ratios are equally high; values that are not positive are left out.
    """
    summary = "; ".join(_words(name, points) for name, points in series.items())
    last = {name: points[-1][1] for name, points in series.items()}
    log_scale = log_scale and any(y > 0 for points in series.values() for _, y in points)
    if log_scale:
        logs = {n: [(x, math.log10(y)) for x, y in p if y > 0] for n, p in series.items()}
        series = {name: points for name, points in logs.items() if points}
    smoothed = {name for name, points in series.items() if _is_smoothed(name, points)}
    shown = {n: _thinned(_smooth(p) if n in smoothed else p) for n, p in series.items()}
    steps = [x for points in shown.values() for x, _ in points]
    values = [y for points in shown.values() for _, y in points]
    x_range = (min(steps), max(max(steps), min(steps) + 1))
    x_ticks, y_ticks = ticks(*x_range), (_powers if log_scale else ticks)(min(values), max(values))
    y_range = (min(*values, y_ticks[0]), max(*values, y_ticks[-1]))
    lines = []
    for slot, (name, points) in enumerate(series.items()):
        faint = _path(_thinned(points), x_range, y_range) if name in smoothed else ""
        path = _path(shown[name], x_range, y_range)
        dots = [_place(p, x_range, y_range) for p in points] if len(points) <= _SMOOTH_FROM else []
        lines.append(Line(name, slot % 6, path, faint, last[name], dots))
    return Chart(
        title=title,
        lines=lines,
        x_ticks=[(_place((x, y_range[0]), x_range, y_range)[0], short(x)) for x in x_ticks],
        y_ticks=[
            (_place((x_range[0], y), x_range, y_range)[1], short(10**y if log_scale else y))
            for y in y_ticks
        ],
        smoothed=bool(smoothed),
        summary=summary,
    )


def _words(name: str, points: Points) -> str:
    values = [y for _, y in points]
    return (
        f"{name} from {short(values[0])} to {short(values[-1])}, "
        f"between {short(min(values))} and {short(max(values))}"
    )


def _is_smoothed(name: str, points: Points) -> bool:
    """Whether a curve has noise enough to look through; a learning rate is what it is."""
    return len(points) > _SMOOTH_FROM and name not in _EXACT


_EXACT = ("lr", "critic_lr")


def _smooth(points: Points) -> Points:
    """Running mean over a fiftieth of the curve on both sides, shorter at the ends."""
    reach = max(1, len(points) // 50)
    smooth = []
    for i, (step, _) in enumerate(points):
        near = min(reach, i, len(points) - 1 - i)  # symmetric, so that no end is pulled inwards
        window = [y for _, y in points[i - near : i + near + 1]]
        smooth.append((step, sum(window) / len(window)))
    return smooth


def _thinned(points: Points) -> Points:
    stride = math.ceil(len(points) / _MOST_POINTS)
    return points if stride <= 1 else [*points[:-1:stride], points[-1]]


def _place(
    point: tuple[float, float], x_range: tuple[float, float], y_range: tuple[float, float]
) -> tuple[float, float]:
    """(step, value) -> position in the drawing, px from its top left corner."""
    x = (point[0] - x_range[0]) / (x_range[1] - x_range[0])
    y = (point[1] - y_range[0]) / (y_range[1] - y_range[0])
    across, up = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    return round(_LEFT + x * across, 1), round(HEIGHT - _BOTTOM - y * up, 1)


def _path(points: Points, x_range: tuple[float, float], y_range: tuple[float, float]) -> str:
    places = (_place(point, x_range, y_range) for point in points)
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in places)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) across [low, high], at least two."""
    if high <= low:
        spread = abs(low) / 2 or 0.5
        low, high = low - spread, high + spread
    for parts in (about, 2 * about):
        rough = (high - low) / parts
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        marks = [float(f"{i * step:.12g}") for i in range(first, last + 1)]
        if len(marks) > 1:
            return marks
    return [low, high]


def _powers(low: float, high: float) -> list[float]:
    """Logarithms of round numbers across [low, high], themselves logarithms; at least two."""
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        decades = range(math.floor(low), math.ceil(high) + 1)
        marks = [power + math.log10(step) for power in decades for step in steps]
        inside = [mark for mark in marks if low - 1e-9 <= mark <= high + 1e-9]
        if len(inside) > 2:
            return inside[:: math.ceil(len(inside) / 7)]
    return [low, high] if high > low else [low - 1, low + 1]


def short(value: float) -> str:
    """A number in few characters: 1234567 -> "1.23M", 0.00025 -> "2.5e-4", 12.3456 -> "12.35"."""
    size = abs(value)
    if size >= 1e6:
        return f"{value / 1e6:.3g}M"
    if size >= 1e4:
        return f"{value / 1e3:.3g}k"
    if size >= 1 or size == 0:
        return f"{value:.4g}"
    if size >= 1e-3:
        return f"{value:.3g}"
    digits, _, power = f"{value:.1e}".partition("e")
    return f"{digits.removesuffix('.0')}e{int(power)}"
