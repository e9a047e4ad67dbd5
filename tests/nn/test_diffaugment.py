"""DiffAugment's three changes, each with draws whose result is known."""

import pytest
import torch

from genkit.nn.diffaugment import DRAWS, diff_augment

HALF = 0.5  # of every draw: no brightness, no saturation, no contrast change


def draws(rows: int = 1, **values: float) -> torch.Tensor:
    names = ["brightness", "saturation", "contrast", "down", "right", "hole_down", "hole_right"]
    uniform = torch.full((rows, DRAWS), HALF)
    for name, value in values.items():
        uniform[:, names.index(name)] = value
    return uniform


def picture(size: int = 16) -> torch.Tensor:
    return torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_no_policy_changes_nothing_and_the_middle_of_every_draw_keeps_the_colours():
    image = picture()
    assert diff_augment(image, draws(), ()) is image
    torch.testing.assert_close(diff_augment(image, draws(), ["color"]), image)


def test_brightness_adds_up_to_a_half_either_way():
    for draw, shift in ((0.0, -0.5), (1.0, 0.5)):
        changed = diff_augment(picture(), draws(brightness=draw), ["color"])
        torch.testing.assert_close(changed, picture() + shift)


def test_saturation_goes_from_grey_to_twice_the_colour():
    grey = picture().mean(1, keepdim=True)
    changed = diff_augment(picture(), draws(saturation=0.0), ["color"])
    torch.testing.assert_close(changed, grey.expand(-1, 3, -1, -1))
    changed = diff_augment(picture(), draws(saturation=1.0), ["color"])
    torch.testing.assert_close(changed - grey, 2 * (picture() - grey))


def test_contrast_keeps_the_mean_and_scales_what_differs_from_it():
    mean = picture().mean()
    for draw, factor in ((0.0, 0.5), (1.0, 1.5)):
        changed = diff_augment(picture(), draws(contrast=draw), ["color"])
        torch.testing.assert_close(changed - mean, factor * (picture() - mean))


def test_translation_moves_by_whole_px_and_fills_with_zero():
    # Up to int(16 / 8 + 0.5) = 2 px: the first of five draws is -2, the last +2.
    moved = diff_augment(picture(), draws(down=0.999, right=0.0), ["translation"])
    torch.testing.assert_close(moved[:, :, 2:, :-2], picture()[:, :, :-2, 2:])
    assert (moved[:, :, :2] == 0).all()
    assert (moved[:, :, :, -2:] == 0).all()
    torch.testing.assert_close(diff_augment(picture(), draws(), ["translation"]), picture())


@pytest.mark.parametrize(("size", "reach"), [(64, 8), (32, 4), (28, 4)])
def test_translation_reaches_an_eighth_of_the_side(size, reach):
    image = torch.ones(1, 1, size, size)
    moved = diff_augment(image, draws(down=0.0, right=0.0), ["translation"])
    assert moved.sum() == (size - reach) ** 2


def test_a_hole_has_half_the_side_and_is_smaller_at_a_border():
    image = torch.ones(1, 1, 16, 16)
    inside = diff_augment(image, draws(), ["cutout"])  # centre 8 of 0..16: rows 4 to 11
    assert (inside[0, 0, 4:12, 4:12] == 0).all()
    assert (inside == 0).sum() == 64
    corner = diff_augment(image, draws(hole_down=0.0, hole_right=0.0), ["cutout"])
    assert (corner[0, 0, :4, :4] == 0).all()
    assert (corner == 0).sum() == 16


def test_each_image_has_its_own_draws():
    images = picture().expand(2, -1, -1, -1)
    uniform = torch.rand(2, DRAWS, generator=torch.Generator().manual_seed(1))
    policy = ("color", "translation", "cutout")
    changed = diff_augment(images, uniform, policy)
    assert not torch.equal(changed[0], changed[1])
    for i in range(2):
        alone = diff_augment(images[i : i + 1], uniform[i : i + 1], policy)
        torch.testing.assert_close(changed[i : i + 1], alone)


def test_colour_comes_first_and_the_hole_last():
    # Brightness would lift what translation fills in and the hole, were it not the first.
    uniform = draws(brightness=1.0, down=0.999)
    changed = diff_augment(picture(), uniform, ("cutout", "translation", "color"))
    assert (changed[:, :, :2] == 0).all()
    assert (changed[0, :, 4:12, 4:12] == 0).all()


def test_the_gradient_passes_what_is_still_seen():
    image = picture().requires_grad_()
    diff_augment(image, draws(), ["translation", "cutout"]).sum().backward()
    hole = torch.zeros(16, 16, dtype=torch.bool)
    hole[4:12, 4:12] = True
    assert torch.equal(image.grad[0, 0] == 0, hole)
