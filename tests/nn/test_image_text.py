"""CLIP's towers: published sizes, first weights, normalised pictures."""

import pytest
import torch

from genkit.nn.image_text import (
    CLIP,
    HALF,
    Tower,
    embedded_pictures,
    embedded_texts,
    square,
    towers,
    undecayed,
)

# Radford et al. 2021, table 20, and the counts of the released models.
PUBLISHED = {
    "ViT-B/32": (Tower(768, 12, 12), Tower(512, 12, 8), 224, 32, 512, 151_277_313),
    "ViT-B/16": (Tower(768, 12, 12), Tower(512, 12, 8), 224, 16, 512, 149_620_737),
    "ViT-L/14": (Tower(1024, 24, 16), Tower(768, 12, 12), 224, 14, 768, 427_616_513),
    "ViT-L/14@336": (Tower(1024, 24, 16), Tower(768, 12, 12), 336, 14, 768, 427_944_193),
}


def small(**changes):
    settings = {"side": 8, "patch": 4, "embed": 6, "vocabulary": 20, "context": 5}
    sizes = Tower(64, 2, 2), Tower(32, 3, 2)
    return towers(*sizes, **(settings | changes)).eval()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_sizes_have_the_published_number_of_weights(name):
    pictures, texts, side, patch, embed, count = PUBLISHED[name]
    with torch.device("meta"):
        network = towers(
            pictures, texts, side=side, patch=patch, embed=embed, vocabulary=49_408, context=77
        )
    assert sum(p.numel() for p in network.parameters()) == count


def test_first_weights_are_those_of_clips_authors():
    torch.manual_seed(0)
    network = small(vocabulary=2000, context=400, side=64)
    width, layers = 32, 3
    text, layer = network.text_model, network.text_model.encoder.layers[0]
    expected = {
        text.embeddings.token_embedding: 0.02,
        text.embeddings.position_embedding: 0.01,
        layer.self_attn.q_proj: width**-0.5,
        layer.self_attn.out_proj: width**-0.5 * (2 * layers) ** -0.5,
        layer.mlp.fc1: (2 * width) ** -0.5,
        layer.mlp.fc2: width**-0.5 * (2 * layers) ** -0.5,
        network.text_projection: width**-0.5,
        network.vision_model.embeddings.position_embedding: 64**-0.5,
    }
    for module, deviation in expected.items():
        assert module.weight.std().item() == pytest.approx(deviation, rel=0.15), module
    assert all((p == 0).all() for n, p in network.named_parameters() if n.endswith("proj.bias"))


def test_a_text_is_read_at_its_end_whatever_fills_it_up():
    network = small()
    short, filled = torch.tensor([[18, 3, 19]]), torch.tensor([[18, 3, 19, 19, 19]])
    torch.testing.assert_close(embedded_texts(network, short), embedded_texts(network, filled))
    other = embedded_texts(network, torch.tensor([[18, 4, 19]]))
    assert not torch.allclose(embedded_texts(network, short), other)


def test_embeddings_have_length_1():
    network = small()
    found = embedded_pictures(network, torch.randn(3, 3, 8, 8))
    assert found.shape == (3, 6)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(3))


def test_normalisation_is_that_of_pictures_in_0_to_1():
    images = torch.tensor([-1.0, 1.0]).reshape(2, 1, 1, 1)
    assert torch.equal(HALF(images), images.expand(2, 3, 1, 1))
    expected = [(v - m) / d for v in (0, 1) for m, d in zip(*CLIP, strict=True)]
    torch.testing.assert_close(CLIP(images).flatten(), torch.tensor(expected))


@pytest.mark.parametrize("shape", [(8, 8), (16, 8), (8, 20), (24, 30), (5, 9)])
def test_the_middle_square_is_what_clips_own_preprocessing_cuts(shape):
    from transformers import CLIPImageProcessor

    # Of middling values: theirs cuts off what overshoots between its two passes.
    pixels = torch.randint(64, 192, (1, 3, *shape), generator=torch.Generator().manual_seed(1))
    theirs = CLIPImageProcessor(
        size={"shortest_edge": 8},
        crop_size={"height": 8, "width": 8},
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )(pixels.byte(), return_tensors="pt")["pixel_values"]
    found = square(pixels / 127.5 - 1, 8)
    assert found.shape == (1, 3, 8, 8)
    # Theirs rounds to 8 bits after resizing; a picture that fits is not touched.
    assert (found - theirs).abs().max() <= (1e-6 if min(shape) == 8 else 1.1 / 127.5)


def test_gains_biases_and_the_temperature_do_not_decay():
    network = small()
    names = {id(p): n for n, p in network.named_parameters()}
    still = {names[id(p)] for p in undecayed(network)}
    assert "logit_scale" in still
    assert all(name.endswith("bias") or "norm" in name or "class_emb" in name or name
               == "logit_scale" for name in still)  # fmt: skip
    assert "text_model.embeddings.token_embedding.weight" not in still


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="8 px can't be parted into patches of 3 px"):
        small(patch=3)
    with pytest.raises(ValueError, match="a width of 10 can't be shared among 4 heads"):
        towers(Tower(10, 1, 4), Tower(8, 1, 2), side=8, patch=4, embed=4, vocabulary=9, context=4)
