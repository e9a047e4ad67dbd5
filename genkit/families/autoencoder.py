"""Autoencoder: pictures to small latents and back, what latent diffusion is trained on.

Rombach et al. 2022 (arXiv:2112.10752), section 3.1 and appendix G, as their code has it: diffusers'
`AutoencoderKL` under L1 and LPIPS, a light pull of the latents towards a normal distribution and,
from `losses.critic_start` on, a critic of patches whose weight is set so that its pull at the last
layer is as strong as the reconstruction's. All of it is summed over a picture.

What differs: the critic is updated before the autoencoder, on the same reconstructions; its
weight is that of the step before, measured over all micro-batches and processes, so that it is one
number; exports hold the averaged weights, with latents of mean 0 and deviation 1 in each channel,
measured on 1,024 training pictures.
Where LPIPS's network is not at hand, `losses.perceptual: edges` compares differences of neighbours.

Legend: B batch, C channels, Z latent channels, h w size of a latent.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from itertools import islice
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines
from genkit.config import Fraction, NonNegative, Positive, Section
from genkit.family import Family
from genkit.losses import autoencoding
from genkit.losses.adversarial import Objective
from genkit.nn.autoencoders import factor, make_autoencoder, normalised
from genkit.nn.critics import Verdict
from genkit.nn.pretrained import lpips
from genkit.nn.translation_layers import Norm
from genkit.nn.translators import PatchCritic, smallest_side
from genkit.rows.batch import Batch
from genkit.training.adversary import Adversary, AdversaryConfig
from genkit.training.config import OptimConfig, RunConfig
from genkit.training.optimizers import adam
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer

log = logging.getLogger("genkit")

Weight = Annotated[float, Field(ge=0)]
MEAN, DEVIATION, BALANCE = "latent_mean", "latent_deviation", "balance"  # what a run remembers
MEASURED = 1_024  # pictures by which the latents are normalised


class ModelConfig(Section):
    """The autoencoder and its critic."""

    widths: tuple[Positive, ...] = (64, 128, 128)  # of each level; between two the sides are halved
    layers: Positive = 1  # residual blocks of a level
    latent: Positive = 4  # Z
    attention: bool = True  # in the middle
    groups: Positive = 32  # of the group norms
    critic_width: Positive = 64  # channels of its first layer
    critic_layers: Annotated[int, Field(ge=0, le=5)] = 3  # patches of 1, 16, 34, 70, 142, 286 px
    critic_norm: Norm = "batch"

    @model_validator(mode="after")
    def _groups_fit(self) -> ModelConfig:
        for width in self.widths:
            if width % self.groups:
                raise ValueError(
                    f"widths={list(self.widths)}: {width} is no multiple of groups={self.groups}; "
                    "give multiples, or fewer groups"
                )
        return self


class LossConfig(Section):
    """What counts how much, beside the absolute error of each pixel, which counts 1."""

    perceptual: Literal["lpips", "edges", "none"] = "lpips"  # lpips: VGG-16, fetched once
    perceptual_weight: Weight = 1.0
    kl_weight: Weight = 1e-6  # of the divergence of the latents from N(0, 1)
    critic_weight: Weight = 0.5  # beside the measured one; 0 = no critic
    critic_start: NonNegative = 50_001  # steps before the critic begins


class HingeConfig(AdversaryConfig):
    """The critic's objective, and what keeps it in check."""

    objective: Objective = "hinge"  # see docs/objectives.md


class Optim(OptimConfig):
    """Adam for both networks."""

    betas: tuple[Fraction, Fraction] = (0.5, 0.9)


class Config(RunConfig):
    """A run of an autoencoder."""

    data_kind: ClassVar[str] = "scenes"

    model: ModelConfig = ModelConfig()
    losses: LossConfig = LossConfig()
    adversary: HingeConfig = HingeConfig()
    optim: Optim = Optim()

    @model_validator(mode="after")
    def _pictures_fit(self) -> Config:
        sides, halved = self.data.size, 2 ** (len(self.model.widths) - 1)
        if any(side % halved for side in sides):
            raise ValueError(
                f"data.image_size: {sides[0]} x {sides[1]} px can't be halved "
                f"{len(self.model.widths) - 1} times (model.widths); give multiples of {halved}"
            )
        least = lpips.SMALLEST["vgg"]
        if self.losses.perceptual == "lpips" and min(sides) < least:
            raise ValueError(
                f"losses.perceptual=lpips needs pictures of {least} px or more; set "
                "losses.perceptual=edges"
            )
        least = smallest_side(self.model.critic_layers)
        if self.has_critic and min(sides) < least:
            raise ValueError(
                f"model.critic_layers={self.model.critic_layers} needs pictures of {least} px or "
                "more; lower it, or set losses.critic_weight=0"
            )
        return self

    @property
    def has_critic(self) -> bool:
        """Whether a critic takes part at any time."""
        return self.losses.critic_weight > 0 and self.losses.critic_start < self.trainer.steps


class AutoencoderTrainer(Trainer[Config]):
    """The critic's update once it has begun, then the autoencoder's, on the same pictures."""

    averaged: ClassVar[tuple[str, ...]] = ("vae",)

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The autoencoder, and critic and LPIPS's network where they are asked for."""
        config, model, channels = self.config, self.config.model, self.data.channels
        networks: dict[str, nn.Module] = {
            "vae": make_autoencoder(
                channels,
                model.widths,
                layers=model.layers,
                latent=model.latent,
                attention=model.attention,
                groups=model.groups,
                side=max(self.data.size),
            )
        }
        if config.has_critic:
            self.adversary = Adversary(self, config.adversary)
            critic = PatchCritic(
                channels, model.critic_width, model.critic_layers, model.critic_norm
            )
            networks["critic"] = self.adversary.constrain(critic)
        elif config.losses.critic_weight and self.accelerator.is_main_process:
            text = "no critic: losses.critic_start=%d lies behind the last step, %d"
            log.info(text, config.losses.critic_start, config.trainer.steps)
        trained = {name: adam(network, config.optim) for name, network in networks.items()}
        if config.losses.perceptual == "lpips":
            networks["lpips"] = lpips.load("vgg").network
        self.memory[MEAN] = torch.zeros(model.latent)
        self.memory[DEVIATION] = torch.ones(model.latent)
        self.memory[BALANCE] = torch.zeros(())
        return networks, trained

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update of each network."""
        # A rehearsal counts the critic from the start: memory has to do for it as well.
        begun = self.rehearsing or self.steps_done >= self.config.losses.critic_start
        self.judges = self.config.has_critic and begun
        self.kept: dict[int, tuple[Tensor, ...]] = {}
        self.keeps = len(micro_batches) == 1
        self.pulls: list[Tensor] = []  # gradients at the last layer, of each micro-batch
        self.seen: list[Tensor] = []  # parts of the loss, likewise
        metrics: Metrics = {}
        if self.judges:
            metrics["loss/critic"] = self.adversary.phase(micro_batches, self.critic_loss)
        with self.lend(*(["critic"] if self.judges else [])):
            metrics["loss/vae"] = self.phase("vae", micro_batches, self.loss)
        if self.judges:
            self.memory[BALANCE] = autoencoding.balance(*self._of_all(self.pulls))
        names = ("pixels", "perceptual", "kl", "latent-mean", "latent-deviation")
        parts = dict(zip(names, torch.stack(self.seen).mean(0), strict=True))
        metrics |= {f"autoencoder/{name}": value for name, value in parts.items()}
        return metrics | (self.adversary.numbers() if self.judges else {})

    def train_step(self, micro_batches: list[Batch]) -> Metrics:
        """A step; before an evaluation the averaged network's latents are measured."""
        metrics = super().train_step(micro_batches)
        every = self.config.evaluation.every
        if every is not None and self.steps_done % every == 0:
            self._measure_latents()
        return metrics

    def save(self) -> None:
        """Write a checkpoint of this step, the averaged network's latents measured."""
        self._measure_latents()
        super().save()

    @torch.no_grad()
    def _measure_latents(self) -> None:
        """Mean and deviation of each channel, over the first pictures of the run's order."""
        assert self.loader is not None
        network: Any = self.averaged_network("vae").eval()
        steps = self.loader.steps(rank=self.rank, processes=self.processes)
        pictures = min(MEASURED, self.data.count)
        count = -(-pictures // (self.config.data.batch_size * self.processes))
        found = []
        with closing(steps):
            for (batch,) in islice(steps, count):
                latents = network.encode(batch["image"]).latent_dist
                squares = latents.mean.square() + latents.var  # as they are drawn
                found.append(torch.stack([x.mean((0, 2, 3)) for x in (latents.mean, squares)]))
        mean, square = self._of_all(found)
        self.memory[MEAN] = mean
        self.memory[DEVIATION] = (square - mean.square()).clamp(min=1e-6).sqrt()

    def made(self, batch: Batch, *, again: bool) -> tuple[Tensor, ...]:
        """Reconstructions, means and log variances of a micro-batch."""
        key = int(batch["position"][0])
        if again and key in self.kept:
            return self.kept.pop(key)
        shape = self.latent_shape
        eps = self.noise("latent", batch, shape)
        found: tuple[Tensor, ...] = self.networks["vae"](batch["image"], eps)
        return found

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(Z, h, w)."""
        reduced = factor(self.bare_networks["vae"])
        height, width = self.data.size
        return self.config.model.latent, height // reduced, width // reduced

    def judge(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """The verdict on every patch."""
        verdict: Verdict = critic(images)
        return verdict

    def critic_loss(self, batch: Batch) -> Tensor:
        """The objective on pictures and their reconstructions."""
        if self.keeps:
            found = self.made(batch, again=False)
            self.kept[int(batch["position"][0])] = found
        else:
            with torch.no_grad():
                found = self.made(batch, again=False)
        return self.adversary.critic_loss(batch, batch["image"], found[0], self.judge).loss

    def loss(self, batch: Batch) -> Tensor:
        """Reconstruction, divergence and verdict: sums over a picture, means over the batch."""
        images, weights = batch["image"], self.config.losses
        made, mean, log_variance = self.made(batch, again=True)
        made, mean, log_variance = made.float(), mean.float(), log_variance.float()
        pixels = (made - images).abs()
        perceptual = self.perceptual(made, images)
        each = pixels + weights.perceptual_weight * perceptual  # the same for every pixel
        reconstruction = each.sum() / len(images)
        divergence = autoencoding.divergence(mean, log_variance).mean()
        deviation = (mean.var((0, 2, 3)) + log_variance.exp().mean((0, 2, 3))).sqrt().mean()
        seen = [pixels.mean(), perceptual.mean(), divergence, mean.mean(), deviation]
        self.seen.append(torch.stack(seen).detach())
        total = reconstruction + weights.kl_weight * divergence
        if not self.judges:
            return total
        verdict, _ = self.adversary.generator_loss(batch, made, images, self.judge)
        network: Any = self.bare_networks["vae"]
        last = network.decoder.conv_out.weight
        pulls = [
            torch.autograd.grad(x, last, retain_graph=True)[0] for x in (reconstruction, verdict)
        ]
        self.pulls.append(torch.stack([pull.float() for pull in pulls]))
        return total + weights.critic_weight * self.memory[BALANCE] * verdict

    def perceptual(self, made: Tensor, images: Tensor) -> Tensor:
        """How far reconstructions are from pictures beside single pixels: (B, 1, 1, 1)."""
        kind = self.config.losses.perceptual
        if kind == "none":
            return made.new_zeros(len(made), 1, 1, 1)
        if kind == "edges":
            return autoencoding.edges(made, images)
        found: Tensor = self.bare_networks["lpips"](
            made.expand(-1, 3, -1, -1), images.expand(-1, 3, -1, -1)
        )
        return found.float()

    def _of_all(self, values: Sequence[Tensor]) -> Tensor:
        """The mean over micro-batches and processes."""
        return self.gathered(torch.stack([*values]).mean(0)[None]).mean(0)

    # -- what comes of it --------------------------------------------------------------------------

    def preview(self) -> list[Sheet]:
        """The first pictures of the test part, each beside what comes back."""
        images = self.examples["image"]
        rows = torch.stack([images, self.pipeline().through(images)], 1).flatten(0, 1)
        return [Sheet(rows, "before and after", 8, samples=False)]

    def pipeline(self) -> pipelines.AutoencodingPipeline:
        """The averaged network, its latents normalised."""
        network = normalised(
            self.averaged_network("vae"), self.memory[MEAN], self.memory[DEVIATION]
        )
        return pipelines.AutoencodingPipeline(network.eval())


TINY: dict[str, Any] = {
    "family": "autoencoder",
    "data": {
        "kind": "glyphs",
        "image_size": 16,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "model": {
        "widths": [4, 8],
        "groups": 2,
        "latent": 2,
        "critic_width": 4,
        "critic_layers": 1,
    },
    "losses": {"perceptual": "edges", "critic_start": 0},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 8,
    },
}

FAMILY = Family(config=Config, trainer=AutoencoderTrainer, task="reconstruction", tiny=TINY)
