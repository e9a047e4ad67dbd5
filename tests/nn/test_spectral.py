"""Spectral norm: sigma against a singular value decomposition."""

import copy

import pytest
import torch
from torch import Tensor, nn

from genkit.nn.critics import DCGANCritic
from genkit.nn.residual import ResidualCritic
from genkit.nn.spectral import spectral_normalize

LAYERS = {
    "conv": lambda: nn.Conv2d(3, 8, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 8, 3),
    "linear": lambda: nn.Linear(12, 8),
    "embedding": lambda: nn.Embedding(5, 12),
}


def matrix(layer: nn.Module, weight: Tensor) -> Tensor:
    """A kernel as outputs x (everything else)."""
    outputs_first = weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight
    return outputs_first.flatten(1)


def top(matrix: Tensor) -> float:
    return torch.linalg.svdvals(matrix)[0].item()


@pytest.mark.parametrize("kind", LAYERS)
def test_every_kind_of_layer_ends_with_a_largest_singular_value_of_1(kind):
    torch.manual_seed(0)
    layer = LAYERS[kind]()
    free = layer.weight.detach().clone()
    spectral_normalize(layer)
    for _ in range(200):
        weight = layer.weight.detach()
    assert top(matrix(layer, weight)) == pytest.approx(1, abs=1e-5)
    assert torch.allclose(weight * top(matrix(layer, free)), free, atol=1e-5)


def test_there_is_one_power_iteration_per_forward():
    torch.manual_seed(0)
    layer = nn.Linear(6, 4, bias=False)
    free = layer.weight.detach().clone()
    spectral_normalize(layer)
    norm = layer.parametrizations.weight[0].inner
    v = norm._v.clone()
    out = layer(torch.eye(6)).T
    u = nn.functional.normalize(free @ v, dim=0)
    v = nn.functional.normalize(free.T @ u, dim=0)
    assert torch.allclose(out, free / (u @ free @ v), atol=1e-6)
    assert torch.allclose(norm._u, u, atol=1e-6)
    assert torch.allclose(norm._v, v, atol=1e-6)


def test_evaluation_moves_nothing():
    critic = ResidualCritic(1, 32, 4)
    spectral_normalize(critic.eval())
    before = copy.deepcopy(critic.state_dict())
    image = torch.randn(2, 1, 32, 32)
    assert torch.equal(critic(image).logits, critic(image).logits)
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())


def test_training_moves_the_estimate_and_not_the_weights():
    critic = ResidualCritic(1, 32, 4)
    spectral_normalize(critic)
    before = copy.deepcopy(critic.state_dict())
    critic(torch.randn(2, 1, 32, 32))
    moved = {n for n, value in critic.state_dict().items() if not torch.equal(value, before[n])}
    assert moved
    assert all(name.endswith(("_u", "_v")) for name in moved)


@pytest.mark.parametrize("conditioning", ["channels", "projection", "auxiliary"])
@pytest.mark.parametrize("build", [DCGANCritic, ResidualCritic])
def test_every_matrix_of_a_critic_is_normalised(build, conditioning):
    critic = build(1, 32, 4, num_classes=3, conditioning=conditioning)
    matrices = [n for n, p in critic.named_parameters() if p.ndim > 1]
    spectral_normalize(critic)
    names = {n for n, p in critic.named_parameters() if p.ndim > 1}
    stem = ".parametrizations.weight.original"
    assert names == {n.removesuffix(".weight") + stem for n in matrices}
    label = torch.tensor([0, 2])
    assert critic(torch.randn(2, 1, 32, 32), label).logits.isfinite().all()


def test_the_state_comes_back_with_the_estimate():
    def build() -> ResidualCritic:
        critic = ResidualCritic(1, 32, 4)
        spectral_normalize(critic)
        return critic

    first, second = build(), build()
    image = torch.randn(2, 1, 32, 32)
    first(image)
    assert second.load_state_dict(first.state_dict()) == ([], [])
    assert torch.equal(first(image).logits, second(image).logits)
    assert torch.equal(first(image).logits, second(image).logits)  # u and v moved alike


def test_a_deep_copy_goes_its_own_way():
    critic = ResidualCritic(1, 32, 4)
    spectral_normalize(critic)
    image = torch.randn(2, 1, 32, 32)
    twin = copy.deepcopy(critic)
    assert torch.equal(critic(image).logits, twin(image).logits)
    before = copy.deepcopy(critic.state_dict())
    twin(image)
    assert all(torch.equal(value, before[name]) for name, value in critic.state_dict().items())


def test_the_gradient_goes_through_sigma():
    # W / sigma does not change with the length of W: the gradient has no part along W.
    torch.manual_seed(0)
    layer = nn.Linear(6, 4, bias=False)
    spectral_normalize(layer)
    for _ in range(100):
        weight = layer.weight
    (weight * torch.randn(4, 6)).sum().backward()
    free = layer.parametrizations.weight.original
    assert free.grad.abs().max() > 0.01
    assert (free.grad * free).sum().item() == pytest.approx(0, abs=1e-5)


class TypesSeen(nn.Module):
    """Stands in for spectral norm: notes in which type a matrix product runs."""

    def forward(self, weight: Tensor) -> Tensor:
        self.seen = (weight @ weight.T).dtype
        return weight


def test_sigma_is_computed_in_full_precision_under_autocast():
    layer = nn.Linear(6, 4)
    spectral_normalize(layer)
    step = layer.parametrizations.weight[0]
    inner, step.inner = step.inner, TypesSeen()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 6)).dtype == torch.bfloat16
    assert step.inner.seen == torch.float32
    step.inner = inner
    for _ in range(200):
        with torch.autocast("cpu", torch.bfloat16):
            weight = layer.weight
    assert weight.dtype == torch.float32
    assert top(weight.detach()) == pytest.approx(1, abs=1e-5)
