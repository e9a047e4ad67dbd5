"""Latent diffusion: pictures of what a text says, made in the latents of an autoencoder.

Rombach et al. 2022 (arXiv:2112.10752), section 3: an autoencoder and a tower of texts that are
trained already and stay as they are, and a U-Net between them that learns to take noise off
latents, reading the words by cross-attention. Its export is diffusers' `StableDiffusionPipeline`.

By default it learns a straight flow (Liu et al. 2022, arXiv:2209.03003) with levels drawn around
the middle (Esser et al. 2024, arXiv:2403.03206, eq. 19); `noise.prediction=epsilon` with
`noise.schedule=scaled-linear` is the recipe of 2022.

Deviations: latents are drawn from their distributions at each step, as theirs, but pictures are
encoded once, so none is mirrored or moved; residual branches and outputs begin near zero; exports
hold the averaged U-Net.

Legend: B batch, Z latent channels, S side of a latent, L tokens, D width of their embeddings.
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
from genkit.nn.autoencoders import factor
from genkit.nn.text_unets import denoise_by_text, encoded_text, make_text_unet, text_unet_problem
from genkit.noise.config import Flow, Timesteps
from genkit.pipelines import schedulers
from genkit.pipelines.sampling import complete, settle
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.rows.cached import cached
from genkit.rows.captions import captions_of
from genkit.training.config import OptimConfig, RunConfig, TrainerConfig
from genkit.training.diffusion import Diffusion
from genkit.training.optimizers import adam
from genkit.training.previews import Sheet
from genkit.training.trainer import Metrics, Trainer


class ModelConfig(Section):
    """What it builds on, and the U-Net."""

    autoencoder: ComponentRef  # run, export or Hub id of an AutoencoderKL
    text: ComponentRef  # run or export of family clip, folder or Hub id of a CLIPModel
    widths: tuple[Positive, ...] = (128, 256)  # of each level; between two the sides are halved
    layers: Positive = 1  # residual blocks of a level
    attention: tuple[Positive, ...] = (8, 4)  # sides of latents at which the text is read
    heads: Positive = 4
    dropout: Fraction = 0.0
    caption_drop: Fraction = 0.1  # share of captions hidden, without which there is no guidance


class FlowByDefault(Flow):
    """A straight flow, its levels drawn around the middle unless told otherwise."""

    draws: Literal["uniform", "logit-normal"] = "logit-normal"  # of the levels in training


class PreviewConfig(Section):
    """How the previews are sampled, and the pictures of `evaluation.every`."""

    scheduler: str | None = None  # which solver; unless given dpmsolver++ or flow_euler
    steps: Positive = 20  # calls of the network, or pairs of calls, for each picture
    guidance: Annotated[float, Field(ge=0)] = 4.0  # 1 = the caption alone, 0 = without it
    prompts: tuple[str, ...] = ()  # of the preview; unless given those of the test part


class Optim(OptimConfig):
    """Adam with decoupled decay."""

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

    model: ModelConfig
    noise: Annotated[Timesteps | FlowByDefault, ByKind("flow", "prediction")] = FlowByDefault()
    preview: MayChange[PreviewConfig] = PreviewConfig()
    optim: Optim = Optim()
    trainer: LatentTrainerConfig = LatentTrainerConfig()

    @model_validator(mode="after")
    def _pictures_stay(self) -> Config:
        for name in ("flip", "shift"):
            if getattr(self.data, name):
                raise ValueError(
                    f"data.{name}: pictures are encoded once, and their latents are neither "
                    "mirrored nor moved; leave it out"
                )
        if getattr(self.noise, "learned_variance", False):
            raise ValueError(
                "noise.learned_variance: diffusers' StableDiffusionPipeline, which an export is, "
                "knows no learnt variances; leave it out"
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
                complete(given, scheduler_of(noise), 1)  # which asks diffusers
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
    """One U-Net between two networks that stay as they are."""

    averaged: ClassVar[tuple[str, ...]] = ("unet",)

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The U-Net, and the trained autoencoder and tower of texts."""
        config, model = self.config, self.config.model
        vae = pipelines.load_component(model.autoencoder)
        words = pipelines.open_image_text(model.text)
        self.tokenizer = words.tokenizer
        tower = words.clip.text_model.requires_grad_(False)
        self._check(vae)
        self.side = self.data.image_size // factor(vae)
        if problem := text_unet_problem(self.side, model.widths, model.attention, model.heads):
            raise ConfigError(f"model.{problem}")
        self.diffusion = Diffusion(
            self, config.noise.process(), evenly=config.noise.low_discrepancy
        )
        unet = make_text_unet(
            self.side,
            vae.config["latent_channels"],
            tower.config.hidden_size,
            widths=model.widths,
            layers=model.layers,
            attention=model.attention,
            heads=model.heads,
            dropout=model.dropout,
        )
        networks: dict[str, nn.Module] = {"unet": unet, "vae": vae, "text_encoder": tower}
        return networks, {"unet": adam(unet, config.optim)}

    def _check(self, vae: Any) -> None:
        """Raise unless the autoencoder takes the pictures of the data."""
        channels, taken = self.data.channels, vae.config.get("in_channels")
        if taken != channels:
            raise ConfigError(
                f"model.autoencoder takes pictures of {taken} channels, and those of "
                f"{self.data.name} have {channels}; set data.channels={taken}, or name another one"
            )
        if self.data.image_size % factor(vae):
            raise ConfigError(
                f"model.autoencoder has one latent for {factor(vae)} x {factor(vae)} px, and "
                f"pictures have {self.data.image_size}; set data.image_size to a multiple of it"
            )

    def rows(self, rows: Rows) -> Rows:
        """Rows of latents: means and deviations of their distributions, encoded once and kept."""
        captions_of(rows)  # which names empty ones
        vae: Any = self.bare_networks["vae"]

        def encode(images: Tensor) -> Tensor:
            found = vae.encode(images.to(self.device)).latent_dist
            return torch.cat([found.mean, found.std], 1) * vae.config["scaling_factor"]

        identity = f"AutoencoderKL {self.learnt.frozen['vae']} {vae.config['scaling_factor']}"
        with self.accelerator.local_main_process_first():
            return cached(rows, encode, identity=identity)

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update of the U-Net."""
        return {"loss/unet": self.phase("unet", micro_batches, self.loss)}

    def loss(self, batch: Batch) -> Tensor:
        """The process's loss on latents, drawn anew, with this step's noise and hidden captions."""
        mean, deviation = batch["latent"].chunk(2, dim=1)
        x0 = mean + deviation * self.noise("latent", batch, mean.shape[1:])
        words = self.words(batch)

        def network(x: Tensor, time: Tensor) -> Tensor:
            return denoise_by_text(self.networks["unet"], x, time, words)

        return self.diffusion.loss(batch, x0, network)

    @torch.no_grad()
    def words(self, batch: Batch) -> Tensor:
        """The captions of a micro-batch as the U-Net reads them, some hidden: (B, L, D)."""
        hidden = self.diffusion.hidden(batch, self.config.model.caption_drop)
        pairs = zip(batch["caption"], hidden.tolist(), strict=True)
        texts = ["" if hides else text for text, hides in pairs]
        return encoded_text(self.bare_networks["text_encoder"], self.tokenizer, texts)

    def preview(self) -> list[Sheet]:
        """Pictures of the prompts by the averaged U-Net, or of the first captions of the test
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
        return [Sheet(images * 2 - 1, samples=False)]

    def pipeline(self) -> pipelines.TextToImage:
        """Noise and text to picture by the averaged U-Net."""
        return pipelines.TextToImage(
            self.bare_networks["vae"],
            self.bare_networks["text_encoder"],
            self.tokenizer,
            self.averaged_network("unet"),
            scheduler_of(self.config.noise),
        )


def scheduler_of(noise: Timesteps | Flow) -> Any:
    """The scheduler of an export: one that diffusers' `StableDiffusionPipeline` can run as it is.

    Its schedulers for flows are none of these, and its others clip pictures to [-1, 1], which would
    cut latents.
    """
    if isinstance(noise, Flow):
        from diffusers import DPMSolverMultistepScheduler

        # The offset says nothing to a flow; without it diffusers warns of old exports.
        return DPMSolverMultistepScheduler(
            use_flow_sigmas=True,
            prediction_type="flow_prediction",
            flow_shift=noise.shift,
            steps_offset=1,
        )
    trained = noise.process().scheduler()
    trained.register_to_config(clip_sample=False)
    return schedulers.make("dpmsolver++", trained, {"steps_offset": 1})


def needs(config: Config) -> frozenset[str]:
    """Pictures, and what they show in words."""
    return frozenset({"image", "caption"})


FAMILY = Family(config=Config, trainer=LatentDiffusionTrainer, needs=needs, task="prompts")
