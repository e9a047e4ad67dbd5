"""CUT: one kind of pictures translated to another, one way, learnt without pairs.

Park et al. 2020 (arXiv:2007.15651): a critic of patches asks for pictures of the other kind, and
each patch of what was made has to be told from other patches of its input, by features of the
generator's own layers and a small network of heads, eqs. 2 to 4. There is no way back.

    CUT      model.contrast_weight=1, model.identity_weight=1: pictures of B go through the
             generator as well, and their patches should stay theirs
    FastCUT  model.contrast_weight=10, model.identity_weight=0, model.flip_equivariance=true

Deviations: the means over patches and layers stand for their sums, as in the authors' code, which
halves both weights of CUT besides; features are those behind norm and activation; the first layer
is the picture itself and not the padded one, whose mirrored edges would be negatives of themselves;
each picture has places of its own, and is mirrored or not by a draw of its own; pictures are halved
by strided convolutions without a low-pass filter; exports hold the averaged generator, unless
trainer.ema_decay is null.

Legend: A B the two kinds, B batch, C channels, H W size in px, P patches, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines
from genkit.config import Positive
from genkit.family import Family
from genkit.losses.contrast import drawn_places, patch_contrast, patches_at
from genkit.nn.network import Network
from genkit.nn.translators import OUTPUT
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.training.adversary import Adversary
from genkit.training.config import RunConfig
from genkit.training.fakes import Fakes
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer
from genkit.training.translation_monitor import numbers
from genkit.training.translators import (
    LeastSquares,
    PatchCritics,
    Resnet,
    TranslatorOptim,
    channels_of,
    critic_weight,
    fitted,
    judge,
    needs,
    refuse_one_kind,
)

Weight = Annotated[float, Field(ge=0)]


class ModelConfig(Resnet, PatchCritics):
    """The networks, and what pulls the generator."""

    layers: tuple[str, ...] = ()  # compared; image, down1, down2, block1 and a middle block
    patches: Positive = 256  # of each picture and layer; of a smaller map all there are
    features: Positive = 256  # of each patch, behind its head
    temperature: Annotated[float, Field(gt=0)] = 0.07  # tau of eq. 2
    contrast_weight: Weight = 1.0  # lambda_X of eq. 4; FastCUT: 10
    identity_weight: Weight = 1.0  # lambda_Y of eq. 4, of pictures of B; FastCUT: 0
    flip_equivariance: bool = False  # half of the inputs are mirrored, and compared unmirrored
    verdict_weight: Weight = 2.0  # unless given 2 with least-squares, as in the code, else 1

    @model_validator(mode="after")
    def _layers_are_there(self) -> ModelConfig:
        blocks = [f"block{i + 1}" for i in range(self.blocks)]
        downs = [f"down{i + 1}" for i in range(self.levels)]
        known = ("image", "first", *downs, *blocks)
        if not self.layers:
            middle = dict.fromkeys([*blocks[:1], *blocks[: (self.blocks + 1) // 2][-1:]])
            self.settle(layers=("image", *downs, *middle))
        if strange := [name for name in self.layers if name not in known]:
            raise ValueError(f"layers: no {strange[0]}; there are {', '.join(known)}")
        if not self.contrast_weight and not self.identity_weight:
            raise ValueError(
                "contrast_weight and identity_weight are both 0: nothing would bind a picture to "
                "its input; give one of them"
            )
        return self


class Config(RunConfig):
    """A run of CUT."""

    model: ModelConfig = ModelConfig()
    adversary: LeastSquares = LeastSquares()
    optim: TranslatorOptim = TranslatorOptim()

    @model_validator(mode="after")
    def _networks_fit(self) -> Config:
        self.settle(model=fitted(self.model, self.adversary, self.data.size))
        a, b = (channels_of(self.data, side) for side in "ab")
        if a != b:
            raise ValueError(
                f"data.channels_a={a} and data.channels_b={b}: the network that sees pictures of A "
                f"compares those of B by the same layers; set data.channels_a={b}, or train "
                "cyclegan with model.identity_weight=0, whose networks may differ"
            )
        return self


class Heads(Network):
    """A small network for each layer: its features at places -> features (B, P, F) of length 1.

    Park et al. 2020, section 3.2: two linear layers with a ReLU between them. Weights begin as
    N(0, 0.02), biases as 0.

    Args:
        channels: Those of each layer, in order.
        features: F.
    """

    def __init__(self, channels: Sequence[int], features: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, features), nn.ReLU(), nn.Linear(features, features))
            for count in channels
        )
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0.0, 0.02)
                nn.init.zeros_(module.bias)

    def forward(self, patches: Sequence[Tensor]) -> list[Tensor]:
        """The features of patches (B, P, C), one tensor for each layer."""
        pairs = zip(self.heads, patches, strict=True)
        return [F.normalize(head(each).float(), dim=-1, eps=1e-7) for head, each in pairs]


class CUTTrainer(Trainer[Config]):
    """The critic's update, then that of generator and heads under one loss."""

    averaged: ClassVar[tuple[str, ...]] = ("a_to_b",)  # as exports call the generator

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """Generator, heads and critic, each with its optimizer."""
        config, channels, optim = self.config, self.data.channels, self.config.optim
        self.adversary = Adversary(self, config.adversary)
        generator = config.model.make(channels, channels)
        with torch.no_grad():
            smallest = torch.zeros(1, channels, generator.smallest, generator.smallest)
            found = generator(smallest, config.model.layers)
        widths = [features.shape[1] for features in found.values()]
        networks: dict[str, nn.Module] = {
            "a_to_b": generator,
            "heads": Heads(widths, config.model.features),
            "critic": self.adversary.constrain(config.model.make_critic(channels)),
        }
        rates = {name: optim.critic_lr if name == "critic" else optim.lr for name in networks}
        return networks, {name: optim.make(networks[name], rates[name]) for name in networks}

    def rows(self, rows: Rows) -> Rows:
        """Those of the data set, whose sides are two kinds of pictures."""
        return refuse_one_kind(rows)

    # -- a step ------------------------------------------------------------------------------------

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """The critic first, on what the generator makes before its own update."""
        self.config.optim.set_momentum(self.optimizers.values(), self.steps_done)
        self.terms: dict[str, list[Tensor]] = {}
        self.fakes = Fakes(self.translate, keep=len(micro_batches) == 1)
        critic = self.adversary.phase(micro_batches, self.critic_loss)
        with self.lend("critic"):
            generator = self.phase(("a_to_b", "heads"), micro_batches, self.generator_loss)
        terms = {name: torch.stack(each).mean() for name, each in self.terms.items()}
        said = self.adversary.numbers()
        return {"loss/critic": critic, "loss/a_to_b": generator, **terms, **said}

    def translate(self, batch: Batch) -> Tensor:
        """What becomes of pictures of A and, where they are asked for, of B: (B or 2 B, C, H, W).

        One pass gives the features of the inputs too, which the patches are told apart by.
        """
        given, layers = self.inputs(batch), self.config.model.layers
        found = self.networks["a_to_b"](given, (*layers, OUTPUT))
        if self.config.model.flip_equivariance:
            with torch.no_grad():  # of the inputs as they were, not mirrored
                found |= self.networks["a_to_b"](self.inputs(batch, mirrored=False), layers)
        self.keys = [found[name].detach() for name in layers]
        made: Tensor = found[OUTPUT]
        return made

    def inputs(self, batch: Batch, *, mirrored: bool = True) -> Tensor:
        """Pictures of A and, where they count, of B, half of them mirrored if that is asked."""
        kinds = ["image_a", *(["image_b"] if self.config.model.identity_weight else [])]
        given = torch.cat([batch[name] for name in kinds])
        return self.turned(given, batch) if mirrored else given

    def turned(self, images: Tensor, batch: Batch) -> Tensor:
        """Pictures or maps, those of the mirrored rows from left to right."""
        if not self.config.model.flip_equivariance:
            return images
        flip = self.noise("equivariance", batch, (), kind="uniform") < 0.5
        flip = flip.repeat(len(images) // len(flip))[:, None, None, None]
        return torch.where(flip, images.flip(3), images)

    def critic_loss(self, batch: Batch) -> Tensor:
        """The critic's side of the objective: a scalar."""
        fake = self.fakes.detached(batch)[: len(batch["image_a"])]
        weight = critic_weight(self.config.adversary.objective)
        real = batch["image_b"]
        return self.adversary.critic_loss(batch, real, fake, judge, weight=weight).loss

    def generator_loss(self, batch: Batch) -> Tensor:
        """Eq. 4: a scalar."""
        made, model, count = self.fakes.attached(batch), self.config.model, len(batch["image_a"])
        real = batch["image_b"]
        verdict, _ = self.adversary.generator_loss(batch, made[:count], real, judge)
        contrast = self.contrast(made, batch)
        total = model.verdict_weight * verdict
        for name, each in zip(("contrast", "identity"), contrast.split(count), strict=False):
            self.terms.setdefault(f"loss/{name}", []).append(each.mean().detach())
        total = total + model.contrast_weight * contrast[:count].mean()
        if model.identity_weight:
            total = total + model.identity_weight * contrast[count:].mean()
        return total

    def contrast(self, made: Tensor, batch: Batch) -> Tensor:
        """How badly the patches of each picture that was made are told apart: (B or 2 B,)."""
        layers, heads = self.config.model.layers, self.networks["heads"]
        found: Mapping[str, Tensor] = self.networks["a_to_b"](made, layers)
        queries = [self.turned(found[name], batch) for name in layers]
        named = zip(layers, queries, strict=True)
        places = [self.places(name, maps, batch) for name, maps in named]
        query = heads([patches_at(*each) for each in zip(queries, places, strict=True)])
        with torch.no_grad():
            key = heads([patches_at(*each) for each in zip(self.keys, places, strict=True)])
        pairs = zip(query, key, strict=True)
        each = [patch_contrast(q, k, self.config.model.temperature) for q, k in pairs]
        return torch.stack(each).mean(0)

    def places(self, layer: str, maps: Tensor, batch: Batch) -> Tensor:
        """Where the patches of a layer lie in maps (B or 2 B, C, h, w): drawn anew in each step."""
        places, count = maps.shape[2] * maps.shape[3], len(batch["position"])
        kinds = len(maps) // count
        share = self.noise(f"places/{layer}", batch, (kinds, places), kind="uniform")
        share = share.transpose(0, 1).flatten(0, 1)  # pictures of A, then those of B
        return drawn_places(share, self.config.model.patches)

    # -- what is shown -----------------------------------------------------------------------------

    def preview(self) -> list[Sheet]:
        """Pictures of the test part and what becomes of them."""
        before, (a, b) = self.examples["image_a"], self.config.data.sides
        after, target = self.pipeline().translated(before), self.examples["image_b"]
        pairs = torch.stack([before, after], dim=1).flatten(0, 1)
        known, columns = numbers("a_to_b", before, after, target), 2 * min(6, len(before))
        return [Sheet(pairs, f"{a} to {b}", columns, samples=False, numbers=known)]

    def pipeline(self) -> pipelines.TranslationPipeline:
        """The averaged generator, from A to B."""
        names = self.config.data.sides
        return pipelines.TranslationPipeline(self.averaged_network("a_to_b"), names=names)


TINY: dict[str, Any] = {
    "family": "cut",
    "data": {
        "kind": "faces",
        "other_style": "ink",
        "image_size": 32,
        "train_count": 32,
        "test_count": 16,
        "batch_size": 2,
    },
    "model": {
        "width": 2,
        "blocks": 2,
        "critic_width": 2,
        "critic_layers": 1,
        "patches": 16,
        "features": 8,
    },
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 4,
    },
}

FAMILY = Family(config=Config, trainer=CUTTrainer, needs=needs, task="translation", tiny=TINY)
