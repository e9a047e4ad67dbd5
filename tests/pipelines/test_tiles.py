"""Tiles equal the whole, whatever the network and the size, and what differs is said."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from genkit.errors import PipelineError
from genkit.images import to_float
from genkit.nn.footprint import footprint
from genkit.nn.statistics import held, recorded
from genkit.nn.translators import ResnetTranslator, UNetTranslator
from genkit.pipelines.any_size import AnySize
from genkit.pipelines.tiles import Cut, cut_for, spans, strips
from genkit.pipelines.translation import padded, through


def louder(network: nn.Module) -> nn.Module:
    """With weights that make pictures of full contrast."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.3, generator=generator)
    return network.eval()


def picture(height: int, width: int, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    noise = torch.randint(0, 256, (channels, height, width), generator=generator)
    ramp = torch.linspace(0, 255, width)  # a tile has other moments than the whole
    return (noise / 2 + ramp / 2).to(torch.uint8)


NETWORKS = {
    "resnet": lambda: ResnetTranslator(width=4, blocks=1),
    "resnet, resized": lambda: ResnetTranslator(width=4, blocks=1, upsampling="resize"),
    "resnet, batch norm": lambda: ResnetTranslator(width=4, blocks=1, norm="batch"),
    "unet": lambda: UNetTranslator(width=4, levels=2),
    "grey to colour": lambda: ResnetTranslator(1, 3, width=4, blocks=1),
}


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_with_given_statistics_tiles_equal_the_whole(name):
    network = louder(NETWORKS[name]())
    whole = padded(picture(130, 181, network.config["in_channels"])[None], network.stride, 8)
    image = to_float(whole)
    reach = footprint(network, network, image).reach
    cut = cut_for(reach, 96, network.stride)
    assert cut.halo >= reach + cut.blend
    with held(network, recorded(network, image)):
        free = network(image)
        parts = list(strips(network, whole[0], cut))
        tiled = torch.cat([strip for _, strip, _ in parts], dim=1)
    assert free.std() > 0.1
    assert tiled.shape == free.shape[1:]
    torch.testing.assert_close(tiled, free[0], atol=1e-4, rtol=0)
    assert max(seam for *_, seam in parts) < 1e-4


@torch.no_grad()
def test_tiles_of_their_own_statistics_would_differ_which_is_what_they_are_held_for():
    network = louder(NETWORKS["resnet"]())
    image = padded(picture(64, 160)[None], 4, 8)[0]
    reach = footprint(network, network, to_float(image[None])).reach
    tiled = torch.cat([s for _, s, _ in strips(network, image, cut_for(reach, 96, 4))], dim=1)
    assert (tiled - network(to_float(image[None]))[0]).abs().max() > 0.05


@pytest.mark.parametrize(("height", "width"), [(37, 53), (37, 300), (150, 150), (200, 99)])
def test_a_picture_of_any_size_comes_out_at_its_size_in_tiles_as_whole(height, width):
    network, image = louder(NETWORKS["resnet"]()), picture(height, width)
    whole, way = AnySize(lambda x: through(network, x), network)(image)
    assert way.cut is None
    assert whole.shape == image.shape
    tiled, way = AnySize(lambda x: through(network, x), network, tile=128)(image)
    assert tiled.shape == image.shape
    assert (way.cut is None) == (max(height, width) <= 128)
    assert int((tiled.int() - whole.int()).abs().max()) <= 1
    assert way.seam < 1


def test_what_does_not_fit_goes_in_tiles_and_is_told():
    network, image = louder(NETWORKS["resnet"]()), picture(300, 400)
    change = AnySize(lambda x: through(network, x), network, free=4_000_000)
    made, way = change(image)
    assert made.shape == image.shape
    assert way.cut is not None
    assert way.tiles > 1
    assert way.measured_at is not None
    assert way.measured_at < (300, 400)
    said = " ".join(way.notes((300, 400)))
    assert f"{way.tiles} tiles" in said
    assert f"{way.measured_at[1]} x {way.measured_at[0]} px" in said
    assert way.to_tree()["statistics_of"] == list(way.measured_at)


def test_memory_that_ends_makes_tiles_smaller():
    network, image = louder(NETWORKS["resnet"]()), picture(300, 400)

    def run(x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] > 200**2:
            raise MemoryError
        return through(network, x)

    made, way = AnySize(run, network, free=10**12)(image)
    assert made.shape == image.shape
    assert way.cut is not None
    assert way.cut.side <= 200


def test_tiles_that_somebody_asked_for_get_smaller_too_where_memory_ends():
    network, image = louder(NETWORKS["resnet"]()), picture(300, 400)

    def run(x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] > 190**2:
            raise MemoryError
        return through(network, x)

    made, way = AnySize(run, network, tile=256, free=10**12)(image)
    assert made.shape == image.shape
    assert way.cut is not None
    assert way.cut.side == 128
    assert "tiles of up to 128 px" in " ".join(way.notes((300, 400)))


def test_memory_that_ends_with_the_smallest_tiles_is_said():
    network = louder(NETWORKS["resnet"]())
    probes = []

    def run(x: Tensor) -> Tensor:
        if probes:
            raise MemoryError
        probes.append(1)
        return through(network, x)

    change = AnySize(run, network, tile=128, free=10**12)
    with pytest.raises(PipelineError, match="ends even with tiles of 64 px, the smallest"):
        change(picture(300, 400))


def test_a_network_that_looks_over_the_whole_is_named():
    class Wide(nn.Module):
        stride = smallest = 1

        def __init__(self) -> None:
            super().__init__()
            self.body, self.mean = nn.Conv2d(3, 3, 3, padding=1), nn.AdaptiveAvgPool2d(1)

        def forward(self, x: Tensor) -> Tensor:
            return self.body(x) + self.mean(x)

    network = Wide()
    _, way = AnySize(network, network, tile=64)(picture(80, 150))
    assert way.reach is None
    said = " ".join(way.notes((80, 150)))
    assert "over the whole picture" in said
    assert way.seam > 4  # which is measured, too
    assert "which may be seen" in said


def test_tiles_cover_every_pixel_once():
    for length in (64, 68, 100, 256, 1000):
        for cut in (Cut(64, 16, 8, 4), Cut(64, 0, 0, 4), Cut(64, 16, 4, 16)):
            if length % cut.stride:
                continue
            counted = torch.zeros(length)
            for span in spans(length, cut):
                assert span.end - span.start <= cut.side
                assert span.start % cut.stride == 0
                counted[span.start : span.end] += span.weights(cut.blend)
            torch.testing.assert_close(counted, torch.ones(length))


def test_tiles_that_are_too_small_are_refused():
    network = NETWORKS["resnet"]()
    with pytest.raises(PipelineError, match="give 64 or more"):
        AnySize(network, network, tile=32)
