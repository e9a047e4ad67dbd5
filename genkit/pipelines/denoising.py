"""Denoising: the pipeline of diffusion models on pixels, unconditional or by class.

An unconditional U-Net on timesteps and single pixels is saved as diffusers' own `DDPMPipeline`,
which opens without genkit, and any such folder opens here.

Legend: B batch, C channels, H W height and width in px, K classes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from diffusers import DDPMPipeline
from torch import Tensor

from genkit.errors import PipelineError
from genkit.machine import has_fast_bf16, warn_of_emulation
from genkit.nn import denoisers
from genkit.nn.attention import quicken
from genkit.pipelines import stepping
from genkit.pipelines.base import FORMAT_VERSION, class_column
from genkit.pipelines.card import Card, card_of
from genkit.pipelines.denoise import (
    Begin,
    Noise,
    Predict,
    Watch,
    begun_with,
    denoise,
    gaussian,
    gaussian_between,
    guided,
    invert,
)
from genkit.pipelines.fits import problems
from genkit.pipelines.given import Takes
from genkit.pipelines.inversion import Inverted, inverted
from genkit.pipelines.recipe import in_plain_diffusers, plain_class
from genkit.pipelines.sampling import WORTH_CASTING, Precision, Sampling, complete
from genkit.pipelines.trajectory import Trajectory, trajectory
from genkit.pipelines.walks import FromNoise
from genkit.rows.base import Rows
from genkit.rows.columns import Columns, Image, Latent, Mask


class Denoising(FromNoise):
    """A denoising network and the scheduler of its process.

    Args:
        scheduler: A diffusers scheduler: which schedule and prediction the network was trained on.
        unet: A `UNet2DModel`, or None.
        transformer: A `DiTTransformer2DModel`, or None.
        num_classes: K; None = unconditional, or as many as a U-Net of others has labels.
        class_names: K names for people to read.
        patch_size: Of a U-Net that sees patches as channels; see `nn.denoisers.denoise`.
        null_label: Whether label K means none, without which there is no guidance.
        format_version: Of the export folder that this pipeline is saved as.
    """

    _optional_components = ["unet", "transformer"]  # noqa: RUF012  (diffusers' name and type)
    in_steps: ClassVar[bool] = True
    opens: ClassVar[tuple[str, ...]] = ("DDPMPipeline", "DDIMPipeline")  # diffusers' exports too

    def __init__(
        self,
        scheduler: Any,
        unet: Any = None,
        transformer: Any = None,
        num_classes: int | None = None,
        class_names: list[str] | None = None,
        patch_size: int = 1,
        null_label: bool = True,
        format_version: int = FORMAT_VERSION,
    ) -> None:
        super().__init__()
        if (unet is None) == (transformer is None):
            raise PipelineError("denoising: give one network, as unet or as transformer")
        if num_classes is None and unet is not None and unet.config.get("num_class_embeds"):
            num_classes, null_label = unet.config["num_class_embeds"], False
        class_column(num_classes, class_names)
        network = transformer if unet is None else unet
        for problem in problems(
            network, num_classes=num_classes, patch_size=patch_size, null_label=null_label
        ):
            raise PipelineError(problem)
        self.register_modules(  # type: ignore[no-untyped-call]
            scheduler=scheduler, unet=unet, transformer=transformer
        )
        self.register_to_config(  # type: ignore[no-untyped-call]
            num_classes=num_classes,
            class_names=None if class_names is None else list(class_names),
            patch_size=patch_size,
            null_label=null_label,
            format_version=format_version,
        )
        quicken(self.denoiser)
        self._forward = self.denoiser

    @property
    def denoiser(self) -> Any:
        """The network."""
        return self.unet if self.unet is not None else self.transformer

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its images."""
        return self.noise_shape

    @property
    def noise_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what the network takes noise off."""
        size, patch = self.denoiser.config["sample_size"], self.config["patch_size"]
        height, width = (size, size) if isinstance(size, int) else size
        return self.denoiser.config["in_channels"] // patch**2, height * patch, width * patch

    def encoded(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1] as what the network takes noise off."""
        return images

    def decoded(self, x: Tensor) -> Tensor:
        """What the network takes noise off as pictures (B, C, H, W), nearly in [-1, 1]."""
        return x

    def masked(self, mask: Tensor) -> Tensor:
        """Where pictures are made anew, (B, 1, H, W) in {0, 1}, as where `encoded` ones are."""
        return mask

    @property
    def takes(self) -> Takes:
        """Nothing or a class; or a picture to begin from, and a mask that is 1 where to change; or
        the noise to begin with."""
        image = self.gives["image"]
        label = class_column(self.config["num_classes"], self.config["class_names"])
        mask = Mask(self.shape[1:], optional=True)
        return (
            label,
            {"image": image, "mask": mask, **label},
            {"noise": Latent(self.noise_shape), **label},
        )

    @property
    def gives(self) -> Columns:
        """Images."""
        return {"image": Image(self.shape[1:], self.shape[0])}

    @property
    def channels_out(self) -> int:
        """Channels of the network's output at a place: C, or 2C with learnt variances."""
        return int(self.denoiser.config["out_channels"]) // int(self.config["patch_size"]) ** 2

    @property
    def can_be_guided(self) -> bool:
        """Whether it knows classes, and was trained without them too."""
        return self.config["num_classes"] is not None and bool(self.config["null_label"])

    def save_pretrained(  # type: ignore[override]
        self, save_directory: Any, **options: Any
    ) -> None:
        """As diffusers' `DDPMPipeline` where that can run it, as this class otherwise."""
        if plain_class(self) == "DDPMPipeline":
            plain: Any = DDPMPipeline(self.unet, self.scheduler)
            plain.save_pretrained(save_directory, **options)
        else:
            super().save_pretrained(save_directory, **options)

    def compile(self) -> None:
        """Sample through `torch.compile` from now on: the first batch of each size takes longer."""
        self._forward = torch.compile(self.denoiser)

    def card(self) -> Card:
        """An example call, and the code that does the same in plain diffusers."""
        options = ", steps=20" + (", guidance=2.0" if self.can_be_guided else "")
        return replace(
            card_of(self.takes, self.gives, options=options), plain=in_plain_diffusers(self)
        )

    def options(self, **asked: Any) -> Sampling:
        """Options of a call, checked and completed: see `Sampling`."""
        found = complete(
            asked, self.scheduler, self.config["num_classes"], null_label=self.config["null_label"]
        )
        made = found.make(self.scheduler)
        stepping.check_options(made, found, self.noise_shape[0], self.channels_out)
        stepping.warn_of_overshoot(self.scheduler, found)
        return replace(found, precision=precision_of(found.precision, self.denoiser))

    def describe(self, options: Sampling, taken: Collection[str]) -> Mapping[str, Any]:
        """The sampling options that were used, defaults included."""
        return {"sampling": options.to_tree(with_picture="image" in taken)}

    def begin(
        self, indices: Sequence[int], seed: int, given: Mapping[str, Any], options: Any
    ) -> Noise:
        """Noise that begins a generator's draws; schedulers that add some on the way go on."""
        return begun_with(gaussian(indices, seed, self.noise_shape), given)

    def between(self, first: int, second: int, t: Tensor, seed: int) -> Noise:
        """Noise on the arc from that of image `first` to that of image `second`."""
        return gaussian_between(first, second, t, seed, self.noise_shape)

    def generate(
        self, begun: Noise, given: Mapping[str, Any], options: Sampling, watch: Watch | None = None
    ) -> dict[str, Tensor]:
        """One batch: images (B, C, H, W) in [-1, 1], on the network's device."""
        x = denoise(
            options.make(self.scheduler),
            _predictor(self, given.get("label"), options),
            begun.x.to(self.device),
            begun.generators,
            steps=options.steps,
            eta=options.step_eta,
            begin=self._begin(given, options),
            watch=watch,
            on_step=self.on_step,
        )
        return {"image": self.decoded(x.float()).clamp(-1, 1)}

    def invert(self, given: Rows | None = None, **asked: Any) -> Inverted:
        """Pictures as the noise that they come from: see `inversion.inverted`."""
        return inverted(self, given, **asked)

    def noise_of(self, given: Mapping[str, Any], options: Sampling) -> Tensor:
        """The noise (B, C, H, W) of which pictures are made again, nearly."""
        return invert(
            options.make(self.scheduler),
            _predictor(self, given.get("label"), options),
            self.encoded(given["image"]),
            steps=options.steps,
            on_step=self.on_step,
        )

    def trajectory(
        self, count: int = 4, frames: int = 10, *, seed: int = 0, **asked: Any
    ) -> Trajectory:
        """Images 0..count-1 of a seed on their way: see `trajectory.trajectory`."""
        return trajectory(self, count, frames, seed=seed, **asked)

    def _begin(self, given: Mapping[str, Any], options: Sampling) -> Begin | None:
        """The pictures that are given to begin from, if there are any."""
        if "image" in given:
            mask = self.masked(given["mask"]) if "mask" in given else None
            return Begin(self.encoded(given["image"]), options.strength, mask)
        if options.strength != Sampling.strength:
            raise PipelineError("strength: says how much of a picture to change; give image too")
        return None


def _predictor(pipeline: Denoising, labels: Tensor | None, options: Sampling) -> Predict:
    """The network, guided as asked."""
    network = _Network(pipeline._forward, pipeline.config["patch_size"], options.precision)
    if labels is None or not pipeline.can_be_guided:
        return lambda x, time, done: network(x, time, labels)
    hidden = torch.full_like(labels, denoisers.null_label(pipeline.denoiser))
    return guided(network, labels, hidden, **options.guiding)


@dataclass(frozen=True)
class _Network:
    """A denoising network in a precision: what it gives for x (B, C, H, W), in fp32.

    Attributes:
        forward: The network, compiled or not.
        patch_size: See `nn.denoisers.denoise`.
        precision: "fp32" or "bf16".
    """

    forward: Any
    patch_size: int
    precision: Precision

    def __call__(self, x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            times = time.expand(len(x))
            return denoisers.denoise(self.forward, x, times, labels, self.patch_size).float()


def precision_of(asked: Precision, network: Any) -> Precision:
    """The precision of a network's pass: bf16 where it gains, if that was left open."""
    device = next(network.parameters()).device
    if asked == "bf16":
        warn_of_emulation("precision bf16", device, "leave --precision (precision=) out")
    if asked != "auto":
        return asked
    size = sum(p.numel() for p in network.parameters())
    return "bf16" if size >= WORTH_CASTING and has_fast_bf16(device) else "fp32"
