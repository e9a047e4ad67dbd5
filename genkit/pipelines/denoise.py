"""The way out of the noise, by any model: the loop of a scheduler, and guidance of its steps.

A loop is told what a network says of x, never which network: `predict(x, time, done)`. So pictures
and latents, guided or not, are denoised by the same two functions.

Legend: B batch, C channels, x (B, C, H, W) a noisy picture or latent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from genkit import random
from genkit.pipelines import schedulers, stepping
from genkit.pipelines.walks import slerp

# x as the scheduler shows it, its time, and the share of the steps done -> the output in fp32.
Predict = Callable[[Tensor, Tensor, float], Tensor]
# What a network is told: (B, ...), or several such parts.
Condition = Tensor | tuple[Tensor, ...]
Network = Callable[[Tensor, Tensor, Any], Tensor]  # x, time, condition -> the output
# What the network is shown, its output, the x of the scheduler and the time of a step.
Watch = Callable[[Tensor, Tensor, Tensor, Tensor], None]


@dataclass(frozen=True)
class Begin:
    """Pictures or latents to begin from, and where to keep them.

    Attributes:
        images: (B, C, H, W), what there is, in the range that the network was trained on.
        strength: In (0, 1]: the share of the steps that are taken; 1 begins at pure noise.
        mask: (B, 1, H, W) in {0, 1}, 1 = make anew; None = everywhere.
    """

    images: Tensor
    strength: float
    mask: Tensor | None = None

    def on(self, device: torch.device) -> Begin:
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return replace(self, images=self.images.to(device), mask=mask)

    def first_step(self, steps: int) -> int:
        """Of so many, that at which it begins; at least one is left to take."""
        return steps - max(1, round(steps * self.strength))

    def restore(self, x: Tensor, scheduler: Any, eps: Tensor, time: Tensor) -> Tensor:
        """x with what the mask keeps put back, at the noise of the next step."""
        if self.mask is None:
            return x
        known = schedulers.add_noise(scheduler, self.images, eps, time)
        return torch.where(self.mask > 0, x, known)


@dataclass
class Noise:
    """What images begin with: x (B, C, H, W) ~ N(0, 1), and each image's generator for the rest."""

    x: Tensor
    generators: list[torch.Generator]


def gaussian(indices: Sequence[int], seed: int, shape: Sequence[int]) -> Noise:
    """The noise of images by index, each (C, H, W); schedulers that add more draw on from it."""
    generators = [random.generator(seed, "latent", i) for i in indices]
    return Noise(torch.stack([torch.randn(*shape, generator=g) for g in generators]), generators)


def begun_with(drawn: Noise, given: Mapping[str, Any]) -> Noise:
    """The noise that was drawn; where some is given that, with the generators of the drawn one."""
    return replace(drawn, x=given["noise"]) if "noise" in given else drawn


def gaussian_between(first: int, second: int, t: Tensor, seed: int, shape: Sequence[int]) -> Noise:
    """Noise at t (N,) on the arc from that of image `first` to that of image `second`."""
    ends = gaussian([first, second], seed, shape).x.flatten(1)
    x = slerp(ends[:1], ends[1:], t.unsqueeze(1)).unflatten(1, tuple(shape))
    # Noise on the way, where the scheduler adds some, is that of the first image for all.
    return Noise(x, [gaussian([first], seed, shape).generators[0] for _ in t])


def denoise(
    scheduler: Any,
    predict: Predict,
    eps: Tensor,
    generators: Sequence[torch.Generator],
    *,
    steps: int,
    eta: float | None = None,
    begin: Begin | None = None,
    watch: Watch | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """What a scheduler makes of noise: (B, C, H, W), on the device of `eps`, not clipped.

    With `begin` a part of the way is gone, from pictures under noise: Meng et al. 2022
    (arXiv:2108.01073), section 3. What its mask leaves out is put back at the noise of every step:
    Lugmayr et al. 2022 (arXiv:2201.09865), eq. 8, without resampling, and under the image's first
    noise at every step where eq. 8a draws fresh noise: the number of draws stays that of an image
    without a mask, and what is kept stays itself from step to step.

    Args:
        scheduler: Made for this call, see `schedulers.make`; it is used up.
        predict: The network, guided or not: what it says of B pictures.
        eps: (B, C, H, W) ~ N(0, 1).
        generators: One for each picture, for the noise that some schedulers add on the way.
        steps: Of the scheduler.
        eta: Of schedulers that take it: 0 no noise, 1 as much as DDPM's; None = not given.
        begin: Pictures to begin from; None = pure noise.
        watch: Called before each step.
        on_step: Called as on_step(done, steps) after each evaluation of the network.
    """
    first = 0 if begin is None else begin.first_step(steps)
    schedulers.set_steps(scheduler, steps, eps.device, begin=first)
    times, order = scheduler.timesteps, getattr(scheduler, "order", 1)
    start = first * order
    x = eps * getattr(scheduler, "init_noise_sigma", 1.0)
    if begin is not None:
        begin = begin.on(eps.device)
        if begin.strength < 1:
            x = schedulers.add_noise(scheduler, begin.images, eps, times[start])
    extra = stepping.step_arguments(scheduler, eta, generators)
    for i in range(start, len(times)):
        seen = stepping.network_input(scheduler, x, times[i])
        output = predict(seen, times[i], i / len(times))
        if watch is not None:
            watch(seen, output, x, times[i])
        x = stepping.step(scheduler, output, times[i], x, **extra)
        if begin is not None and (i + 1) % order == 0 and i + 1 < len(times):
            x = begin.restore(x, scheduler, eps, times[i + 1])
        if on_step is not None:
            on_step(i + 1 - start, len(times) - start)
    if begin is not None and begin.mask is not None:
        x = torch.where(begin.mask > 0, x, begin.images)
    return x


def invert(
    scheduler: Any,
    predict: Predict,
    x: Tensor,
    *,
    steps: int,
    on_step: Callable[[int, int], None] | None = None,
) -> Tensor:
    """The noise (B, C, H, W) of which `denoise` makes x again, nearly.

    The scheduler's steps backwards: Song et al. 2021 (arXiv:2010.02502), section 4.3, where the ODE
    of eq. 14 leads from x_0 to x_T; of a flow those of Euler's method.

    A step back would need the network's answer to an x that is not known yet. It is asked at the
    time of the step, as in sampling, of the x that is known: so never at times that it was not
    trained on, and what comes back differs by what the answer changes within a step. Song et al.
    ask at the time of the known x.

    Args:
        scheduler: Made for this call, "ddim" or "flow_euler" of `schedulers.make`; it is used up.
        predict: The network, as `denoise` takes it.
        x: (B, C, H, W), pictures or latents.
        steps: Of the scheduler.
        on_step: Called as on_step(done, steps) after each evaluation of the network.
    """
    schedulers.set_steps(scheduler, steps, x.device)
    times = scheduler.timesteps
    for i in reversed(range(len(times))):
        x = stepping.step_back(scheduler, predict(x, times[i], i / len(times)), i, x)
        if on_step is not None:
            on_step(len(times) - i, len(times))
    return x


def guided(
    network: Network,
    given: Condition,
    without: Condition,
    *,
    scale: float,
    interval: tuple[float, float] = (0.0, 1.0),
    rescale: float = 0.0,
) -> Predict:
    """A prediction that is guided by its condition; where that changes nothing, at half the cost.

    Args:
        network: What is asked, with the condition and without it, both in one batch.
        given: Conditions: labels, embeddings.
        without: What stands for no condition, as `given`.
        scale: 1 = the condition alone, 0 = without it.
        interval: The part of the steps in which `scale` holds, from 0 (pure noise) to 1.
        rescale: See `mixed`.
    """
    low, high = interval

    def predict(x: Tensor, time: Tensor, done: float) -> Tensor:
        now = scale if low <= done < high else 1.0
        if now == 1:
            return network(x, time, given)
        if now == 0 and not rescale:
            return network(x, time, without)
        both = network(torch.cat([x, x]), time, _joined(given, without))
        return mixed(both[: len(x)], both[len(x) :], now, rescale, channels=x.shape[1])

    return predict


def _joined(given: Condition, without: Condition) -> Condition:
    if isinstance(given, Tensor):
        assert isinstance(without, Tensor)
        return torch.cat([given, without])
    return tuple(torch.cat(parts) for parts in zip(given, without, strict=True))


def mixed(given: Tensor, without: Tensor, scale: float, rescale: float, *, channels: int) -> Tensor:
    """Outputs guided by their condition; channels beyond the first C (variances) stay `given`'s.

    Ho & Salimans 2022 (arXiv:2207.12598), eq. 6 with scale = 1 + w; rescaled as Lin et al. 2024
    (arXiv:2305.08891), eqs. 14-16, where `rescale` is phi.
    """
    pos, neg = given[:, :channels], without[:, :channels]
    out = neg + scale * (pos - neg)
    if rescale:
        spread = (pos.flatten(1).std(1) / out.flatten(1).std(1))[:, None, None, None]
        out = rescale * spread * out + (1 - rescale) * out
    return torch.cat([out, given[:, channels:]], dim=1)
