"""Latent diffusion: pictures of what a text says, made in the latents of an autoencoder.

Rombach et al. 2022 (arXiv:2112.10752), section 3: an autoencoder and a tower of texts that are
trained already and stay as they are, and a U-Net between them that learns to take noise off
latents, reading the words by cross-attention. Its export is diffusers' `StableDiffusionPipeline`.

With `model.kind=mmdit` that network is the transformer of Esser et al. 2024 (arXiv:2403.03206),
section 4, in which words and pictures look at each other, and the export a
`StableDiffusion3Pipeline`.

By default it learns a straight flow (Liu et al. 2022, arXiv:2209.03003) with levels drawn around
the middle (Esser et al. 2024, arXiv:2403.03206, eq. 19); `noise.prediction=epsilon` with
`noise.schedule=scaled-linear` is the recipe of 2022.

Deviations: latents are drawn from their distributions at each step, as theirs, but pictures are
encoded once, so none is moved; residual branches and outputs begin near zero; exports
hold the averaged network; the transformer reads no tower of T5, but the zeros in its place.

Legend: B batch, Z latent channels, S side of a latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines
from genkit.config import ByKind, ComponentRef, Fraction, MayChange, Positive, Section
from genkit.errors import ConfigError, PipelineError
from genkit.family import Family
from genkit.nn.text_transformers import (
    make_text_transformer,
    projected_tower,
    text_transformer_problem,
)
from genkit.nn.text_unets import make_text_unet, text_unet_problem
from genkit.noise.config import Flow, Timesteps
from genkit.noise.process import NoiseProcess
from genkit.pipelines.sampling import complete, settle
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.training.captioned_latents import CaptionedLatents, KeepTexts
from genkit.training.config import RunConfig, TrainerConfig
from genkit.training.diffusion import Diffusion
from genkit.training.latents import MOVED, latent_size
from genkit.training.optimizers import AdamOrMuon
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer

Reader = tuple[Any, Any]  # a tower of texts and its tokenizer


class BuiltOn(Section):
    """What every network stands on.

    Attributes:
        network: What it is called, in runs and exports.
    """

    network: ClassVar[str]
    autoencoder: ComponentRef  # run, export or Hub id of an AutoencoderKL
    text: ComponentRef  # run or export of family clip, folder or Hub id of a CLIPModel
    caption_drop: Fraction = 0.1  # share of captions hidden, without which there is no guidance
    keep_texts: MayChange[KeepTexts] = "auto"  # captions are read once; auto: up to 2 GB of them


class UNet(BuiltOn):
    """A U-Net that looks at the words."""

    network: ClassVar[str] = "unet"
    kind: Literal["unet"] = "unet"
    widths: tuple[Positive, ...] = (128, 256)  # of each level; between two the sides are halved
    layers: Positive = 1  # residual blocks of a level
    attention: tuple[Positive, ...] = (8, 4)  # sides of latents at which the text is read
    heads: Positive = 4
    dropout: Fraction = 0.0

    def readers(self) -> list[Reader]:
        """The one tower of texts."""
        found = pipelines.open_image_text(self.text)
        return [(found.clip.text_model, found.tokenizer)]

    def make(self, side: int, channels: int, towers: Sequence[Any]) -> Any:
        """The network, with first weights."""
        if problem := text_unet_problem(side, self.widths, self.attention, self.heads):
            raise ConfigError(f"model.{problem}")
        return make_text_unet(
            *(side, channels, towers[0].config.hidden_size),
            widths=self.widths,
            layers=self.layers,
            attention=self.attention,
            heads=self.heads,
            dropout=self.dropout,
        )

    def scheduler(self, process: NoiseProcess) -> Any:
        """That of an export."""
        return pipelines.latent_scheduler(process)

    def pipeline(self, vae: Any, readers: Sequence[Reader], *rest: Any) -> Any:
        """Noise and text to picture, by network and scheduler."""
        return pipelines.TextToImage(vae, *readers[0], *rest)


class MMDiT(BuiltOn):
    """A transformer in which words and pictures look at each other."""

    network: ClassVar[str] = "transformer"
    kind: Literal["mmdit"] = "mmdit"
    text_2: MayChange[ComponentRef | None] = None  # a second tower; null = that of text for both
    patch: Literal[1, 2] = 2  # side of the latents that become one token
    width: Positive = 384
    layers: Positive = 12
    heads: Positive = 6
    qk_norm: Literal["rms_norm", "none"] = "rms_norm"  # of queries and keys

    @model_validator(mode="after")
    def _heads_fit(self) -> MMDiT:
        if problem := text_transformer_problem(self.width, self.heads):
            raise ValueError(problem)
        return self

    def readers(self) -> list[Reader]:
        """Both towers of texts, or the one twice."""
        sources = [self.text] if self.text_2 is None else [self.text, self.text_2]
        found = [pipelines.open_image_text(each) for each in sources]
        read = [(projected_tower(each.clip), each.tokenizer) for each in found]
        return [read[0], read[-1]]

    def make(self, side: int, channels: int, towers: Sequence[Any]) -> Any:
        """The network, with first weights."""
        if side % self.patch:
            raise ConfigError(f"model.patch=2 does not divide latents of {side}; set model.patch=1")
        return make_text_transformer(
            *(side, channels),
            sum(each.config.hidden_size for each in towers),
            sum(each.config.projection_dim for each in towers),
            patch=self.patch,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            qk_norm=None if self.qk_norm == "none" else self.qk_norm,
        )

    def scheduler(self, process: NoiseProcess) -> Any:
        """That of an export."""
        return process.scheduler()

    def pipeline(self, vae: Any, readers: Sequence[Reader], *rest: Any) -> Any:
        """Noise and text to picture, by network and scheduler."""
        return pipelines.TextToImageTransformer(vae, *readers[0], *readers[1], *rest)


class FlowByDefault(Flow):
    """A straight flow, its levels drawn around the middle unless told otherwise."""

    draws: Literal["uniform", "logit-normal"] = "logit-normal"  # of the levels in training


class PreviewConfig(Section):
    """How the previews are sampled, and the pictures of `evaluation.every`."""

    scheduler: str | None = None  # which solver; unless given dpmsolver++ or flow_euler
    steps: Positive = 20  # calls of the network, or pairs of calls, for each picture
    guidance: Annotated[float, Field(ge=0)] = 4.0  # 1 = the caption alone, 0 = without it
    prompts: tuple[str, ...] = ()  # of the preview; unless given those of the test part


class Optim(AdamOrMuon):
    """Adam with decoupled decay; or Muon for the hidden layers and Adam for the rest."""

    lr: Annotated[float, Field(gt=0)] = 5e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    warmup_steps: Annotated[int, Field(ge=0)] = 500  # linear rise from 0


class LatentTrainerConfig(TrainerConfig):
    """Length and cadence."""

    grad_clip: Annotated[float, Field(gt=0)] | None = 1.0
    ema_decay: Fraction | None = 0.999


class Config(RunConfig):
    """A run of latent diffusion."""

    data_kind: ClassVar[str] = "scenes"

    model: Annotated[UNet | MMDiT, ByKind("unet")]
    noise: Annotated[Timesteps | FlowByDefault, ByKind("flow", "prediction")] = FlowByDefault()
    preview: MayChange[PreviewConfig] = PreviewConfig()
    optim: Optim = Optim()
    trainer: LatentTrainerConfig = LatentTrainerConfig()

    @model_validator(mode="after")
    def _pictures_stay(self) -> Config:
        if self.data.shift:
            raise ValueError(MOVED)
        if getattr(self.noise, "learned_variance", False):
            raise ValueError(
                "noise.learned_variance: diffusers' StableDiffusionPipeline, which an export is, "
                "knows no learnt variances; leave it out"
            )
        return self

    @model_validator(mode="after")
    def _noise_fits(self) -> Config:
        if self.model.kind == "mmdit" and not isinstance(self.noise, Flow):
            raise ValueError(
                f"noise.prediction={self.noise.prediction}: diffusers' StableDiffusion3Pipeline, "
                "which an export is, knows flows only; set noise.prediction=flow"
            )
        return self

    @model_validator(mode="after")
    def _preview_fits(self) -> Config:
        if self.preview.guidance != 1 and not self.model.caption_drop:
            raise ValueError(
                "preview.guidance needs a share of hidden captions: set model.caption_drop=0.1, or "
                "preview.guidance=1"
            )
        noise, given = self.noise, self.sampling_options
        steps = noise.steps if isinstance(noise, Timesteps) else 0
        try:
            found = settle(given, noise.kind, steps, 1)
            if found.scheduler != settle({}, noise.kind, steps, None).scheduler:
                complete(given, self.model.scheduler(noise.process()), 1)  # which asks diffusers
        except PipelineError as error:
            raise ValueError(f"preview.{error}") from None
        chosen = {"scheduler": found.scheduler, "steps": found.steps}
        self.settle(preview=self.preview.model_copy(update=chosen))
        return self

    @property
    def sampling_options(self) -> dict[str, Any]:
        """Those of `preview`."""
        options = self.preview.model_dump(exclude={"prompts"})
        return {name: value for name, value in options.items() if value is not None}


class LatentDiffusionTrainer(Trainer[Config]):
    """One network between others that stay as they are."""

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The network, and the trained autoencoder and towers of texts."""
        config, model = self.config, self.config.model
        self.averaged = (model.network,)  # type: ignore[misc]  # a run's, not the class's
        vae = pipelines.load_component(model.autoencoder)
        self.readers = model.readers()
        towers = [tower.requires_grad_(False) for tower, _ in self.readers]
        side, channels = latent_size(vae, self.data.image_size, self.data.channels)
        self.diffusion = Diffusion(
            self, config.noise.process(), evenly=config.noise.low_discrepancy
        )
        network = model.make(side, channels, towers)
        networks = {model.network: network, "vae": vae, "text_encoder": towers[0]}
        if towers[-1] is not towers[0]:
            networks["text_encoder_2"] = towers[-1]
        self.way = self._way(vae, network)
        self.given = CaptionedLatents(
            self,
            self.way,
            self.diffusion,
            drop=model.caption_drop,
            keep_texts=model.keep_texts,
        )
        return networks, {model.network: config.optim.make(network, self.casting)}

    def _way(self, vae: Any, network: Any) -> Any:
        """From noise and text to picture by a network: how it is trained, and how it is used."""
        model = self.config.model
        scheduler = model.scheduler(self.diffusion.process)
        return model.pipeline(vae, self.readers, network, scheduler)

    def rows(self, rows: Rows) -> Rows:
        """Rows of latents: means and deviations of their distributions, encoded once and kept."""
        return self.given.rows(rows)

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update of the network."""
        name = self.config.model.network
        return {f"loss/{name}": self.phase(name, micro_batches, self.loss)}

    def loss(self, batch: Batch) -> Tensor:
        """The process's loss on latents, drawn anew, with this step's noise and hidden captions."""
        network, words = self.networks[self.config.model.network], self.given.words(batch)

        def ask(x: Tensor, time: Tensor) -> Tensor:
            found: Tensor = self.way.ask(network, x, time, words)
            return found

        return self.diffusion.loss(batch, self.given.latents(batch), ask)

    def preview(self) -> list[Sheet]:
        """Pictures of the prompts by the averaged network, or of the first captions of the test
        part."""
        trainer, asked = self.config.trainer, self.config.preview.prompts
        prompts = list(asked) or self.examples["caption"]
        images = self.pipeline()(
            len(prompts),
            seed=trainer.seed,
            caption=list(prompts),
            output="tensor",
            **self.config.sampling_options,
        )
        assert isinstance(images, Tensor)
        shown = images * 2 - 1
        numbers = self.given.held_out(
            self.averaged_network(self.config.model.network)
        ) | self.given.near_copies(shown)
        return [Sheet(shown, texts=prompts, samples=False, numbers=numbers)]

    def pipeline(self) -> Any:
        """Noise and text to picture by the averaged network."""
        return self._way(
            self.bare_networks["vae"], self.averaged_network(self.config.model.network)
        )


def needs(config: Config) -> frozenset[str]:
    """Pictures, and what they show in words."""
    return frozenset({"image", "caption"})


FAMILY = Family(config=Config, trainer=LatentDiffusionTrainer, needs=needs, task="prompts")
