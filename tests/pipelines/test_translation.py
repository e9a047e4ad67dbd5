"""Pictures to pictures: any size, either way, the same in any batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from genkit.errors import PipelineError
from genkit.nn.translators import ResnetTranslator, UNetTranslator
from genkit.pipelines import load_pipeline, save_export
from genkit.pipelines.translation import TranslationPipeline, padded, through


def picture(height: int, width: int, channels: int = 3, seed: int = 0) -> Pillow.Image:
    drawn = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return Pillow.fromarray(drawn if channels == 3 else drawn[..., 0])


@pytest.fixture
def both() -> TranslationPipeline:
    torch.manual_seed(0)
    pair = [ResnetTranslator(3, 3, 4, 1).eval(), UNetTranslator(3, 3, 4, 3).eval()]
    for network in pair:  # far from zero, so that something is to be seen
        for parameter in network.parameters():
            parameter.data.mul_(5)
    return TranslationPipeline(*pair, names=("horse", "zebra"))


@pytest.mark.parametrize("size", [(37, 53), (8, 8), (5, 16), (1, 1), (2, 90), (64, 48)])
@pytest.mark.parametrize("side", ["image_a", "image_b"])
def test_a_picture_of_any_size_keeps_it_and_two_calls_agree(both, size, side):
    given = {side: picture(*size)}
    once, again = both(**given)[0], both(**given)[0]
    assert (once.height, once.width) == size
    assert once.tobytes() == again.tobytes()


def test_each_side_goes_through_its_own_network(both):
    image = picture(16, 16)
    given = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None] / 127.5 - 1
    for side, network in (("image_a", both.a_to_b), ("image_b", both.b_to_a)):
        with torch.no_grad():
            expected = network(given)
        made = both(**{side: image}, output="tensor") * 2 - 1
        assert torch.allclose(made, expected, atol=1e-5)


def test_a_picture_alone_and_among_others_of_other_sizes_becomes_the_same(both):
    pictures = [picture(16, 16, seed=i) for i in range(3)] + [picture(24, 16), picture(16, 16)]
    together = both(image_a=pictures)
    alone = [both(image_a=each)[0] for each in pictures]
    assert [a.size for a in together] == [each.size for each in pictures]
    worst = max(
        int(np.abs(np.array(a).astype(int) - np.array(b)).max())
        for a, b in zip(together, alone, strict=True)
    )
    assert worst <= 1


def test_padding_mirrors_at_the_far_edges_and_leaves_what_fits_alone():
    row = torch.arange(5.0).view(1, 1, 1, 5).expand(1, 1, 8, 5)
    assert padded(row, 4, 8)[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 3, 2, 1]
    assert padded(row[..., :1], 4, 8)[0, 0, 0].tolist() == [0] * 8
    whole = torch.zeros(1, 1, 8, 12)
    assert padded(whole, 4, 8) is whole


def test_what_is_inside_is_not_moved_by_padding():
    network = ResnetTranslator(1, 1, 4, 0, "none").eval()
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        whole, part = network(image), through(network, image[..., :63, :61])
    assert part.shape == (1, 1, 63, 61)
    assert torch.allclose(part[..., :40, :40], whole[..., :40, :40], atol=1e-6)


def test_grey_becomes_coloured_and_back():
    torch.manual_seed(0)
    pipeline = TranslationPipeline(ResnetTranslator(1, 3, 4, 1), ResnetTranslator(3, 1, 4, 1))
    assert pipeline(image_a=picture(9, 9, 1))[0].mode == "RGB"
    assert pipeline(image_b=picture(9, 9))[0].mode == "L"
    assert pipeline.gives["image"].channels is None
    assert pipeline(image_a=picture(9, 9))[0].mode == "RGB"  # of a coloured picture its grey


def test_one_way_alone_takes_the_one_kind_alone():
    pipeline = TranslationPipeline(ResnetTranslator(3, 3, 4, 1))
    assert [*pipeline.takes] == [{"image_a": pipeline.gives["image"]}]
    with pytest.raises(PipelineError, match=r"takes no image_b; .* \(it takes \(image_a\)\)"):
        pipeline(image_b=picture(8, 8))
    assert "a → b" in pipeline.card().facts["Translation"]


@pytest.mark.parametrize("ways", [1, 2])
def test_an_export_comes_back_with_its_names_and_its_pictures(both, ways, tmp_path):
    pipeline = both if ways == 2 else TranslationPipeline(both.a_to_b, names=("horse", "zebra"))
    save_export(pipeline, tmp_path / "export", provenance={"family": "cyclegan"}, config_yaml="")
    again = load_pipeline(tmp_path / "export")
    assert again.names == ("horse", "zebra")
    assert len(again.takes) == ways
    image = picture(20, 12)
    assert again(image_a=image)[0].tobytes() == pipeline(image_a=image)[0].tobytes()


@pytest.mark.parametrize("names", [("a",), "ab", (1, 2), None])
def test_names_that_are_not_two_words_are_refused(names):
    with pytest.raises(PipelineError, match="names: expected two words"):
        TranslationPipeline(ResnetTranslator(3, 3, 4, 1), names=names)
