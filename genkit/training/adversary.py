"""The critic's side of a loss: an objective, penalties, augmentation and what the doctor reads.

A family holds one `Adversary` for each of its critics and calls it from its own phases. The
formulas are in `genkit/losses/adversarial.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit.config import Positive, Section
from genkit.losses import adversarial
from genkit.losses.adversarial import Objective
from genkit.nn.critics import Verdict
from genkit.nn.diffaugment import DRAWS, Augmentation, diff_augment
from genkit.nn.spectral import spectral_normalize
from genkit.rows.batch import Batch

if TYPE_CHECKING:
    from genkit.training.trainer import Metrics, Trainer

Weight = Annotated[float, Field(ge=0)]
Judge = Callable[[nn.Module, Tensor, Batch], Verdict]  # the critic, images and their batch


class AdversaryConfig(Section):
    """The objective, and what keeps the critic in check."""

    objective: Objective = "non-saturating"  # see docs/objectives.md
    r1_weight: Weight = 0.0  # gamma of R1, the gradient at real images; 0 = no penalty
    r2_weight: Weight = 0.0  # gamma of R2, the same at generated images
    gp_weight: Weight = 0.0  # lambda of WGAN-GP; 10 in the paper
    penalty_every: Positive = 1  # steps between penalties, each then weighted by as much
    spectral_norm: bool = False  # every layer of the critic divided by its largest singular value
    clip_weights: Annotated[float, Field(gt=0)] | None = None  # WGAN: |w| at most this; paper .01
    augment: tuple[Augmentation, ...] = ()  # DiffAugment, on all that the critic sees

    bounds: ClassVar[str] = (  # advice: what bounds the slope of a family's critic
        "set gp_weight=10, spectral_norm=true, or r1_weight and r2_weight, each with "
        "model.critic_norm=none, or clip_weights=0.01"
    )

    @property
    def penalized(self) -> bool:
        """Whether the critic's gradient at its input is in the loss."""
        return self.r1_weight + self.r2_weight + self.gp_weight > 0

    @model_validator(mode="after")
    def _choices_fit(self) -> AdversaryConfig:
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
            f"at real and at generated images; {self.bounds}"
            if self.objective == "wasserstein" and not bounded
            else None,
        ]


class Judged(NamedTuple):
    """A critic's loss and what it said.

    Attributes:
        loss: The objective and the penalties, a scalar.
        real: The verdict on real images, for further losses without a second pass.
        fake: The verdict on generated images.
    """

    loss: Tensor
    real: Verdict
    fake: Verdict


class Adversary:
    """One critic of a trainer: its losses, its updates, its numbers.

    Draws and numbers carry the critic's name, so that a family may have any number of them.

    Args:
        trainer: The run that the critic is a network of.
        config: The objective, and what keeps the critic in check.
        critic: The name of the network.
    """

    def __init__(
        self, trainer: Trainer[Any], config: AdversaryConfig, critic: str = "critic"
    ) -> None:
        self.config, self.critic = config, critic
        self._trainer = trainer
        self._seen: list[Tensor] = []

    def constrain(self, network: nn.Module) -> nn.Module:
        """The critic with spectral norm if that is asked for; for `build`, before its optimizer."""
        if self.config.spectral_norm:
            spectral_normalize(network)
        return network

    def phase(self, micro_batches: Sequence[Batch], loss: Callable[[Batch], Tensor]) -> Tensor:
        """One update of the critic by the mean loss, its weights clipped where that is asked."""
        mean = self._trainer.phase(self.critic, micro_batches, loss)
        limit = self.config.clip_weights
        if limit is not None:
            with torch.no_grad():
                for parameter in self._trainer.learnt.trained[self.critic]:
                    parameter.clamp_(-limit, limit)
        return mean

    def critic_loss(
        self,
        batch: Batch,
        real: Tensor,
        fake: Tensor,
        judge: Judge,
        *,
        together: bool = False,
        judge_real: Judge | None = None,
        weight: float = 1.0,
    ) -> Judged:
        """The objective on real and generated images, apart, and the penalties where they fall.

        Args:
            batch: The micro-batch, whose rows key the draws.
            real: (B, C, H, W) in [-1, 1].
            fake: As `real`; its graph is not followed.
            judge: The critic's verdict on images; logits (B,), or one for each patch (B, 1, h, w).
            together: Judge both in one pass: the same for a critic that looks at each image by
                itself and at nothing of the batch besides.
            judge_real: The verdict on real images in a pass of their own, where it says more of
                them; `judge` by default.
            weight: What the objective counts beside the penalties.

        Raises:
            ValueError: `together` and `judge_real`: one pass can't be two.
        """
        if together and judge_real is not None:
            raise ValueError("judge_real is a pass of its own: it does not go with together")
        critic, fake = self._trainer.networks[self.critic], fake.detach()
        seen = [
            self._augmented(images, batch, f"critic-{kind}")
            for kind, images in (("real", real), ("fake", fake))
        ]
        if together:
            halves = judge(critic, torch.cat(seen), batch).logits.chunk(2)
            on_real, on_fake = (Verdict(logits) for logits in halves)
        else:
            on_real = (judge_real or judge)(critic, seen[0], batch)
            on_fake = judge(critic, seen[1], batch)
        l_r, l_f = on_real.logits.float(), on_fake.logits.float()
        self.note(l_r.detach(), l_f.detach())
        loss = weight * adversarial.critic_loss(self.config.objective, l_r, l_f)
        if self.config.penalized:
            loss = loss + self.penalties(batch, real, fake, judge)
        return Judged(loss, on_real, on_fake)

    def generator_loss(
        self, batch: Batch, fake: Tensor, real: Tensor, judge: Judge
    ) -> tuple[Tensor, Verdict]:
        """The objective on the critic as it now is; lend it, so that it collects no gradient.

        Args:
            batch: The micro-batch, whose rows key the draws.
            fake: (B, C, H, W) in [-1, 1], with its graph.
            real: As `fake`; only relativistic objectives look at it.
            judge: As in `critic_loss`.

        Returns:
            A scalar, and the verdict on the generated images.
        """
        critic, objective = self._trainer.bare_networks[self.critic], self.config.objective
        verdict = judge(critic, self._augmented(fake, batch, "generator-fake"), batch)
        compared = None
        if objective in adversarial.RELATIVISTIC:
            with torch.no_grad():
                view = self._augmented(real, batch, "generator-real")
                compared = judge(critic, view, batch).logits.float()
        return adversarial.generator_loss(objective, verdict.logits.float(), compared), verdict

    def numbers(self) -> Metrics:
        """ "<critic>/accuracy" and "<critic>/margin" since the last call: how far apart the critic
        sees real and generated, which the training doctor reads."""
        if not self._seen:  # a step without this critic
            return {}
        accuracy, margin = torch.stack(self._seen).mean(0)
        self._seen.clear()
        return {f"{self.critic}/accuracy": accuracy, f"{self.critic}/margin": margin}

    # -- what the critic sees ----------------------------------------------------------------------

    def penalties(self, batch: Batch, real: Tensor, fake: Tensor, judge: Judge) -> Tensor:
        """R1, R2 and WGAN-GP as weighted, every so many steps, in full precision; a scalar.

        Spaced as in Karras et al. 2020 (arXiv:1912.04958), appendix B. The gradient is taken at the
        images before augmentation, which is part of what the critic is then; of logits by patches
        it is that of their sum.
        """
        config, trainer = self.config, self._trainer
        total = torch.zeros((), device=trainer.device)
        if trainer.steps_done % config.penalty_every:
            return total
        with trainer.casting.full():
            if config.r1_weight:
                logits, images = self._logits_at(real, batch, "critic-real", judge)
                total = total + config.r1_weight * adversarial.gradient_penalty(logits, images)
            if config.r2_weight:
                logits, images = self._logits_at(fake, batch, "critic-fake", judge)
                total = total + config.r2_weight * adversarial.gradient_penalty(logits, images)
            if config.gp_weight:
                share = trainer.noise(self._key("interpolate"), batch, (), kind="uniform")
                between = adversarial.interpolates(real, fake.float(), share)
                logits, images = self._logits_at(between, batch, "critic-real", judge)
                total = total + config.gp_weight * adversarial.wgan_gp(logits, images)
        return config.penalty_every * total

    def _logits_at(
        self, images: Tensor, batch: Batch, view: str, judge: Judge
    ) -> tuple[Tensor, Tensor]:
        """Logits and the images that they can be differentiated by."""
        images = images.detach().float().requires_grad_(True)
        seen = self._augmented(images, batch, view)
        return judge(self._trainer.networks[self.critic], seen, batch).logits, images

    def _augmented(self, images: Tensor, batch: Batch, view: str) -> Tensor:
        policy = self.config.augment
        if not policy:
            return images
        purpose = self._key(f"augment/{view}")
        drawn = self._trainer.noise(purpose, batch, (DRAWS,), kind="uniform")
        return diff_augment(images, drawn, policy)

    def _key(self, purpose: str) -> str:
        """What names a draw: plain for "critic", so that runs of one critic keep their draws."""
        return purpose if self.critic == "critic" else f"{purpose}/{self.critic}"

    def note(self, real: Tensor, fake: Tensor) -> None:
        """Take in how the critic sees the images of one micro-batch.

        Accuracy: share of pairs in which the real image has the larger logit, 0.5 for a critic that
        is guessing, whatever the objective's zero is. Margin: mean difference of the logits, in
        units of their spread within each kind. Of logits by patches an image's is their mean; of
        a single image the spread is that of its patches.

        Args:
            real: Logits (B, ...) of real images.
            fake: Logits (B, ...) of generated ones.
        """
        patches = [logits.reshape(len(logits), -1) for logits in (real, fake)]
        real, fake = (logits.mean(1) for logits in patches)
        above = (real[:, None] > fake[None]).float() + 0.5 * (real[:, None] == fake[None]).float()
        apart = patches if len(real) == 1 else [real, fake]
        spread = torch.stack([each.var(unbiased=False) for each in apart]).mean().sqrt()
        margin = (real.mean() - fake.mean()) / (spread + 1e-6)
        self._seen.append(torch.stack([above.mean(), margin]))
