import math

import pytest
import torch
from scipy.stats import kstest

from genkit.noise import levels, schedules

MANY = (torch.arange(20_000) + 0.5) / 20_000  # u, evenly over [0, 1)


def test_low_discrepancy_puts_one_number_into_each_part_of_the_unit_interval():
    count = 64
    first, position = torch.full((count,), 0.777), torch.arange(count).flip(0)
    u = levels.low_discrepancy(first, position, count)
    assert ((u >= 0) & (u < 1)).all()
    assert (u * count).long().sort().values.tolist() == list(range(count))
    gaps = u.sort().values.diff()
    torch.testing.assert_close(gaps, torch.full((count - 1,), 1 / count))


def test_low_discrepancy_is_the_same_for_a_row_in_any_micro_batch():
    first, position = torch.full((8,), 0.3), torch.arange(8)
    whole = levels.low_discrepancy(first, position, 8)
    parts = [levels.low_discrepancy(first[i : i + 2], position[i : i + 2], 8) for i in (0, 2, 4, 6)]
    assert torch.equal(whole, torch.cat(parts))


def test_low_discrepancy_of_a_uniform_start_is_uniform():
    first = torch.rand(5000, generator=torch.Generator().manual_seed(0))
    assert kstest(levels.low_discrepancy(first, torch.tensor(5), 8), "uniform").pvalue > 0.01


def test_every_timestep_is_drawn_by_an_equal_share_of_u():
    bars = schedules.alpha_bars(schedules.betas("linear", 10))
    level = levels.timestep_level(bars, (torch.arange(1000) + 0.5) / 1000)
    assert level.time.bincount().tolist() == [100] * 10
    assert levels.timestep_level(bars, torch.tensor([0.0, 1 - 2**-24])).time.tolist() == [0, 9]


def test_a_timesteps_level_keeps_variance_and_is_that_of_its_schedule():
    bars = schedules.alpha_bars(schedules.betas("cosine", 10))
    level = levels.timestep_level(bars, torch.arange(10) / 10 + 0.05)
    assert level.alpha.shape == level.sigma.shape == (10, 1, 1, 1)
    total = level.alpha.square() + level.sigma.square()
    torch.testing.assert_close(total, torch.ones(10, 1, 1, 1))
    torch.testing.assert_close(level.alpha.flatten().square(), bars.float())
    torch.testing.assert_close(level.snr.flatten(), (bars / (1 - bars)).float())


def test_log_normal_draws_have_the_mean_and_the_spread_asked_for():
    level = levels.log_normal_level(MANY, -1.2, 1.5, 0.4)
    log_sigma = level.sigma.flatten().log()
    assert log_sigma.mean().item() == pytest.approx(-1.2, abs=1e-4)
    assert log_sigma.std().item() == pytest.approx(1.5, abs=1e-3)
    assert kstest((log_sigma + 1.2) / 1.5, "norm").statistic < 1e-3
    assert (level.alpha == 1).all()
    assert level.data_std == 0.4
    torch.testing.assert_close(level.time, log_sigma / 4)


def test_a_flows_levels_are_uniform_on_the_straight_line():
    level = levels.flow_level(MANY)
    torch.testing.assert_close(level.alpha + level.sigma, torch.ones(len(MANY), 1, 1, 1))
    torch.testing.assert_close(level.sigma.flatten(), MANY)
    torch.testing.assert_close(level.time, 1000 * MANY)
    assert levels.flow_level(torch.zeros(1)).sigma.item() > 0


def test_logit_normal_draws_have_the_mean_and_the_spread_asked_for():
    u = levels.logit_normal(MANY, 0.5, 0.8)
    assert u.logit().mean().item() == pytest.approx(0.5, abs=1e-4)
    assert u.logit().std().item() == pytest.approx(0.8, abs=1e-3)
    assert kstest((u.logit() - 0.5) / 0.8, "norm").statistic < 1e-3


def test_the_ends_of_u_give_finite_levels():
    ends = torch.tensor([0.0, 1 - 2**-24])
    bars = schedules.alpha_bars(schedules.betas("cosine", 10))
    for level in (
        levels.log_normal_level(ends, -1.2, 1.2, 0.5),
        levels.flow_level(levels.logit_normal(ends, 0.0, 1.0)),
        levels.flow_level(ends),
        levels.timestep_level(bars, levels.logit_normal(ends, 0.0, 1.0)),
    ):
        assert all(math.isfinite(x) and x > 0 for x in level.sigma.flatten().tolist())
        assert level.time.isfinite().all()


def test_a_shift_leads_to_more_noise_and_keeps_the_ends():
    u = torch.tensor([0.0, 0.25, 0.5, 1.0])
    shifted = levels.flow_level(u, shift=3.0).sigma.flatten()
    torch.testing.assert_close(shifted, torch.tensor([1e-6, 0.5, 0.75, 1.0]))
    assert torch.equal(levels.flow_level(u, 1.0).sigma, levels.flow_level(u).sigma)
