"""DCGAN: a deep convolutional generator against a deep convolutional critic.

Radford, Metz & Chintala 2016 (arXiv:1511.06434), in the form that became the standard: kernels of
4 instead of 5, a 4 x 4 start without the dense projection, normal noise instead of uniform; at
28 px the two-level form with kernels of 5. Layers and counts: `genkit/nn/generators.py`,
`genkit/nn/critics.py`.

Deviations: the sigmoid lies in the loss; real and generated images pass the critic apart, so that
its batch norm sees one kind at a time; an R1 penalty can be added (off by default); exports hold
the averaged generator.
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

    latent_dim: Positive = 100
    width: Positive = 64  # channels next to the image; doubles with each level away from it
    critic_norm: Literal["batch", "none"] | None = None  # None = batch, but none at 28 px
    critic_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    r1_weight: Annotated[float, Field(ge=0)] = 0.0  # gamma of R1; 0 = no penalty
    r1_every: Positive = 1  # steps between penalties, each then weighted by as much


class Config(RunConfig):
    """A DCGAN run."""

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


class DCGANTrainer(Trainer[Config]):
    """Alternating updates: one critic step, then one generator step."""

    channels_last = True

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Generator and critic, each with its Adam."""
        m, data = self.config.model, self.data
        networks: dict[str, nn.Module] = {
            "generator": DCGANGenerator(m.latent_dim, data.channels, data.image_size, m.width),
            "critic": DCGANCritic(
                data.channels,
                data.image_size,
                m.width,
                norm=m.critic_norm,
                dropout=m.critic_dropout,
            ),
        }
        return networks, {name: adam(net, self.config.optim) for name, net in networks.items()}

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """The critic's update, then the generator's on the same noise."""
        self.fakes = Fakes(self.generate, keep=len(micro_batches) == 1)
        critic = self.phase("critic", micro_batches, self.critic_loss)
        with self.frozen("critic"):
            generator = self.phase("generator", micro_batches, self.generator_loss)
        return {"loss/critic": critic, "loss/generator": generator}

    def generate(self, batch: Batch) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] from this step's noise."""
        generator = self.networks["generator"]
        images: Tensor = generator(self.noise("latent", batch, (self.config.model.latent_dim,)))
        return images

    def critic_loss(self, batch: Batch) -> Tensor:
        """Eq. 1 of Goodfellow et al. 2014 for the critic, with gamma R1 where one is set.

        Every so many steps only, as in Karras et al. 2020 (arXiv:1912.04958), appendix B.
        """
        critic, real = self.networks["critic"], batch["image"]
        gamma, every = self.config.model.r1_weight, self.config.model.r1_every
        loss = adversarial.critic_loss(critic(real), critic(self.fakes.detached(batch)))
        if gamma == 0 or self.steps_done % every:
            return loss
        with self.full_precision():
            real = real.detach().requires_grad_(True)
            return loss + gamma * every * adversarial.r1_penalty(critic(real), real)

    def generator_loss(self, batch: Batch) -> Tensor:
        """The non-saturating loss on the critic as it now is."""
        critic = self.bare_networks["critic"]
        return adversarial.generator_loss(critic(self.fakes.attached(batch)))

    def preview(self) -> Tensor:
        """Images of the averaged generator for the first latents of the run's seed."""
        count, seed = self.config.trainer.preview_count, self.config.trainer.seed
        z = random.rows(seed, "latent", range(count), (self.config.model.latent_dim,))
        images: Tensor = self.averaged_network("generator")(z.to(self.device))
        return images

    def pipeline(self) -> NoiseToImage:
        """Noise to image by the averaged generator."""
        return NoiseToImage(
            generator=self.averaged_network("generator"),
            latent_dim=self.config.model.latent_dim,
            image_size=self.data.image_size,
            channels=self.data.channels,
        )


TINY: dict[str, Any] = {
    "family": "dcgan",
    "data": {
        "kind": "synthetic",
        "image_size": 32,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "model": {"latent_dim": 8, "width": 4},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 4,
    },
}

FAMILY = Family(config=Config, trainer=DCGANTrainer, tiny=TINY)
