"""The parts of a face: eyes, eyebrows, nose, mouth, cheeks, beard and moustache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from genkit.data.faces import parameters as p
from genkit.data.faces.exact import Floats
from genkit.data.faces.head import Head, Path, around
from genkit.data.faces.parameters import Bools
from genkit.data.faces.shapes import Part, Polygon, circle, joined, line, there_and_back

EYES_V, BROWS_V, MOUTH_V = 0.07, -0.2, 0.6
WINKS = -1  # the eye that winks: on the picture's left


class Eye:
    """One eye of B faces: a lens between two lids, places (u, v) of the face."""

    def __init__(self, head: Head, side: int) -> None:
        who, does = head.faces.identity, head.faces.expression
        self.head, self.side = head, side
        self.u = side * who.eye_gap[:, None]
        self.width = who.eye_size[:, None]
        self.height = 0.72 * self.width
        self.tilt = side * who.eye_tilt[:, None]
        self.shut = does.winking & (side == WINKS)
        # A smile lifts the lower lids.
        self.depth = self.height * np.where(does.smiling, 0.45, 0.8)[:, None]

    def upper(self, s: Floats) -> Floats:
        """v of the upper lid where s goes from -1 to 1."""
        return EYES_V - self.tilt * s - self.height * (1 - s * s)

    def lower(self, s: Floats) -> Floats:
        """v of the lower lid."""
        return EYES_V - self.tilt * s + self.depth * (1 - s * s)

    def lids(self, s: Floats) -> tuple[Floats, Floats]:
        """v of both lids; where the eye is shut, of the line between them."""
        shut, line_ = self.shut[:, None], self._line(s)
        return np.where(shut, line_, self.upper(s)), np.where(shut, line_, self.lower(s))

    def _line(self, s: Floats) -> Floats:
        return EYES_V + 0.01 - self.tilt * s + 0.5 * self.height * (1 - s * s)

    def polygons(self) -> Iterator[Polygon]:
        """White, iris, pupil, glint and lashes; a line where it is shut."""
        s, does = line(13), self.head.faces.expression
        u = self.u + self.width * s
        opened = ~self.shut
        whole = there_and_back(self.upper(s), self.lower(s))
        both = there_and_back(u, u)
        yield Polygon(Part.EYE, self.head.face(both, whole), opened)
        x, y = circle(16)
        look_u = self.u + 0.16 * self.width * does.gaze_x[:, None]
        look_v = EYES_V + 0.1 * self.height * does.gaze_y[:, None]
        yield Polygon(Part.IRIS, self._inside(look_u + 0.14 * x, look_v + 0.112 * y), opened)
        yield Polygon(Part.PUPIL, self._inside(look_u + 0.07 * x, look_v + 0.056 * y), opened)
        glint = self._inside(look_u + 0.05 + 0.045 * x, look_v - 0.05 + 0.036 * y)
        yield Polygon(Part.GLINT, glint, opened)
        lid = there_and_back(self.upper(s) - 0.045, self.upper(s) + 0.02)
        wide = self.u + 1.12 * self.width * s
        yield Polygon(Part.LASHES, self.head.face(there_and_back(wide, wide), lid), opened)
        shut = there_and_back(self._line(s) - 0.035, self._line(s) + 0.035)
        yield Polygon(Part.LASHES, self.head.face(there_and_back(wide, wide), shut), self.shut)

    def _inside(self, u: Floats, v: Floats) -> Path:
        s = np.clip((u - self.u) / self.width, -1, 1)
        v = np.minimum(np.maximum(v, self.upper(s)), self.lower(s))
        return self.head.face(self.u + self.width * s, v)


def brow(head: Head, side: int) -> Polygon:
    """An eyebrow."""
    s = line(9)
    u, v = brow_line(head, side, s)
    thick = head.faces.identity.brow[:, None] * (1.15 - 0.4 * side * s)
    return Polygon(Part.BROW, head.face(there_and_back(u, u), there_and_back(v - thick, v + thick)))


def brow_line(head: Head, side: int, s: Floats) -> tuple[Floats, Floats]:
    """u and v along the middle of an eyebrow, s from -1 to 1."""
    who, does = head.faces.identity, head.faces.expression
    u = side * who.eye_gap[:, None] + (who.eye_size[:, None] * 1.15) * s
    return u, BROWS_V - 0.03 * does.brow_lift[:, None] + 0.07 * s * s + 0.02 * side * s


def nose_low(head: Head) -> Floats:
    """v of the tip of the nose, (B, 1)."""
    return EYES_V + head.faces.identity.nose_length[:, None]


def nose(head: Head) -> Iterator[Polygon]:
    """The nose: its tip stands out and so leads the turn of the head."""
    who = head.faces.identity
    x, y = circle(16)
    wide, low = who.nose_width[:, None], nose_low(head)
    lift = 0.14 * (1 - 0.3 * np.abs(x))
    yield Polygon(Part.NOSE, head.face(wide * x, low + 0.075 * y, lift))
    for side in (-1, 1):
        u = side * 0.5 * wide + 0.03 * x
        yield Polygon(Part.NOSTRIL, head.face(u, low + 0.045 + 0.016 * y, 0.12))


def cheeks(head: Head) -> Iterator[Polygon]:
    """Red cheeks, larger with a smile."""
    x, y = circle(14)
    smiling = head.faces.expression.smiling[:, None]
    size = np.where(smiling, 0.21, 0.09)
    up = np.where(smiling, 0.34, 0.4)
    for side in (-1, 1):
        yield Polygon(Part.CHEEK, head.face(side * 0.56 + size * x, up + 0.75 * size * y))


class Mouth:
    """The mouth of B faces: a middle line that a smile bends, and how far it is open around it."""

    def __init__(self, head: Head) -> None:
        who, does = head.faces.identity, head.faces.expression
        self.head = head
        self.opened, self.smiling = does.mouth_open, does.smiling
        smiling, opened = self.smiling[:, None], self.opened[:, None]
        wide = np.where(smiling, 1.2, np.where(opened, 0.66, 0.78))
        self.width = who.mouth_width[:, None] * wide
        self.bend = np.where(smiling, np.where(opened, 0.14, 0.23), -0.03)
        self.lips = who.lips[:, None] * np.where(smiling, 0.8, 1)
        self.up = np.where(opened, np.where(smiling, 0.01, 0.11), 0.018)
        self.down = np.where(opened, np.where(smiling, 0.22, 0.2), 0.018)
        self.is_round = opened & ~smiling

    def middle(self, s: Floats) -> Floats:
        """v of the middle line, s from -1 to 1 between the corners."""
        return MOUTH_V + self.bend * (0.4 - s * s)

    def bow(self, s: Floats) -> Floats:
        """How far edges are from the middle line at s, as a share of how far they are at most."""
        return np.where(self.is_round, np.sqrt(np.maximum(0, 1 - s * s)), 1 - s * s)

    def edge(self, s: Floats, up: Floats, down: Floats) -> Path:
        """There along an upper edge and back along a lower one, so far from the middle line."""
        u = there_and_back(self.width * s, self.width * s)
        middle, bow = self.middle(s), self.bow(s)
        return self.head.face(u, there_and_back(middle - up * bow, middle + down * bow))

    def polygons(self) -> Iterator[Polygon]:
        """Lips, what is between them, teeth and tongue."""
        s = line(15)
        yield Polygon(Part.LIPS, self.edge(s, self.up + self.lips, self.down + 1.2 * self.lips))
        yield Polygon(Part.MOUTH, self.edge(s, self.up, self.down))
        yield self._inside(0.84 * s, 0.085, Part.TEETH, self.opened & self.smiling)
        yield self._inside(0.7 * s, -0.1, Part.TONGUE, self.opened)

    def _inside(self, s: Floats, reach: float, part: Part, where: Bools) -> Polygon:
        """What reaches so far down from the upper edge, or up from the lower one."""
        middle, bow = self.middle(s), self.bow(s)
        edge = middle - self.up * bow if reach > 0 else middle + self.down * bow
        u = there_and_back(self.width * s, self.width * s)
        far = reach * (1 - 0.6 * (s / s[-1]) ** 2)
        return Polygon(part, self.head.face(u, there_and_back(edge, edge + far)), where)


def beard(head: Head) -> Polygon:
    """A full beard: from the ears along the jaw, and above the mouth."""
    s = line(21)
    jaw = around(84 * s, 12 + 62 * (1 - s * s))
    outer = head.place(jaw, grow=0.05 * (1 - s * s * s * s))
    u = -0.9 * s
    v = 0.44 - 0.3 * s * s + 0.18 * np.maximum(0, 1 - np.abs(np.abs(s) - 0.45) / 0.25)
    return Polygon(Part.BEARD, joined(outer, head.face(u, v)), head.faces.wear.chin == p.BEARD)


def mustache(head: Head) -> Polygon:
    """A moustache between nose and mouth, hanging at its ends."""
    s = line(17)
    at = np.abs(s)
    middle = 0.5 + 0.05 * at * at - 0.02 * (1 - at)
    thick = 0.075 * np.sqrt(np.maximum(0, 1 - at * at * at)) * (0.75 + 0.6 * at)
    path = there_and_back(middle - thick, middle + thick)
    path = head.face(there_and_back(0.42 * s, 0.42 * s), path, 0.02)
    return Polygon(Part.MUSTACHE, path, head.faces.wear.chin == p.MUSTACHE)
