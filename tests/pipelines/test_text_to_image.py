"""Text to image: walks from text to text."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from painters_at_hand import TEXTS, painter
from PIL import Image
from typer.testing import CliRunner

from genkit.cli import app
from genkit.errors import PipelineError
from genkit.nn.text_unets import encoded_text
from genkit.pipelines import save_export, save_interpolation, save_trajectory
from genkit.pipelines.denoise import gaussian

QUICK = {"steps": 3, "guidance": 3, "output": "tensor"}


@pytest.fixture(scope="module")
def pipeline():
    return painter()


@pytest.fixture(scope="module")
def export(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts") / "export"
    return save_export(pipeline, folder, provenance={}, config_yaml="")


def sample(export, *words):
    done = CliRunner().invoke(app, ["sample", str(export), *map(str, words), "--device", "cpu"])
    return done.exit_code, done.output


# -- walks -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 64])
def test_a_walk_meets_the_pictures_of_its_texts_with_the_same_noise(pipeline, batch_size):
    walk = pipeline.interpolate(
        2, count=5, caption=TEXTS, negative="a heart", seed=4, batch_size=batch_size, **QUICK
    )
    begun = gaussian([2], 4, pipeline.latent_shape)
    for text, picture in zip(TEXTS, walk[::2], strict=True):
        options = pipeline.options(steps=3, guidance=3)
        given = {"caption": [text], "negative": ["a heart"]}
        with pipeline.generating():
            alone = pipeline.generate(begun, given, options)["image"]
        torch.testing.assert_close(picture[None], (alone + 1) / 2, atol=1e-5, rtol=0)
    steps = (walk[1:] - walk[:-1]).abs().mean((1, 2, 3))
    assert steps.min() > 1e-4


def test_the_words_move_straight_from_text_to_text_and_meet_them_exactly(pipeline):
    options = pipeline.options()
    places = torch.tensor([0.0, 0.25, 1.0, 1.5, 2.0])
    found = pipeline.between_texts(TEXTS, places, options)
    with torch.no_grad():
        a, b, c = encoded_text(pipeline.text_encoder, pipeline.tokenizer, TEXTS)
    expected = torch.stack([a, 0.75 * a + 0.25 * b, b, (b + c) / 2, c])
    torch.testing.assert_close(found, expected)
    assert torch.equal(found[[0, 2, 4]], expected[[0, 2, 4]])


def test_a_walk_with_one_text_is_that_of_the_noise_as_before(pipeline):
    walk = pipeline.interpolate(0, 1, 3, caption=TEXTS[0], **QUICK)
    ends = pipeline(2, caption=TEXTS[0], **QUICK)
    torch.testing.assert_close(walk[[0, 2]], ends, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({"second": 1, "caption": TEXTS}, "the noise stays that of image `first`"),
        ({"count": 2, "caption": TEXTS}, "a walk through 3 captions has at least as many"),
        ({"caption": [TEXTS[0]] * 2}, "'a red star' follows itself"),
        ({"caption": TEXTS, "guidance": 0}, "guidance: 0 passes over what captions say"),
    ],
)
def test_what_is_no_walk_is_refused(pipeline, asked, problem):
    with pytest.raises(PipelineError, match=problem):
        pipeline.interpolate(steps=2, **asked)


def test_a_strip_has_a_row_from_each_text_to_the_next(pipeline, tmp_path):
    path = save_interpolation(pipeline, tmp_path / "x.png", length=3, caption=TEXTS, steps=2)
    strip = np.asarray(Image.open(path))
    walk = (pipeline.interpolate(count=5, caption=TEXTS, steps=2, output="np")).astype(int)
    found = [
        strip[40 + 72 * row :][:64:4, -72 * (3 - column) :][:, :64:4].astype(int)
        for row, column in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2))
    ]
    for shown, place in zip(found, (0, 1, 2, 2, 4), strict=True):
        assert np.abs(shown - walk[place]).max() <= 1
    with pytest.raises(PipelineError, match="keys: a walk through several captions has these"):
        save_interpolation(pipeline, tmp_path / "y.gif", keys=3, caption=TEXTS, steps=2)


def test_a_film_of_texts_loops_and_commands_ask_for_it(export, tmp_path):
    film, strip = tmp_path / "x.gif", tmp_path / "x.png"
    words = ["--steps", 1, "--prompt", TEXTS[0], "--prompt", TEXTS[1]]
    status, said = sample(export, *words, "--interpolate", film)
    assert (status, said.split()) == (0, [str(film)])
    with Image.open(film) as opened:
        assert (opened.n_frames, opened.info["loop"]) == (2 * 14, 0)
    assert sample(export, *words, "--interpolate", strip)[0] == 0
    assert strip.stat().st_size > 0
    status, said = sample(export, *words, "--prompt", TEXTS[1], "--interpolate", tmp_path / "y.png")
    assert (status, "follows itself" in said) == (2, True)


def test_a_way_out_of_noise_is_refused_since_it_is_one_of_latents(pipeline, tmp_path):
    with pytest.raises(PipelineError, match="leave --trajectory out"):
        save_trajectory(pipeline, tmp_path / "x.png", caption=TEXTS[0])
