"""Conditional GAN: the label goes into both networks.

Mirza & Osindero 2014 (arXiv:1411.1784). `model.kind: conv` is their idea on DCGAN's networks
(Radford et al. 2016, arXiv:1511.06434): the label's embedding is joined to the noise, and one
channel per class to the image that the critic sees.

Deviations: convolutions instead of the paper's MNIST perceptrons, Adam instead of SGD with
momentum, normal instead of uniform noise, no dropout by default; exports hold the averaged
generator.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import random
from genkit.config import AdversarialOptimConfig, Positive, RunConfig, Section
from genkit.data.batch import Batch
from genkit.family import Family
from genkit.losses import adversarial
from genkit.nn.critics import DCGANCritic, critic_norm_problem
from genkit.nn.generators import DCGANGenerator, image_size_problem
from genkit.pipelines.noise import NoiseToImage
from genkit.training.fakes import Fakes
from genkit.training.optimizers import adam
from genkit.training.trainer import Metrics, Trainer


class ModelConfig(Section):
    """The two networks and the critic's penalty."""

    kind: Literal["conv"] = "conv"
    latent_dim: Positive = 100
    embed_dim: Positive = 50  # of the label, joined to the noise
    width: Positive = 64  # channels next to the image; doubles with each level away from it
    critic_norm: Literal["batch", "none"] | None = None  # None = batch, but none at 28 px
    critic_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    r1_weight: Annotated[float, Field(ge=0)] = 0.0  # gamma of R1; 0 = no penalty
    r1_every: Positive = 1  # steps between penalties, each then weighted by as much


class Config(RunConfig):
    """A conditional GAN run."""

    model: ModelConfig = ModelConfig()
    optim: AdversarialOptimConfig = AdversarialOptimConfig()

    @model_validator(mode="after")
    def _networks_fit(self) -> Config:
        size, model = self.data.image_size, self.model
        if model.r1_every > 1 and model.r1_weight == 0:
            raise ValueError("model.r1_every needs model.r1_weight: there is no penalty to space")
        if self.data.batch_size == 1:
            raise ValueError("data.batch_size=1: batch norm needs 2 or more images")
        problem = image_size_problem(size) or critic_norm_problem(
            size, model.critic_norm, penalty=model.r1_weight > 0
        )
        if problem:
            raise ValueError(problem)
        return self


class CGANTrainer(Trainer[Config]):
    """Alternating updates: one critic step, then one generator step, on the labels of the batch."""

    channels_last = True

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Generator and critic, each with its Adam."""
        m, data = self.config.model, self.data
        networks: dict[str, nn.Module] = {
            "generator": DCGANGenerator(
                m.latent_dim,
                data.channels,
                data.image_size,
                m.width,
                num_classes=data.num_classes,
                embed_dim=m.embed_dim,
            ),
            "critic": DCGANCritic(
                data.channels,
                data.image_size,
                m.width,
                num_classes=data.num_classes,
                norm=m.critic_norm,
                dropout=m.critic_dropout,
            ),
        }
        return networks, {name: adam(net, self.config.optim) for name, net in networks.items()}

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """The critic's update, then the generator's on the same noise and labels."""
        self.fakes = Fakes(self.generate, keep=len(micro_batches) == 1)
        critic = self.phase("critic", micro_batches, self.critic_loss)
        with self.frozen("critic"):
            generator = self.phase("generator", micro_batches, self.generator_loss)
        return {"loss/critic": critic, "loss/generator": generator}

    def generate(self, batch: Batch) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] from this step's noise and the batch's labels."""
        z = self.noise("latent", batch, (self.config.model.latent_dim,))
        images: Tensor = self.networks["generator"](z, batch["label"])
        return images

    def critic_loss(self, batch: Batch) -> Tensor:
        """Eq. 2 of the paper for the critic, with gamma R1 where one is set.

        Every so many steps only, as in Karras et al. 2020 (arXiv:1912.04958), appendix B.
        """
        critic, real, label = self.networks["critic"], batch["image"], batch["label"]
        gamma, every = self.config.model.r1_weight, self.config.model.r1_every
        fake = self.fakes.detached(batch)
        loss = adversarial.critic_loss(critic(real, label), critic(fake, label))
        if gamma == 0 or self.steps_done % every:
            return loss
        with self.full_precision():
            real = real.detach().requires_grad_(True)
            return loss + gamma * every * adversarial.r1_penalty(critic(real, label), real)

    def generator_loss(self, batch: Batch) -> Tensor:
        """The non-saturating form of eq. 2 on the critic as it now is."""
        critic = self.bare_networks["critic"]
        return adversarial.generator_loss(critic(self.fakes.attached(batch), batch["label"]))

    def preview(self) -> Tensor:
        """Images of the averaged generator for the run's seed: one row per class."""
        classes, trainer = self.data.num_classes or 1, self.config.trainer
        self.preview_columns = max(1, trainer.preview_count // classes)
        label = torch.arange(classes).repeat_interleave(self.preview_columns)
        latent_dim = self.config.model.latent_dim
        z = random.rows(trainer.seed, "latent", range(len(label)), (latent_dim,))
        generator = self.averaged_network("generator")
        images: Tensor = generator(z.to(self.device), label.to(self.device))
        return images

    def pipeline(self) -> NoiseToImage:
        """Noise and label to image by the averaged generator."""
        return NoiseToImage(
            generator=self.averaged_network("generator"),
            latent_dim=self.config.model.latent_dim,
            image_size=self.data.image_size,
            channels=self.data.channels,
            num_classes=self.data.num_classes,
            class_names=list(self.data.class_names or ()) or None,
        )


TINY: dict[str, Any] = {
    "family": "cgan",
    "data": {
        "kind": "synthetic",
        "image_size": 32,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "model": {"latent_dim": 8, "width": 4, "embed_dim": 4},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 10,
    },
}

FAMILY = Family(config=Config, trainer=CGANTrainer, needs=frozenset({"image", "label"}), tiny=TINY)
