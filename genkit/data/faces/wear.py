"""What is around the face: the ground, clothes, neck, ears, hats and glasses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genkit.data.faces import hair
from genkit.data.faces import parameters as p
from genkit.data.faces.exact import Floats
from genkit.data.faces.features import EYES_V
from genkit.data.faces.head import Head, Path, around
from genkit.data.faces.shapes import Part, Polygon, circle, joined, line, there_and_back

PLAIN, DISC, SLANTED = range(p.PATTERNS)
CREW, VEE, COLLAR = range(p.CUTS)

_LENS_V = EYES_V + 0.025


def ground(head: Head) -> Iterator[Polygon]:
    """What is on the ground: nothing, a disc, or another half."""
    count, pattern = len(head.faces), head.faces.scene.pattern
    x, y = circle(40)
    disc = np.broadcast_to(np.stack([0.88 * x, 0.88 * y], -1), (count, 40, 2))
    yield Polygon(Part.PATTERN, disc, pattern == DISC)
    half = np.array([(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)])
    yield Polygon(Part.PATTERN, np.broadcast_to(half, (count, 3, 2)), pattern == SLANTED)


def body(head: Head) -> Iterator[Polygon]:
    """Clothes with a neckline, and the neck."""
    who, wear = head.faces.identity, head.faces.wear
    x0, y0 = head.middle
    chin = y0 + 0.8 * who.height[:, None]
    x1 = 0.4 * x0  # the middle of the shoulders, which follow the head a little
    s = line(21)
    rise = np.sqrt(np.maximum(0, 1 - s * s))
    top = 1.06 - 0.22 * rise
    shoulders = _path(x1 + 0.86 * there_and_back(s, s), there_and_back(top, 0 * top + 1.3))
    yield Polygon(Part.CLOTHES, shoulders)
    wide = who.width[:, None] * 0.46
    cut = wear.clothes[:, None]
    deep = np.where(cut == VEE, 0.16 * (1 - np.abs(s)), 0.07 * rise)
    for part, out in ((Part.COLLAR, 1.25), (Part.NECK, 1.0)):
        low = 0.86 + deep * out + 0.5 * (out - 1) * 0.2
        u = there_and_back(x0 + 0 * s + wide * out * s, x1 + wide * 1.1 * out * s)
        yield Polygon(part, _path(u, there_and_back(0 * s + chin, 0 * u[:, :21] + low)))
    for side in (-1, 1):
        flap = np.array([0.2, 1.5, 0.75, 0.1])
        down = np.array([0.99, 0.86, 1.03, 1.01])
        path = _path(x1 + side * wide * flap, down + 0 * wide)
        yield Polygon(Part.COLLAR, path, wear.clothes == COLLAR)


def ears(head: Head, near: bool) -> Iterator[Polygon]:
    """Ears that no long hair covers: those in front of the head, or those behind its edge."""
    x, y = circle(14)
    a, b, c = head.axes
    free = ~hair.is_long(head)
    for side in (-1, 1):
        here = (head.nearer(side * a, 0.1 * b, -0.1 * c)[:, 0] > 0.04) == near
        for part, size, out in (Part.EAR, 1.0, 0.5 + 0.5 * x), (Part.EAR_HOLE, 0.5, 0.5 + 0.25 * x):
            place = (side * a * (0.96 + 0.17 * out), b * (0.1 + 0.17 * size * y))
            path = head.seen(*place, c * (-0.05 - 0.12 * out))
            yield Polygon(part, path, here & free)


def skull(head: Head) -> Polygon:
    """The skin of the head, to its edge."""
    return Polygon(Part.SKIN, head.place(head.edge(*circle(48))))


def hat(head: Head) -> Iterator[Polygon]:
    """A hat: of wool with a bobble, with a peak, or with a brim."""
    wear = head.faces.wear
    here, kind = wear.head == p.HAT, wear.hat
    yield _bobble(head, here & (kind == p.WOOL))
    down = head.nearer(0 * head.axes[1], head.axes[1], 0 * head.axes[1])[:, 0] < 0.06
    yield Polygon(Part.HAT_BRIM, _brim(head), here & (kind == p.BRIM) & down)
    t = line(41)
    smooth = 1 - t * t * t * t
    dent = 1 - 0.35 * np.maximum(0, 1 - 9 * t * t)
    shape = np.select(
        [(kind == p.WOOL)[:, None], (kind == p.PEAK)[:, None]],
        [0.06 + 0.13 * smooth, 0.05 + 0.09 * smooth],
        0.05 + 0.2 * np.minimum(1, 2.2 * smooth * smooth) * dent,
    )
    sides = np.full((1, 61), -23.0)
    yield Polygon(Part.HAT, hair.cap(head, hair.across(head, sides, 0.05), shape), here)
    yield Polygon(Part.HAT_BAND, _band(head, -21, -40, 0.12), here & (kind == p.WOOL))
    yield Polygon(Part.HAT_BAND, _band(head, -26, -38, 0.09), here & (kind == p.BRIM))
    yield Polygon(Part.HAT_BRIM, _peak(head), here & (kind == p.PEAK))
    yield Polygon(Part.HAT_BRIM, _brim(head), here & (kind == p.BRIM) & ~down)


def _bobble(head: Head, here: p.Bools) -> Polygon:
    x, y = circle(20)
    _, b, _ = head.axes
    size = 0.15 * (1 + 0.08 * np.where(np.arange(20) % 2 == 0, 1, -1))
    middle = head.seen(*(part * np.ones((1, 1)) for part in (0 * b, -1.24 * b, 0 * b)))
    return Polygon(Part.HAT_BAND, middle + np.stack([size * x, size * y], -1)[None], here)


def _band(head: Head, low: float, high: float, grow: float) -> Path:
    s = hair.longitudes(head, 31)
    lower, upper = (around(s, np.full_like(s, at)) for at in (low, high))
    return joined(head.place(lower, grow=grow), head.place(upper, grow=grow + 0.06)[:, ::-1])


def _peak(head: Head) -> Path:
    s = line(25)
    round_ = 1 - s * s
    base, front = around(70 * s, -26 - 6 * round_), around(70 * s, -24 + 13 * round_)
    lift = 0.34 * np.sqrt(round_)
    return joined(head.place(base, grow=0.07), head.place(front, grow=0.07, lift=lift)[:, ::-1])


def _brim(head: Head) -> Path:
    """A disc around the head whose front is a little lower, thick enough to be seen from aside."""
    a, b, c = head.axes
    x, z = circle(40)
    yaw = head.faces.pose.yaw[:, None]
    turn = around(-yaw, 0 * yaw)  # its ends are where they are seen
    right, near = x * turn[2] + z * turn[0], z * turn[2] - x * turn[0]
    place = (1.5 * a * right, b * (-0.44 + 0.1 * near), 1.4 * c * near)
    path = head.seen(*place)
    tilt = head.seen(0 * a, 0.1 * b, 1.4 * c)[..., 1] - head.middle[1]
    thick = 0.03 * np.sign(z) * np.where(tilt < 0, -1, 1)
    path[..., 1] += thick
    return path


def glasses(head: Head) -> Iterator[Polygon]:
    """Eyeglasses and sunglasses, both of one shape each."""
    wear = head.faces.wear
    clear, dark = wear.glasses == p.EYEGLASSES, wear.glasses == p.SUNGLASSES
    x, y = circle(24)
    rim = np.sqrt(np.sqrt(x * x * x * x + y * y * y * y))
    x, y = np.round(x / rim, 9), np.round(y / rim, 9)  # rounded squares
    gap = head.faces.identity.eye_gap[:, None] + 0.015
    for side in (-1, 1):
        u = side * gap
        outer = head.face(u + 0.33 * x, _LENS_V + 0.25 * y, 0.05)
        inner = head.face(u + 0.255 * x, _LENS_V + 0.185 * y, 0.05)
        for half in ([*range(13)], [*range(12, 24), 0]):
            ring = joined(outer[:, half], inner[:, half[::-1]])
            yield Polygon(Part.FRAME, ring, clear)
        yield Polygon(Part.LENS, outer, dark)
        corners = np.array([-0.2, -0.08, -0.14, -0.26]), np.array([-0.15, -0.15, 0.06, 0.06])
        yield Polygon(Part.LENS_GLINT, head.face(u + corners[0], _LENS_V + corners[1], 0.06), dark)
    s = line(7)
    bow = EYES_V - 0.03 - 0.04 * (1 - s * s)
    path = there_and_back(bow - 0.04, bow + 0.04)
    yield Polygon(
        Part.FRAME, head.face(there_and_back(0.13 * s, 0.13 * s), path, 0.09), clear | dark
    )


def arms(head: Head) -> Iterator[Polygon]:
    """The arms of glasses, from the lenses to the ears along the sides of the head."""
    t = 0.5 + 0.5 * line(9)
    for side in (-1, 1):
        at = np.broadcast_to(side * (42 + 46 * t), (len(head.faces), 9))
        upper, lower = (around(at, np.full_like(at, down)) for down in (-2.0, 1.0))
        path = joined(head.place(upper, grow=0.03), head.place(lower, grow=0.03)[:, ::-1])
        yield Polygon(Part.FRAME, path, head.faces.wear.glasses != p.NO_GLASSES)


def _path(x: Floats, y: Floats) -> Path:
    return np.stack(np.broadcast_arrays(x, y), -1)
