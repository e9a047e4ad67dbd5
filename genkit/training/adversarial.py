"""Adversarial training: one generator against one critic, under any objective and regulariser.

One optimizer step is `critic_steps` updates of the critic, each on a batch of its own, then one
update of the generator on the last of them. The critic's side is `genkit/training/adversary.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from genkit.config import Fraction, NonNegative, Positive
from genkit.nn.critics import Verdict
from genkit.rows.batch import Batch
from genkit.training.adversary import Adversary, AdversaryConfig
from genkit.training.config import OptimConfig, RunConfig
from genkit.training.fakes import Fakes
from genkit.training.optimizers import adam
from genkit.training.trainer import Metrics, Trainer


class AdversarialConfig(AdversaryConfig):
    """The objective, what keeps the critic in check, and how often it is updated."""

    critic_steps: Positive = 1  # updates of the critic, each on its own batch, per generator update


class AdversarialOptimConfig(OptimConfig):
    """The optimizers of both networks.

    Adam's momentum is 0.5, not 0.9, with which the two networks overshoot each other: Radford et
    al. 2016 (arXiv:1511.06434), section 4. A rate of its own for the critic: Heusel et al. 2017
    (arXiv:1706.08500).
    """

    kind: Literal["adam", "rmsprop", "sgd"] = "adam"
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)
    critic_lr: Annotated[float, Field(gt=0)] = 2e-4  # as lr unless given
    momentum: tuple[Fraction, Fraction] = (0.0, 0.0)  # sgd: at the start, and after momentum_steps
    momentum_steps: NonNegative = 0  # sgd: steps of the linear change between the two

    @model_validator(mode="after")
    def _critic_learns_alike(self) -> AdversarialOptimConfig:
        if not self.was_given("critic_lr"):
            self.settle(critic_lr=self.lr)
        return self

    @model_validator(mode="after")
    def _momentum_fits(self) -> AdversarialOptimConfig:
        if self.kind != "sgd" and (self.momentum != (0, 0) or self.momentum_steps):
            raise ValueError(
                f"momentum says nothing to kind={self.kind}; leave it out, or set kind=sgd"
            )
        if self.kind != "adam" and self.betas != (0.5, 0.999):
            raise ValueError(
                f"betas say nothing to kind={self.kind}; leave them out, or set kind=adam"
            )
        if self.kind == "rmsprop" and self.weight_decay:
            raise ValueError("weight_decay says nothing to kind=rmsprop; leave it out")
        return self

    def make(self, network: nn.Module, lr: float) -> Optimizer:
        """The optimizer of one network at a learning rate."""
        match self.kind:
            case "adam":
                return adam(network, self, lr)
            case "rmsprop":
                return torch.optim.RMSprop(network.parameters(), lr)
            case "sgd":
                momentum, decay = self.momentum[0], self.weight_decay
                return torch.optim.SGD(network.parameters(), lr, momentum, weight_decay=decay)

    def set_momentum(self, optimizers: Iterable[Optimizer], step: int) -> None:
        """Give the optimizers the momentum of a step; only sgd has one that changes."""
        if self.kind == "sgd":
            start, end = self.momentum
            done = min(1.0, step / max(1, self.momentum_steps))
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["momentum"] = start + (end - start) * done


class AdversarialRunConfig(RunConfig):
    """A run of a family with one generator and one critic."""

    adversarial: AdversarialConfig = AdversarialConfig()
    optim: AdversarialOptimConfig = AdversarialOptimConfig()

    @property
    def batches_per_step(self) -> int:
        """Micro-batches that one step takes: each update of the critic has its own."""
        return super().batches_per_step * self.adversarial.critic_steps

    @property
    def batches_in_words(self) -> str:
        """What `batches_per_step` is the product of."""
        return (
            f"{super().batches_in_words} x adversarial.critic_steps={self.adversarial.critic_steps}"
        )


A = TypeVar("A", bound=AdversarialRunConfig)


class AdversarialTrainer(Trainer[A]):
    """Alternating updates of "critic" and "generator".

    A family writes `build`, `generate`, `judge`, `preview` and `pipeline`.
    """

    channels_last = True

    @abstractmethod
    def generate(self, batch: Batch) -> Tensor:
        """Images (B, C, S, S) in [-1, 1] from this step's noise for the rows of a batch."""

    @abstractmethod
    def judge(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """The critic's verdict on real or generated images (B, C, S, S) in [-1, 1]."""

    def class_loss(self, verdict: Verdict, batch: Batch) -> Tensor | float:
        """What a critic that also names classes adds, for real and generated images alike."""
        return 0.0

    def opponents(
        self, generator: nn.Module, critic: nn.Module
    ) -> tuple[dict[str, nn.Module], dict[str, Optimizer]]:
        """Both networks as the config constrains them, each with its optimizer; for `build`."""
        optim = self.config.optim
        self.adversary = Adversary(self, self.config.adversarial)
        critic = self.adversary.constrain(critic)
        return {"generator": generator, "critic": critic}, {
            "generator": optim.make(generator, optim.lr),
            "critic": optim.make(critic, optim.critic_lr),
        }

    def draw_latent(self, batch: Batch, size: int, kind: Literal["normal", "uniform"]) -> Tensor:
        """Latents (B, size) of this step: N(0, 1), or U(-1, 1)."""
        z = self.noise("latent", batch, (size,), kind=kind)
        return z if kind == "normal" else 2 * z - 1

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """The critic's updates, then the generator's on the noise of the last of them."""
        self.config.optim.set_momentum(self.optimizers.values(), self.steps_done)
        size = max(1, len(micro_batches) // self.config.adversarial.critic_steps)
        groups = [micro_batches[i : i + size] for i in range(0, len(micro_batches), size)]
        losses = []
        for group in groups:
            # Only the generator's update needs the graph of its images.
            self.fakes = Fakes(self.generate, keep=size == 1 and group is groups[-1])
            losses.append(self.adversary.phase(group, self.critic_loss))
        with self.lend("critic"):
            generator = self.phase("generator", groups[-1], self.generator_loss)
        loss = {"loss/critic": torch.stack(losses).mean(), "loss/generator": generator}
        return loss | self.adversary.numbers()

    def critic_loss(self, batch: Batch) -> Tensor:
        """What the critic minimises on a micro-batch: a scalar."""
        fake = self.fakes.detached(batch)
        judged = self.adversary.critic_loss(batch, batch["image"], fake, self.judge)
        losses = [self.class_loss(verdict, batch) for verdict in (judged.real, judged.fake)]
        return judged.loss + losses[0] + losses[1]

    def generator_loss(self, batch: Batch) -> Tensor:
        """What the generator minimises on a micro-batch: a scalar."""
        fake, real = self.fakes.attached(batch), batch["image"]
        loss, verdict = self.adversary.generator_loss(batch, fake, real, self.judge)
        return loss + self.class_loss(verdict, batch)
