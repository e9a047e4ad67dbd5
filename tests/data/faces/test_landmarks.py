"""Landmarks, masks and pictures come from one head: what one shows the others show."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from genkit.data import Loader
from genkit.data.faces import drawing, landmarks, parameters
from genkit.data.faces import parameters as p
from genkit.data.faces.head import Head
from genkit.data.faces.shapes import circle
from genkit.data.readers.faces import FacesData
from genkit.images import to_float

FACES = parameters.drawn(5, "test", range(60))
JAW, NOSE_TIP = slice(0, 17), 30


def posed(faces, **pose):
    """The faces in the middle of the picture, looking forward but for what is given."""
    still = {name: np.zeros(len(faces)) for name in ("yaw", "pitch", "roll", "x", "y")}
    still |= {name: np.full(len(faces), float(value)) for name, value in pose.items()}
    return replace(faces, pose=replace(faces.pose, **still))


def plain(faces):
    """The faces without hair, hat, beard and glasses, with both eyes open."""
    none = np.zeros(len(faces), np.int64)
    wear = replace(faces.wear, head=none + p.BARE, glasses=none, chin=none)
    open_ = replace(faces.expression, winking=none.astype(bool))
    return replace(faces, wear=wear, expression=open_)


def test_there_are_68_points_in_the_usual_order_and_their_mirror_is_its_own_inverse():
    assert len(landmarks.NAMES) == len(set(landmarks.NAMES)) == len(landmarks.MIRRORED) == 68
    order = np.array(landmarks.MIRRORED)
    assert np.array_equal(order[order], np.arange(68))
    assert landmarks.MIRRORED[36] == 45
    assert landmarks.MIRRORED[48] == 54
    assert all(landmarks.MIRRORED[i] == i for i in (8, 27, 30, 33, 51, 57, 62, 66))


def test_a_face_that_looks_forward_is_its_own_mirror():
    points = drawing.draw(plain(posed(FACES)), 64).landmarks
    mirror = np.stack([64 - points[..., 0], points[..., 1]], -1)[:, list(landmarks.MIRRORED)]
    assert np.abs(points - mirror).max() <= 2 / 1024  # what they are rounded to, twice


def test_the_nose_leads_a_turn_and_the_far_side_hides():
    faces = plain(FACES)
    for yaw, far in ((31, slice(14, 17)), (-31, slice(0, 3))):
        drawn = drawing.draw(posed(faces, yaw=yaw), 64)
        jaw = drawn.landmarks[:, JAW, 0].mean(1)
        assert ((drawn.landmarks[:, NOSE_TIP, 0] - jaw) * math.copysign(1, yaw) > 3).all()
        assert not drawn.visible[:, far].any()
        assert drawn.visible[:, 27:36].all()
    down = drawing.draw(posed(faces, pitch=14), 64).landmarks
    up = drawing.draw(posed(faces, pitch=-14), 64).landmarks
    assert (down[:, NOSE_TIP, 1] > up[:, NOSE_TIP, 1] + 4).all()


def test_a_roll_turns_all_points_about_the_middle_of_the_head():
    faces = plain(FACES)
    still, rolled = (drawing.draw(posed(faces, roll=r), 64).landmarks - 32 for r in (0, 11))
    sin, cos = math.sin(math.radians(11)), math.cos(math.radians(11))
    turned = np.stack([still[..., 0] * cos - still[..., 1] * sin,
                       still[..., 0] * sin + still[..., 1] * cos], -1)  # fmt: skip
    assert np.abs(turned - rolled).max() < 0.01


def test_the_edge_of_a_head_without_jaw_is_that_of_a_turned_ellipsoid():
    who = replace(FACES.identity, jaw=np.zeros(len(FACES)))
    faces = replace(posed(FACES, yaw=25), identity=who)
    head = Head(faces)
    path = head.place(head.edge(*circle(400)))
    a, b, c = (axis[:, 0] for axis in head.axes)
    sin, cos = math.sin(math.radians(25)), math.cos(math.radians(25))
    wide = np.sqrt((a * cos) ** 2 + (c * sin) ** 2)
    assert np.abs(path[..., 0]).max(1) == pytest.approx(wide, rel=1e-3)
    assert np.abs(path[..., 1]).max(1) == pytest.approx(b, rel=1e-3)


def test_hair_hats_and_dark_glasses_hide_what_lies_beneath():
    dark = FACES.wear.glasses == p.SUNGLASSES
    drawn = drawing.draw(FACES, 64)
    eyes = drawn.visible[:, 36:48]
    assert eyes[dark].mean() < 0.1
    assert eyes[~dark].mean() > 0.8
    chin = drawn.visible[:, 6:11]
    assert chin[FACES.wear.chin == p.BEARD].mean() < 0.1
    assert chin[FACES.wear.chin != p.BEARD].mean() > 0.9


def test_points_that_can_be_seen_lie_in_the_mask_of_the_face():
    drawn = drawing.draw(plain(FACES), 64, masks=True)
    inner = slice(17, 68)
    at = np.floor(drawn.landmarks[:, inner]).astype(int).clip(0, 63)
    inside = drawn.masks["face_mask"][np.arange(len(FACES))[:, None], 0, at[..., 1], at[..., 0]]
    assert inside[drawn.visible[:, inner] == 1].mean() > 0.97


def test_masks_show_hair_where_there_is_hair_and_share_no_pixel():
    masks = drawing.draw(FACES, 64, masks=True).masks
    assert not (masks["face_mask"] & masks["hair_mask"]).any()
    hair = masks["hair_mask"].sum((1, 2, 3))
    shown = FACES.wear.head == p.HAIR
    assert (hair[shown] > 150).all()
    assert (hair[~shown] == 0).all()
    long = shown & FACES.wear.long
    assert hair[long].mean() > 1.3 * hair[shown & ~long].mean()
    assert (masks["face_mask"].sum((1, 2, 3)) > 400).all()


def test_all_styles_show_the_same_shapes():
    """Edges lie at the same places, so that one style is the counterpart of the other."""
    pictures = drawing.draw(FACES, 64, ["soft", "ink", "poster"]).pictures
    edges = {}
    for style, images in pictures.items():
        grey = images.mean(1)
        edges[style] = (np.abs(np.diff(grey, axis=2)) > 40)[:, 8:-8, 8:-8]
    shared = (edges["soft"] & edges["poster"]).sum() / edges["soft"].sum()
    assert shared > 0.6


def test_a_flip_moves_landmarks_with_the_picture_and_changes_left_and_right():
    data = FacesData(image_size=32, train_count=8, test_count=1, batch_size=8, flip=True)
    rows = data.open("train")
    batch = next(iter(Loader(rows, data, seed=0).steps()))[0]
    raw = rows.read(batch["index"])
    points, seen = raw["landmarks"], raw["landmarks_visible"].float()
    order = list(landmarks.MIRRORED)
    mirrored = torch.stack([32 - points[..., 0], points[..., 1]], -1)[:, order]
    still = to_float(raw["image"])
    flipped = (batch["image"] != still).flatten(1).any(1)
    assert torch.equal(batch["image"][flipped], still.flip(3)[flipped])
    assert 0 < flipped.sum() < 8
    for i, is_flipped in enumerate(flipped):
        wanted = (mirrored, seen[:, order]) if is_flipped else (points, seen)
        assert torch.equal(batch["landmarks"][i], wanted[0][i])
        assert torch.equal(batch["landmarks_visible"][i], wanted[1][i])


def test_a_smile_lifts_the_corners_of_the_mouth_and_an_open_one_has_room_between_the_lips():
    faces = plain(posed(FACES))
    yes, no = np.ones(len(faces), bool), np.zeros(len(faces), bool)

    def shown(smiling, mouth_open):
        does = replace(faces.expression, smiling=smiling, mouth_open=mouth_open)
        return drawing.draw(replace(faces, expression=does), 64).landmarks

    neutral, smile, opened = shown(no, no), shown(yes, no), shown(no, yes)
    corners, middle = [48, 54], [62, 66]

    def lift(points):
        return points[:, middle, 1].mean(1) - points[:, corners, 1].mean(1)

    assert (lift(smile) > lift(neutral) + 3).all()
    assert (opened[:, 66, 1] - opened[:, 62, 1] > 4).all()
    assert (neutral[:, 66, 1] - neutral[:, 62, 1] < 2).all()
