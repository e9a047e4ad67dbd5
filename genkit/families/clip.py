"""CLIP: pictures and texts in one space, learnt from pictures with captions.

Radford et al. 2021 (arXiv:2103.00020): two towers embed a picture and a text; in a batch each
picture is to find its text among all, and each text its picture. With `loss.kind=sigmoid` each pair
is judged alone (SigLIP, Zhai et al. 2023, arXiv:2303.15343). `model.kind=pretrained` goes on from
published towers; with `lock_pictures` only the texts learn (Zhai et al. 2022, arXiv:2111.07991).

Where the data have foils, captions that are nearly right, pictures are to tell them from their own
(Yuksekgonul et al. 2023, arXiv:2210.01936).

Deviations: rows whose texts or pictures are equal count as belonging together, instead of as wrong
answers; the temperature is no less than 1; exports hold the averaged weights.

Legend: B batch, N rows of a step, P embedding, L tokens.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines
from genkit.config import ByKind, ComponentRef, Fraction, Positive, Section
from genkit.errors import ConfigError, DataError, shown
from genkit.family import Family
from genkit.losses import image_text as losses
from genkit.nn import image_text as towers
from genkit.nn import tokens
from genkit.nn.pretrained import clip as published
from genkit.rows.batch import Batch
from genkit.rows.captions import captions_of
from genkit.training.config import OptimConfig, RunConfig
from genkit.training.contrastive import Comparison
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer

log = logging.getLogger("genkit")

TOKENIZER, NORMALISATION = "tokenizer", "normalisation"  # what a run remembers
FIRST_BIAS, FIRST_SIGMOID_SCALE = -10.0, 10.0  # of the sigmoid loss: arXiv:2303.15343, section 3.1


class NewTowers(Section):
    """Towers with first weights, and a tokenizer learnt from the captions."""

    kind: Literal["new"] = "new"
    patch: Positive = 4  # side of a patch in px
    width: Positive = 128  # of the tower of pictures
    layers: Positive = 4
    heads: Positive = 4
    text_width: Positive = 128
    text_layers: Positive = 4
    text_heads: Positive = 4
    embed: Positive = 128  # P
    vocabulary: Annotated[int, Field(ge=tokens.LEAST)] = 1024  # tokens learnt from the captions
    context: Annotated[int, Field(ge=4)] = 32  # tokens of a caption at most, start and end included
    tokenizer: Literal["own", "clip"] = "own"  # clip: the published one, 49,408 tokens
    normalisation: Literal["half", "clip"] = (
        "half"  # of channels; clip: means and deviations of its
    )

    @model_validator(mode="after")
    def _fits(self) -> NewTowers:
        for width, heads in (("width", "heads"), ("text_width", "text_heads")):
            if getattr(self, width) % getattr(self, heads):
                raise ValueError(
                    f"{width}={getattr(self, width)} can't be shared among "
                    f"{heads}={getattr(self, heads)}; take a multiple of it"
                )
        if self.tokenizer == "clip":
            if self.was_given("vocabulary") and self.vocabulary != tokens.PUBLISHED:
                raise ValueError(
                    f"vocabulary={self.vocabulary} says nothing to tokenizer=clip, which has "
                    f"{tokens.PUBLISHED:,} tokens; leave it out"
                )
            self.settle(vocabulary=tokens.PUBLISHED)
        return self


class PretrainedTowers(Section):
    """Towers and a tokenizer that are there already."""

    kind: Literal["pretrained"] = "pretrained"
    source: ComponentRef  # run, export, folder of transformers, Hub id, or clip-vitb32
    lock_pictures: bool = False  # only the tower of texts learns


class LossConfig(Section):
    """What is learnt by."""

    kind: Literal["contrastive", "sigmoid"] = "contrastive"
    largest_scale: Annotated[float, Field(ge=1)] = towers.LARGEST_SCALE  # of 1 / temperature


class Optim(OptimConfig):
    """AdamW; gains, biases and the temperature don't decay."""

    lr: Annotated[float, Field(gt=0)] = 5e-4
    betas: tuple[Fraction, Fraction] = (0.9, 0.98)
    eps: Annotated[float, Field(gt=0)] = 1e-6
    weight_decay: Annotated[float, Field(ge=0)] = 0.2


class Config(RunConfig):
    """A run of CLIP."""

    data_kind: ClassVar[str] = "scenes"

    model: Annotated[NewTowers | PretrainedTowers, ByKind("new")] = NewTowers()
    loss: LossConfig = LossConfig()
    optim: Optim = Optim()

    @model_validator(mode="after")
    def _pictures_fit(self) -> Config:
        if isinstance(self.model, NewTowers):
            height, width = self.data.size
            if height != width or height % self.model.patch:
                raise ValueError(
                    f"data.image_size: {height} x {width} px are not parted evenly into patches of "
                    f"model.patch={self.model.patch} px; give squares that are"
                )
        if self.data.batch_size * self.batches_per_step < 2:
            raise ValueError("data.batch_size=1: a picture is compared with others; give 2 or more")
        return self


class Bias(nn.Module):
    """b of the sigmoid loss."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(FIRST_BIAS))


class ClipTrainer(Trainer[Config]):
    """Both towers under one loss over all rows of a step."""

    averaged: ClassVar[tuple[str, ...]] = ("clip",)

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The towers, and of the sigmoid loss its bias; the tokenizer is remembered."""
        model = self.config.model
        if isinstance(model, NewTowers):
            network, tokenizer, normalisation = self._new(model)
        else:
            start = pipelines.open_image_text(model.source)
            network, tokenizer = start.clip.train().requires_grad_(True), start.tokenizer
            normalisation = start.normalisation
            if self.config.loss.kind == "sigmoid":
                towers.set_scale(network, FIRST_SIGMOID_SCALE)
            self._check_side(network)
            for part in (network.vision_model, network.visual_projection):
                part.requires_grad_(not model.lock_pictures)
        self.context: int = network.config.text_config.max_position_embeddings
        none = torch.zeros(0, dtype=torch.uint8)  # until a checkpoint puts another in its place
        self.memory[TOKENIZER] = none if tokenizer is None else tokens.packed(tokenizer)
        self.memory[NORMALISATION] = torch.tensor(normalisation, dtype=torch.float64)
        self._unpacked: tuple[Tensor | None, Any] = None, None
        self._normalised: tuple[Tensor | None, towers.Normalisation] = None, normalisation
        networks: dict[str, nn.Module] = {"clip": network}
        if self.config.loss.kind == "sigmoid":
            networks["bias"] = Bias()
        return networks, {name: self._adamw(each) for name, each in networks.items()}

    def _new(self, model: NewTowers) -> tuple[Any, Any, towers.Normalisation]:
        network = towers.towers(
            towers.Tower(model.width, model.layers, model.heads),
            towers.Tower(model.text_width, model.text_layers, model.text_heads),
            side=self.data.size[0],
            patch=model.patch,
            embed=model.embed,
            vocabulary=model.vocabulary,
            context=model.context,
        )
        is_sigmoid = self.config.loss.kind == "sigmoid"
        towers.set_scale(network, FIRST_SIGMOID_SCALE if is_sigmoid else towers.FIRST_SCALE)
        normalisation = towers.CLIP if model.normalisation == "clip" else towers.HALF
        if model.tokenizer == "clip":
            return network, published.tokenizer(), normalisation
        if self.data.rows is None:
            return network, None, normalisation
        texts = captions_of(self.data.rows)
        tokenizer, unused = tokens.learnt(texts, model.vocabulary, model.context)
        if self.accelerator.is_main_process:
            text = "a vocabulary of %d tokens was learnt from %d captions%s"
            left = f"; {unused} of them are left over, a smaller one would do" if unused else ""
            log.info(text, model.vocabulary, len(texts), left)
        return network, tokenizer, normalisation

    def _check_side(self, network: Any) -> None:
        side = network.config.vision_config.image_size
        if self.data.size != (side, side):
            raise ConfigError(
                f"data.image_size: pictures of {self.data.size[0]} x {self.data.size[1]} px, and "
                f"the tower of model.source takes {side} x {side}; set data.image_size={side}"
            )

    def _adamw(self, network: nn.Module) -> torch.optim.Optimizer:
        optim, still = self.config.optim, towers.undecayed(network)
        known = {id(parameter) for parameter in still}
        rest = [p for p in network.parameters() if p.requires_grad and id(p) not in known]
        groups: list[dict[str, Any]] = [{"params": rest}, {"params": still, "weight_decay": 0.0}]
        return torch.optim.AdamW(
            [group for group in groups if group["params"]],
            optim.lr,
            optim.betas,
            optim.eps,
            optim.weight_decay,
            fused=True,
        )

    # -- captions ----------------------------------------------------------------------------------

    @property
    def tokenizer(self) -> Any:
        """Of the captions: what was learnt, or what came with the towers."""
        held = self.memory[TOKENIZER]
        if self._unpacked[0] is not held:
            if not len(held):
                raise DataError("captions: no tokenizer, since no data set was there to learn from")
            self._unpacked = held, tokens.unpacked(held)
        return self._unpacked[1]

    @property
    def normalisation(self) -> towers.Normalisation:
        """Of the channels of pictures: that of the settings, or what came with the towers."""
        held = self.memory[NORMALISATION]
        if self._normalised[0] is not held:
            mean, deviation = held.tolist()
            self._normalised = held, towers.Normalisation(tuple(mean), tuple(deviation))
        return self._normalised[1]

    def wrap(self) -> None:
        """Before the first step: captions that the tower takes no whole are counted."""
        super().wrap()
        rows = self.data.rows
        if rows is None:
            return
        texts = captions_of(rows)
        cut = tokens.too_long(self.tokenizer, texts, self.context)
        if cut and self.accelerator.is_main_process:
            log.warning(
                "%s: %d of %d captions have more than the %d tokens that the tower of texts takes; "
                "what is behind is not read",
                *(shown(rows.name), cut, len(texts), self.context),
            )

    def start_from(self, pipeline: Any) -> list[str]:
        """Weights, tokenizer and normalisation of an export, which belong together."""
        theirs = getattr(pipeline, "tokenizer", None)
        if theirs is not None and len(theirs) == len(self.tokenizer):
            self.memory[TOKENIZER] = tokens.packed(theirs)
            told = torch.tensor(pipeline.normalisation, dtype=torch.float64)
            self.memory[NORMALISATION] = told.to(self.device)
        bias = pipeline.config.get("logit_bias")
        if bias is not None and "bias" in self.bare_networks:
            nn.init.constant_(self.bare_networks["bias"].value, bias)  # type: ignore[arg-type]
            return [name for name in super().start_from(pipeline) if name != "bias"]
        return super().start_from(pipeline)

    # -- steps -------------------------------------------------------------------------------------

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update of both towers."""
        network: Any = self.bare_networks["clip"]
        shared = [network.logit_scale]
        if "bias" in self.bare_networks:
            shared += self.bare_networks["bias"].parameters()
        for batch in micro_batches:
            texts = batch["caption"]
            if "foil" in batch:  # behind the captions; where there is none, the caption once more
                pairs = zip(batch["foil"], texts, strict=True)
                texts = texts + [foil or text for foil, text in pairs]
            batch["tokens"] = tokens.tokens(self.tokenizer, texts, self.context)
        comparison = Comparison(self, self.embed, self.keys, self.compare, shared)
        loss = comparison.phase([*self.bare_networks], micro_batches)
        with torch.no_grad():
            network.logit_scale.clamp_(0, math.log(self.config.loss.largest_scale))
        return {"loss/clip": loss, **self.seen}

    def embed(self, batch: Batch) -> tuple[Tensor, ...]:
        """Pictures, texts and foils, where there are any, as vectors (B, P) of length 1."""
        pixels = self.normalisation(batch["image"])
        found = self.networks["clip"](batch["tokens"].to(self.device), pixels)
        return found.image_embeds, *found.text_embeds.split(len(pixels))

    def keys(self, batch: Batch) -> Tensor:
        """Numbers that equal pictures, equal texts and foils share, (B, 2) or (B, 3) int64."""
        end = self.tokenizer.eos_token_id
        texts = torch.tensor(
            [tokens.number(ids, end) for ids in batch["tokens"].tolist()], device=self.device
        )
        return torch.stack([batch["index"], *texts.split(len(batch["index"]))], 1)

    def compare(self, pictures: Tensor, texts: Tensor, *more: Tensor) -> Tensor:
        """The loss over all rows of a step, (N, P) each: pictures, texts, foils; keys."""
        network: Any = self.bare_networks["clip"]
        *foils, keys = more
        indices, told, *wrong = keys.T
        same, cosines = losses.belonging(told, indices), pictures @ texts.T
        scale = network.logit_scale.exp()
        others = same.float().sum(1)
        first = cosines.argmax(1, keepdim=True)
        self.seen = {
            "accuracy/clip": same.gather(1, first).float().mean(),
            "guessing/clip": others.mean() / len(same),
            "equal/clip": (others > 1).float().mean(),
            "scale/clip": scale.detach(),
            "rank/clip": losses.effective_rank(pictures.detach()),
        }
        if foils:
            there = wrong[0] != told
            same = losses.belonging(told, indices, wrong[0][there])
            nearer = (pictures * foils[0]).sum(1) >= cosines.diagonal()
            self.seen["foiled/clip"] = (nearer & there).sum() / there.sum().clamp(min=1)
            cosines = torch.cat([cosines, pictures @ foils[0][there].T], 1)
        if self.config.loss.kind == "contrastive":
            return losses.contrastive(cosines, same, scale)
        bias: Any = self.bare_networks["bias"]
        return losses.sigmoid(cosines, same, scale, bias.value)

    # -- what comes of it --------------------------------------------------------------------------

    def preview(self) -> list[Sheet]:
        """None: it makes no pictures."""
        return []

    def pipeline(self) -> pipelines.ImageTextPipeline:
        """The averaged towers with their tokenizer."""
        network = copy.deepcopy(self.averaged_network("clip"))
        bias: Any = self.bare_networks.get("bias")
        return pipelines.ImageTextPipeline.of(
            network,
            self.tokenizer,
            self.normalisation,
            bias=None if bias is None else bias.value.item(),
        )


def needs(config: Config) -> frozenset[str]:
    """Pictures, and what they show in words."""
    return frozenset({"image", "caption"})


TINY: dict[str, Any] = {
    "family": "clip",
    "data": {
        "kind": "scenes",
        "image_size": 32,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "model": {
        "patch": 16,
        "width": 16,
        "layers": 1,
        "heads": 2,
        "text_width": 16,
        "text_layers": 1,
        "text_heads": 2,
        "embed": 16,
        "vocabulary": 600,
    },
    "trainer": {"steps": 4, "log_every": 1, "save_every": 2, "preview_every": 2},
}

FAMILY = Family(config=Config, trainer=ClipTrainer, needs=needs, task="retrieval", tiny=TINY)
