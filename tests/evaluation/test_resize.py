import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from genkit.evaluation.resize import bilinear_tf1_matrix, resize
from genkit.random import generator

SIDES = [(32, 32), (28, 40), (64, 299), (299, 299), (512, 301), (1, 7)]


def pictures(height, width):
    drawn = torch.randint(256, (2, 3, height, width), generator=generator(0, "resize"))
    return drawn.to(torch.uint8)


@pytest.mark.parametrize("sides", SIDES)
def test_clean_is_pillows_float_bicubic(sides):
    images = pictures(*sides)
    found = resize(images, 299, "clean")
    for image, mine in zip(images, found, strict=True):
        for channel, resized in zip(image, mine, strict=True):
            picture = Image.fromarray(channel.numpy().astype(np.float32))
            theirs = np.asarray(picture.resize((299, 299), Image.Resampling.BICUBIC)).clip(0, 255)
            assert np.abs(theirs - resized.numpy()).max() < 0.01


def test_clean_to_a_smaller_size_is_antialiased():
    stripes = torch.zeros(1, 1, 64, 64, dtype=torch.uint8)
    stripes[..., ::2] = 255
    inner = resize(stripes, 16, "clean")[..., 4:12]
    assert (inner - 127.5).abs().max() < 1
    assert (resize(stripes, 16, "legacy-tensorflow") - 127.5).abs().min() > 100


@pytest.mark.parametrize("sides", SIDES)
def test_legacy_pytorch_is_clean_fids(sides):
    from cleanfid.resize import build_resizer

    images = pictures(*sides)
    theirs = [build_resizer("legacy_pytorch")(i.permute(1, 2, 0).numpy()) for i in images]
    expected = torch.from_numpy(np.stack(theirs)).permute(0, 3, 1, 2)
    torch.testing.assert_close(resize(images, 299, "legacy-pytorch"), expected)


@pytest.mark.parametrize("sides", SIDES)
def test_legacy_tensorflow_is_torch_fidelitys(sides):
    compat = pytest.importorskip("torch_fidelity.interpolate_compat_tensorflow")
    images = pictures(*sides)
    expected = compat.interpolate_bilinear_2d_like_tensorflow1x(
        images.float(), size=(299, 299), align_corners=False
    )
    assert (resize(images, 299, "legacy-tensorflow") - expected).abs().max() < 0.01


def test_tensorflow_1_aligns_the_top_left_corner_only():
    matrix = bilinear_tf1_matrix(2, 4)
    expected = torch.tensor([[1, 0], [0.5, 0.5], [0, 1], [0, 1]])
    assert torch.equal(matrix, expected)


def test_grey_levels_survive_every_resize():
    flat = torch.full((1, 3, 17, 23), 93, dtype=torch.uint8)
    for how in ("clean", "legacy-pytorch", "legacy-tensorflow"):
        assert (resize(flat, 64, how) - 93).abs().max() < 1e-3


def test_the_clean_resize_of_a_whole_batch_is_that_of_each_image():
    images = pictures(40, 30)
    apart = torch.cat([resize(image[None], 64, "clean") for image in images])
    torch.testing.assert_close(resize(images, 64, "clean"), apart)
    smooth = F.avg_pool2d(images.float(), 5, 1)
    assert resize(smooth, 64, "clean").shape == (2, 3, 64, 64)
