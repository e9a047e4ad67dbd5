"""Gaussian data x_0 ~ N(m, s^2) per pixel, for which a denoiser and its flow are known exactly."""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config

from genkit.noise.predictions import target
from genkit.noise.process import NoiseProcess
from genkit.pipelines import schedulers
from genkit.pipelines.denoising import Denoising

MEAN, STD, SIDE = 0.1, 0.25, 8


class ExactDenoiser(ModelMixin, ConfigMixin):
    """The best output there is, E[target | x], as a network of one idle weight.

    For x = alpha x_0 + sigma eps: E[x_0 | x] = m + k (x - alpha m), where k is
    alpha s^2 / (alpha^2 s^2 + sigma^2); E[eps | x] follows, and targets are linear in both.
    """

    @register_to_config
    def __init__(self, sample_size=SIDE, in_channels=1, out_channels=1, num_class_embeds=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.exported = None  # the scheduler that says which process it is
        self.calls = 0

    def forward(self, x, time, class_labels=None, return_dict=False):
        self.calls += 1
        prediction = schedulers.prediction_of(self.exported)
        level = schedulers.level_at(self.exported, time)
        alpha, sigma = level.alpha.double(), level.sigma.double()
        x = x.double()
        if prediction == "edm":
            x = x * (sigma**2 + level.data_std**2).sqrt()
        gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
        x0 = MEAN + gain * (x - alpha * MEAN)
        eps = (x - alpha * x0) / sigma
        return (target(prediction, x0, eps, level).to(x.dtype),)


def exact_pipeline(process: NoiseProcess, side=SIDE) -> Denoising:
    denoiser = ExactDenoiser(sample_size=side)
    denoiser.exported = process.scheduler()
    return Denoising(scheduler=denoiser.exported, unet=denoiser)


def exact_images(pipeline, eps, sampling):
    """Where the probability flow of Song et al. 2021 (2011.13456, eq. 13) carries this noise.

    It keeps every pixel's distance from the mean, in standard deviations of x's distribution.
    """
    scheduler = schedulers.make(sampling.scheduler, pipeline.scheduler, sampling.options or {})
    schedulers.set_steps(scheduler, sampling.steps, torch.device("cpu"))
    time = scheduler.timesteps[0]
    x = eps * getattr(scheduler, "init_noise_sigma", 1.0)
    if schedulers.kind_of(pipeline.scheduler) == "timesteps":
        x = scheduler.scale_model_input(x, time)
    level = schedulers.level_at(pipeline.scheduler, time.reshape(1))
    alpha, sigma = level.alpha.double(), level.sigma.double()
    spread = (alpha**2 * STD**2 + sigma**2).sqrt()
    return MEAN + STD * (x.double() - alpha * MEAN) / spread
