"""Transformers that read texts: their size, how texts are read, and zeros that count for many."""

from __future__ import annotations

import copy

import pytest
import torch
from diffusers import SD3Transformer2DModel
from diffusers.models.attention_processor import JointAttnProcessor2_0
from torch import Tensor, nn

from genkit.nn import image_text, tokens
from genkit.nn.joint_attention import join
from genkit.nn.text_transformers import (
    MISSING,
    denoise_jointly,
    encoded_jointly,
    make_text_transformer,
    projected_tower,
)

TEXTS = ["a red star", "", "a big blue ring on grey " * 10]
CONTEXT = 16


def clip(width: int, embed: int):
    """Two towers of a `CLIPModel`, that of texts of two layers."""
    torch.manual_seed(width)
    texts = image_text.Tower(width, 2, 2)
    sizes = {"side": 8, "patch": 8, "embed": embed, "vocabulary": 600, "context": CONTEXT}
    return image_text.towers(image_text.Tower(8, 1, 2), texts, **sizes).eval()


@pytest.fixture(scope="module")
def tokenizer():
    return tokens.learnt(["a red star", "a big blue ring on grey"], 600, CONTEXT)[0]


def test_stable_diffusion_3_medium_has_its_two_billion_weights():
    with torch.device("meta"):
        network = make_text_transformer(128, 16, 4096, 2048)
    width, layers = 1536, 24
    square, feed = width**2 + width, 8 * width**2 + 5 * width
    # A block: 6 modulations, q k v and output, a network of 4 widths; for pictures and for words.
    # The words of the last one have 2 modulations, and neither output nor network.
    blocks = layers * 2 * (10 * square + feed) - (4 * square + square + feed)
    told = 2 * square + (256 + 2048) * width + 2 * width  # time and text, two layers each
    ends = (4 * 16 * width + width) + (4096 * width + width) + 2 * square + (width + 1) * 4 * 16
    assert sum(p.numel() for p in network.parameters()) == blocks + told + ends == 2_028_328_000


def test_first_weights_leave_the_output_near_zero_and_every_weight_that_counts_a_gradient():
    torch.manual_seed(0)
    network = make_text_transformer(4, 2, 8, 6, patch=1, width=16, layers=2, heads=2)
    words = torch.randn(3, 5, 8), torch.randn(3, 6)
    made = denoise_jointly(network, torch.randn(3, 2, 4, 4), torch.tensor([1.0, 400, 900]), words)
    assert made.std() < 0.02
    (made - torch.randn_like(made)).square().mean().backward()
    still = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    # What the last words ask is not used, and a softmax takes no notice of what all keys share.
    assert [n for n in still if not n.endswith("_k.bias") and "_k_proj.bias" not in n] == [
        f"transformer_blocks.1.attn.add_q_proj.{kind}" for kind in ("weight", "bias")
    ]


@pytest.mark.parametrize("kind", ["plain", "normalised", "dual"])
def test_one_zero_that_counts_256_times_is_256_zeros_in_plain_diffusers(kind):
    torch.manual_seed(0)
    if kind == "dual":  # as in Stable Diffusion 3.5
        network = SD3Transformer2DModel(
            *(8, 2, 4, 2, 8, 2, 12, 16, 6, 4, 4), dual_attention_layers=(0,), qk_norm="rms_norm"
        )
        join(network)
    else:
        norm = "rms_norm" if kind == "normalised" else None
        sizes = {"patch": 2, "width": 16, "layers": 3, "heads": 2, "qk_norm": norm}
        network = make_text_transformer(8, 4, 12, 6, **sizes)
    for parameter in network.parameters():  # nothing near zero, so that attention is seen
        nn.init.normal_(parameter, std=0.2)
    plain = copy.deepcopy(network)
    plain.set_attn_processor(JointAttnProcessor2_0())
    x, time = torch.randn(2, 4, 8, 8), torch.tensor([10.0, 700.0])
    states, pooled = torch.randn(2, 5, 12), torch.randn(2, 6)

    def with_zeros(count: int) -> Tensor:
        return torch.cat([states, torch.zeros(2, count, 12)], 1)

    def theirs(count: int) -> Tensor:
        told = {"encoder_hidden_states": with_zeros(count), "pooled_projections": pooled}
        made: Tensor = plain(x, timestep=time, **told).sample
        return made

    ours = denoise_jointly(network, x, time, (with_zeros(1), pooled))
    wanted = theirs(MISSING)
    torch.testing.assert_close(ours, wanted, atol=1e-5 * wanted.abs().max().item(), rtol=0)
    assert (theirs(1) - wanted).norm() > 0.01 * wanted.norm()  # the count is seen
    ours.square().mean().backward()
    wanted.square().mean().backward()
    gradients = [torch.cat([p.grad.flatten() for p in n.parameters()]) for n in (network, plain)]
    assert (gradients[0] - gradients[1]).norm() < 1e-5 * gradients[1].norm()


def test_a_towers_embedding_is_that_of_its_clip(tokenizer):
    model = clip(16, 12)
    ids = tokens.filled(tokenizer, TEXTS, CONTEXT)
    ours, theirs = projected_tower(model)(input_ids=ids).text_embeds, model.get_text_features(ids)
    assert torch.equal(ours, getattr(theirs, "pooler_output", theirs))
    assert ours[0].ne(ours[1]).any()


def test_words_stand_side_by_side_with_zeros_beside_and_one_behind(tokenizer):
    first, second = projected_tower(clip(16, 12)), projected_tower(clip(8, 4))
    states, pooled = encoded_jointly([first, second], [tokenizer] * 2, TEXTS, 30)
    assert (states.shape, pooled.shape) == ((3, CONTEXT + 1, 30), (3, 16))
    ids = tokens.filled(tokenizer, TEXTS, CONTEXT)
    for tower, part in ((first, states[..., :16]), (second, states[..., 16:24])):
        # The last but one hidden states: what the last layer is given.
        seen = []
        last = tower.text_model.encoder.layers[-1]
        held = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))  # noqa: B023
        tower(input_ids=ids)
        held.remove()
        assert torch.equal(part[:, :-1], seen[0])
    assert not states[..., 24:].any()
    assert not states[:, -1].any()
    twice = encoded_jointly([first, first], [tokenizer] * 2, TEXTS, 32)
    assert torch.equal(twice[0][..., :16], twice[0][..., 16:])
    assert torch.equal(twice[1][:, :12], pooled[:, :12])
