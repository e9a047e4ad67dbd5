"""Adversarial training: one generator against one critic, under any objective and regulariser.

One optimizer step is `critic_steps` updates of the critic, each on a batch of its own, then one
update of the generator on the last of them. The sections below are shared by every GAN family; the
formulas are in `genkit/losses/adversarial.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, TypeVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from genkit.config import Fraction, NonNegative, Positive, Section
from genkit.losses import adversarial
from genkit.losses.adversarial import Objective
from genkit.nn.critics import Verdict
from genkit.nn.diffaugment import DRAWS, Augmentation, diff_augment
from genkit.nn.spectral import spectral_normalize
from genkit.rows.batch import Batch
from genkit.training.config import OptimConfig, RunConfig
from genkit.training.fakes import Fakes
from genkit.training.optimizers import adam
from genkit.training.trainer import Metrics, Trainer

Weight = Annotated[float, Field(ge=0)]


class AdversarialConfig(Section):
    """The objective, and what keeps the critic in check."""

    objective: Objective = "non-saturating"  # see docs/objectives.md
    critic_steps: Positive = 1  # updates of the critic, each on its own batch, per generator update
    r1_weight: Weight = 0.0  # gamma of R1, the gradient at real images; 0 = no penalty
    r2_weight: Weight = 0.0  # gamma of R2, the same at generated images
    gp_weight: Weight = 0.0  # lambda of WGAN-GP; 10 in the paper
    penalty_every: Positive = 1  # steps between penalties, each then weighted by as much
    spectral_norm: bool = False  # every layer of the critic divided by its largest singular value
    clip_weights: Annotated[float, Field(gt=0)] | None = None  # WGAN: |w| at most this; paper .01
    augment: tuple[Augmentation, ...] = ()  # DiffAugment, on all that the critic sees

    @property
    def penalized(self) -> bool:
        """Whether the critic's gradient at its input is in the loss."""
        return self.r1_weight + self.r2_weight + self.gp_weight > 0

    @model_validator(mode="after")
    def _choices_fit(self) -> AdversarialConfig:
        problem = next(filter(None, self._problems()), None)
        if problem:
            raise ValueError(problem)
        return self

    def _problems(self) -> list[str | None]:
        """Each rule of what goes with what: its sentence if it is broken."""
        zero_centred = self.r1_weight + self.r2_weight > 0
        penalized_on_both = self.r1_weight > 0 and self.r2_weight > 0
        bounded = (
            self.gp_weight > 0
            or penalized_on_both
            or self.spectral_norm
            or self.clip_weights is not None
        )
        return [
            "penalty_every needs r1_weight, r2_weight or gp_weight: there is no penalty to space"
            if self.penalty_every > 1 and not self.penalized
            else None,
            "gp_weight and r1_weight or r2_weight pull the same gradient to length 1 and to 0; "
            "keep one of them"
            if self.gp_weight > 0 and zero_centred
            else None,
            "clip_weights besides a penalty or spectral_norm: clipped weights already bound the "
            "critic's slope, so the other would do nothing or fight it; keep one of them"
            if self.clip_weights is not None and (self.penalized or self.spectral_norm)
            else None,
            "objective=wasserstein has no lower bound unless something bounds the critic's slope, "
            "at real and at generated images; set gp_weight=10, spectral_norm=true, or r1_weight "
            "and r2_weight, each with model.critic_norm=none, or clip_weights=0.01"
            if self.objective == "wasserstein" and not bounded
            else None,
        ]


class AdversarialOptimConfig(OptimConfig):
    """The optimizers of both networks.

    Adam's momentum is 0.5, not 0.9, with which the two networks overshoot each other: Radford et
    al. 2016 (arXiv:1511.06434), section 4. A rate of its own for the critic: Heusel et al. 2017
    (arXiv:1706.08500).
    """

    kind: Literal["adam", "rmsprop", "sgd"] = "adam"
    betas: tuple[Fraction, Fraction] = (0.5, 0.999)
    critic_lr: Annotated[float, Field(gt=0)] | None = None  # None = lr
    momentum: tuple[Fraction, Fraction] = (0.0, 0.0)  # sgd: at the start, and after momentum_steps
    momentum_steps: NonNegative = 0  # sgd: steps of the linear change between the two

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


class AdversarialRunConfig(RunConfig):
    """A run of a family with one generator and one critic."""

    adversarial: AdversarialConfig = AdversarialConfig()
    optim: AdversarialOptimConfig = AdversarialOptimConfig()


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

    @property
    def batches_per_step(self) -> int:
        """Micro-batches that one step takes."""
        return super().batches_per_step * self.config.adversarial.critic_steps

    def opponents(
        self, generator: nn.Module, critic: nn.Module
    ) -> tuple[dict[str, nn.Module], dict[str, Optimizer]]:
        """Both networks as the config constrains them, each with its optimizer; for `build`."""
        optim = self.config.optim
        if self.config.adversarial.spectral_norm:
            spectral_normalize(critic)
        return {"generator": generator, "critic": critic}, {
            "generator": _optimizer(generator, optim, optim.lr),
            "critic": _optimizer(critic, optim, optim.critic_lr or optim.lr),
        }

    def draw_latent(self, batch: Batch, size: int, kind: Literal["normal", "uniform"]) -> Tensor:
        """Latents (B, size) of this step: N(0, 1), or U(-1, 1)."""
        z = self.noise("latent", batch, (size,), kind=kind)
        return z if kind == "normal" else 2 * z - 1

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """The critic's updates, then the generator's on the noise of the last of them."""
        self._set_momentum()
        size = max(1, len(micro_batches) // self.config.adversarial.critic_steps)
        groups = [micro_batches[i : i + size] for i in range(0, len(micro_batches), size)]
        self._judged: list[Tensor] = []
        losses = []
        for group in groups:
            # Only the generator's update needs the graph of its images.
            self.fakes = Fakes(self.generate, keep=size == 1 and group is groups[-1])
            losses.append(self.phase("critic", group, self.critic_loss))
            self._clip_weights()
        with self.lend("critic"):
            generator = self.phase("generator", groups[-1], self.generator_loss)
        accuracy, margin = torch.stack(self._judged).mean(0)
        return {
            "loss/critic": torch.stack(losses).mean(),
            "loss/generator": generator,
            "critic/accuracy": accuracy,
            "critic/margin": margin,
        }

    def critic_loss(self, batch: Batch) -> Tensor:
        """The objective on real and generated images, apart, and the penalties where they fall."""
        critic, real = self.networks["critic"], batch["image"]
        fake = self.fakes.detached(batch)
        on_real = self.judge(critic, self._augment(real, batch, "critic-real"), batch)
        on_fake = self.judge(critic, self._augment(fake, batch, "critic-fake"), batch)
        l_r, l_f = on_real.logits.float(), on_fake.logits.float()
        self._note(l_r.detach(), l_f.detach())
        loss = adversarial.critic_loss(self.config.adversarial.objective, l_r, l_f)
        loss = loss + self.class_loss(on_real, batch) + self.class_loss(on_fake, batch)
        if self.config.adversarial.penalized:
            loss = loss + self._penalties(batch, real, fake)
        return loss

    def generator_loss(self, batch: Batch) -> Tensor:
        """The objective on the critic as it now is."""
        critic, objective = self.bare_networks["critic"], self.config.adversarial.objective
        fake = self._augment(self.fakes.attached(batch), batch, "generator-fake")
        verdict = self.judge(critic, fake, batch)
        real = None
        if objective in adversarial.RELATIVISTIC:
            with torch.no_grad():
                view = self._augment(batch["image"], batch, "generator-real")
                real = self.judge(critic, view, batch).logits.float()
        loss = adversarial.generator_loss(objective, verdict.logits.float(), real)
        return loss + self.class_loss(verdict, batch)

    # -- what the critic sees ----------------------------------------------------------------------

    def _augment(self, images: Tensor, batch: Batch, purpose: str) -> Tensor:
        policy = self.config.adversarial.augment
        if not policy:
            return images
        drawn = self.noise(f"augment/{purpose}", batch, (DRAWS,), kind="uniform")
        return diff_augment(images, drawn, policy)

    def _penalties(self, batch: Batch, real: Tensor, fake: Tensor) -> Tensor | float:
        """R1, R2 and WGAN-GP as weighted, every so many steps, in full precision.

        Spaced as in Karras et al. 2020 (arXiv:1912.04958), appendix B. The gradient is taken at the
        images before augmentation, which is part of what the critic is then.
        """
        config, total = self.config.adversarial, torch.zeros((), device=self.device)
        if self.steps_done % config.penalty_every:
            return total
        with self.full_precision():
            if config.r1_weight:
                logits, images = self._logits_at(real, batch, "critic-real")
                total = total + config.r1_weight * adversarial.gradient_penalty(logits, images)
            if config.r2_weight:
                logits, images = self._logits_at(fake, batch, "critic-fake")
                total = total + config.r2_weight * adversarial.gradient_penalty(logits, images)
            if config.gp_weight:
                share = self.noise("interpolate", batch, (), kind="uniform")
                between = adversarial.interpolates(real, fake.float(), share)
                logits, images = self._logits_at(between, batch, "critic-real")
                total = total + config.gp_weight * adversarial.wgan_gp(logits, images)
        return config.penalty_every * total

    def _logits_at(self, images: Tensor, batch: Batch, purpose: str) -> tuple[Tensor, Tensor]:
        """Logits and the images that they can be differentiated by."""
        images = images.detach().float().requires_grad_(True)
        view = self._augment(images, batch, purpose)
        return self.judge(self.networks["critic"], view, batch).logits, images

    def _set_momentum(self) -> None:
        optim = self.config.optim
        if optim.kind == "sgd":
            start, end = optim.momentum
            done = min(1.0, self.steps_done / max(1, optim.momentum_steps))
            for optimizer in self.optimizers.values():
                for group in optimizer.param_groups:
                    group["momentum"] = start + (end - start) * done

    def _clip_weights(self) -> None:
        limit = self.config.adversarial.clip_weights
        if limit is not None:
            with torch.no_grad():
                for parameter in self.bare_networks["critic"].parameters():
                    parameter.clamp_(-limit, limit)

    def _note(self, real: Tensor, fake: Tensor) -> None:
        """How far apart the critic sees real and generated: what the training doctor reads.

        Accuracy: share of pairs in which the real image has the larger logit, 0.5 for a critic that
        is guessing, whatever the objective's zero is. Margin: mean difference of the logits, in
        units of their spread within each kind.
        """
        above = (real[:, None] > fake[None]).float() + 0.5 * (real[:, None] == fake[None]).float()
        spread = (real.var(unbiased=False) + fake.var(unbiased=False)).div(2).sqrt()
        margin = (real.mean() - fake.mean()) / (spread + 1e-6)
        self._judged.append(torch.stack([above.mean(), margin]))


def _optimizer(network: nn.Module, optim: AdversarialOptimConfig, lr: float) -> Optimizer:
    match optim.kind:
        case "adam":
            return adam(network, optim, lr)
        case "rmsprop":
            return torch.optim.RMSprop(network.parameters(), lr)
        case "sgd":
            return torch.optim.SGD(
                network.parameters(), lr, optim.momentum[0], weight_decay=optim.weight_decay
            )
