"""Two painters under one loss, a critic for each, and pools of what they painted earlier.

What Zhu et al. 2017 (arXiv:1703.10593) ask of a trainer, at the size of a test.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genkit.config import Positive, Section
from genkit.family import Family
from genkit.nn.critics import Verdict
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.rows.combine import picked, unpaired
from genkit.training.adversary import Adversary, AdversaryConfig
from genkit.training.config import RunConfig
from genkit.training.optimizers import adam
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer
from strangers.networks import Painter, Patches

WAYS = {"a": "b_to_a", "b": "a_to_b"}  # which painter paints each side


class Model(Section):
    """Sizes and weights."""

    width: Positive = 4
    pool: Positive = 6  # pictures that each pool holds
    cycle_weight: float = 10.0


class LeastSquares(AdversaryConfig):
    """Both critics."""

    objective: Any = "least-squares"


class Config(RunConfig):
    """A run."""

    model: Model = Model()
    adversary: LeastSquares = LeastSquares()


class CycleTrainer(Trainer[Config]):
    """Both painters, then each critic on pictures of this step and of earlier ones."""

    averaged: ClassVar[tuple[str, ...]] = ("a_to_b", "b_to_a")

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Four networks, and two empty pools."""
        model, channels = self.config.model, self.data.channels
        networks: dict[str, nn.Module] = {n: Painter(channels, model.width) for n in self.averaged}
        self.adversaries = {}
        for side in WAYS:
            name = f"critic_{side}"
            self.adversaries[side] = Adversary(self, self.config.adversary, name)
            networks[name] = self.adversaries[side].constrain(Patches(channels, model.width))
            self.memory[f"pool_{side}"] = torch.zeros(model.pool, channels, *self.data.size)
        self.memory["painted"] = torch.zeros((), dtype=torch.int64)  # pictures of each side so far
        return networks, {name: adam(net, self.config.optim) for name, net in networks.items()}

    def rows(self, rows: Rows) -> Rows:
        """The first half of the pictures as side a, the others as side b."""
        half = len(rows) // 2
        return unpaired(picked(rows, range(half)), picked(rows, range(half, len(rows))))

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """The painters first: the critics see what they painted."""
        self.painted: dict[str, list[Tensor]] = {side: [] for side in WAYS}
        with self.lend("critic_a", "critic_b"):
            losses = {"loss/painters": self.phase(self.averaged, micro_batches, self.paint)}
        for side, adversary in self.adversaries.items():
            fakes = iter(self.painted[side])

            def judged(batch: Batch, side: str = side, fakes: Any = fakes) -> Tensor:
                fake = self.recalled(side, batch, next(fakes))
                real = batch[f"image_{side}"]
                return self.adversaries[side].critic_loss(batch, real, fake, self.judge).loss

            losses[f"loss/critic_{side}"] = adversary.phase(micro_batches, judged)
            losses |= adversary.numbers()
        self.remember(torch.cat([batch["position"] for batch in micro_batches]))
        return losses

    def paint(self, batch: Batch) -> Tensor:
        """Both critics, and the way there and back."""
        real = {side: batch[f"image_{side}"] for side in WAYS}
        fake = {"a": self.networks["b_to_a"](real["b"]), "b": self.networks["a_to_b"](real["a"])}
        loss = torch.zeros((), device=self.device)
        for side, way in WAYS.items():
            other = "b" if side == "a" else "a"
            adversary = self.adversaries[side]
            loss = loss + adversary.generator_loss(batch, fake[side], real[side], self.judge)[0]
            back = F.l1_loss(self.networks[way](fake[other]), real[side])
            loss = loss + self.config.model.cycle_weight * back
            self.painted[side].append(fake[side].detach())
        return loss

    def judge(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """A logit for each patch."""
        verdict: Verdict = critic(images)
        return verdict

    def recalled(self, side: str, batch: Batch, fake: Tensor) -> Tensor:
        """Each picture, or by even chance one of the pool as it was before this step."""
        pool = self.memory[f"pool_{side}"]
        old, place = self.noise(f"pool/{side}", batch, (2,), kind="uniform").unbind(1)
        place = (place * len(pool)).long()
        recall = (old < 0.5) & (place < self.memory["painted"])
        return torch.where(recall[:, None, None, None], pool[place], fake)

    def remember(self, position: Tensor) -> None:
        """The pictures of all processes take the places of the oldest, in the order of the step."""
        order = self.gathered(position.to(self.device)).argsort()
        size, seen = self.config.model.pool, int(self.memory["painted"])
        places = torch.arange(seen, seen + len(order), device=self.device)[-size:] % size
        for side in WAYS:
            newest = self.gathered(torch.cat(self.painted[side]))[order][-size:]
            self.memory[f"pool_{side}"][places] = newest
        self.memory["painted"] += len(order)

    @torch.no_grad()
    def preview(self) -> list[Sheet]:
        """Pictures of the test part and what becomes of them."""
        before = self.examples["image"]
        after = self.averaged_network("a_to_b")(before)
        pairs = torch.stack([before, after], dim=1).flatten(0, 1)
        return [Sheet(pairs, "before and after", columns=2, samples=False)]

    def pipeline(self) -> Any:
        """Side a to side b."""
        from strangers.pipelines import Repaint

        return Repaint(self.averaged_network("a_to_b"))


TINY: dict[str, Any] = {
    "family": "cycle",
    "data": {
        "kind": "synthetic",
        "image_size": 8,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 4,
    },
}

FAMILY = Family(config=Config, trainer=CycleTrainer, task="translation", tiny=TINY)
