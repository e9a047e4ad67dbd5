import pytest
import torch
from torch import nn

from genkit.nn.denoisers import hidden_matrices, make_dit, make_unet
from genkit.nn.text_transformers import make_text_transformer
from genkit.nn.text_unets import make_text_unet
from genkit.training.casting import Casting
from genkit.training.muon import Muon, orthogonal, orthogonal_in_half


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (16, 16)])
def test_orthogonal_is_u_f_of_s_v_with_the_quintic_applied_five_times(shape):
    u, s, v = torch.linalg.svd(drawn(*shape).double(), full_matrices=False)
    values = s / s.norm()
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = u @ values.diag() @ v
    torch.testing.assert_close(orthogonal((u @ s.diag() @ v)[None])[0], expected)


def test_orthogonal_brings_singular_values_near_one_and_does_each_matrix_by_itself():
    matrices = torch.stack([drawn(32, 200, seed=i) * 10.0**-i for i in range(3)])
    got = orthogonal(matrices)
    values = torch.linalg.svdvals(got)
    assert values.min() > 0.6
    assert values.max() < 1.25
    for one, alone in zip(got, matrices, strict=True):
        torch.testing.assert_close(one, orthogonal(alone[None])[0])


@pytest.mark.parametrize("fall", [0.3, 1.0, 2.0])
@pytest.mark.parametrize("shape", [(24, 24), (24, 100), (100, 24)])
def test_half_precision_keeps_the_directions_however_fast_singular_values_fall(shape, fall):
    u, s, v = torch.linalg.svd(drawn(*shape), full_matrices=False)
    values = torch.arange(1, len(s) + 1.0) ** -fall
    matrix = (u @ values.diag() @ v)[None]
    half, full = orthogonal_in_half(matrix), orthogonal(matrix)
    assert half.dtype == torch.float32
    assert torch.linalg.svdvals(half).max() < 1.25
    assert torch.cosine_similarity(half.flatten(), full.flatten(), dim=0) > 0.99


@pytest.mark.parametrize(
    ("precision", "made"), [("bf16", orthogonal_in_half), ("fp32", orthogonal)]
)
def test_matrices_are_made_orthogonal_in_the_precision_of_the_run(precision, made):
    casting = Casting(torch.device("cpu"))
    casting.use(precision)
    p, gradient = layer(8, 20), drawn(8, 20, seed=3)
    before = p.detach().clone()
    p.grad = gradient
    Muon([p], [], 1e-2, casting=casting).step()
    moved = made(0.05 * 1.95 * gradient[None])[0] * 1e-2 * 0.2 * 20**0.5
    torch.testing.assert_close(before - p.detach(), moved, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("size", [0.0, 1e-38, 1e-25, 1e-12])
def test_orthogonal_of_next_to_no_gradient_is_next_to_nothing(size):
    gradient = size * drawn(1, 64, 256)
    got = orthogonal(gradient)
    assert got.isfinite().all()
    assert got.double().norm() <= 1.001 * 3.4445**5 * gradient.double().norm() / 1e-7


def test_a_layer_whose_gradient_dies_comes_to_rest():
    p = layer(8, 16)
    optimizer = Muon([p], [], 1e-2)
    stepped(optimizer, [p])
    p.grad = torch.zeros_like(p)
    for _ in range(700):
        optimizer.step()
    rested = p.detach().clone()
    for _ in range(700):
        optimizer.step()
    assert p.isfinite().all()
    torch.testing.assert_close(p.detach(), rested)


def layer(*shape):
    return nn.Parameter(drawn(*shape))


def stepped(optimizer, parameters, steps=5):
    for step in range(steps):
        for i, p in enumerate(parameters):
            p.grad = drawn(*p.shape, seed=100 * step + i)
        optimizer.step()
    return parameters


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="PyTorch has it from 2.9 on")
def test_matrices_move_as_under_pytorchs_muon():
    ours, theirs = [layer(24, 60), layer(60, 24)], [layer(24, 60), layer(60, 24)]
    start = [p.detach().clone() for p in ours]
    stepped(Muon(ours, [], 1e-2, weight_decay=0.1), ours)
    reference = torch.optim.Muon(
        theirs, 1e-2, weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    stepped(reference, theirs)
    for a, b, begin in zip(ours, theirs, start, strict=True):
        # Theirs multiplies in bfloat16.
        assert (a - b).norm() < 0.02 * (b - begin).norm()


def test_a_convolution_moves_as_the_matrix_of_outputs_by_everything_else():
    kernel, matrix = layer(8, 4, 3, 3), layer(8, 36)
    matrix.data.copy_(kernel.data.view(8, 36))
    gradient = drawn(8, 4, 3, 3, seed=7)
    kernel.grad, matrix.grad = gradient, gradient.view(8, 36)
    Muon([kernel], [], 1e-2).step()
    Muon([matrix], [], 1e-2).step()
    torch.testing.assert_close(kernel.view(8, 36), matrix)


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_rest_moves_as_under_adam(decay):
    ours, theirs = [layer(7), layer(3, 5)], [layer(7), layer(3, 5)]
    stepped(Muon([], ours, 1e-2, betas=(0.8, 0.95), weight_decay=decay), ours)
    stepped(torch.optim.AdamW(theirs, 1e-2, (0.8, 0.95), weight_decay=decay), theirs)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


def test_an_update_has_the_size_of_adams():
    p = layer(64, 256)
    before = p.detach().clone()
    stepped(Muon([p], [], 1e-3), [p], steps=1)
    size = (p - before).square().mean().sqrt().item()
    assert size == pytest.approx(0.2e-3, rel=0.2)


def test_a_parameter_without_gradient_stays():
    moving, still = layer(4, 6), layer(4, 6)
    before = still.detach().clone()
    moving.grad = drawn(4, 6)
    Muon([moving, still], [], 1e-2, weight_decay=0.1).step()
    assert torch.equal(still, before)


NETWORKS = {
    "unet": (
        lambda: make_unet(16, 1, 1, channels=(8, 16), layers=1, attention=(8,), num_classes=10),
        {"conv_in.weight", "conv_out.weight", "class_embedding.weight"},
    ),
    "dit": (
        lambda: make_dit(16, 1, 1, width=16, layers=1, heads=2, num_classes=10),
        {
            "pos_embed.proj.weight",
            "proj_out_2.weight",
            "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight",
        },
    ),
    "text unet": (
        lambda: make_text_unet(8, 4, 6, widths=(8, 16), layers=1, attention=(4,), heads=2),
        {"conv_in.weight", "conv_out.weight"},
    ),
    "text transformer": (
        lambda: make_text_transformer(8, 4, 6, 6, patch=2, width=16, layers=1, heads=2),
        {"pos_embed.proj.weight", "context_embedder.weight", "proj_out.weight"},
    ),
}


@pytest.mark.parametrize("kind", NETWORKS)
def test_the_ends_the_label_and_all_vectors_are_left_to_adam(kind):
    make, ends = NETWORKS[kind]
    network = make()
    matrices, others = hidden_matrices(network)
    names = {id(p): name for name, p in network.named_parameters()}
    assert len(matrices) + len(others) == len(names)
    assert all(p.ndim >= 2 for p in matrices)
    assert {names[id(p)] for p in others if p.ndim >= 2} == ends
    assert {names[id(p)] for p in matrices}.isdisjoint(ends)
