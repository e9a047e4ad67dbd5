import math

import pytest
import torch
from diffusers import DDPMScheduler
from torch.distributions import Normal, kl_divergence

from genkit.noise import schedules, variational
from genkit.noise.variational import Posterior

STEPS = 100
BETAS = schedules.betas("linear", STEPS, 1e-3, 0.1)
POSTERIOR = Posterior.of(BETAS)


def drawn(count, shape=(4, 2, 3, 3)):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator) for _ in range(count)]


def test_the_posterior_is_what_bayes_rule_makes_of_two_gaussians():
    # x_{t-1} given x_0 is a prior, x_t given x_{t-1} a measurement of sqrt(1 - beta) x_{t-1}.
    bars, x0, x = schedules.alpha_bars(BETAS), 0.3, -0.8
    for t in (1, 30, STEPS - 1):
        prior = Normal(bars[t - 1].sqrt() * x0, (1 - bars[t - 1]).sqrt())
        shrink = (1 - BETAS[t]).sqrt()
        precision = 1 / prior.variance + shrink**2 / BETAS[t]
        mean = (prior.mean / prior.variance + shrink * x / BETAS[t]) / precision
        ours = POSTERIOR.on_image[t] * x0 + POSTERIOR.on_noisy[t] * x
        torch.testing.assert_close(ours, mean)
        torch.testing.assert_close(POSTERIOR.log_variance[t], -precision.log())


def test_at_the_first_timestep_the_posterior_is_the_image_with_the_next_ones_variance():
    assert POSTERIOR.on_image[0].item() == pytest.approx(1)
    assert POSTERIOR.on_noisy[0].item() == pytest.approx(0)
    assert POSTERIOR.log_variance[0] == POSTERIOR.log_variance[1]


@pytest.mark.parametrize("kind", ["fixed_small_log", "fixed_large_log"])
def test_the_two_ends_of_the_learnt_variance_are_diffusers_fixed_ones(kind):
    theirs = DDPMScheduler(STEPS, beta_start=1e-3, beta_end=0.1, variance_type=kind)
    for t in range(1, STEPS):
        v = torch.full((1, 1, 1, 1), -1.0 if kind == "fixed_small_log" else 1.0)
        ours = variational.learned_log_variance(v, torch.tensor([t]), POSTERIOR)
        got = theirs._get_variance(t)
        log = 2 * got.log() if kind == "fixed_small_log" else got  # theirs gives a std or a log
        torch.testing.assert_close(ours.flatten()[0], log, rtol=1e-4, atol=1e-5)


def test_a_learnt_variance_is_diffusers_learned_range():
    theirs = DDPMScheduler(STEPS, beta_start=1e-3, beta_end=0.1, variance_type="learned_range")
    (v,) = drawn(1, (1, 2, 3, 3))
    for t in (1, 50, STEPS - 1):
        ours = variational.learned_log_variance(v, torch.tensor([t]), POSTERIOR)
        torch.testing.assert_close(
            ours, theirs._get_variance(t, predicted_variance=v), rtol=1e-4, atol=1e-4
        )


def test_the_divergence_of_two_normals_is_torchs():
    mean, log_variance, other, other_log = drawn(4)
    expected = kl_divergence(
        Normal(mean, (log_variance / 2).exp()), Normal(other, (other_log / 2).exp())
    )
    ours = variational.normal_kl(mean, log_variance, other, other_log)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    same = variational.normal_kl(mean, log_variance, mean, log_variance)
    torch.testing.assert_close(same, torch.zeros_like(same))


@pytest.mark.parametrize("mean", [-1.3, -0.5, 0.01, 0.99])
@pytest.mark.parametrize("std", [0.003, 0.05, 1.0])
def test_the_likelihoods_of_the_256_levels_add_up_to_one(mean, std):
    grey = torch.arange(256).double() / 127.5 - 1
    log = variational.discretized_log_likelihood(
        grey, torch.tensor(mean).double(), torch.tensor(std).double().log()
    )
    assert log.exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_a_levels_likelihood_is_the_mass_between_its_neighbours():
    x, mean, std = torch.tensor([10 / 127.5 - 1]).double(), -0.9, 0.1
    normal = Normal(torch.tensor(mean).double(), std)
    mass = normal.cdf(x + 1 / 255) - normal.cdf(x - 1 / 255)
    got = variational.discretized_log_likelihood(
        x, torch.tensor(mean).double(), torch.tensor(std).log()
    )
    torch.testing.assert_close(got, mass.log())


def test_the_bound_of_the_true_image_and_the_smallest_variance_is_zero():
    x0, x = drawn(2)
    t = torch.tensor([1, 5, 10, 20])  # later the two ends of v meet
    least = torch.full_like(x0, -1.0)
    bits = variational.bound_bits(x0, x, t, x0, least, POSTERIOR)
    torch.testing.assert_close(bits, torch.zeros(4), rtol=0, atol=1e-6)
    more = variational.bound_bits(x0, x, t, x0, least + 1, POSTERIOR)
    assert (more > 0).all()


def test_the_bound_at_the_first_timestep_is_the_likelihood_of_the_pixels():
    generator = torch.Generator().manual_seed(0)
    x0 = torch.randint(0, 256, (1, 2, 3, 3), generator=generator) / 127.5 - 1
    predicted, v = x0 + 0.01, torch.zeros(1, 2, 3, 3)
    t = torch.tensor([0])
    log_std = variational.learned_log_variance(v, t, POSTERIOR) / 2
    nats = -variational.discretized_log_likelihood(x0, predicted, log_std).mean()
    # The mean at t = 0 is the predicted image itself.
    got = variational.bound_bits(x0, torch.randn_like(x0), t, predicted, v, POSTERIOR)
    torch.testing.assert_close(got, (nats / math.log(2)).reshape(1), rtol=1e-3, atol=1e-4)


def test_too_large_a_variance_costs_its_divergence_from_the_true_one():
    # With the image known the means agree and v = 1 leaves the divergence of beta~ from beta,
    # in bits.
    t = torch.tensor([40])
    zero = torch.zeros(1, 1, 1, 1)
    ratio = (POSTERIOR.log_variance[40] - POSTERIOR.log_beta[40]).exp()
    expected = (ratio - 1 - ratio.log()) / 2 / math.log(2)
    got = variational.bound_bits(zero, zero, t, zero, zero + 1, POSTERIOR)
    torch.testing.assert_close(got, expected.float().reshape(1), rtol=1e-3, atol=1e-7)
