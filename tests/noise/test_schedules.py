import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler
from diffusers.schedulers.scheduling_ddpm import rescale_zero_terminal_snr

from genkit.noise import schedules

THEIRS = {
    "linear": "linear",
    "scaled-linear": "scaled_linear",
    "cosine": "squaredcos_cap_v2",
    "sigmoid": "sigmoid",
}


@pytest.mark.parametrize("steps", [100, 1000])
@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", THEIRS)
def test_a_schedule_is_that_of_the_diffusers_scheduler_of_its_name(name, zero, steps):
    betas = schedules.betas(name, steps, 1e-3, 0.03)
    if zero:
        betas = schedules.with_zero_terminal_snr(betas)
    theirs = DDPMScheduler(
        num_train_timesteps=steps,
        beta_schedule=THEIRS[name],
        beta_start=1e-3,
        beta_end=0.03,
        rescale_betas_zero_snr=zero,
    )
    near = {"rtol": 0, "atol": 1e-6}
    bars = schedules.alpha_bars(betas)
    torch.testing.assert_close(bars.float(), theirs.alphas_cumprod, **near)
    if zero:
        # In single precision theirs is off by 1e-5 where next to nothing is left of the image.
        exact = rescale_zero_terminal_snr(schedules.betas(name, steps, 1e-3, 0.03))
        torch.testing.assert_close(betas, exact, **near)
    else:
        torch.testing.assert_close(betas.float(), theirs.betas, **near)


@pytest.mark.parametrize("name", THEIRS)
def test_every_step_takes_a_share_of_the_signal_and_no_more(name):
    betas = schedules.betas(name, 200)
    bars = schedules.alpha_bars(betas)
    assert betas.shape == (200,)
    assert betas.dtype == torch.float64
    assert ((betas > 0) & (betas < 1)).all()
    assert (bars.diff() < 0).all()


def test_linear_and_scaled_linear_run_from_start_to_end_in_equal_steps():
    linear = schedules.betas("linear", 5, 0.1, 0.5)
    torch.testing.assert_close(linear, torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]).double())
    roots = schedules.betas("scaled-linear", 5, 0.01, 0.25).sqrt()
    torch.testing.assert_close(roots, torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5]).double())


def test_sigmoid_is_halfway_between_start_and_end_in_the_middle():
    betas = schedules.betas("sigmoid", 101, 0.02, 0.04)
    assert betas[50].item() == pytest.approx(0.03)
    torch.testing.assert_close(betas + betas.flip(0), torch.full((101,), 0.06).double())


def test_the_signal_of_cosine_is_a_squared_cosine_up_to_the_cut():
    steps = 100
    bars = schedules.alpha_bars(schedules.betas("cosine", steps))
    share = torch.arange(1, steps + 1) / steps
    curve = ((share.double() + 0.008) / 1.008 * torch.pi / 2).cos().square()
    start = torch.tensor(0.008 / 1.008 * torch.pi / 2).double().cos().square()
    torch.testing.assert_close(bars[:-1], (curve / start)[:-1], rtol=1e-5, atol=1e-9)
    assert schedules.betas("cosine", steps)[-1].item() == 0.999


@pytest.mark.parametrize("name", THEIRS)
def test_with_zero_terminal_snr_the_last_step_is_noise_and_the_first_is_as_it_was(name):
    before = schedules.betas(name, 50)
    after = schedules.with_zero_terminal_snr(before)
    roots = [schedules.alpha_bars(betas).sqrt() for betas in (before, after)]
    assert roots[1][-1].item() == 0
    assert after[-1].item() == 1
    assert roots[1][0].item() == pytest.approx(roots[0][0].item(), rel=1e-12)
    # A shift and a scaling: what lies between the ends keeps its place between them.
    place = [(root - root[-1]) / (root[0] - root[-1]) for root in roots]
    torch.testing.assert_close(*place, rtol=1e-9, atol=1e-12)


def test_karras_sigmas_are_those_of_edm():
    theirs = EDMEulerScheduler(sigma_min=0.01, sigma_max=50.0, rho=5.0)
    theirs.set_timesteps(13)
    ours = schedules.karras_sigmas(13, 0.01, 50.0, 5.0)
    torch.testing.assert_close(ours.float(), theirs.sigmas[:-1], rtol=1e-6, atol=0)
    assert ours[0].item() == pytest.approx(50)
    assert ours[-1].item() == pytest.approx(0.01)


def test_karras_sigmas_are_evenly_spaced_in_their_root():
    gaps = (schedules.karras_sigmas(20) ** (1 / 7)).diff()
    torch.testing.assert_close(gaps, gaps[:1].expand(19))
