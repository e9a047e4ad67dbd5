"""What `import genkit` offers, and what it says to near misses."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import genkit
from genkit.errors import EvaluationError
from genkit.evaluation.metrics import chosen
from genkit.rows.base import image_rows


def test_completion_offers_every_public_name_in_a_fresh_interpreter():
    code = "import genkit; print(*dir(genkit))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    offered = {name for name in done.stdout.split() if not name.startswith("__")}
    assert offered == {name for name in genkit.__all__ if not name.startswith("__")}


def test_a_name_that_is_not_there_is_answered_with_those_that_are():
    with pytest.raises(AttributeError, match="no attribute 'sample'; there are: Rows"):
        genkit.sample  # noqa: B018
    with pytest.raises(ImportError):
        from genkit import sample  # type: ignore[attr-defined]  # noqa: F401


@pytest.fixture(scope="module")
def found():
    noise = torch.randint(256, (64, 1, 28, 28), generator=torch.Generator().manual_seed(0))
    rows = image_rows("noise", noise.to(torch.uint8))
    return genkit.evaluate(rows, rows, extractors=["digits"], metrics=["fd"])


def test_a_value_that_was_not_measured_is_answered_with_those_that_were(found):
    assert found["fd-digits"].value is not None
    with pytest.raises(KeyError, match="'fid' was not measured; there are: fd-digits"):
        found["fid"]


def test_an_argument_that_evaluate_does_not_have_is_answered_with_the_nearest():
    rows = image_rows("black", torch.zeros(8, 1, 28, 28, dtype=torch.uint8))
    with pytest.raises(EvaluationError, match="extractor: no such argument; did you mean 'extract"):
        genkit.evaluate(rows, rows, extractor="digits")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        *[("fid", "fd"), ("fd-digits", "fd"), ("fid-class", "fd-class"), ("recall", "prdc")],
        *[
            ("fid-infinity", "fd-infinity"),
            ("near-copy-rate", "near-copies"),
            ("modes-kl", "modes"),
        ],
    ],
)
def test_who_asks_for_a_value_is_told_its_metric(asked, named):
    with pytest.raises(EvaluationError, match=f"{asked} is a value of {named}: write that"):
        chosen([asked])
    assert [metric.name for metric in chosen([named])] == [named]
