import pytest
import torch

from genkit.noise import levels, schedules
from genkit.noise.levels import Level
from genkit.noise.predictions import to_sample
from genkit.noise.weights import LARGEST_OF_EPSILON, weight

from .level_kinds import EXPLODING, FITTING, NAMES, PRESERVING, STRAIGHT, drawn


@pytest.mark.parametrize("gamma", [1.0, 5.0])
@pytest.mark.parametrize(
    ("prediction", "formula"),
    [
        ("epsilon", lambda snr, gamma: snr.clamp(max=gamma) / snr),
        ("sample", lambda snr, gamma: snr.clamp(max=gamma)),
        ("v", lambda snr, gamma: snr.clamp(max=gamma) / (snr + 1)),
    ],
)
def test_min_snr_is_the_papers_for_each_prediction(prediction, formula, gamma):
    expected = formula(PRESERVING.snr, gamma)
    torch.testing.assert_close(weight("min-snr", prediction, PRESERVING, gamma), expected)


@pytest.mark.parametrize(("prediction", "level"), FITTING, ids=NAMES)
@pytest.mark.parametrize("weighting", ["snr", "min-snr", "edm"])
def test_one_weighting_counts_an_error_of_the_image_alike_in_every_prediction(
    weighting, prediction, level
):
    x, output, error = drawn(3)
    wrong = to_sample(prediction, output + error, x, level)
    image_error = wrong - to_sample(prediction, output, x, level)
    of_output = weight(weighting, prediction, level) * error.square()
    of_image = weight(weighting, "sample", level) * image_error.square()
    if prediction == "epsilon":
        of_image = of_image.minimum(LARGEST_OF_EPSILON * error.square())
    torch.testing.assert_close(of_output, of_image, rtol=1e-3, atol=1e-3)


def test_simple_is_one_for_every_prediction():
    for prediction, level in FITTING:
        assert torch.equal(weight("simple", prediction, level), torch.ones(4, 1, 1, 1))


def test_snr_is_simple_for_epsilon():
    for level in (PRESERVING, EXPLODING, STRAIGHT):
        torch.testing.assert_close(weight("snr", "epsilon", level), torch.ones(4, 1, 1, 1))


@pytest.mark.parametrize("std", [0.3, 0.5])
def test_the_edm_weighting_is_simple_for_the_edm_prediction_and_the_papers_for_the_image(std):
    level = levels.log_normal_level(torch.tensor([0.1, 0.5, 0.9]), -1.2, 1.2, std)
    torch.testing.assert_close(weight("edm", "edm", level), torch.ones(3, 1, 1, 1))
    papers = (level.sigma**2 + std**2) / (level.sigma * std) ** 2
    torch.testing.assert_close(weight("edm", "sample", level), papers)


@pytest.mark.parametrize("weighting", ["simple", "snr", "min-snr", "edm"])
@pytest.mark.parametrize("prediction", ["sample", "v"])
def test_pure_noise_has_a_weight_above_zero(prediction, weighting):
    bars = schedules.alpha_bars(schedules.with_zero_terminal_snr(schedules.betas("linear", 100)))
    level = levels.timestep_level(bars, torch.tensor([0.999]))
    assert level.snr.item() == 0
    got = weight(weighting, prediction, level).item()
    assert got == (4 if weighting == "edm" else 1)  # 1 as in the code of min-SNR


def test_weights_are_finite_and_positive_at_every_timestep_and_flow_level():
    bars = schedules.alpha_bars(schedules.betas("cosine", 1000))
    every = levels.timestep_level(bars, (torch.arange(1000) + 0.5) / 1000)
    straight = levels.flow_level(torch.tensor([0.0, 1e-7, 0.5, 1 - 2**-24]))
    pairs: list[tuple[str, Level]] = [("epsilon", every), ("sample", every), ("v", every)]
    for prediction, level in [*pairs, ("flow", straight)]:
        for weighting in ("simple", "snr", "min-snr", "edm"):
            got = weight(weighting, prediction, level)
            assert got.isfinite().all()
            assert (got > 0).all()
