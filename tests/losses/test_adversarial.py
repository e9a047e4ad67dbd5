"""Adversarial losses against values worked out by hand."""

import math

import torch

from genkit.losses.adversarial import critic_loss, generator_loss, r1_penalty

F64 = torch.float64


def test_an_undecided_critic_costs_two_log_two():
    zeros = torch.zeros(3, dtype=F64)
    assert math.isclose(critic_loss(zeros, zeros), 2 * math.log(2))
    assert math.isclose(generator_loss(zeros), math.log(2))


def test_the_losses_are_softplus_of_the_logits():
    # D(x) = sigmoid(ln 3) = 3/4, D(G(z)) = sigmoid(-ln 3) = 1/4:
    # critic -ln(3/4) - ln(1 - 1/4) = 2 ln(4/3); generator -ln(1/4) = ln 4.
    real, fake = torch.tensor([math.log(3)], dtype=F64), torch.tensor([-math.log(3)], dtype=F64)
    assert math.isclose(critic_loss(real, fake), 2 * math.log(4 / 3))
    assert math.isclose(generator_loss(fake), math.log(4))


def test_the_generator_gradient_does_not_vanish_for_a_sure_critic():
    # dL/dl = sigmoid(l) - 1: -0.99331 at l = -5, -0.99995 at l = -10, -0.5 at 0.
    logits = torch.tensor([-10.0, -5.0, 0.0], dtype=F64, requires_grad=True)
    (gradient,) = torch.autograd.grad(generator_loss(logits) * 3, logits)
    torch.testing.assert_close(
        gradient, torch.tensor([-0.9999546, -0.9933071, -0.5], dtype=F64), rtol=1e-6, atol=0
    )


def test_a_sure_and_wrong_critic_costs_much_but_not_infinity():
    far = torch.tensor([1e4])
    assert critic_loss(-far, far) == 2e4
    assert generator_loss(-far) == 1e4


def test_r1_of_a_linear_critic_is_half_its_squared_norm():
    # D(x) = <w, x> has gradient w everywhere, so R1 = |w|^2 / 2 whatever x is.
    w = torch.randn(3, 4, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    x = torch.ones(5, 3, 4, 4, dtype=F64, requires_grad=True)
    logits = (x * w).sum(dim=(1, 2, 3))
    torch.testing.assert_close(r1_penalty(logits, x), w.square().sum() / 2)


def test_r1_passes_a_gradient_to_the_weights():
    # R1 = |w|^2 / 2, so dR1/dw = w.
    w = torch.tensor([1.0, -2.0, 3.0], dtype=F64, requires_grad=True)
    x = torch.ones(4, 3, dtype=F64, requires_grad=True)
    r1_penalty(x @ w, x).backward()
    torch.testing.assert_close(w.grad, w.detach())
