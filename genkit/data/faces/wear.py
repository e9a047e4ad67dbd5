"""What is on and around the head: hair, hats, glasses, ears, neck, clothes and the ground."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genkit.data.faces import parameters as p
from genkit.data.faces.exact import Floats
from genkit.data.faces.features import EYES_V
from genkit.data.faces.head import Head, Path, Sphere, around
from genkit.data.faces.shapes import Part, Polygon, circle, joined, line, there_and_back


def ground(head: Head) -> Iterator[Polygon]:
    """A pattern on the ground: none, a disc, or a half."""
    count = len(head.faces)
    pattern = head.faces.scene.pattern
    x, y = circle(40)
    disc = np.broadcast_to(np.stack([0.86 * x, 0.86 * y], -1), (count, 40, 2))
    yield Polygon(Part.PATTERN, disc, pattern == 1)
    half = np.array([(-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)])
    yield Polygon(Part.PATTERN, np.broadcast_to(half, (count, 3, 2)), pattern == 2)


def body(head: Head) -> Iterator[Polygon]:
    """Clothes and neck."""
    x0, y0 = head.middle
    s = line(15)
    count = len(head.faces)
    top = 0.98 - 0.16 * (1 - s * s)
    wide = 0.3 * x0 + 0.8 * s
    path = np.stack(
        np.broadcast_arrays(there_and_back(wide, wide), there_and_back(top, top + 0.6)), -1
    )
    yield Polygon(Part.CLOTHES, path)
    base = head.faces.identity.width[:, None] * 0.5
    low, high = np.full((count, 1), 0.93), y0 + 0.3
    u = np.concatenate([x0 - base, 0.3 * x0 - base * 1.15, 0.3 * x0 + base * 1.15, x0 + base], 1)
    yield Polygon(
        Part.COLLAR,
        np.stack([u * 1.25, np.concatenate([high, low + 0.05, low + 0.05, high], 1)], -1),
    )
    yield Polygon(Part.NECK, np.stack([u, np.concatenate([high, low, low, high], 1)], -1))


def ears(head: Head, near: bool) -> Iterator[Polygon]:
    """Ears, those that lie in front of the middle of the head or those behind."""
    x, y = circle(14)
    a, b, c = head.axes
    for side in (-1, 1):
        out = 0.5 + 0.5 * x
        place = (side * a * (0.97 + 0.16 * out), b * (0.1 + 0.17 * y), c * (-0.05 - 0.12 * out))
        turned_here = (head.nearer(side * a, 0.1 * b, -0.1 * c)[:, 0] > 0.04) == near
        yield Polygon(Part.EAR, head.seen(*place), turned_here)
        x2, y2 = 0.5 + 0.25 * x, 0.5 * y
        hole = (side * a * (0.97 + 0.16 * x2), b * (0.1 + 0.17 * y2), c * (-0.05 - 0.12 * x2))
        yield Polygon(Part.EAR_HOLE, head.seen(*hole), turned_here)


def skull(head: Head) -> Polygon:
    """The skin of the head, to its edge."""
    return Polygon(Part.SKIN, head.place(head.edge(*circle(48))))


def _hairline(longitude: Floats, front: Floats | float) -> Floats:
    """Latitude of the lower edge of hair: above the forehead, before the ears, behind them."""
    at = np.abs(longitude)
    places = [0, 40, 62, 72, 80, 100, 110, 180]
    found = np.interp(at, places, [0.0, 0.1, 0.75, 1.0, 0.9, 0.9, 1.5, 1.5])
    return front + found * (8.0 - front)


def _cap(head: Head, lower: Path, first: Sphere, last: Sphere, grow: Floats) -> Path:
    """What lies above a line across the head, to an edge that stands out.

    Args:
        head: The heads.
        lower: The line from left to right, (B, N, 2).
        first: Where it begins on the sphere, (B, 1) each.
        last: Where it ends.
        grow: (B, M) how far the edge stands out at M places from right to left.
    """
    (lx, ly), (rx, ry) = head.direction(first), head.direction(last)
    share = np.abs(line(grow.shape[1]))
    left = (line(grow.shape[1]) > 0)[None]
    ex, ey = np.where(left, lx, rx), np.where(left, ly, ry)
    length = np.sqrt(ex * ex + ey * ey)
    ex, ey = ex / length, ey / length
    edge = head.edge(ex * share, ey * share - (1 - share))
    return joined(lower, head.place(edge, grow=grow))


def _line_across(
    head: Head, front: Floats | float, grow: Floats | float
) -> tuple[Path, Sphere, Sphere]:
    """The hairline as far as it is seen, and its two ends on the sphere."""
    longitude = -head.faces.pose.yaw[:, None] + 92 * line(41)
    q = head.shown(around(longitude, _hairline(longitude, front)))
    return head.place(q, grow=grow), tuple(c[:, :1] for c in q), tuple(c[:, -1:] for c in q)  # type: ignore[return-value]


def hair(head: Head) -> Iterator[Polygon]:
    """Hair above the face, in four styles."""
    who, wear = head.faces.identity, head.faces.wear
    here = wear.head == p.HAIR
    lower, first, last = _line_across(head, -30.0, 0.02)
    bump = 1 - np.abs(line(21)) ** 4
    grow = 0.02 + who.volume[:, None] * bump
    yield Polygon(Part.HAIR, _cap(head, lower, first, last, grow), here)
    s = line(15)
    fringe = there_and_back(-0.62 + 0.2 * s * s, -0.3 + 0.1 * s * who.parting[:, None] + 0.0 * s)
    u = there_and_back(0.75 * s, 0.68 * s)
    yield Polygon(Part.HAIR, head.face(u, fringe, 0.03), here & (who.top == 1))
    swept = there_and_back(-0.6 + 0.2 * s * s, -0.42 + 0.16 * s * who.parting[:, None])
    yield Polygon(Part.HAIR, head.face(u, swept, 0.03), here & (who.top == 2))


def long_hair_behind(head: Head) -> Polygon:
    """Long hair behind head and neck."""
    who, wear = head.faces.identity, head.faces.wear
    x0, y0 = head.middle
    s = line(15)
    w = who.width[:, None]
    top = y0 - 0.9 * who.height[:, None] * (1 - s * s)
    x = x0 + there_and_back((w + 0.14) * s, (w + 0.2) * s)
    y = there_and_back(top, np.broadcast_to(0.9 - 0.1 * s * s, top.shape))
    return Polygon(
        Part.BACK_HAIR, np.stack(np.broadcast_arrays(x, y), -1), (wear.head == p.HAIR) & wear.long
    )


def long_hair_before(head: Head) -> Iterator[Polygon]:
    """Locks of long hair that fall beside the face, over the ears."""
    wear = head.faces.wear
    a, b, c = head.axes
    s = line(11)
    t = 0.5 + 0.5 * s
    for side in (-1, 1):
        y = b * (-0.55 + 1.6 * t)
        outer, inner = a * (1.0 + 0.16 * (1 - s * s)), a * (0.74 + 0.1 * t)
        place = (
            side * there_and_back(outer, inner),
            there_and_back(y, y),
            c * 0.2 + 0 * there_and_back(y, y),
        )
        yield Polygon(Part.HAIR, head.seen(*place), (wear.head == p.HAIR) & wear.long)


def hat(head: Head) -> Iterator[Polygon]:
    """A hat, in three styles: woollen, with a peak, with a brim."""
    wear = head.faces.wear
    here = wear.head == p.HAT
    lower, first, last = _line_across(head, -24.0, 0.06)
    bump = 1 - np.abs(line(21)) ** 4
    grow = 0.06 + np.where(wear.hat == 2, 0.24, 0.12)[:, None] * bump
    yield Polygon(Part.HAT, _cap(head, lower, first, last, grow), here)
    s = line(21)
    band = around(-head.faces.pose.yaw[:, None] + 90 * s, np.full((1, 21), -24.0))
    above = around(-head.faces.pose.yaw[:, None] + 90 * s, np.full((1, 21), -36.0))
    path = joined(head.place(band, grow=0.08), head.place(above, grow=0.1)[:, ::-1])
    yield Polygon(Part.HAT_BAND, path, here & (wear.hat != 1))
    peak = around(55 * s, -24 - 4 * s * s)
    front = around(50 * s, -16 + 0 * s)
    path = joined(
        head.place(peak, grow=0.07), head.place(front, grow=0.1, lift=0.22 * (1 - s * s))[:, ::-1]
    )
    yield Polygon(Part.HAT_BAND, path, here & (wear.hat == 1))
    a, b, c = head.axes
    x, z = circle(36)
    brim = head.seen(a * 1.5 * x, b * (-0.42 + 0 * x), c * 1.5 * z)
    front_half = head.nearer(a * 1.5 * x, b * (-0.42 + 0 * x), c * 1.5 * z)
    del front_half
    yield Polygon(Part.HAT, brim, here & (wear.hat == 2))


def glasses(head: Head) -> Iterator[Polygon]:
    """Eyeglasses and sunglasses, both of one shape each."""
    who, wear = head.faces.identity, head.faces.wear
    x, y = circle(24)
    clear, dark = wear.glasses == p.EYEGLASSES, wear.glasses == p.SUNGLASSES
    rim = np.sqrt(np.sqrt(x * x * x * x + y * y * y * y))
    x, y = x / rim, y / rim  # rounded squares
    half = len(x) // 2
    gap = who.eye_gap[:, None] + 0.02
    for side in (-1, 1):
        u, v = side * gap, EYES_V + 0.03
        outer = head.face(u + 0.33 * x, v + 0.245 * y, 0.06)
        inner = head.face(u + 0.265 * x, v + 0.19 * y, 0.06)
        for part in (slice(0, half + 1), slice(half, None)):
            ends = [0] if part.stop is None else []
            o = joined(outer[:, part], outer[:, ends])
            i = joined(inner[:, part], inner[:, ends])
            yield Polygon(Part.FRAME, joined(o, i[:, ::-1]), clear)
        yield Polygon(Part.LENS, outer, dark)
        s = line(3)
        shine = head.face(
            u - 0.1 + 0.05 * np.array([-1, 1, 0.2, -1.8]),
            v + np.array([-0.12, -0.12, 0.04, 0.04]),
            0.06,
        )
        yield Polygon(Part.LENS_GLINT, shine, dark)
        arm = there_and_back(side * (gap + 0.3) + 0 * s, np.full((1, 3), side * 0.97))
        del arm
    bridge = head.face(
        there_and_back(0.12 * s, 0.12 * s),
        there_and_back(EYES_V - 0.04 - 0.03 * (1 - s * s), EYES_V + 0.03 - 0.03 * (1 - s * s)),
        0.08,
    )
    yield Polygon(Part.FRAME, bridge, clear)
    yield Polygon(Part.LENS, bridge, dark)
