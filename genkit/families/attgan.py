"""AttGAN: attributes of a picture changed, everything else kept.

He et al. 2019 (IEEE TIP 28(11), arXiv:1711.10678). An encoder and a decoder give a picture back
when told its own attributes, eq. 10, and an edited one when told others, which a critic must take
for real, eqs. 8-9, and its class head must find to have them, eqs. 6-7. The others are those of
another picture: a permutation of the attributes of the batch, so that they go together.

What the paper leaves open is as in the authors' code: means instead of sums in every loss, weights
100, 10 and 1, five updates of the critic for one of encoder and decoder, each on a batch of its
own. Its two versions tell the decoder attributes in different units: `code.convention`.

Deviations: the permutation is one of the global batch; exports hold averaged weights
(`trainer.ema_decay: null` for none) and the critic, by which attributes of one's own pictures are
guessed.

Legend: B batch, C channels, H W size in px, A attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines, random
from genkit.config import Fraction, NonNegative, Positive, Section
from genkit.family import Family
from genkit.losses.adversarial import Objective
from genkit.nn.critics import Verdict
from genkit.nn.editors import (
    MOST_LEVELS,
    AttributeCritic,
    EditDecoder,
    EditEncoder,
    Sizes,
    code_sizes,
    edited_size_problem,
)
from genkit.nn.familiarity import GRID, Familiarity
from genkit.nn.halving import usual_levels
from genkit.rows.base import Rows, onto
from genkit.rows.batch import Batch
from genkit.training import familiar
from genkit.training.adversarial import AdversarialConfig, AdversarialOptimConfig
from genkit.training.adversary import Adversary
from genkit.training.config import RunConfig
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer

ROWS = 8  # pictures on a preview
Weight = Annotated[float, Field(ge=0)]
Size = Annotated[float, Field(gt=0)]


class ModelConfig(Section):
    """The networks."""

    width: Positive = 64  # channels of the first level, doubled by each, at most 1024
    levels: Positive = 5  # how often the size is halved; unless given until 4 to 7 px
    shortcut_layers: NonNegative = 1  # levels of the decoder that see the encoder's map too
    inject_layers: NonNegative = 1  # levels of the decoder that are told the attributes again
    norm_decay: Fraction = 0.999  # of batch norm's moments; short runs need .99 to keep up
    critic_width: Positive = 64  # as width unless given
    head_width: Positive = 1024  # features of each head of the critic; 512 at 384 px


class CodeConfig(Section):
    """How the decoder is told attributes."""

    convention: Literal["v1", "v2"] = "v1"  # what thres_int is unless given: 0.5, or 1
    thres_int: Size = 0.5  # an attribute that holds, minus it where not
    test_int: Size = 1.0  # an edited one at strength 1; twice thres_int unless given
    draws: Literal["none"] | Sizes = "none"  # of sizes of what is asked for, while training

    @model_validator(mode="after")
    def _sizes_follow(self) -> CodeConfig:
        if not self.was_given("thres_int"):
            self.settle(thres_int=0.5 if self.convention == "v1" else 1.0)
        if not self.was_given("test_int"):
            self.settle(test_int=2 * self.thres_int)
        return self


class LossConfig(Section):
    """Weights beside the critic's verdict: section 3.4 of the paper."""

    reconstruction: Weight = 100.0  # L1 between a picture and what comes back of it
    attributes: Weight = 10.0  # of edited pictures, for encoder and decoder
    classifier: Weight = 1.0  # of real pictures, for the critic


class CriticConfig(AdversarialConfig):
    """WGAN-GP with five updates of the critic, each on its own batch."""

    objective: Objective = "wasserstein"  # see docs/objectives.md
    gp_weight: Weight = 10.0  # lambda of WGAN-GP
    critic_steps: Positive = 5  # updates of the critic for one of encoder and decoder

    bounds: ClassVar[str] = (  # its instance norm looks at nothing of the batch
        "set gp_weight=10, r1_weight and r2_weight, or clip_weights=0.01"
    )


class Config(RunConfig):
    """A run of AttGAN."""

    data_kind: ClassVar[str] = "faces"

    model: ModelConfig = ModelConfig()
    code: CodeConfig = CodeConfig()
    losses: LossConfig = LossConfig()
    adversarial: CriticConfig = CriticConfig()
    optim: AdversarialOptimConfig = AdversarialOptimConfig()

    @model_validator(mode="after")
    def _norms_fit(self) -> Config:
        if self.adversarial.spectral_norm:
            raise ValueError(
                "adversarial.spectral_norm=true: the instance norm of this critic divides by the "
                "spread of what bounded weights give, and so undoes the bound; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _networks_fit(self) -> Config:
        model, sides = self.model, self.data.size
        if not model.was_given("levels"):
            levels = max(1, min(MOST_LEVELS, usual_levels(sides)))
            model = model.model_copy(update={"levels": levels})
        if not model.was_given("critic_width"):
            model = model.model_copy(update={"critic_width": model.width})
        self.settle(model=model)
        if problem := edited_size_problem(sides, model.levels):
            raise ValueError(problem)
        for name in ("shortcut_layers", "inject_layers"):
            if getattr(model, name) >= model.levels:
                raise ValueError(
                    f"model.{name}={getattr(model, name)}: must be below "
                    f"model.levels={model.levels}, whose last one gives the picture"
                )
        return self

    @property
    def batches_per_step(self) -> int:
        """Micro-batches that one step takes: each update has its own."""
        return super().batches_per_step * (self.adversarial.critic_steps + 1)

    @property
    def batches_in_words(self) -> str:
        """What `batches_per_step` is the product of."""
        updates = self.adversarial.critic_steps + 1
        return f"{super().batches_in_words} x {updates} updates of critic and editor"


class AttGANTrainer(Trainer[Config]):
    """The critic's updates, then one of encoder and decoder under one loss."""

    averaged: ClassVar[tuple[str, ...]] = ("encoder", "decoder")

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Encoder, decoder and critic, each with its optimizer."""
        model, optim, channels = self.config.model, self.config.optim, self.data.channels
        self.flags = self.data.flags
        attributes = len(self.flags.names)
        self.adversary = Adversary(self, self.config.adversarial)
        sizes = channels, model.width, model.levels
        joined = model.shortcut_layers, model.inject_layers
        judged = model.critic_width, model.levels, model.head_width
        networks: dict[str, nn.Module] = {
            "encoder": EditEncoder(*sizes, model.norm_decay),
            "decoder": EditDecoder(attributes, *sizes, *joined, model.norm_decay),
            "critic": AttributeCritic(self.data.size, attributes, channels, *judged),
        }
        if self.config.trainer.memory_format == "auto":  # it slows the critic's instance norm
            for name in self.averaged:
                networks[name].to(memory_format=torch.channels_last)
        familiarity = Familiarity(2 * GRID**2 * channels)  # nothing in it is trained
        rates = {"critic": optim.critic_lr}
        return networks | {"familiarity": familiarity}, {
            name: optim.make(net, rates.get(name, optim.lr)) for name, net in networks.items()
        }

    def rows(self, rows: Rows) -> Rows:
        """The rows of the data set, some of which say what is familiar."""
        self.known = rows
        return rows

    # -- a step ------------------------------------------------------------------------------------

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update of encoder and decoder, on a batch after those of the critic."""
        self.config.optim.set_momentum(self.optimizers.values(), self.steps_done)
        updates = self.config.adversarial.critic_steps + 1
        size = len(micro_batches) // updates
        groups = [micro_batches[i * size : (i + 1) * size] for i in range(updates)]
        self.terms: dict[str, list[Tensor]] = {}
        critic = [
            self.adversary.phase(self.asked(number, group), self.critic_loss)
            for number, group in enumerate(groups[:-1])
        ]
        with self.lend("critic"):
            last = self.asked(updates - 1, groups[-1])
            generator = self.phase(("encoder", "decoder"), last, self.generator_loss)
        means = {f"loss/{name}": torch.stack(each).mean() for name, each in self.terms.items()}
        losses = {"loss/critic": torch.stack(critic).mean(), "loss/generator": generator}
        return losses | means | self.adversary.numbers()

    def asked(self, number: int, group: Sequence[Batch]) -> list[Batch]:
        """The micro-batches of one update, with "asked": the attributes to give each picture.

        They are those of another picture of the update's global batch, by a permutation that is
        keyed: the same on any number of processes and micro-batches.
        """
        rows = self.gathered(torch.cat([batch["attributes"] for batch in group]))
        place = self.gathered(torch.cat([onto(self.device, b["position"]) for b in group]))
        seed = self.config.trainer.seed
        keyed = random.generator(seed, f"train/permutation/{number}", self.steps_done)
        others = torch.randperm(len(rows), generator=keyed)
        order, by_place = place.sort()  # a rehearsal leaves rows out, and so gaps
        rows = rows[by_place][onto(self.device, others)]
        found = (torch.searchsorted(order, onto(self.device, b["position"])) for b in group)
        return [{**batch, "asked": rows[i]} for batch, i in zip(group, found, strict=True)]

    def edit(self, batch: Batch) -> Tensor:
        """The pictures of a batch with the attributes asked for, (B, C, H, W) in [-1, 1]."""
        maps = self.networks["encoder"](batch["image"])
        made: Tensor = self.networks["decoder"](maps, self.told(batch, "asked"))
        return made

    def told(self, batch: Batch, column: str) -> Tensor:
        """What the decoder is told of a batch's attributes, (B, A).

        Of those that a picture has it is +-thres_int, whatever is drawn, as in the authors' code.
        """
        flags, code = batch[column], self.config.code
        if code.draws == "none" or column == "attributes":
            return (2 * flags - 1) * code.thres_int
        drawn = self.noise(f"size/{column}", batch, flags.shape[1:], kind="uniform")
        return (2 * flags - 1) * code_sizes(drawn, code.draws) * 2 * code.thres_int

    def judge(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """Whether each picture is real."""
        verdict: Verdict = critic(images, named=False)
        return verdict

    def judge_and_name(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """Whether each picture is real, and which attributes it has."""
        verdict: Verdict = critic(images)
        return verdict

    def critic_loss(self, batch: Batch) -> Tensor:
        """Eqs. 7 and 9: edited pictures told from real ones, and the attributes of these found."""
        with torch.no_grad():
            fake = self.edit(batch)
        judged = self.adversary.critic_loss(
            batch, batch["image"], fake, self.judge, judge_real=self.judge_and_name
        )
        term = self.noted("classifier", naming_loss(judged.real, batch["attributes"]))
        return judged.loss + self.config.losses.classifier * term

    def generator_loss(self, batch: Batch) -> Tensor:
        """Eq. 11: the verdict on edited pictures, their attributes, and pictures given back."""
        losses, image = self.config.losses, batch["image"]
        maps = self.networks["encoder"](image)
        edited = self.networks["decoder"](maps, self.told(batch, "asked"))
        back = self.networks["decoder"](maps, self.told(batch, "attributes"))
        loss, verdict = self.adversary.generator_loss(batch, edited, image, self.judge_and_name)
        found = self.noted("attributes", naming_loss(verdict, batch["asked"]))
        kept = self.noted("reconstruction", F.l1_loss(back.float(), image))
        return loss + losses.attributes * found + losses.reconstruction * kept

    def noted(self, name: str, term: Tensor) -> Tensor:
        """A term of a loss, kept for the numbers of the step."""
        self.terms.setdefault(name, []).append(term.detach())
        return term

    # -- what comes of it --------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint; the first says what pictures are familiar, and all later ones."""
        known: Any = self.bare_networks["familiarity"]
        opens = self.accelerator.is_main_process and self._open_examples is not None
        if opens and not known.below.isfinite():
            familiar.learn(known, self.known, self.config.trainer.seed)
        super().save()

    def preview(self) -> list[Sheet]:
        """Pictures of the test part: each, what comes back, and with each attribute flipped."""
        pipeline = self.pipeline()
        shown = {name: self.examples[name][:ROWS] for name in ("image", "attributes")}
        sheets = [shown["image"]]
        with pipeline.generating():
            for flip in ((), *((name,) for name in self.flags.names)):
                made = pipeline.generate(None, shown, pipeline.options(flip=flip))
                sheets.append(made["image"])
        images = torch.stack(sheets, dim=1).flatten(0, 1)
        return [Sheet(images, "before and edited", columns=len(sheets), samples=False)]

    def pipeline(self) -> pipelines.EditingPipeline:
        """Encoder and decoder averaged, and the critic as it is."""
        size, code = self.data.size, self.config.code
        return pipelines.EditingPipeline(
            self.averaged_network("encoder"),
            self.averaged_network("decoder"),
            self.averaged_network("critic"),
            self.averaged_network("familiarity"),
            attributes=self.flags.names,
            excludes=self.flags.excludes,
            image_size=size[0] if size[0] == size[1] else size,
            thres_int=code.thres_int,
            test_int=code.test_int,
        )


def naming_loss(verdict: Verdict, flags: Tensor) -> Tensor:
    """Eqs. 6 and 7: the cross-entropy of each attribute, their mean over B and A; a scalar."""
    assert verdict.classes is not None
    return F.binary_cross_entropy_with_logits(verdict.classes.float(), flags)


def needs(config: Config) -> frozenset[str]:
    """Pictures and their attributes."""
    return frozenset({"image", "attributes"})


TINY: dict[str, Any] = {
    "family": "attgan",
    "data": {
        "kind": "faces",
        "image_size": 32,
        "train_count": 64,
        "test_count": 16,
        "batch_size": 4,
    },
    "model": {"width": 4, "levels": 3, "head_width": 8},
    "adversarial": {"critic_steps": 2},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 2,
    },
}

FAMILY = Family(config=Config, trainer=AttGANTrainer, needs=needs, task="editing", tiny=TINY)
