"""The head: an ellipsoid with a jaw, turned by one rotation and seen from far away.

A place on it is a point q of the unit sphere: x to the right, y down, z out of the face. The face
has places (u, v) = (q_x, q_y) with q_z above 0; places all around have a longitude and latitude.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from genkit.data.faces.exact import Floats, sin_cos
from genkit.data.faces.parameters import Faces

Path = NDArray[np.float64]  # (B, N, 2) in the picture
Sphere = tuple[Floats, Floats, Floats]  # x, y, z, (B, N) each

_CHIN = 0.16  # how far the chin stands out, of the depth, with the narrowest jaw


class Turned(NamedTuple):
    """Rows of a rotation, each of three numbers (B, 1): what x, y and z of the picture are of x, y
    and z of the head.
    """

    x: Sphere
    y: Sphere
    z: Sphere


class Head:
    """The heads of B faces in their poses."""

    def __init__(self, faces: Faces) -> None:
        self.faces = faces
        who, pose = faces.identity, faces.pose
        self.axes = tuple(a[:, None] * pose.scale[:, None] for a in _axes(who))
        self.jaw = who.jaw[:, None]
        self.middle = (pose.x[:, None], pose.y[:, None])
        self.turned = _rotation(pose.yaw, pose.pitch, pose.roll)
        self.view = _view(self.turned, self.axes)

    def face(self, u: Floats, v: Floats, lift: Floats | float = 0.0) -> Path:
        """Places (B, N) or (N,) of the face in the picture; beyond its edge they lie on it.

        Args:
            u: From -1 at the left edge of a face that looks forward to 1.
            v: From -1 at the crown to 1 at the chin.
            lift: How far above the surface, towards where the face looks.
        """
        rest = np.maximum(1 - u * u - v * v, 0)
        return self.place((u, v, np.sqrt(rest)), lift=lift)

    def place(self, q: Sphere, *, grow: Floats | float = 0.0, lift: Floats | float = 0.0) -> Path:
        """Places of the sphere in the picture; hidden ones lie on the edge of the head.

        Args:
            q: (B, N) or (N,) each.
            grow: How much further out, a share.
            lift: How far towards where the face looks.
        """
        return self.seen(*self.surface(self.shown(q), grow, lift))

    def seen(self, x: Floats, y: Floats, z: Floats) -> Path:
        """Points of space, whose origin is the middle of the head, in the picture."""
        a, b = self.turned.x, self.turned.y
        right = self.middle[0] + (a[0] * x + a[1] * y + a[2] * z)
        down = self.middle[1] + (b[0] * x + b[1] * y + b[2] * z)
        return np.stack(np.broadcast_arrays(right, down), -1)

    def nearer(self, x: Floats, y: Floats, z: Floats) -> Floats:
        """How far points of space are in front of the middle of the head."""
        c = self.turned.z
        return c[0] * x + c[1] * y + c[2] * z

    def surface(self, q: Sphere, grow: Floats | float = 0.0, lift: Floats | float = 0.0) -> Sphere:
        """Places of the sphere as points of space: axes, jaw and chin."""
        x, y, z = q
        low = np.maximum(y, 0)
        low = low * low
        width = 1 - self.jaw * low
        depth = 1 + _CHIN * low * (self.jaw * 3)
        out = 1 + grow
        a, b, c = self.axes
        return a * x * width * out, b * y * out, c * z * depth * out + lift

    def shown(self, q: Sphere) -> Sphere:
        """The places, those that look away moved to the nearest edge of the head."""
        e, f, w = self.view
        x, y, z = _dot(q, e), _dot(q, f), _dot(q, w)
        away = z < 0
        length = np.sqrt(x * x + y * y)
        stretch = np.where(away, 1 / np.maximum(length, 1e-6), 1.0)
        x, y, z = x * stretch, y * stretch, np.where(away, 0.0, z)
        return (
            e[0] * x + f[0] * y + w[0] * z,
            e[1] * x + f[1] * y + w[1] * z,
            e[2] * x + f[2] * y + w[2] * z,
        )

    def looks_here(self, q: Sphere) -> NDArray[np.bool_]:
        """Whether places (B, N) look towards the viewer."""
        return _dot(q, self.view[2]) > 0

    def edge(self, right: Floats, down: Floats) -> Sphere:
        """The places of the edge of the head in directions from its middle, (B, N) or (N,): right
        and down as they are before the head rolls.
        """
        e, f, _ = self.view
        length = np.sqrt(right * right + down * down)
        x, y = right / length, down / length
        return (e[0] * x + f[0] * y, e[1] * x + f[1] * y, e[2] * x + f[2] * y)

    def direction(self, q: Sphere) -> tuple[Floats, Floats]:
        """Where places (B, N) lie as seen from the middle of the head: right and down."""
        return _dot(q, self.view[0]), _dot(q, self.view[1])


def around(longitude: Floats, latitude: Floats) -> Sphere:
    """Places all around the head.

    Args:
        longitude: Degrees from the middle of the face to the right, ±180.
        latitude: Degrees down from the equator, ±90.
    """
    sin, cos = sin_cos(longitude)
    down, level = sin_cos(latitude)
    return (
        sin * level,
        np.broadcast_to(down, np.broadcast_shapes(sin.shape, down.shape)),
        cos * level,
    )


def _axes(who: object) -> tuple[Floats, Floats, Floats]:
    return who.width, who.height, who.depth  # type: ignore[attr-defined]


def _rotation(yaw: Floats, pitch: Floats, roll: Floats) -> Turned:
    """Yaw, then pitch, then roll."""
    (sy, cy), (sp, cp), (sr, cr) = (sin_cos(angle[:, None]) for angle in (yaw, pitch, roll))
    # Turned about y and then about x.
    x = (cy, np.zeros_like(cy), sy)
    y = (-sp * sy, cp, sp * cy)
    z = (-cp * sy, -sp, cp * cy)
    right = tuple(cr * a - sr * b for a, b in zip(x, y, strict=True))
    down = tuple(sr * a + cr * b for a, b in zip(x, y, strict=True))
    return Turned(right, down, z)  # type: ignore[arg-type]


def _view(turned: Turned, axes: tuple[Floats, ...]) -> tuple[Sphere, Sphere, Sphere]:
    """Three directions of the sphere at right angles: what is to the right, below, and towards the
    viewer on the edge of an ellipsoid.
    """
    w = _unit(*(part / axis for part, axis in zip(turned.z, axes, strict=True)))
    f = (-w[1] * w[0], 1 - w[1] * w[1], -w[1] * w[2])  # down, without what of it is in w
    f = _unit(*f)
    e = (f[1] * w[2] - f[2] * w[1], f[2] * w[0] - f[0] * w[2], f[0] * w[1] - f[1] * w[0])
    return e, f, w


def _unit(x: Floats, y: Floats, z: Floats) -> Sphere:
    length = np.sqrt(x * x + y * y + z * z)
    return x / length, y / length, z / length


def _dot(a: Sphere, b: Sphere) -> Floats:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
