"""pix2pix: one picture becomes another, learnt from pairs.

Isola et al. 2017 (arXiv:1611.07004): a U-Net, appendix 6.1.1, is pulled to the target by an L1
loss, eq. 3, and by a critic that sees input and picture together and judges patches, section 3.2.2.
The critic's loss is halved, section 3.3.

What the networks do at test time decides what a picture becomes. `model.norm` is
    instance  each picture is normalised by itself, in training and at test: the default
    batch     by the batch while training, as in the paper; at test as `model.at_test` says
and `model.at_test` is
    fixed     dropout is off, and a batch norm has its running averages: the default
    paper     dropout goes on, drawn by seed and index of the picture, and a batch norm has the
              statistics of the picture alone, as in the paper's test batches of one: section 3.3
With each of them a picture becomes the same alone and in any batch.

Deviations: these defaults; exports hold the averaged generator, unless trainer.ema_decay is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines, random
from genkit.config import Fraction
from genkit.family import Family
from genkit.nn.critics import Verdict
from genkit.nn.translation_layers import Norm, Upsampling
from genkit.nn.translators import UNetTranslator
from genkit.rows.batch import Batch
from genkit.training.adversary import Adversary, AdversaryConfig
from genkit.training.config import RunConfig
from genkit.training.fakes import Fakes
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer
from genkit.training.translation_monitor import numbers
from genkit.training.translators import (
    PatchCritics,
    TranslatorOptim,
    UNet,
    critic_weight,
    fitted,
)

Weight = Annotated[float, Field(ge=0)]


class ModelConfig(UNet, PatchCritics):
    """The two networks, and what pulls the generator."""

    dropout: Fraction = 0.5  # share dropped in the three innermost layers
    at_test: Literal["fixed", "paper"] = "fixed"  # paper: dropout goes on, norms by the picture
    l1_weight: Weight = 100.0  # lambda of section 3.3: how far a picture is from its target
    verdict_weight: Weight = 1.0  # of the critic's; unless given 2 with least-squares, else 1

    @property
    def network(self) -> type[UNetTranslator]:
        """The class of the generator."""
        return PaperUNet if self.at_test == "paper" else UNetTranslator


class Config(RunConfig):
    """A run of pix2pix."""

    model: ModelConfig = ModelConfig()
    adversary: AdversaryConfig = AdversaryConfig()
    optim: TranslatorOptim = TranslatorOptim()

    @model_validator(mode="after")
    def _at_test_says_something(self) -> Config:
        model = self.model
        if model.at_test == "paper" and model.norm != "batch" and not model.dropout:
            raise ValueError(
                f"model.at_test=paper changes nothing with model.norm={model.norm} and "
                "model.dropout=0: nothing is drawn and no norm looks at a batch; leave it out, or "
                "set model.norm=batch or model.dropout=0.5"
            )
        return self

    @model_validator(mode="after")
    def _networks_fit(self) -> Config:
        self.settle(model=fitted(self.model, self.adversary, self.data.size))
        return self


class PaperUNet(UNetTranslator):
    """A U-Net that at test time is what Isola et al. 2017, section 3.3, test: dropout goes on, and
    a batch norm takes the statistics of each picture by itself, as in their batches of one.

    Its weights are those of a `UNetTranslator`, without running averages.
    """

    draws: ClassVar[bool] = True  # at test time: a pipeline hands over what keys the draws

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int,
        levels: int,
        norm: Norm,
        upsampling: Upsampling,
        dropout: float,
    ) -> None:
        super().__init__(in_channels, out_channels, width, levels, norm, upsampling, dropout)
        for stage in self.stages.values():
            assert isinstance(stage, nn.Sequential)
            for i, layer in enumerate(stage):
                if isinstance(layer, nn.BatchNorm2d):
                    stage[i] = _PictureNorm(layer)
                elif isinstance(layer, nn.Dropout):
                    stage[i] = _KeptDropout(layer.p)

    def forward(
        self, image: Tensor, layers: Sequence[str] | None = None, *, drawn: Tensor | None = None
    ) -> Any:
        """The translated pictures, or the features of some layers.

        Args:
            image: (B, C, H, W) in [-1, 1].
            layers: As a `Translator` has them.
            drawn: (B,) int64 that keys what is dropped of each picture at test time; None = nothing
                is.
        """
        for place, layer in enumerate(self.modules()):
            if isinstance(layer, _KeptDropout):
                layer.place, layer.drawn = place, drawn
        return super().forward(image) if layers is None else super().forward(image, layers)


class _PictureNorm(nn.BatchNorm2d):
    """Batch norm while training; at test time by the statistics of the picture alone."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__(norm.num_features, track_running_stats=False)
        self.weight, self.bias = norm.weight, norm.bias

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(x)
        return F.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)


class _KeptDropout(nn.Dropout):
    """Dropout that goes on at test time, by numbers that are handed over."""

    place: int = 0  # of this layer in its network
    drawn: Tensor | None = None  # what keys its draws, (B,) int64

    def forward(self, x: Tensor) -> Tensor:
        if self.training or self.drawn is None:
            return super().forward(x)
        shares = [
            torch.rand(x.shape[1:], generator=random.generator(key, "dropout", self.place))
            for key in self.drawn.tolist()
        ]
        kept = (torch.stack(shares) >= self.p).to(x)
        return x * kept / (1 - self.p)


class Pix2PixTrainer(Trainer[Config]):
    """The critic's update, then the generator's, on the same pairs."""

    averaged: ClassVar[tuple[str, ...]] = ("a_to_b",)  # as exports call the generator

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Generator and critic, each with its optimizer."""
        config, channels = self.config, self.data.channels
        self.adversary = Adversary(self, config.adversary)
        generator = config.model.make(channels, channels)
        critic = self.adversary.constrain(config.model.make_critic(2 * channels))
        return {"a_to_b": generator, "critic": critic}, {
            "a_to_b": config.optim.make(generator, config.optim.lr),
            "critic": config.optim.make(critic, config.optim.critic_lr),
        }

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update of each network."""
        self.config.optim.set_momentum(self.optimizers.values(), self.steps_done)
        self.fakes = Fakes(self.translate, keep=len(micro_batches) == 1)
        critic = self.adversary.phase(micro_batches, self.critic_loss)
        with self.lend("critic"):
            generator = self.phase("a_to_b", micro_batches, self.generator_loss)
        return {"loss/critic": critic, "loss/a_to_b": generator, **self.adversary.numbers()}

    def translate(self, batch: Batch) -> Tensor:
        """The generator's pictures of the inputs, (B, C, H, W) in [-1, 1]."""
        made: Tensor = self.networks["a_to_b"](batch["source"])
        return made

    def judge(self, critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
        """The verdict on pictures beside their inputs."""
        verdict: Verdict = critic(torch.cat([batch["source"], images], dim=1))
        return verdict

    def critic_loss(self, batch: Batch) -> Tensor:
        """Eq. 1, the critic's side, halved."""
        fake, real = self.fakes.detached(batch), batch["target"]
        weight = critic_weight(self.config.adversary.objective)
        return self.adversary.critic_loss(batch, real, fake, self.judge, weight=weight).loss

    def generator_loss(self, batch: Batch) -> Tensor:
        """Eq. 4: the critic's verdict, and how far each picture is from its target."""
        fake, target = self.fakes.attached(batch), batch["target"]
        verdict, _ = self.adversary.generator_loss(batch, fake, target, self.judge)
        model = self.config.model
        return model.verdict_weight * verdict + model.l1_weight * F.l1_loss(fake.float(), target)

    def preview(self) -> list[Sheet]:
        """Input, picture and target of the first pairs of the test part, side by side."""
        source, target = self.examples["source"], self.examples["target"]
        made = self.pipeline().translated(source, seed=self.config.trainer.seed)
        rows = torch.stack([source, made, target], dim=1).flatten(0, 1)
        known = numbers("a_to_b", source, made, target, paired=True)
        return [Sheet(rows, "input, output, target", 9, samples=False, numbers=known)]

    def pipeline(self) -> pipelines.TranslationPipeline:
        """The averaged generator."""
        names = self.config.data.sides
        return pipelines.TranslationPipeline(self.averaged_network("a_to_b"), names=names)


def needs(config: Config) -> frozenset[str]:
    """Pairs of pictures."""
    return frozenset({"source", "target"})


TINY: dict[str, Any] = {
    "family": "pix2pix",
    "data": {
        "kind": "faces",
        "style": "ink",
        "other_style": "soft",
        "pairs": True,
        "image_size": 32,
        "train_count": 32,
        "test_count": 16,
        "batch_size": 2,
    },
    "model": {"width": 4, "critic_width": 4, "critic_layers": 1},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 3,
    },
}

FAMILY = Family(config=Config, trainer=Pix2PixTrainer, needs=needs, task="translation", tiny=TINY)
