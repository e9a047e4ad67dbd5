"""Rows that a pipeline makes when they are read."""

from __future__ import annotations

import torch
from denoisers_at_hand import denoising

from genkit.rows.drawn import drawn
from genkit.rows.given import cycle


def test_drawn_rows_are_the_images_of_the_pipeline_with_what_they_were_given():
    pipeline = denoising(classes=3)
    rows = drawn(pipeline, cycle(label=[2, 0]), 4, count=6, steps=2)
    assert len(rows) == 6
    assert rows.num_classes == 3
    images = torch.from_numpy(pipeline(6, seed=4, label=[2, 0], steps=2, output="np"))
    read = rows.read([5, 0, 3])
    assert (read["image"].int() - images.permute(0, 3, 1, 2)[[5, 0, 3]]).abs().max() <= 1
    assert read["label"].tolist() == [0, 2, 0]
    assert len(drawn(pipeline, cycle(label=[2, 0]))) == 2


def test_labels_alone_are_read_without_a_pass_of_the_network():
    pipeline, passes = denoising(classes=3), []
    pipeline.denoiser.register_forward_pre_hook(lambda *_: passes.append(1))
    rows = drawn(pipeline, count=5, steps=2)
    assert rows.labels is not None
    assert rows.labels.tolist() == [0, 1, 2, 0, 1]
    assert passes == []
    rows.read([0], ("image",))
    assert len(passes) == 2


def test_their_identity_is_given_or_that_of_all_pixels():
    pipeline = denoising()
    assert drawn(pipeline, fingerprint="f00d").fingerprint == "f00d"
    first, again = (drawn(pipeline, count=3, steps=1).fingerprint for _ in range(2))
    assert first == again
    assert drawn(pipeline, None, 1, count=3, steps=1).fingerprint != first
