"""DDPM: a network learns to take noise off images, and makes them by doing so step after step.

Ho, Jain & Abbeel 2020 (arXiv:2006.11239), and what grew from it under the same loop: other
schedules and learnt variances (Nichol & Dhariwal 2021, arXiv:2102.09672), v-prediction (Salimans &
Ho 2022, arXiv:2202.00512), min-SNR weights (Hang et al. 2023, arXiv:2303.09556), EDM (Karras et al.
2022, arXiv:2206.00364), rectified flow (Liu et al. 2022, arXiv:2209.03003), transformers (Peebles &
Xie 2023, arXiv:2212.09748), classes with classifier-free guidance (Ho & Salimans 2022,
arXiv:2207.12598). The mathematics is in `genkit/noise/`, the networks in `genkit/nn/denoisers.py`.

With `model.autoencoder` the same network takes noise off latents (Rombach et al. 2022,
arXiv:2112.10752, section 3), by class or without any condition; words are what family
latent_diffusion reads.

Deviations: timesteps are spaced "trailing" when sampling, so that it begins where training ended;
`edm` predictions have the U-Net of DDPM, not the authors' DDPM++, and no augmentation but flips;
first weights are PyTorch's (the paper: Xavier), the quiet layers' a hundredth of them (1e-10).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from genkit import pipelines
from genkit.config import ByKind, ComponentRef, Fraction, MayChange, NonNegative, Positive, Section
from genkit.errors import ConfigError, DataError, PipelineError
from genkit.family import Family
from genkit.nn.denoisers import denoise, make_dit, make_unet, unet_problem
from genkit.noise.config import EDM, Flow, Timesteps
from genkit.pipelines.sampling import complete, settle
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.training.config import RunConfig, TrainerConfig
from genkit.training.diffusion import Diffusion
from genkit.training.latents import MOVED, Latents, latent_size
from genkit.training.optimizers import AdamOrMuon
from genkit.training.previews import Sheet, classes_on_sheet
from genkit.training.trainer import Metrics, Trainer

Depth = Annotated[int, Field(ge=1, le=1_000)]


class Denoiser(Section):
    """What every denoising network has."""

    autoencoder: ComponentRef | None = None  # run, export or Hub id of an AutoencoderKL; null: px
    conditional: bool = False  # on the label
    label_drop: Fraction | None = None  # share of labels hidden: 0.1 unless given; no labels, none
    dropout: Fraction = 0.0

    @model_validator(mode="after")
    def _labels_are_there(self) -> Self:
        if self.label_drop is None and self.conditional:
            self.settle(label_drop=0.1)
        if self.label_drop is not None and not self.conditional:
            raise ValueError("label_drop needs conditional=true: there is no label to hide")
        return self


class UNet(Denoiser):
    """The network of Ho et al. 2020, with what later papers made of it."""

    kind: Literal["unet"] = "unet"
    channels: tuple[Positive, ...] = (128, 256, 256, 256)  # of each level
    layers: Depth = 2  # residual blocks of a level
    attention: tuple[Positive, ...] = (16,)  # sides of levels with it
    head_dim: Positive | None = None  # width of a head; null = one head, as wide as its level
    scale_shift: bool = False  # time scales and shifts after the norm (Nichol & Dhariwal)
    patch_size: Positive = 1  # px that become channels

    def make(self, image_size: int, channels: int, out: int, classes: int | None) -> Any:
        """The network, with first weights."""
        return make_unet(
            *(image_size, channels, out),
            channels=self.channels,
            layers=self.layers,
            attention=self.attention,
            head_dim=self.head_dim,
            dropout=self.dropout,
            scale_shift=self.scale_shift,
            patch_size=self.patch_size,
            num_classes=classes,
        )

    def problem(self, image_size: int) -> str | None:
        """Why there is no such network for images of that size, or None."""
        return unet_problem(
            image_size, self.patch_size, self.channels, self.attention, self.head_dim
        )

    @property
    def shuffled(self) -> int:
        """The patch size that `denoise` is called with."""
        return self.patch_size


class DiT(Denoiser):
    """The transformer of Peebles & Xie 2023."""

    kind: Literal["dit"] = "dit"
    patch_size: Positive = 2  # px of a side of what becomes one token
    width: Positive = 384
    layers: Depth = 12
    heads: Positive = 6

    @model_validator(mode="after")
    def _heads_fit(self) -> DiT:
        if self.width % (2 * self.heads):
            raise ValueError(f"width={self.width} is no even multiple of heads={self.heads}")
        return self

    def make(self, image_size: int, channels: int, out: int, classes: int | None) -> Any:
        """The network, with first weights."""
        return make_dit(
            *(image_size, channels, out),
            patch_size=self.patch_size,
            width=self.width,
            layers=self.layers,
            heads=self.heads,
            dropout=self.dropout,
            num_classes=classes,
        )

    def problem(self, image_size: int) -> str | None:
        """Why there is no such network for images of that size, or None."""
        patch = self.patch_size
        return f"patch_size={patch} does not divide {image_size} px" if image_size % patch else None

    @property
    def shuffled(self) -> int:
        """1, the patch size that `denoise` is called with: the network cuts its patches itself."""
        return 1


class PreviewConfig(Section):
    """How the previews are sampled, and the images of `evaluation.every`."""

    # Unless given: dpmsolver++, edm_dpmsolver++ or flow_euler, in 20 steps or, with ddpm, all T.
    scheduler: str = "dpmsolver++"  # which solver takes the noise off
    steps: Positive = 20  # calls of the network, or pairs of calls, for each image
    guidance: Annotated[float, Field(ge=0)] = 1.0  # 1 = the label alone, 0 = without it


class Optim(AdamOrMuon):
    """Adam with a short warm-up; or Muon for the hidden layers and Adam for the rest."""

    warmup_steps: NonNegative = 500  # linear rise from 0; in the paper 5000 of 800,000


class DDPMTrainerConfig(TrainerConfig):
    """Length and cadence; clipping and average as in the published code of Ho et al. 2020."""

    grad_clip: Annotated[float, Field(gt=0)] | None = 1.0
    ema_decay: Fraction | None = 0.9999


class Config(RunConfig):
    """A diffusion run on pixels."""

    model: Annotated[UNet | DiT, ByKind("unet")] = UNet()
    noise: Annotated[Timesteps | EDM | Flow, ByKind("epsilon", "prediction")] = Timesteps()
    preview: MayChange[PreviewConfig] = PreviewConfig()
    optim: Optim = Optim()
    trainer: DDPMTrainerConfig = DDPMTrainerConfig()

    @model_validator(mode="after")
    def _network_fits(self) -> Config:
        if self.model.autoencoder is not None:
            self._latents_fit()
        elif problem := self.model.problem(self.data.side):
            raise ValueError(f"model.{problem}")
        if self.preview.guidance != 1 and not self.model.conditional:
            raise ValueError("preview.guidance needs model.conditional=true")
        if self.preview.guidance != 1 and self.model.label_drop == 0:
            raise ValueError(
                "preview.guidance needs a share of hidden labels: set model.label_drop=0.1"
            )
        self._complete_preview()
        return self

    def _latents_fit(self) -> None:
        """Refuse what latents can't be, and tell the noise that they are as large as it is."""
        noise = self.noise
        if self.data.shift:
            raise ValueError(MOVED)
        if isinstance(noise, Timesteps) and noise.lost_unclipped:
            raise ValueError(
                "noise.schedule=cosine with prediction=epsilon needs images that are clipped, and "
                "latents have no range; set noise.prediction=v, or noise.schedule=scaled-linear"
            )
        if "edm" in (noise.prediction, noise.weighting) and not noise.was_given("data_std"):
            self.settle(noise=noise.model_copy(update={"data_std": 1.0}))

    def _complete_preview(self) -> None:
        """Fill in what `preview` leaves to the process."""
        given = {name: getattr(self.preview, name) for name in self.preview.model_fields_set}
        noise = self.noise
        try:
            classes = 1 if self.model.conditional else None
            levels = noise.kind, noise.steps if isinstance(noise, Timesteps) else 0
            found = settle(given, *levels, classes)
            if found.scheduler != settle({}, *levels, None).scheduler:  # which fits every process
                complete(given, noise.process().scheduler(), classes)
        except PipelineError as error:
            raise ValueError(f"preview.{error}") from None
        chosen = {"scheduler": found.scheduler, "steps": found.steps}
        self.settle(preview=self.preview.model_copy(update=chosen))

    @property
    def sampling_options(self) -> dict[str, Any]:
        """Those of `preview`."""
        return self.preview.model_dump()


class DDPMTrainer(Trainer[Config]):
    """One network, one loss."""

    averaged: ClassVar[tuple[str, ...]] = ("denoiser",)

    def build(self) -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
        """The denoiser and its optimizer."""
        noise = self.config.noise
        process = noise.process()
        self.diffusion = Diffusion(self, process, evenly=noise.low_discrepancy)
        data, model = self.data, self.config.model
        if model.conditional and data.num_classes is None:
            raise DataError(
                f"{data.name}: has no labels; set model.conditional=false, or give labels "
                "(one sub-folder per class, or metadata.jsonl with data.label)"
            )
        self.classes = data.num_classes if model.conditional else None
        frozen: dict[str, nn.Module] = {}
        side, channels = data.image_size, data.channels
        self.latents = None if model.autoencoder is None else Latents(self)
        if model.autoencoder is not None:
            frozen["vae"] = vae = pipelines.load_component(model.autoencoder)
            side, channels = latent_size(vae, side, channels)
            if problem := model.problem(side):
                raise ConfigError(f"model.{problem} (latents have {side} for {data.image_size} px)")
        out = channels * (2 if process.learned_variance else 1)
        denoiser = model.make(side, channels, out, self.classes)
        optimizer = self.config.optim.make(denoiser, self.casting)
        return {"denoiser": denoiser, **frozen}, {"denoiser": optimizer}

    def rows(self, rows: Rows) -> Rows:
        """The same rows, or those of latents: encoded once and kept."""
        return rows if self.latents is None else self.latents.rows(rows)

    def step(self, micro_batches: Sequence[Batch]) -> Metrics:
        """One update of the denoiser."""
        return {"loss/denoiser": self.phase("denoiser", micro_batches, self.loss)}

    def loss(self, batch: Batch) -> Tensor:
        """The process's loss on images with this step's noise, levels and hidden labels."""
        labels, patch_size = self._labels(batch), self.config.model.shuffled

        def network(x: Tensor, time: Tensor) -> Tensor:
            return denoise(self.networks["denoiser"], x, time, labels, patch_size)

        x0 = batch["image"] if self.latents is None else self.latents.drawn(batch)
        return self.diffusion.loss(batch, x0, network)

    def _labels(self, batch: Batch) -> Tensor | None:
        """Labels (B,) with some hidden, each image by a draw of its own."""
        if self.classes is None:
            return None
        share = self.config.model.label_drop
        assert share is not None
        hidden = self.diffusion.hidden(batch, share)
        return torch.where(hidden, self.classes, batch["label"])

    def preview(self) -> list[Sheet]:
        """Images of the averaged denoiser for the run's seed: one row per class."""
        trainer, labels, columns = self.config.trainer, None, None
        count = trainer.preview_count
        if self.classes is not None:
            labels, columns = classes_on_sheet(self.classes, count)
            count = len(labels)
        asked = None if labels is None else labels.tolist()
        options = self.config.sampling_options
        images = self.pipeline()(count, seed=trainer.seed, label=asked, output="tensor", **options)
        assert isinstance(images, Tensor)
        return [Sheet(images * 2 - 1, columns=columns, labels=labels)]

    def pipeline(self) -> pipelines.Denoising:
        """Noise and label to image by the averaged denoiser."""
        names = self.data.class_names if self.config.model.conditional else None
        network = self.averaged_network("denoiser")
        kind = "unet" if self.config.model.kind == "unet" else "transformer"
        scheduler = self.diffusion.process.scheduler()
        about: dict[str, Any] = {
            kind: network,
            "num_classes": self.classes,
            "class_names": list(names or ()) or None,
            "patch_size": self.config.model.shuffled,
            "null_label": self.config.model.label_drop != 0,
        }
        if self.latents is None:
            return pipelines.Denoising(scheduler, **about)
        if "clip_sample" in scheduler.config:
            scheduler.register_to_config(clip_sample=False)
        return pipelines.LatentDenoising(self.bare_networks["vae"], scheduler, **about)


TINY: dict[str, Any] = {
    "family": "ddpm",
    "data": {
        "kind": "glyphs",
        "image_size": 16,
        "train_count": 64,
        "test_count": 32,
        "batch_size": 8,
    },
    "model": {"channels": [8, 16], "layers": 1, "attention": [8]},
    "noise": {"steps": 50},
    "preview": {"steps": 2},
    "optim": {"warmup_steps": 0},
    "trainer": {
        "steps": 4,
        "log_every": 1,
        "save_every": 2,
        "preview_every": 2,
        "preview_count": 4,
    },
}


def needs(config: Config) -> frozenset[str]:
    """What a step reads: labels only where the network is told them."""
    return frozenset({"image", "label"} if config.model.conditional else {"image"})


FAMILY = Family(config=Config, trainer=DDPMTrainer, needs=needs, tiny=TINY)
