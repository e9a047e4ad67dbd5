"""Faces have the same bits whatever vectors the processor has."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genkit.data.faces import drawing, parameters
from genkit.data.faces.exact import sin_cos


def drawn_hash():
    """The hash of some faces in all styles, with all that is known of them."""
    faces = parameters.drawn(0, "test", range(24))
    drawn = drawing.draw(faces, 32, ["soft", "ink", "poster"], masks=True)
    values = (*drawn.pictures.values(), drawn.landmarks, drawn.visible, *drawn.masks.values())
    return hashlib.sha256(b"".join(value.tobytes() for value in values)).hexdigest()


def test_faces_are_the_same_with_and_without_the_widest_instructions():
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    here = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    if not here:
        pytest.skip("numpy dispatches to no wider instructions on this processor")
    folder = str(Path(__file__).parent)
    paths = [folder, os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "NPY_DISABLE_CPU_FEATURES": " ".join(here),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    call = [sys.executable, "-W", "ignore", "-c", "import test_bits as t; print(t.drawn_hash())"]
    found = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == drawn_hash()


def test_a_sine_needs_no_library_and_is_right():
    degrees = np.linspace(-200, 200, 1001)
    sin, cos = sin_cos(degrees)
    assert np.abs(sin - np.sin(np.radians(degrees))).max() < 1e-9
    assert np.abs(cos - np.cos(np.radians(degrees))).max() < 1e-9


def test_a_face_is_the_same_among_others_and_alone():
    faces = parameters.drawn(3, "train", range(9))
    together = drawing.draw(faces, 32, ["soft", "ink", "poster"], masks=True)
    alone = drawing.draw(faces.at(slice(7, 8)), 32, ["soft", "ink", "poster"], masks=True)
    for style, pictures in alone.pictures.items():
        assert np.array_equal(pictures[0], together.pictures[style][7])
    assert np.array_equal(alone.landmarks[0], together.landmarks[7])
    for name, mask in alone.masks.items():
        assert np.array_equal(mask[0], together.masks[name][7])


@pytest.mark.parametrize("size", [32, 45, 64, 100, 128])
def test_faces_of_any_size_are_the_same_faces(size):
    faces = parameters.drawn(0, "test", range(6))
    drawn, large = (drawing.draw(faces, px) for px in (size, 128))
    assert drawn.pictures["soft"].shape == (6, 3, size, size)
    assert np.abs(drawn.landmarks / size - large.landmarks / 128).max() < 1e-3
    for small, whole in zip(drawn.pictures["soft"], large.pictures["soft"], strict=True):
        picture = Image.fromarray(whole.transpose(1, 2, 0)).resize(
            (size, size), Image.Resampling.BOX
        )
        apart = np.abs(np.asarray(picture, np.float64).transpose(2, 0, 1) - small)
        assert apart.mean() < 4


def test_these_faces_are_those_that_were_drawn_when_the_version_was_set():
    """Raise `readers/faces.py: VERSION` and this hash together when a change moves a pixel."""
    drawn = drawing.draw(parameters.drawn(0, "test", range(8)), 32)
    assert hashlib.sha256(drawn.pictures["soft"].tobytes()).hexdigest()[:16] == "9fcad623d502633b"
