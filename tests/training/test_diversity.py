"""How varied samples are, against closed forms."""

from __future__ import annotations

import math

import pytest
import torch

from genkit.rows.batch import DataInfo
from genkit.rows.columns import Image
from genkit.training.diversity import (
    REAL_IMAGES,
    Yardstick,
    distinct,
    label_entropy,
    mean_distance,
    worth_measuring,
)


def pictures(*values: float) -> torch.Tensor:
    """Flat (N, 1, 2, 2) images of these grey values."""
    return torch.tensor(values)[:, None, None, None].expand(-1, 1, 2, 2)


def batch(images: torch.Tensor, labels=None) -> dict[str, torch.Tensor]:
    found = {"image": images, "index": torch.arange(len(images))}
    return found if labels is None else found | {"label": torch.as_tensor(labels)}


def test_the_mean_distance_of_known_images():
    # Four pixels each 1, 3 and 2 apart: L2 distances 2, 6 and 4.
    assert mean_distance(pictures(0.0, 1.0, 3.0)) == pytest.approx(4)


@pytest.mark.parametrize("classes", [1, 2, 10])
def test_the_entropy_of_even_classes_is_the_logarithm_of_their_number(classes):
    assert label_entropy(torch.arange(classes).repeat(7)) == pytest.approx(math.log(classes))


def test_the_entropy_of_uneven_classes():
    assert label_entropy(torch.tensor([0, 0, 0, 1])) == pytest.approx(
        -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    )


def test_samples_half_as_far_apart_as_real_images_have_diversity_one_half():
    real = torch.randn(20, 1, 4, 4)
    found = Yardstick([batch(real)]).measure(real / 2, None)
    assert found == {"diversity/overall": pytest.approx(0.5)}


def test_a_collapsed_class_is_the_narrowest_and_lowers_the_mean():
    labels = torch.arange(2).repeat_interleave(10)
    real = torch.randn(20, 1, 4, 4)
    samples = real.clone()
    samples[labels == 1] = real[-1]
    found = Yardstick([batch(real, labels)]).measure(samples, labels)
    assert found["diversity/narrowest-class"] == 0
    assert found["diversity/within-class"] == pytest.approx(0.5)
    assert found["diversity/overall"] > 0.25


def test_classes_of_few_images_are_left_out():
    real, labels = torch.randn(20, 1, 4, 4), torch.arange(20) % 10
    found = Yardstick([batch(real, labels)]).measure(real, labels)
    assert found.keys() == {"diversity/overall"}


def test_a_classifier_adds_the_entropy_of_what_it_sees():
    real = torch.rand(8, 1, 4, 4) * 2 - 1
    seen = []

    def classify(pixels):
        seen.append(pixels.dtype)
        return torch.arange(len(pixels)) % 4

    found = Yardstick([batch(real)], classify).measure(real, None)
    assert found["diversity/label-entropy"] == pytest.approx(math.log(4))
    assert seen == [torch.uint8]


def test_one_sample_has_no_distance():
    assert Yardstick([batch(torch.randn(4, 1, 2, 2))]).measure(torch.zeros(1, 1, 2, 2), None) == {}


def test_an_image_counts_once_however_often_it_comes():
    images, labels = torch.randn(4, 1, 2, 2), torch.arange(4)
    one = {"image": images, "index": torch.tensor([7, 8, 7, 9]), "label": labels}
    two = {"image": images, "index": torch.tensor([9, 1, 2, 1]), "label": labels}
    found, classes = distinct([one, two])
    assert torch.equal(found, torch.cat([images[[0, 1, 3]], images[[1, 2]]]))
    assert classes.tolist() == [0, 1, 3, 1, 2]


@pytest.mark.parametrize(
    ("count", "size", "expected"), [(10_000, 32, REAL_IMAGES), (100, 32, 100), (10_000, 256, 170)]
)
def test_a_yardstick_is_no_larger_than_the_set_and_than_memory_allows(count, size, expected):
    info = DataInfo("numbers", count, "", {"image": Image((size, size), 3)})
    assert worth_measuring(info) == expected
