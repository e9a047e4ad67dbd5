import pytest
import torch
from diffusers import EDMEulerScheduler

from genkit.noise.process import NoiseProcess
from genkit.noise.schedules import karras_sigmas
from genkit.pipelines.edm_heun import EDMHeunScheduler

from .gaussian import MEAN, STD, exact_pipeline

STEPS = 12


def best_image(x, sigma):
    """E[x_0 | x] of Gaussian data."""
    return MEAN + STD**2 / (STD**2 + sigma**2) * (x - MEAN)


def algorithm_2(x, generator, s_churn=0.0, s_min=0.0, s_max=float("inf"), s_noise=1.0):
    """As the paper prints it, but that x has the noise of the first step already."""
    sigmas = [*karras_sigmas(STEPS).tolist(), 0.0]
    for i in range(STEPS):
        sigma, following = sigmas[i], sigmas[i + 1]
        gamma = min(s_churn / STEPS, 2**0.5 - 1) if s_min <= sigma <= s_max else 0.0
        raised = sigma * (1 + gamma)
        if gamma and i:
            drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype)
            x = x + (raised**2 - sigma**2) ** 0.5 * s_noise * drawn
        slope = (x - best_image(x, raised)) / raised
        ahead = x + (following - raised) * slope
        if following:
            there = (ahead - best_image(ahead, following)) / following
            ahead = x + (following - raised) * (slope + there) / 2
        x = ahead
    return x


def sampled(scheduler, x, generator):
    """The loop of any pipeline of diffusers, in double precision, with the exact network."""
    for time in scheduler.timesteps:
        sigma = (4 * time.double()).exp()
        seen = scheduler.scale_model_input(x, time)
        torch.testing.assert_close(seen, x / (sigma**2 + 0.25).sqrt(), rtol=1e-5, atol=1e-6)
        skip, out = 0.25 / (sigma**2 + 0.25), sigma * 0.5 / (sigma**2 + 0.25).sqrt()
        output = (best_image(x, sigma) - skip * x) / out
        x = scheduler.step(output, time, x, generator=generator).prev_sample
    return x


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"s_churn": 3.0},
        {"s_churn": 3.0, "s_noise": 1.1},
        {"s_churn": 3.0, "s_min": 0.05, "s_max": 50.0},
        {"s_churn": 1000.0},  # held to sqrt(2) - 1
    ],
)
def test_it_is_the_papers_algorithm_with_the_same_draws(options):
    scheduler = EDMHeunScheduler(**options)
    scheduler.set_timesteps(STEPS)
    twins = [torch.Generator().manual_seed(1) for _ in range(2)]
    eps = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    x = scheduler.init_noise_sigma * eps
    ours = sampled(scheduler, x, twins[0])
    torch.testing.assert_close(ours, algorithm_2(x, twins[1], **options), rtol=1e-4, atol=1e-4)
    assert torch.equal(*(twin.get_state() for twin in twins))


def test_it_begins_with_the_noise_of_its_first_step():
    plain = EDMHeunScheduler()
    plain.set_timesteps(STEPS)
    assert plain.init_noise_sigma == pytest.approx(80)
    churned = EDMHeunScheduler(s_churn=3.0)
    churned.set_timesteps(STEPS)
    assert churned.init_noise_sigma == pytest.approx(80 * (1 + 3 / STEPS))
    kept = EDMHeunScheduler(s_churn=3.0, s_max=50.0)
    kept.set_timesteps(STEPS)
    assert kept.init_noise_sigma == pytest.approx(80)


@pytest.mark.parametrize("schedule", ["karras", "exponential"])
def test_its_levels_are_those_of_diffusers_euler_each_but_the_first_asked_twice(schedule):
    ours, theirs = (
        EDMHeunScheduler(sigma_schedule=schedule),
        EDMEulerScheduler(sigma_schedule=schedule),
    )
    ours.set_timesteps(5)
    theirs.set_timesteps(5)
    expected = theirs.timesteps[[0, 1, 1, 2, 2, 3, 3, 4, 4]]
    torch.testing.assert_close(ours.timesteps, expected, rtol=1e-5, atol=1e-6)


def test_one_step_is_eulers_to_the_image():
    scheduler = EDMHeunScheduler()
    scheduler.set_timesteps(1)
    x = torch.full((1, 1, 2, 2), 3.0)
    torch.testing.assert_close(sampled(scheduler, x.double(), None), best_image(x.double(), 80.0))


def test_fresh_noise_is_the_images_own():
    pipeline = exact_pipeline(NoiseProcess(prediction="edm"))
    options = {"scheduler": "edm_heun", "steps": 6, "options": {"s_churn": 5.0}}
    whole = pipeline(4, output="tensor", **options)
    parts = pipeline(4, output="tensor", batch_size=3, **options)
    torch.testing.assert_close(whole, parts)
    other = pipeline(4, output="tensor", seed=1, **options)
    assert (whole - other).abs().mean() > 0.05


def test_it_can_begin_anywhere_on_the_way():
    scheduler = EDMHeunScheduler(s_churn=3.0)
    scheduler.set_timesteps(STEPS)
    scheduler.set_begin_index(6)
    image = torch.full((2, 1, 2, 2), 0.3).double()
    eps = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    time = scheduler.timesteps[6]
    x = scheduler.add_noise(image, eps, time.expand(2))
    raised = karras_sigmas(STEPS)[3] * (1 + 3 / STEPS)
    torch.testing.assert_close(x, image + raised * eps, rtol=1e-5, atol=1e-6)
    seen = scheduler.scale_model_input(x, time)
    torch.testing.assert_close(seen, x / (raised**2 + 0.25).sqrt(), rtol=1e-5, atol=1e-6)


def test_its_config_is_saved_and_loaded_as_any_schedulers(tmp_path):
    EDMHeunScheduler(s_churn=7.0, s_noise=1.003, rho=5.0).save_pretrained(tmp_path)
    config = EDMHeunScheduler.from_pretrained(tmp_path).config
    assert (config["s_churn"], config["s_noise"], config["rho"]) == (7.0, 1.003, 5.0)


def test_churned_levels_are_as_exact_as_the_others():
    scheduler = EDMHeunScheduler(s_churn=40.0)
    scheduler.set_timesteps(20)
    gamma = 2**0.5 - 1
    nominal = torch.tensor(scheduler._nominal[:-1], dtype=torch.float64)
    torch.testing.assert_close(scheduler.sigmas[::2], nominal * (1 + gamma), rtol=1e-14, atol=0)
