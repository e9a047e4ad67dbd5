"""Adversarial objectives and penalties against values worked out by hand."""

import math
from typing import get_args

import pytest
import torch

from genkit.losses.adversarial import (
    RELATIVISTIC,
    Objective,
    critic_loss,
    generator_loss,
    gradient_penalty,
    interpolates,
    least_squares,
    least_squares_generator,
    wgan_gp,
)

F64 = torch.float64
OBJECTIVES = get_args(Objective)
LN2, LN3 = math.log(2), math.log(3)


def logits(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=F64)


@pytest.mark.parametrize(
    ("objective", "critic", "generator"),
    [
        ("minimax", 2 * LN2, -LN2),  # V(G) = -ln 4 for the critic's value, at p_g = p_data
        ("non-saturating", 2 * LN2, LN2),
        ("least-squares", 0.5, 0.5),
        ("hinge", 2, 0),
        ("wasserstein", 0, 0),
        ("relativistic", LN2, LN2),
        ("relativistic-average", 2 * LN2, 2 * LN2),
    ],
)
def test_an_undecided_critic_has_the_value_of_its_objective(objective, critic, generator):
    zeros = torch.zeros(3, dtype=F64)
    assert critic_loss(objective, zeros, zeros).item() == pytest.approx(critic)
    assert generator_loss(objective, zeros, zeros).item() == pytest.approx(generator)


@pytest.mark.parametrize(
    ("objective", "critic", "generator"),
    [
        # l_r = ln 3, 0 and l_f = -ln 3, 0: sigmoids 3/4, 1/2 and 1/4, 1/2.
        ("minimax", math.log(4 / 3) + LN2, -(math.log(4 / 3) + LN2) / 2),
        ("non-saturating", math.log(4 / 3) + LN2, (math.log(4) + LN2) / 2),
        ("least-squares", ((LN3 - 1) ** 2 + 1 + LN3**2) / 4, ((LN3 + 1) ** 2 + 1) / 4),
        ("hinge", 0.5 + 0.5, LN3 / 2),
        ("wasserstein", -LN3, LN3 / 2),
        # Pairs differ by 2 ln 3 and 0: sp(-ln 9) = ln(10/9), sp(ln 9) = ln 10.
        ("relativistic", (math.log(10 / 9) + LN2) / 2, (math.log(10) + LN2) / 2),
        # Means are +-ln(3)/2, distances to them 3/2 ln 3 and 1/2 ln 3 on both sides.
        (
            "relativistic-average",
            math.log1p(3**-1.5) + math.log1p(3**-0.5),
            math.log1p(3**1.5) + math.log1p(3**0.5),
        ),
    ],
)
def test_logits_worked_out_by_hand(objective, critic, generator):
    real, fake = logits(LN3, 0), logits(-LN3, 0)
    assert critic_loss(objective, real, fake).item() == pytest.approx(critic)
    assert generator_loss(objective, fake, real).item() == pytest.approx(generator)


@pytest.mark.parametrize(
    ("objective", "slopes"),
    [
        ("minimax", [-4.5398e-5, -6.6929e-3, -0.5]),  # -sigmoid(l): gone for a sure critic
        ("non-saturating", [-0.9999546, -0.9933071, -0.5]),  # sigmoid(l) - 1
        ("hinge", [-1, -1, -1]),
        ("wasserstein", [-1, -1, -1]),
    ],
)
def test_the_slope_that_the_generator_feels(objective, slopes):
    fake = logits(-10, -5, 0).requires_grad_()
    (slope,) = torch.autograd.grad(3 * generator_loss(objective, fake), fake)
    torch.testing.assert_close(slope, logits(*slopes), rtol=1e-4, atol=0)


def test_the_critic_of_disjoint_sets_reaches_its_bound_as_it_grows_sure():
    # max V = -ln 4 + 2 JS, and JS = ln 2 on disjoint supports: the loss -V falls to 0.
    values = [critic_loss("minimax", logits(a), logits(-a)).item() for a in (0, 1, 5, 20)]
    assert values[0] == pytest.approx(math.log(4))
    assert values == sorted(values, reverse=True)
    assert values[-1] == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("objective", ["minimax", "non-saturating", "relativistic"])
def test_a_sure_and_wrong_critic_costs_much_but_not_infinity(objective):
    far = torch.tensor([1e4])
    assert critic_loss(objective, -far, far) == 2e4
    assert torch.isfinite(generator_loss(objective, -far, far))


@pytest.mark.parametrize("objective", sorted(RELATIVISTIC))
def test_a_relativistic_loss_knows_only_differences(objective):
    real, fake = logits(0.3, -1.2, 2), logits(1.1, 0.4, -0.6)
    shifted = critic_loss(objective, real + 7, fake + 7)
    torch.testing.assert_close(shifted, critic_loss(objective, real, fake))
    # And the generator plays the critic's part with the roles swapped.
    swapped = critic_loss(objective, fake, real)
    torch.testing.assert_close(generator_loss(objective, fake, real), swapped)


@pytest.mark.parametrize("objective", sorted(RELATIVISTIC))
def test_a_relativistic_generator_needs_real_logits(objective):
    with pytest.raises(ValueError, match="needs the logits of real images"):
        generator_loss(objective, logits(0))


def test_pairs_need_equal_shapes():
    with pytest.raises(ValueError, match="pairs need equal shapes"):
        critic_loss("relativistic", logits(0, 1), logits(0))


def test_least_squares_takes_the_targets_of_the_paper():
    real, fake = logits(1.0), logits(-1.0)
    assert least_squares(real, fake, a=-1, b=1) == 0
    assert least_squares_generator(fake, c=0) == 0.5


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_both_losses_fall_when_their_network_does_better(objective):
    real, fake = logits(0.1, 0.2), logits(-0.1, 0.1)
    better = critic_loss(objective, real + 0.1, fake - 0.1)
    assert better < critic_loss(objective, real, fake)
    assert generator_loss(objective, fake + 0.1, real) < generator_loss(objective, fake, real)


# -- penalties -------------------------------------------------------------------------------------


def linear_critic() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """w, images and their logits <w, x>: the gradient is w everywhere."""
    w = torch.randn(3, 4, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    x = torch.ones(5, 3, 4, 4, dtype=F64, requires_grad=True)
    w.requires_grad_()
    return w, x, (x * w).sum(dim=(1, 2, 3))


def test_r1_of_a_linear_critic_is_half_its_squared_norm_and_pulls_on_it():
    w, x, l_r = linear_critic()
    penalty = gradient_penalty(l_r, x)
    torch.testing.assert_close(penalty, w.square().sum() / 2)
    penalty.backward()
    torch.testing.assert_close(w.grad, w.detach())  # d(|w|^2 / 2) / dw


def test_wgan_gp_of_a_linear_critic_is_its_norms_distance_from_one_squared():
    w, x, between = linear_critic()
    penalty = wgan_gp(between, x)
    torch.testing.assert_close(penalty, (w.norm() - 1).square())
    penalty.backward()
    torch.testing.assert_close(w.grad, (2 * (1 - 1 / w.norm()) * w).detach())


def test_the_penalty_of_a_curved_critic_is_a_mean_over_images():
    # D(x) = a |x|^2 / 2 has gradient a x: R1 = a^2 E|x|^2 / 2, and dR1/da = a E|x|^2.
    a = torch.tensor(3.0, dtype=F64, requires_grad=True)
    x = torch.tensor([[1.0, 2.0], [0.0, 2.0]], dtype=F64, requires_grad=True)
    penalty = gradient_penalty(a * x.square().sum(1) / 2, x)
    assert penalty.item() == pytest.approx(9 * (5 + 4) / 2 / 2)
    penalty.backward()
    assert a.grad.item() == pytest.approx(3 * (5 + 4) / 2)


def test_interpolates_lie_on_the_line_from_generated_to_real():
    real, fake = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    between = interpolates(real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert between[:, 0, 0, 0].tolist() == [0.0, 0.25, 1.0]
    assert between.shape == real.shape
