"""Stable Diffusion taught one's own pictures: an adapter, or all weights of its U-Net.

It begins with a trained text-to-image model: a folder or Hub id of diffusers'
`StableDiffusionPipeline` or `StableDiffusionXLPipeline`, or a run of family latent_diffusion. What
the network predicts, and by which schedule, is the model's own. With `model.learn.kind=lora`
low-rank adapters learn beside weights that stay as they are (Hu et al. 2022, arXiv:2106.09685), and
the export is their file alone; with `full` all weights of the U-Net learn.

Deviations: pictures are encoded once, so none is moved; latents are drawn from their
distributions at each step; alpha is multiplied into an adapter's file; pictures are cropped in the
middle, where SDXL's paper draws a corner (arXiv:2307.01952, section 2.2).

Legend: B batch, Z latent channels, L tokens, D width of their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from genkit import pipelines
from genkit.config import ByKind, ComponentRef, Fraction, MayChange, Positive, Section
from genkit.config.data import buckets_of
from genkit.errors import CheckpointError, ConfigError
from genkit.family import Family
from genkit.nn import adapters
from genkit.nn.autoencoders import factor, pictures_problem
from genkit.nn.text_unets import encoded_text
from genkit.noise.config import GAMMA
from genkit.noise.process import NoiseProcess
from genkit.noise.weights import Weighting
from genkit.rows.base import Rows
from genkit.rows.batch import Batch, batch_of
from genkit.training.captioned_latents import CaptionedLatents, KeepTexts
from genkit.training.config import OptimConfig, RunConfig, TrainerConfig
from genkit.training.diffusion import Diffusion
from genkit.training.latents import MOVED
from genkit.training.optimizers import adam
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer

_OF_TEXTS = ("q_proj", "k_proj", "v_proj", "out_proj")  # what an adapter of the tower adapts


class Lora(Section):
    """Adapters learn."""

    kind: Literal["lora"] = "lora"
    rank: Positive = 16
    alpha: Annotated[float, Field(gt=0)] | None = None  # the adapter counts alpha / rank; rank
    dropout: Fraction = 0.0  # share of its inputs that are dropped
    layers: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")  # ends of their names
    base: Literal["fp32", "bf16", "fp16"] = "fp32"  # precision of what stays as it is
    text: bool = False  # the tower of texts has an adapter too

    @model_validator(mode="after")
    def _alpha_is_known(self) -> Lora:
        if self.alpha is None:
            self.settle(alpha=float(self.rank))
        return self


class Full(Section):
    """All weights of the U-Net learn."""

    kind: Literal["full"] = "full"
    text: bool = False  # those of the tower of texts too


class ModelConfig(Section):
    """What it begins with, and what of it learns."""

    source: ComponentRef  # run, folder or Hub id of a StableDiffusion(XL)Pipeline
    learn: Annotated[Lora | Full, ByKind("lora")] = Lora()
    checkpointing: MayChange[bool] = False  # forward passes once more instead of kept: less memory
    caption_drop: Fraction = 0.1  # share of captions hidden, without which there is no guidance
    keep_texts: MayChange[KeepTexts] = "auto"  # captions are read once; auto: up to 2 GB of them


class NoiseConfig(Section):
    """How errors at the levels count; what is predicted the model says."""

    weighting: Weighting = "simple"  # of the errors at the noise levels
    gamma: Annotated[float, Field(gt=0)] = GAMMA  # of min-snr
    draws: Literal["uniform", "logit-normal"] = "uniform"  # of the levels in training

    @model_validator(mode="after")
    def _gamma_is_asked_for(self) -> NoiseConfig:
        if self.weighting != "min-snr" and self.gamma != GAMMA:
            raise ValueError(
                f"gamma says nothing to weighting={self.weighting}; leave it out, or set "
                "weighting=min-snr"
            )
        return self


class PreviewConfig(Section):
    """How the previews are sampled, and the pictures of `evaluation.every`."""

    steps: Positive = 20  # calls of the network, or pairs of calls, for each picture
    guidance: Annotated[float, Field(ge=0)] = 5.0  # 1 = the caption alone, 0 = without it
    prompts: tuple[str, ...] = ()  # of the preview; unless given those of the test part


class Optim(OptimConfig):
    """Adam with decoupled decay."""

    lr: Annotated[float, Field(gt=0)] = 1e-4
    weight_decay: Annotated[float, Field(ge=0)] = 0.01


class TuningTrainerConfig(TrainerConfig):
    """Length and cadence."""

    steps: MayChange[Positive] = 2_000  # of the optimizer
    grad_clip: Annotated[float, Field(gt=0)] | None = 1.0
    ema_decay: Fraction | None = None  # null = keep no average
    preview_every: MayChange[Positive] = 250  # steps between sheets of samples
    preview_count: Annotated[int, Field(ge=1, le=10_000)] = 4  # samples on a sheet, at most
    save_every: MayChange[Positive] = 250  # steps between checkpoints


class Config(RunConfig):
    """A run that teaches Stable Diffusion."""

    data_kind: ClassVar[str] = "folder"
    takes_buckets: ClassVar[bool] = True

    model: ModelConfig
    noise: NoiseConfig = NoiseConfig()
    preview: MayChange[PreviewConfig] = PreviewConfig()
    optim: Optim = Optim()
    trainer: TuningTrainerConfig = TuningTrainerConfig()

    @model_validator(mode="after")
    def _pictures_stay(self) -> Config:
        if self.data.shift:
            raise ValueError(MOVED)
        return self

    @model_validator(mode="after")
    def _precisions_fit(self) -> Config:
        base = getattr(self.model.learn, "base", "fp32")
        if base != "fp32" and self.trainer.precision != base:
            raise ValueError(
                f"model.learn.base={base}: weights of half precision are computed with in it; set "
                f"trainer.precision={base} too"
            )
        return self

    @property
    def sampling_options(self) -> dict[str, Any]:
        """Those of `preview`."""
        return self.preview.model_dump(exclude={"prompts"})


class StableDiffusionTrainer(Trainer[Config]):
    """A trained model, of which a part goes on learning."""

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The model's networks, the U-Net and perhaps the tower of texts with what learns."""
        model, learn = self.config.model, self.config.model.learn
        start = pipelines.load_pipeline(model.source)
        if not isinstance(start, pipelines.TextToImage | pipelines.TextToImageXL):
            raise ConfigError(
                f"model.source={model.source} is a {type(start).__name__}; name a "
                "StableDiffusionPipeline or StableDiffusionXLPipeline, or a run of family "
                "latent_diffusion"
            )
        if learn.text and isinstance(start, pipelines.TextToImageXL):
            raise ConfigError(
                "model.learn.text: the towers of Stable Diffusion XL stay as they are here; leave "
                "it out"
            )
        if start.base is not None:
            raise ConfigError(
                f"model.source={model.source} is an adapter; merge it first: `genkit lora merge "
                f"{model.source} --out FOLDER`, and name that folder"
            )
        self.start, self.base = start, pipelines.base_of(start, model.source)
        noise = self.config.noise.model_dump()
        self.diffusion = Diffusion(self, NoiseProcess.of_scheduler(start.scheduler.config, **noise))
        networks = {
            name: part for name, part in start.components.items() if isinstance(part, nn.Module)
        }
        taught = ("unet", "text_encoder") if learn.text else ("unet",)
        self.averaged = taught  # type: ignore[misc]
        for name, network in networks.items():
            network.requires_grad_(False)
            if name in taught:
                self._teach(name, network.train())
        if model.checkpointing:
            unet: Any = networks["unet"]
            unet.enable_gradient_checkpointing()
        self._check_shapes(start)
        self.given = CaptionedLatents(
            self,
            start,
            self.diffusion,
            drop=model.caption_drop,
            keep_texts="never" if learn.text else model.keep_texts,
        )
        return networks, {name: adam(networks[name], self.config.optim) for name in taught}

    def _check_shapes(self, start: pipelines.FromText) -> None:
        """Raise a `ConfigError` where the model does not take pictures of the shapes asked for."""
        data = self.config.data
        buckets = buckets_of(data)
        side = self.data.image_size if buckets is None else data.side
        if problem := pictures_problem(start.vae, self.data.channels, side):
            raise ConfigError(f"model.source: its autoencoder {problem}")
        halvings = len(start.components["unet"].config["block_out_channels"]) - 1
        one = factor(start.vae) << halvings
        if buckets is not None and buckets.step % one:
            raise ConfigError(
                f"data.buckets.step={buckets.step}: the smallest map of this model has a place for "
                f"{one} x {one} px; give a multiple of {one}"
            )

    def _teach(self, name: str, network: Any) -> None:
        """Let a network learn as a whole, or by an adapter."""
        learn = self.config.model.learn
        if isinstance(learn, Full):
            network.requires_grad_(True)
            return
        layers = learn.layers if name == "unet" else _OF_TEXTS
        if name == "unet" and learn.base != "fp32":
            self.casting.use(learn.base)  # such weights are computed with in nothing else
            for parameter in network.parameters():
                parameter.data = parameter.data.to(getattr(torch, _DTYPES[learn.base]))
        assert learn.alpha is not None
        try:
            adapters.adapt(network, learn.rank, learn.alpha, layers, learn.dropout)
        except CheckpointError as error:
            raise ConfigError(f"model.learn.layers: {error}") from None

    def rows(self, rows: Rows) -> Rows:
        """Rows of latents, encoded once and kept."""
        return self.given.rows(rows)

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update of all that learns."""
        return {"loss/unet": self.phase([*self.optimizers], micro_batches, self.loss)}

    def loss(self, batch: Batch) -> Tensor:
        """The process's loss on latents, drawn anew, with this step's noise and hidden captions."""
        words = self.words(batch)

        def ask(x: Tensor, time: Tensor) -> Tensor:
            found: Tensor = self.start.ask(self.networks["unet"], x, time, words)
            return found

        return self.diffusion.loss(batch, self.given.latents(batch), ask)

    def words(self, batch: Batch) -> Any:
        """The captions of a micro-batch as the U-Net reads them, some hidden."""
        if not self.config.model.learn.text:
            return self.given.words(batch)
        tower, texts = self.networks["text_encoder"], self.given.texts(batch)
        return encoded_text(tower, self.start.tokenizer, texts)

    def preview(self) -> list[Sheet]:
        """Pictures of the prompts, or of the first captions of the test part."""
        trainer, asked = self.config.trainer, self.config.preview.prompts
        prompts = list(asked) or self._captions_to_show()
        images = self.pipeline()(
            len(prompts),
            seed=trainer.seed,
            caption=list(prompts),
            output="tensor",
            **self.config.sampling_options,
        )
        assert isinstance(images, Tensor)
        shown = images * 2 - 1
        numbers = self.given.held_out(self.averaged_network("unet")) | self.given.near_copies(shown)
        return [Sheet(shown, texts=prompts, samples=False, numbers=numbers)]

    def _captions_to_show(self) -> list[str]:
        """The first captions of the test part, whatever the shapes of its pictures."""
        first = self.to_show.first(self.config.trainer.preview_count)
        captions: list[str] = batch_of(self.to_show, first, only=("caption",))["caption"]
        return captions

    def pipeline(self) -> pipelines.FromText:
        """The model as it is now; with adapters, they alone are its export."""
        taught = {name: self.averaged_network(name) for name in self.optimizers}
        found: pipelines.FromText = self.start.with_parts(**taught)
        if isinstance(self.config.model.learn, Lora):
            found.base = self.base
        return found


_DTYPES = {"bf16": "bfloat16", "fp16": "float16"}


def needs(config: Config) -> frozenset[str]:
    """Pictures, and what they show in words."""
    return frozenset({"image", "caption"})


FAMILY = Family(config=Config, trainer=StableDiffusionTrainer, needs=needs, task="prompts")
