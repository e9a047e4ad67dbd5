"""What can be learnt: an edit that changes hardly a pixel is not there."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from genkit.data import open_data
from genkit.data.faces import attributes, drawing, parameters
from genkit.data.readers.faces import FacesData
from genkit.nn.pretrained import faces as judge

FACES = parameters.drawn(0, "test", range(500))
ROWS = attributes.rows(FACES)


STYLES = ("soft", "ink", "poster")


def changes(name, on, most=40):
    """How much an edit changes pictures of 32 px: the mean over colours, summed over pixels."""
    places = np.flatnonzero(ROWS[:, attributes.NAMES.index(name)] != on)[:most]
    before = FACES.at(places)
    after = attributes.switched(before, name, on)
    a, b = (drawing.draw(faces, 32, STYLES).pictures for faces in (before, after))
    apart = {s: np.abs(a[s].astype(np.float64) - b[s]) / 255 for s in STYLES}
    return {style: values.mean(1).sum((1, 2)) for style, values in apart.items()}


@pytest.mark.parametrize("name", attributes.NAMES)
def test_every_edit_can_be_seen_at_32_px_in_every_style(name):
    for on in (False, True):
        for style, changed in changes(name, on).items():
            assert changed.mean() >= 3, (style, on)
            assert (changed >= 1.5).mean() >= 0.9, (style, on)


def test_faces_of_one_row_of_attributes_differ_at_least_half_as_much_as_any():
    pictures = drawing.draw(FACES, 32).pictures["soft"].astype(np.float64) / 255
    groups = {}
    for i, row in enumerate(map(tuple, ROWS)):
        groups.setdefault(row, []).append(i)
    pairs = [(g[i], g[i + 1]) for g in groups.values() for i in range(0, len(g) - 1, 2)]
    assert len(pairs) > 50
    a, b = np.array(pairs).T
    alike = np.abs(pictures[a] - pictures[b]).mean()
    any_ = np.abs(pictures[:-1] - pictures[1:]).mean()
    assert alike >= 0.5 * any_


def test_a_person_in_another_pose_keeps_what_belongs_to_the_person():
    other = parameters.drawn(1, "test", range(len(FACES)))
    posed = FACES.posed(other)
    assert np.array_equal(posed.identity.hair, FACES.identity.hair)
    assert np.array_equal(posed.pose.yaw, other.pose.yaw)
    rows = attributes.rows(posed)
    theirs = {"Smiling", "Mouth_Open", "Winking"}
    for i, name in enumerate(attributes.NAMES):
        if name not in theirs:
            assert np.array_equal(rows[:, i], ROWS[:, i]), name
    smiling = attributes.NAMES.index("Smiling")
    assert np.array_equal(rows[:, smiling], other.expression.smiling)


def test_the_judge_that_ships_reads_every_attribute_of_faces_as_they_are_drawn_now():
    faces = parameters.drawn(0, "test", range(300))
    pictures = torch.from_numpy(drawing.draw(faces, 32).pictures["soft"])
    with torch.no_grad():
        guessed = judge.load()(pictures.float() / 127.5 - 1) > 0
    right = (guessed.numpy() == attributes.rows(faces)).mean(0)
    assert judge.NAMES == attributes.NAMES
    assert right.min() >= 0.98, dict(zip(judge.NAMES, right, strict=True))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_a_small_classifier_reads_every_attribute_at_32_px():
    data = FacesData(image_size=32, train_count=12_000, test_count=2_000)
    train, test = open_data(data), open_data(data, "test")
    torch.manual_seed(0)
    network = small_classifier()
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    steps, size = 1_200, 64
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 2e-3 * (1 - step / steps)
        chosen = torch.randint(len(train), (size,))
        logits = network(train.values["image"][chosen].float() / 127.5 - 1)
        wanted = train.values["attributes"][chosen].float()
        loss = F.binary_cross_entropy_with_logits(logits, wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    network.eval()
    with torch.no_grad():
        guessed = network(test.values["image"].float() / 127.5 - 1) > 0
    right = (guessed == test.values["attributes"].bool()).float().mean(0)
    for name, share in zip(attributes.NAMES, right.tolist(), strict=True):
        assert share >= 0.98, name


def small_classifier():
    """Three convolutions of 32 px pictures."""
    layers = []
    for a, b in ((3, 24), (24, 48), (48, 96)):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
    head = [nn.Flatten(), nn.Linear(96 * 16, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 13)]
    return nn.Sequential(*layers, *head)
