import pytest
import torch
from diffusers import DDPMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler

from genkit.noise import levels, predictions, schedules
from genkit.noise.levels import Level

from .level_kinds import EXPLODING, FITTING, NAMES, PRESERVING, STRAIGHT, double, drawn

NEAR = {"rtol": 1e-4, "atol": 1e-4}


@pytest.mark.parametrize(("prediction", "level"), FITTING, ids=NAMES)
def test_the_target_stands_for_the_image_and_the_noise_it_was_made_of(prediction, level):
    level = double(level)
    x0, eps = (x.double() for x in drawn())
    x = predictions.add_noise(x0, eps, level)
    output = predictions.target(prediction, x0, eps, level)
    torch.testing.assert_close(predictions.to_sample(prediction, output, x, level), x0)
    torch.testing.assert_close(predictions.to_epsilon(prediction, output, x, level), eps)


@pytest.mark.parametrize(
    ("level", "names"),
    [
        (PRESERVING, ("epsilon", "sample", "v")),
        (EXPLODING, ("epsilon", "sample", "edm")),
        (STRAIGHT, ("epsilon", "sample", "flow")),
    ],
    ids=["vp", "ve", "flow"],
)
def test_converting_any_output_keeps_its_image_and_comes_back(level, names):
    level = double(level)
    x, output = (x.double() for x in drawn())  # any output, not only a target
    for source in names:
        image = predictions.to_sample(source, output, x, level)
        for goal in names:
            there = predictions.convert(output, x, level, source=source, goal=goal)
            torch.testing.assert_close(predictions.to_sample(goal, there, x, level), image)
            back = predictions.convert(there, x, level, source=goal, goal=source)
            torch.testing.assert_close(back, output)


@pytest.mark.parametrize(
    ("prediction", "theirs"),
    [("epsilon", "epsilon"), ("sample", "sample"), ("v", "v_prediction")],
)
def test_the_image_of_an_output_is_diffusers_ddpms(prediction, theirs):
    scheduler = DDPMScheduler(prediction_type=theirs, clip_sample=False)
    bars = schedules.alpha_bars(schedules.betas("linear", 1000))
    x, output = drawn(shape=(1, 3, 4, 4))
    for t in (0, 250, 999):
        level = levels.timestep_level(bars, torch.tensor([(t + 0.5) / 1000]))
        assert level.time.item() == t
        expected = scheduler.step(output, t, x).pred_original_sample
        torch.testing.assert_close(
            predictions.to_sample(prediction, output, x, level), expected, **NEAR
        )
        noisy = scheduler.add_noise(x, output, level.time)
        torch.testing.assert_close(predictions.add_noise(x, output, level), noisy)
        if prediction == "v":
            target = scheduler.get_velocity(x, output, level.time)
            torch.testing.assert_close(predictions.target("v", x, output, level), target)
    scheduler.alphas_cumprod = bars  # in double precision the two agree far beyond
    for t in (0, 250, 999):
        alpha, sigma = (each.reshape(1, 1, 1, 1) for each in (bars[t].sqrt(), (1 - bars[t]).sqrt()))
        level = Level(alpha, sigma, torch.tensor([t]))
        expected = scheduler.step(output.double(), t, x.double()).pred_original_sample
        found = predictions.to_sample(prediction, output.double(), x.double(), level)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_edms_preconditioning_is_diffusers():
    scheduler = EDMEulerScheduler(sigma_data=0.4)
    level = levels.log_normal_level(torch.tensor([0.01, 0.5, 0.99]), -1.2, 1.2, 0.4)
    x, output = drawn(shape=(3, 2, 4, 4))
    torch.testing.assert_close(
        predictions.to_sample("edm", output, x, level),
        scheduler.precondition_outputs(x, output, level.sigma),
    )
    torch.testing.assert_close(
        predictions.network_input("edm", x, level), scheduler.precondition_inputs(x, level.sigma)
    )
    told = scheduler.precondition_noise(level.sigma.flatten())
    torch.testing.assert_close(level.time, told, rtol=1e-5, atol=1e-6)


def test_a_step_of_diffusers_flow_goes_straight_to_the_image():
    scheduler = FlowMatchEulerDiscreteScheduler()
    scheduler.set_timesteps(sigmas=[0.7])  # one step, from 0.7 to 0
    level = levels.flow_level(torch.tensor([0.7]))
    assert scheduler.timesteps[0].item() == pytest.approx(level.time.item())
    x, output = drawn(shape=(1, 2, 4, 4))
    stepped = scheduler.step(output, scheduler.timesteps[0], x).prev_sample
    torch.testing.assert_close(predictions.to_sample("flow", output, x, level), stepped)


def test_edms_network_sees_and_gives_unit_variance():
    # With images of that standard deviation: what the preconditioning is chosen for.
    generator = torch.Generator().manual_seed(0)
    u = torch.rand(20_000, generator=generator)
    level = levels.log_normal_level(u, -1.2, 1.2, 0.5)
    x0 = 0.5 * torch.randn(20_000, 1, 1, 1, generator=generator)
    eps = torch.randn(20_000, 1, 1, 1, generator=generator)
    x = predictions.add_noise(x0, eps, level)
    assert predictions.network_input("edm", x, level).std().item() == pytest.approx(1, abs=0.02)
    assert predictions.target("edm", x0, eps, level).std().item() == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v", "flow"])
def test_other_networks_see_x_as_it_is(prediction):
    (x,) = drawn(1)
    assert predictions.network_input(prediction, x, PRESERVING) is x


@pytest.mark.parametrize(("prediction", "level"), FITTING, ids=NAMES)
def test_gain_is_the_derivative_of_the_image(prediction, level):
    x, output = drawn()
    output.requires_grad_()
    image = predictions.to_sample(prediction, output, x, level)
    (slope,) = torch.autograd.grad(image.sum(), output)
    gain = predictions.gain(prediction, level)
    assert gain.shape == (4, 1, 1, 1)
    torch.testing.assert_close(slope.abs(), gain.expand_as(slope))


@pytest.mark.parametrize("prediction", ["v", "flow"])
def test_the_noise_of_a_level_without_any_is_finite(prediction):
    none = Level(torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1), torch.zeros(1))
    x, output = drawn(shape=(1, 2, 2, 2))
    assert predictions.to_epsilon(prediction, output, x, none).isfinite().all()
