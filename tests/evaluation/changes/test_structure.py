"""Structure distance where the answer is known."""

import pytest
import torch
from extractor_of_ones_own import Corners

from genkit.evaluation import Extractor
from genkit.evaluation.changes.structure import distance, of_patches, patches, similarity
from genkit.random import generator


class Pixels(Extractor):
    """Pixels as features."""

    name, sha256, layer, resize, batch_size = "pixels16", "none", "pixels", "none", 7

    def prepare(self, images):
        return images.float()

    def features(self, inputs):
        return inputs.flatten(1)


def noise(purpose="pictures", count=3, side=16):
    draw = generator(0, purpose)
    return torch.randint(256, (count, 3, side, side), generator=draw).to(torch.uint8)


def test_patches_lie_row_by_row():
    picture = torch.arange(64).view(1, 1, 8, 8)
    cut = patches(picture)
    assert cut.shape == (16, 1, 2, 2)
    assert cut[1, 0].tolist() == [[2, 3], [10, 11]]
    assert cut[4, 0].tolist() == [[16, 17], [24, 25]]
    assert patches(torch.zeros(2, 3, 10, 13)).shape == (32, 3, 2, 3)


def test_what_all_patches_share_is_no_structure():
    images = noise()
    one = of_patches(images, Pixels())
    assert distance(one, one).tolist() == [0, 0, 0]
    inverted = of_patches(255 - images, Pixels())
    darker = of_patches(images // 2 * 2, Pixels()) * 0.5 + 17
    assert distance(one, inverted).max() < 1e-6
    assert distance(one, darker).max() < 0.01


def test_patches_that_change_places_change_the_structure():
    images = noise()
    one, other = (of_patches(x, Pixels()) for x in (images, noise("others")))
    moved = one.roll(1, 1)
    assert distance(one, moved).min() > 0.1
    apart = [distance(one, others).mean().item() for others in (moved, other)]
    assert apart[0] == pytest.approx(apart[1], rel=0.3)


def test_the_distance_of_two_matrices_is_their_root_mean_square_difference():
    one = torch.tensor([[[1.0, 0], [-1, 0]]])  # two patches: opposite, and the same as each other
    assert similarity(one)[0, 0, 1] == -1
    three = torch.tensor([[[1.0, 0], [0, 1], [-1, -1]]])
    swapped = three[:, [0, 2, 1]]
    a, b = similarity(three)[0], similarity(swapped)[0]
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = (sum((a[p] - b[p]).item() ** 2 for p in pairs) / 3) ** 0.5
    assert distance(three, swapped).item() == pytest.approx(expected)


def test_any_extractor_will_do():
    assert of_patches(noise(), Corners()).shape[:2] == (3, 16)
