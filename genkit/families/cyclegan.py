"""CycleGAN: two kinds of pictures, each translated to the other, learnt without pairs.

Zhu et al. 2017 (arXiv:1703.10593): two generators, a critic of patches for each kind, and a loss
for not coming back where a picture came from, eq. 2; by least squares, with a pool of 50 earlier
pictures for each critic, section 4. The identity loss of section 5.2 keeps colours.

Deviations: the identity loss is on by default, as in the authors' code, since without it colours
may come out as a negative; exports hold the averaged generators, unless trainer.ema_decay is null;
a batch may hold several pictures, each drawn from the pool by itself.

Legend: A B the two kinds, C channels, H W height and width in px.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from genkit import pipelines
from genkit.config import ByKind, NonNegative
from genkit.family import Family
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.rows.columns import Image
from genkit.training import translation_monitor
from genkit.training.adversary import Adversary
from genkit.training.config import RunConfig
from genkit.training.pool import Pool
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer
from genkit.training.translators import (
    LeastSquares,
    PatchCritics,
    Resnet,
    TranslatorOptim,
    UNet,
    channels_of,
    critic_weight,
    fitted,
    judge,
    needs,
    refuse_one_kind,
)

Weight = Annotated[float, Field(ge=0)]
WAYS = {"a": "b_to_a", "b": "a_to_b"}  # the generator that makes each kind
OTHER = {"a": "b", "b": "a"}
MERGED = 8  # pictures up to which passes of one network are joined: 1.12 to 1.07 times as fast


class Cycle(PatchCritics):
    """What the critics see and the generators minimise, beside the networks."""

    pool: NonNegative = (
        50  # earlier pictures that each critic is shown; 0 = those of the step alone
    )
    cycle_weight: Weight = 10.0  # lambda of eq. 3: from A to B and back to A
    cycle_weight_b: Weight = 10.0  # from B to A and back to B; as cycle_weight unless given
    identity_weight: Weight = 0.5  # of cycle_weight: a picture of B stays as it is on its way to B
    verdict_weight: Weight = 2.0  # unless given 2 with least-squares, as in the paper, else 1

    @model_validator(mode="after")
    def _ways_count_alike(self) -> Self:
        if not self.was_given("cycle_weight_b"):
            self.settle(cycle_weight_b=self.cycle_weight)
        if self.identity_weight and not (self.cycle_weight and self.cycle_weight_b):
            name = "cycle_weight_b" if self.cycle_weight else "cycle_weight"
            raise ValueError(
                f"{name}=0 would switch the identity loss off too, since "
                f"identity_weight={self.identity_weight} is a multiple of it; set "
                "identity_weight=0, or a weight above 0"
            )
        return self


class ResnetModel(Resnet, Cycle):
    """Generators of residual blocks: Zhu et al. 2017, appendix 7.2."""


class UNetModel(UNet, Cycle):
    """Generators that join each level to its mirror image: Isola et al. 2017."""


class Config(RunConfig):
    """A CycleGAN run."""

    model: Annotated[ResnetModel | UNetModel, ByKind("resnet")] = ResnetModel()
    adversary: LeastSquares = LeastSquares()
    optim: TranslatorOptim = TranslatorOptim()

    @model_validator(mode="after")
    def _networks_fit(self) -> Config:
        self.settle(model=fitted(self.model, self.adversary, self.data.size))
        if wrong := self._channels_problem():
            raise ValueError(wrong)
        return self

    def _channels_problem(self) -> str | None:
        a, b = (channels_of(self.data, side) for side in "ab")
        if a == b:
            return None
        if self.model.identity_weight:
            return (
                f"model.identity_weight={self.model.identity_weight} has each generator leave "
                f"pictures of its own kind as they are, but data.channels_a={a} and "
                f"data.channels_b={b} differ; set model.identity_weight=0"
            )
        if isinstance(self.model, ResnetModel) and self.model.output == "change":
            return (
                "model.output=change adds what is made to the picture that came in, but "
                f"data.channels_a={a} and data.channels_b={b} differ; set model.output=picture"
            )
        return None


class CycleGANTrainer(Trainer[Config]):
    """Both generators under one loss, then each critic on pictures of this step and of earlier
    ones."""

    averaged: ClassVar[tuple[str, ...]] = ("a_to_b", "b_to_a")

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Four networks, each with its optimizer, and two empty pools."""
        config, optim = self.config, self.config.optim
        channels = {side: self._channels(side) for side in WAYS}
        networks: dict[str, nn.Module] = {
            way: config.model.make(channels[OTHER[side]], channels[side])
            for side, way in sorted(WAYS.items(), reverse=True)
        }
        self.adversaries: dict[str, Adversary] = {}
        self.pools: dict[str, Pool] = {}
        for side, count in channels.items():
            name = f"critic_{side}"
            self.adversaries[side] = Adversary(self, config.adversary, name)
            networks[name] = self.adversaries[side].constrain(config.model.make_critic(count))
            self.pools[side] = Pool(self, side, config.model.pool, (count, *self.data.size))
        rates = {name: optim.lr if name in self.averaged else optim.critic_lr for name in networks}
        return networks, {name: optim.make(networks[name], rates[name]) for name in networks}

    def _channels(self, side: str) -> int:
        column = self.data.columns[f"image_{side}"]
        assert isinstance(column, Image)
        return column.channels or self.data.channels

    def rows(self, rows: Rows) -> Rows:
        """Those of the data set, whose sides are two kinds of pictures."""
        return refuse_one_kind(rows)

    # -- a step ------------------------------------------------------------------------------------

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """The generators first, on the critics as they are; then the critics, on what was made."""
        self.config.optim.set_momentum(self.optimizers.values(), self.steps_done)
        self.made: dict[str, list[Tensor]] = {side: [] for side in WAYS}
        self.terms: dict[str, list[Tensor]] = {}
        with self.lend("critic_a", "critic_b"):
            loss = self.phase(self.averaged, micro_batches, self.generator_loss)
        numbers: Metrics = {"loss/generators": loss}
        for side, adversary in self.adversaries.items():
            judged = partial(self.critic_loss, side, iter(self.made[side]))
            numbers[f"loss/critic_{side}"] = adversary.phase(micro_batches, judged)
            numbers |= adversary.numbers()
        positions = torch.cat([batch["position"] for batch in micro_batches])
        for side, pool in self.pools.items():
            pool.remember(positions, torch.cat(self.made[side]))
        return numbers | {name: torch.stack(each).mean() for name, each in self.terms.items()}

    def generator_loss(self, batch: Batch) -> Tensor:
        """Eq. 3 and the identity loss of section 5.2, for both generators: a scalar."""
        weights, total = self.config.model, torch.zeros((), device=self.device)
        real = {side: batch[f"image_{side}"] for side in WAYS}
        made = {side: self.translations(side, real) for side in WAYS}
        for side, (fake, same) in made.items():
            verdict, _ = self.adversaries[side].generator_loss(batch, fake, real[side], judge)
            back = self.networks[WAYS[side]](made[OTHER[side]][0])
            cycle = weights.cycle_weight if side == "a" else weights.cycle_weight_b
            lost = self._noted(f"loss/cycle_{side}", back, real[side])
            total = total + weights.verdict_weight * verdict + cycle * lost
            if same is not None:
                changed = self._noted(f"loss/identity_{side}", same, real[side])
                total = total + cycle * weights.identity_weight * changed
            self.made[side].append(fake.detach())
        return total

    def translations(self, side: str, real: dict[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Pictures of a side made of the other's, and of its own, which should stay as they are;
        None for these without an identity loss.

        One pass for both where that is the same: with a norm over the batch it would not be.
        """
        network, given, own = self.networks[WAYS[side]], real[OTHER[side]], real[side]
        model = self.config.model
        if not model.identity_weight:
            return network(given), None
        if len(given) > MERGED or model.norm == "batch" or model.dropout:
            return network(given), network(own)
        fake, same = network(torch.cat([given, own])).chunk(2)
        return fake, same

    def critic_loss(self, side: str, made: Iterator[Tensor], batch: Batch) -> Tensor:
        """The critic's side of eq. 1: a scalar."""
        fake, real = self.pools[side].shown(batch, next(made)), batch[f"image_{side}"]
        mixes = self.config.model.critic_norm == "batch" or self.config.adversary.spectral_norm
        together = len(real) <= MERGED and not mixes
        adversary, weight = self.adversaries[side], critic_weight(self.config.adversary.objective)
        judged = adversary.critic_loss(batch, real, fake, judge, together=together, weight=weight)
        return judged.loss

    def _noted(self, name: str, made: Tensor, wanted: Tensor) -> Tensor:
        """The mean absolute difference in [-1, 1], which is a term of the loss."""
        distance = F.l1_loss(made.float(), wanted)
        self.terms.setdefault(name, []).append(distance.detach())
        return distance

    # -- what is shown -----------------------------------------------------------------------------

    def preview(self) -> list[Sheet]:
        """Pictures of the test part, what becomes of them and what comes back, for each way."""
        from genkit.pipelines.translation import through

        names, sheets = self.config.data.sides, []
        for side, (first, second) in (("a", names), ("b", names[::-1])):
            before = self.examples[f"image_{side}"]
            there, back = (self.averaged_network(WAYS[each]) for each in (OTHER[side], side))
            after, way = through(there, before), WAYS[OTHER[side]]
            triples = [before, after, through(back, after)]
            target = self.examples[f"image_{OTHER[side]}"]
            known = translation_monitor.numbers(way, before, after, target, partial(through, back))
            rows = torch.stack([_coloured(images) for images in triples], 1).flatten(0, 1)
            columns = 3 * min(6, len(before))
            title = f"{first} to {second} and back"
            sheets.append(Sheet(rows, title, columns, samples=False, numbers=known))
        return sheets

    def pipeline(self) -> pipelines.TranslationPipeline:
        """Both ways, by the averaged generators."""
        there, back = (self.averaged_network(name) for name in self.averaged)
        return pipelines.TranslationPipeline(there, back, self.config.data.sides)


def _coloured(images: Tensor) -> Tensor:
    """Grey pictures as coloured ones, beside which they are shown: (B, 3, H, W)."""
    return images.expand(-1, 3, -1, -1)


TINY: dict[str, Any] = {
    "family": "cyclegan",
    "data": {
        "kind": "faces",
        "other_style": "ink",
        "image_size": 32,
        "train_count": 32,
        "test_count": 16,
        "batch_size": 2,
    },
    "model": {"width": 2, "blocks": 1, "critic_width": 2, "critic_layers": 1, "pool": 5},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 4,
    },
}

FAMILY = Family(config=Config, trainer=CycleGANTrainer, needs=needs, task="translation", tiny=TINY)
