"""What is measured of translations: cases whose numbers are known."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from genkit.training.translation_monitor import (
    checkerboard,
    luminance_correlation,
    numbers,
    recompressed,
)


def smooth(count: int, seed: int, side: int = 32) -> torch.Tensor:
    """Pictures without sharp detail, in [-0.8, 0.8]."""
    few = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(few, (side, side), mode="bicubic").clamp(0, 1) * 1.6 - 0.8


A, B = smooth(12, 0), -0.5 + 0.4 * smooth(12, 1)


def test_a_copy_has_changed_nothing_and_come_no_nearer():
    found = numbers("a_to_b", A, A, B)
    assert found["a_to_b/change"] == 0
    assert found["a_to_b/approach"] == pytest.approx(0)
    assert found["a_to_b/luminance"] == pytest.approx(1, abs=1e-4)


def test_real_pictures_of_the_other_kind_are_as_far_as_there_is_to_go():
    found = numbers("a_to_b", A, B, B)
    assert found["a_to_b/change"] == pytest.approx(1, abs=0.1)
    assert found["a_to_b/approach"] == pytest.approx(1)
    assert found["a_to_b/variety"] == pytest.approx(1)
    assert found["a_to_b/checkerboard"] == pytest.approx(1)


def test_a_negative_has_the_correlation_minus_one_and_flat_pictures_none():
    assert luminance_correlation(A, -A) == pytest.approx(-1, abs=1e-4)
    assert luminance_correlation(A, torch.zeros_like(A)) == 0
    known = numbers("a_to_b", A, A, -A, paired=True)
    assert known["a_to_b/luminance-wanted"] == pytest.approx(-1, abs=1e-4)


def test_pictures_that_are_all_alike_have_no_variety():
    assert numbers("b_to_a", A, B[:1].expand(12, -1, -1, -1), B)["b_to_a/variety"] == 0


@pytest.mark.parametrize("period", [2, 4])
def test_a_pattern_of_the_stride_stands_out_and_plain_pictures_have_none(period):
    assert checkerboard(A) < 2
    pattern = torch.zeros(32)
    pattern[::period] = 0.2
    assert checkerboard(A + pattern) > 5
    assert checkerboard(A + pattern[:, None] * pattern) > 5
    noise = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert 0.5 < checkerboard(noise) < 1.6


def test_a_cycle_that_reads_hidden_detail_breaks_where_a_jpeg_lies_between():
    # The way there lays the picture into the last bits, the way back enlarges them again.
    way_there = B + A / 40

    def reading(images: torch.Tensor) -> torch.Tensor:
        return (images - B) * 40

    found = numbers("a_to_b", A, way_there, B, reading)
    assert found["a_to_b/cycle"] < 1e-4
    assert found["a_to_b/cycle-jpeg"] > 0.1
    assert found["a_to_b/hidden"] > 10
    sound = numbers("a_to_b", A, -A, B, torch.neg)
    assert sound["a_to_b/cycle"] < 1e-6
    assert 0 < sound["a_to_b/hidden"] <= 1 + 1e-4


def test_a_jpeg_keeps_pictures_nearly_as_they_are():
    kept = recompressed(A)
    assert kept.shape == A.shape
    assert 0 < (kept - A).abs().mean() < 0.03


@pytest.mark.parametrize("channels", [(1, 3), (3, 1), (1, 1)])
def test_grey_and_flat_pictures_have_finite_numbers_too(channels):
    a, b = torch.zeros(3, channels[0], 16, 16), torch.ones(3, channels[1], 16, 16)
    found = numbers("a_to_b", a, b, b, lambda images: images[:, : channels[0]])
    assert all(math.isfinite(value) for value in found.values())
    alone = numbers("a_to_b", a[:1], b[:1], b[:1])
    assert all(math.isfinite(value) for value in alone.values())
