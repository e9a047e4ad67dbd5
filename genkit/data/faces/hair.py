"""Hair: what lies above the hairline, and long hair behind and before the shoulders."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genkit.data.faces import parameters as p
from genkit.data.faces.exact import Floats, sin_cos
from genkit.data.faces.head import Head, Path, Sphere, around
from genkit.data.faces.parameters import Bools
from genkit.data.faces.shapes import Part, Polygon, joined, line, there_and_back

SIDE, FRINGE, QUIFF, CURLS, SPIKES = range(p.TOPS)  # styles of hair above the face
STRAIGHT, BOB, WAVES = range(p.LENGTHS)  # of long hair

_ACROSS = 81  # points of a line across the head
_OVER = 73  # points of an edge over it

# Where hair ends, longitude to latitude: sideburns, above the ear, behind it, at the nape. What is
# nearer the front depends on the style.
_LONG_SIDES = ([50, 62, 72, 80, 180], [-26, 0, 34, 64, 64])  # covers the ears
_SIDES = ([50, 60, 66, 74, 80, 98, 106, 180], [-26, -12, 6, 8, -8, 4, 34, 34])


def seen(head: Head) -> Bools:
    """(B,): which faces show hair."""
    return head.faces.wear.head == p.HAIR


def is_long(head: Head) -> Bools:
    """(B,): which faces show long hair."""
    return seen(head) & head.faces.wear.long


def across(head: Head, latitude: Floats, grow: float) -> tuple[Path, Sphere, Sphere]:
    """A line across the head as far as it is seen, and its two ends on the sphere.

    Args:
        head: The heads.
        latitude: (B, N) or (1, N) at `longitudes(head, N)`.
        grow: How far outside the head.
    """
    q = head.shown(around(longitudes(head, latitude.shape[1]), latitude))
    first, last = (tuple(c[:, i : i + 1] for c in q) for i in (0, q[0].shape[1] - 1))
    return head.place(q, grow=grow), first, last  # type: ignore[return-value]


def longitudes(head: Head, count: int) -> Floats:
    """(B, N) from what is seen at the left to what is seen at the right."""
    return -head.faces.pose.yaw[:, None] + 92 * line(count)


def cap(head: Head, lower: tuple[Path, Sphere, Sphere], grow: Floats) -> Path:
    """What lies above a line across the head, to an edge that stands out.

    Args:
        head: The heads.
        lower: The line with its ends, from `across`.
        grow: (B, M) how far the edge stands out at M places from right to left.
    """
    path, first, last = lower
    (lx, ly), (rx, ry) = head.direction(first), head.direction(last)
    place = line(grow.shape[1])
    share, left = np.abs(place), place > 0
    ex, ey = np.where(left, lx, rx), np.where(left, ly, ry)
    length = np.sqrt(ex * ex + ey * ey)
    edge = head.edge(ex / length * share, ey / length * share - (1 - share))
    return joined(path, head.place(edge, grow=grow))


def above_face(head: Head) -> Iterator[Polygon]:
    """Hair above the face, and the light on it."""
    lower = across(head, _hairline(head), 0.02)
    yield Polygon(Part.HAIR, cap(head, lower, _outline(head)), seen(head))
    s, scene = line(15), head.faces.scene
    longitude = 34 * scene.light_x[:, None] + 30 * s - 0.7 * head.faces.pose.yaw[:, None]
    thin = 7 * (1 - s * s)
    upper, under = (around(longitude, -60 + by * thin) for by in (-1, 1))
    gloss = joined(head.place(upper, grow=0.06), head.place(under, grow=0.06)[:, ::-1])
    yield Polygon(Part.HAIR_GLOSS, gloss, seen(head) & (head.faces.identity.top != CURLS))


def behind(head: Head) -> Polygon:
    """Long hair behind head, neck and shoulders."""
    who = head.faces.identity
    x0, y0 = head.middle
    s = line(25)
    t = 0.5 + 0.5 * s  # from the crown down
    style = who.length[:, None]
    bulge = 4 * t * (1 - t)
    out = np.select(
        [style == BOB, style == WAVES],
        [0.1 + 0.09 * bulge - 0.1 * t * t * t, 0.12 + 0.04 * _wave(5 * t) + 0.06 * t],
        0.11 + 0.05 * t,
    )
    low = np.where(style == BOB, 0.7, 1.02)
    down = y0 - who.height[:, None] * 0.85
    above = np.maximum(0, 1 - t / 0.4)
    wide = (who.width[:, None] + out) * np.sqrt(1 - 0.97 * above * above)
    y = down + t * (low - down)
    path = np.stack(
        [
            x0 + there_and_back(-wide, wide) - 0.002 * head.faces.pose.yaw[:, None],
            there_and_back(y, y),
        ],
        -1,
    )
    return Polygon(Part.BACK_HAIR, path, is_long(head))


def beside_face(head: Head) -> Iterator[Polygon]:
    """Locks of long hair that fall beside the face, over the ears."""
    style = head.faces.identity.length[:, None]
    a, b, c = head.axes
    s = line(21)
    t = 0.5 + 0.5 * s
    end = np.select([style == BOB, style == WAVES], [1.0, 1.34], 1.4)
    y = b * (-0.6 + (0.6 + end) * t)
    wave = np.where(style == WAVES, 0.05 * _wave(5 * t), 0.0)
    curl = np.where(style == BOB, -0.14 * t * t * t * t, 0.0)
    thick = 0.24 * np.sqrt(np.maximum(0, 1 - t * t * t * t * t * t)) * (0.4 + 0.6 * t)
    outer = a * (0.93 + 0.26 * t * (1.2 - t) + wave + curl)
    inner = outer - a * (0.08 + thick)
    turn, _ = sin_cos(head.faces.pose.yaw[:, None])
    for side in (-1, 1):
        # On the far side it hangs at the edge of the head, not over the eye.
        depth = np.broadcast_to(c * (0.16 + 0.35 * np.maximum(0, side * turn)), outer.shape)
        place = (side * there_and_back(outer, inner), there_and_back(y, y))
        path = head.seen(*place, there_and_back(depth, depth))
        yield Polygon(Part.HAIR, path, is_long(head))


def _hairline(head: Head) -> Floats:
    """(B, N) latitude of the lower edge of hair."""
    who = head.faces.identity
    longitude = longitudes(head, _ACROSS)
    at = np.abs(longitude)
    top, slant = who.top[:, None], longitude * who.parting[:, None] / 45
    edge = 1 - np.minimum(1, at / 56)
    front = np.select(
        [top == FRINGE, top == QUIFF, top == CURLS, top == SPIKES],
        [
            -18.0 + 2.5 * _zigzag(longitude / 13),
            -40.0 + 4 * (1 - edge),
            -32.0 + 3 * _zigzag(longitude / 16),
            -30.0 + 6 * _zigzag(longitude / 14),
        ],
        -34.0 + 9 * slant,
    )
    sides = np.where(is_long(head)[:, None], np.interp(at, *_LONG_SIDES), np.interp(at, *_SIDES))
    share = np.minimum(1, np.maximum(0, (at - 38) / 14))
    return front * (1 - share) + sides * share


def _outline(head: Head) -> Floats:
    """(B, M) how far hair stands out, from right to left over the head."""
    who = head.faces.identity
    t = line(_OVER)
    smooth = 1 - t * t * t * t
    tilt = (t + 0.25 * who.parting[:, None]) / 0.55
    top = who.top[:, None]
    shape = np.select(
        [top == FRINGE, top == QUIFF, top == CURLS, top == SPIKES],
        [
            1.15 * smooth,
            0.6 * smooth + 0.85 * np.maximum(0, 1 - tilt * tilt),
            smooth * (1.25 + 0.45 * _arches(4.5 * t)),
            smooth * (0.9 + 0.55 * _zigzag(9 * t)),
        ],
        0.95 * smooth,
    )
    return 0.02 + who.volume[:, None] * shape


def _zigzag(x: Floats) -> Floats:
    """Straight up and down between -1 and 1, with period 2."""
    return 2 * np.abs(x - 2 * np.floor(x / 2) - 1) - 1


def _arches(x: Floats) -> Floats:
    """Half circles one after the other, between -1 and 1, with period 1."""
    at = 2 * (x - np.floor(x)) - 1
    return 2 * np.sqrt(np.maximum(0, 1 - at * at)) - 1


def _wave(x: Floats) -> Floats:
    """Parabolas up and down like a sine, between -1 and 1, with period 2."""
    at = x - 2 * np.floor(x / 2)
    bow = 4 * at * (1 - at)
    other = 4 * (at - 1) * (at - 2)
    return np.where(at < 1, bow, other)
