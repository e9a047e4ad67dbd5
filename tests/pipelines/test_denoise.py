"""The loop of a scheduler and guidance as free functions: any model, pictures and latents."""

from __future__ import annotations

import pytest
import torch

from genkit.noise.process import NoiseProcess
from genkit.pipelines import schedulers
from genkit.pipelines.denoise import Begin, denoise, gaussian, gaussian_between, guided

SHAPE = (4, 3, 5)  # of a latent that is no picture: four channels, not square


def scheduler(name: str = "flow_euler"):
    kind = schedulers.SOLVERS[name].kind
    process = NoiseProcess(prediction="sample" if kind == "timesteps" else kind)
    return schedulers.make(name, process.scheduler(), {})


def test_a_loop_takes_any_function_for_a_network_and_any_shape():
    # A flow whose velocity is (x - c) / t leads straight to c.
    goal = torch.linspace(-2, 2, 60).reshape(1, *SHAPE)
    noise = gaussian([3, 1], 0, SHAPE)

    def predict(x: torch.Tensor, time: torch.Tensor, done: float) -> torch.Tensor:
        return (x - goal) / (time / 1000)

    made = denoise(scheduler(), predict, noise.x, noise.generators, steps=8)
    torch.testing.assert_close(made, goal.expand(2, *SHAPE), atol=1e-4, rtol=0)


def test_it_tells_of_each_evaluation_and_how_much_is_done():
    noise, told, shares = gaussian([0], 0, SHAPE), [], []

    def predict(x: torch.Tensor, time: torch.Tensor, done: float) -> torch.Tensor:
        shares.append(done)
        return torch.zeros_like(x)

    denoise(
        *(scheduler("flow_heun"), predict, noise.x, noise.generators),
        steps=3,
        on_step=lambda done, steps: told.append((done, steps)),
    )
    assert told == [(i + 1, 5) for i in range(5)]
    assert shares == pytest.approx([i / 5 for i in range(5)])


def test_what_a_mask_keeps_is_kept_in_latents_too():
    known = torch.linspace(-1, 1, 60).reshape(1, *SHAPE)
    mask = torch.zeros(1, 1, 3, 5)
    mask[..., 2:] = 1
    noise = gaussian([0], 0, SHAPE)
    made = denoise(
        *(scheduler("ddim"), lambda x, time, done: torch.zeros_like(x)),
        *(noise.x, noise.generators),
        steps=4,
        eta=0.0,
        begin=Begin(known, 1.0, mask),
    )
    assert torch.equal(made[..., :2], known[..., :2])
    torch.testing.assert_close(made[..., 2:], torch.zeros(1, 4, 3, 3))


def test_noise_of_an_index_does_not_depend_on_the_others():
    together = gaussian([5, 2, 9], 1, SHAPE)
    assert torch.equal(gaussian([2], 1, SHAPE).x[0], together.x[1])
    ends = gaussian_between(5, 9, torch.tensor([0.0, 1.0]), 1, SHAPE).x
    torch.testing.assert_close(ends, together.x[[0, 2]])


def test_guidance_takes_any_condition_and_asks_once_where_it_says_nothing():
    asked: list[int] = []

    def network(x: torch.Tensor, time: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        return words.mean((1, 2))[:, None, None, None].expand_as(x)

    x, time = torch.zeros(2, *SHAPE), torch.tensor(1.0)
    given, none = torch.full((2, 7, 3), 0.5), torch.full((2, 7, 3), 0.25)
    for scale, expected, batch in ((3.0, 1.0, 4), (1.0, 0.5, 2), (0.0, 0.25, 2)):
        made = guided(network, given, none, scale=scale)(x, time, 0.5)
        torch.testing.assert_close(made, torch.full_like(x, expected))
        assert asked.pop() == batch
    late = guided(network, given, none, scale=3.0, interval=(0.6, 1.0))
    torch.testing.assert_close(late(x, time, 0.5), torch.full_like(x, 0.5))
