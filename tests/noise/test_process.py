import itertools

import pytest
import torch
from diffusers import DDPMScheduler, EDMDPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler

from genkit.noise import predictions, variational
from genkit.noise.process import NoiseProcess
from genkit.noise.weights import weight

from .level_kinds import drawn

U = torch.tensor([0.02, 0.3, 0.6, 0.95])
PREDICTIONS = ["epsilon", "sample", "v", "edm", "flow"]
WEIGHTINGS = ["simple", "snr", "min-snr", "edm"]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_loss_is_the_weighted_squared_error_of_what_the_network_gives(prediction, weighting):
    process = NoiseProcess(prediction=prediction, weighting=weighting)
    x0, eps, error = drawn(3)
    level = process.level(U)

    def network(x, time):
        assert torch.equal(time, level.time)
        noisy = predictions.add_noise(x0, eps, level)
        assert torch.equal(x, predictions.network_input(prediction, noisy, level))
        return predictions.target(prediction, x0, eps, level) + error

    loss = process.loss(network, x0, eps, U)
    expected = (weight(weighting, prediction, level) * error.square()).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_edm_weighting_takes_the_datas_standard_deviation(prediction):
    process = NoiseProcess(prediction=prediction, weighting="edm", data_std=0.2)
    level = process.level(U)
    got = weight("edm", prediction, level)
    expected = (level.snr + 25) * predictions.gain(prediction, level).square()
    held = 50 if prediction == "epsilon" else torch.inf
    torch.testing.assert_close(got, expected.clamp(max=held))


def test_draws_follow_the_process():
    u = (torch.arange(4000) + 0.5) / 4000
    edm = NoiseProcess(prediction="edm", draws="log-normal", draw_mean=-0.4, draw_std=1.0)
    assert edm.level(u).sigma.log().mean().item() == pytest.approx(-0.4, abs=1e-3)
    flow = NoiseProcess(prediction="flow", draws="logit-normal", draw_mean=0.3, draw_std=1.0)
    assert flow.level(u).sigma.logit().mean().item() == pytest.approx(0.3, abs=1e-3)
    plain = NoiseProcess(prediction="flow")
    torch.testing.assert_close(plain.level(u).sigma.flatten(), u)
    steps = NoiseProcess(prediction="v", steps=40)
    assert steps.level(u).time.bincount().tolist() == [100] * 40
    late = NoiseProcess(prediction="v", steps=40, draws="logit-normal", draw_mean=0.8, draw_std=1.0)
    share_above_the_median = (late.level(u).time >= 40 * torch.tensor(0.8).sigmoid()).float().mean()
    assert share_above_the_median.item() == pytest.approx(0.5, abs=0.03)  # half a timestep


@pytest.mark.parametrize(
    ("prediction", "schedule", "zero"),
    [
        *((p, s, False) for p in ("epsilon", "sample", "v") for s in ("linear", "sigmoid")),
        *((p, "cosine", True) for p in ("sample", "v")),
        ("epsilon", "scaled-linear", False),
    ],
)
def test_the_scheduler_of_a_process_noises_alike_and_takes_its_prediction(
    prediction, schedule, zero
):
    process = NoiseProcess(
        prediction=prediction, schedule=schedule, steps=200, zero_terminal_snr=zero
    )
    scheduler = process.scheduler()
    assert isinstance(scheduler, DDPMScheduler)
    level = process.level(U)
    x0, eps = drawn()
    torch.testing.assert_close(
        scheduler.add_noise(x0, eps, level.time),
        predictions.add_noise(x0, eps, level),
        rtol=1e-4,
        atol=1e-4,
    )
    scheduler.register_to_config(clip_sample=False)
    output = predictions.target(prediction, x0, eps, level)
    for i, t in enumerate(level.time.tolist()):
        if t == 199 and prediction == "epsilon":
            continue
        noisy = predictions.add_noise(x0, eps, level)[i : i + 1]
        made = scheduler.step(output[i : i + 1], t, noisy).pred_original_sample
        torch.testing.assert_close(made, x0[i : i + 1], rtol=1e-2, atol=1e-2)
    scheduler.set_timesteps(10)
    assert scheduler.timesteps[0].item() == 199  # sampling begins where training ended


def test_continuous_processes_have_the_schedulers_of_their_kind():
    edm = NoiseProcess(prediction="edm", data_std=0.3).scheduler()
    assert isinstance(edm, EDMDPMSolverMultistepScheduler)
    assert edm.config["sigma_data"] == 0.3
    flow = NoiseProcess(prediction="flow").scheduler()
    assert isinstance(flow, FlowMatchEulerDiscreteScheduler)


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v"])
def test_the_hybrid_loss_teaches_the_mean_by_the_simple_loss_alone(prediction):
    x0, eps, mean, v = drawn(4)
    for tensor in (mean, v):
        tensor.requires_grad_()
    hybrid = NoiseProcess(prediction=prediction, learned_variance=True)
    simple = NoiseProcess(prediction=prediction)
    both = torch.autograd.grad(
        hybrid.loss(lambda x, time: torch.cat([mean, v], dim=1), x0, eps, U), [mean, v]
    )
    (alone,) = torch.autograd.grad(simple.loss(lambda x, time: mean, x0, eps, U), mean)
    torch.testing.assert_close(both[0], alone)
    assert both[1].abs().max() > 0


def test_the_hybrid_loss_adds_a_thousandth_of_the_whole_bound():
    x0, eps, error, v = drawn(4)
    process = NoiseProcess(prediction="epsilon", learned_variance=True, steps=500)
    level = process.level(U)
    x = predictions.add_noise(x0, eps, level)
    predicted = predictions.to_sample("epsilon", eps + error, x, level)
    terms = variational.bound_bits(
        x0, x, level.time, predicted, v, variational.Posterior.of(process.betas)
    )
    loss = process.loss(lambda x, time: torch.cat([eps + error, v], dim=1), x0, eps, U)
    expected = error.square().mean() + 0.001 * 500 * terms.mean()
    torch.testing.assert_close(loss, expected)


def test_learned_variances_are_best_where_they_explain_the_error():
    # The bound falls while v goes from where a variance is too small for the network's errors.
    x0, eps, error = drawn(3)
    process = NoiseProcess(prediction="epsilon", learned_variance=True)
    u = torch.full((4,), 0.002)  # where beta~ and beta differ most
    v = torch.full_like(x0, -1.0).requires_grad_()
    loss = process.loss(lambda x, time: torch.cat([eps + 5 * error, v], dim=1), x0, eps, u)
    (slope,) = torch.autograd.grad(loss, v)
    assert slope.mean() < 0


def test_every_pair_of_prediction_and_weighting_has_a_finite_loss_at_any_draw():
    x0, eps = drawn()
    ends = torch.tensor([0.0, 1e-6, 0.5, 1 - 2**-24])
    for prediction, weighting in itertools.product(PREDICTIONS, WEIGHTINGS):
        process = NoiseProcess(prediction=prediction, weighting=weighting)
        loss = process.loss(lambda x, time: torch.zeros_like(x), x0, eps, ends)
        assert loss.isfinite(), (prediction, weighting)
