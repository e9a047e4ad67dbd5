"""Denoising: the pipeline of diffusion models, unconditional or by class, under any scheduler.

An unconditional U-Net on timesteps and single pixels is saved as diffusers' own `DDPMPipeline`,
which opens without genkit, and any such folder opens here.

Legend: B batch, N images asked for, C channels, S image side in px, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from diffusers import DDPMPipeline
from torch import Tensor

from genkit import random
from genkit.errors import PipelineError
from genkit.machine import has_fast_bf16
from genkit.nn import denoisers
from genkit.nn.attention import quicken
from genkit.nn.denoisers import denoise
from genkit.noise import predictions
from genkit.pipelines import schedulers, stepping
from genkit.pipelines.base import (
    FORMAT_VERSION,
    ImagePipeline,
    Images,
    Output,
    check_classes,
    check_output,
    evaluating,
    finite,
    in_form,
    parts,
    slerp,
)
from genkit.pipelines.sampling import WORTH_CASTING, Precision, Sampling, complete


@dataclass
class Noise:
    """What images begin with: x (B, C, S, S) ~ N(0, 1), and each image's generator for the rest."""

    x: Tensor
    generators: list[torch.Generator]


@dataclass(frozen=True)
class Trajectory:
    """The way from noise to images, as (frames, B, C, S, S) in [-1, 1].

    Attributes:
        noisy: The images on their way, as the network sees them, and as they end.
        predicted: What the network takes them for.
        noised: The way there: the final images under evenly growing noise.
    """

    noisy: Tensor
    predicted: Tensor
    noised: Tensor


Watch = Callable[[Tensor, Tensor], None]  # the network's input and the image it stands for


class Denoising(ImagePipeline):
    """A denoising network and the scheduler of its process.

    Args:
        scheduler: A diffusers scheduler: which schedule and prediction the network was trained on.
        unet: A `UNet2DModel`, or None.
        transformer: A `DiTTransformer2DModel`, or None.
        num_classes: K; None = unconditional, or as many as a U-Net of others has labels.
        class_names: K names for people to read.
        patch_size: Of a U-Net that sees patches as channels; see `denoise`.
        null_label: Whether label K means none, without which there is no guidance.
        format_version: Of the export folder that this pipeline is saved as.
    """

    _optional_components = ["unet", "transformer"]  # noqa: RUF012  (diffusers' name and type)

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
        check_classes(num_classes, class_names)
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

    # -- what it is --------------------------------------------------------------------------------

    @property
    def denoiser(self) -> Any:
        """The network."""
        return self.unet if self.unet is not None else self.transformer

    @property
    def facts(self) -> Mapping[str, Any]:
        """image_size, channels, num_classes and class_names."""
        network, patch_size = self.denoiser.config, self.config["patch_size"]
        return {
            **{name: self.config[name] for name in ("num_classes", "class_names")},
            "image_size": network["sample_size"] * patch_size,
            "channels": network["in_channels"] // patch_size**2,
        }

    @property
    def channels_out(self) -> int:
        """Of the network, per pixel: C, or 2C with learnt variances."""
        return int(self.denoiser.config["out_channels"]) // int(self.config["patch_size"]) ** 2

    @property
    def can_be_guided(self) -> bool:
        """Whether it knows classes, and was trained without them too."""
        return self.config["num_classes"] is not None and bool(self.config["null_label"])

    @property
    def is_plain(self) -> bool:
        """Whether diffusers' `DDPMPipeline` can run it: a U-Net on timesteps, without classes."""
        as_trained = self.config["num_classes"] is None and self.config["patch_size"] == 1
        on_timesteps = schedulers.kind_of(self.scheduler) == "timesteps"
        return self.unet is not None and on_timesteps and as_trained

    def save_pretrained(  # type: ignore[override]
        self, save_directory: Any, **options: Any
    ) -> None:
        """As diffusers' `DDPMPipeline` where that can run it, as this class otherwise."""
        if self.is_plain:
            plain: Any = DDPMPipeline(self.unet, self.scheduler)
            plain.save_pretrained(save_directory, **options)
        else:
            super().save_pretrained(save_directory, **options)

    def compile(self) -> None:
        """Sample through `torch.compile` from now on: the first batch of each size takes longer."""
        self._forward = torch.compile(self.denoiser)

    # -- options -----------------------------------------------------------------------------------

    def sampling(self, **options: Any) -> Sampling:
        """Options of a call, checked and completed: see `Sampling`.

        Raises:
            PipelineError: An option is unknown, out of range, or does not fit the model.
        """
        asked = complete(
            options,
            self.scheduler,
            self.config["num_classes"],
            null_label=self.config["null_label"],
        )
        channels, outputs = self.facts["channels"], self.channels_out
        stepping.check_options(self._scheduler(asked), asked, channels, outputs)
        return replace(asked, precision=self._precision(asked.precision))

    def _precision(self, asked: Precision) -> Precision:
        if asked != "auto":
            return asked
        network = self.denoiser
        size = sum(p.numel() for p in network.parameters())
        device = next(network.parameters()).device
        return "bf16" if size >= WORTH_CASTING and has_fast_bf16(device) else "fp32"

    def describe(self, sampling: Sampling) -> Mapping[str, Any]:
        """The sampling options that were used, defaults included."""
        # As they are read back from JSON, which has no tuples.
        plain = {
            "options": dict(sampling.options or {}),
            "guidance_interval": [float(end) for end in sampling.guidance_interval],
        }
        return {"sampling": asdict(sampling) | plain}

    # -- images ------------------------------------------------------------------------------------

    def _shape(self) -> tuple[int, int, int]:
        facts = self.facts
        return facts["channels"], facts["image_size"], facts["image_size"]

    def _noise(self, indices: Sequence[int], seed: int) -> Noise:
        generators = [random.generator(seed, "latent", i) for i in indices]
        drawn = [torch.randn(*self._shape(), generator=each) for each in generators]
        return Noise(torch.stack(drawn), generators)

    def _walk(self, first: int, second: int, t: Tensor, seed: int) -> Noise:
        ends = self._noise([first, second], seed).x.flatten(1)
        x = slerp(ends[:1], ends[1:], t.unsqueeze(1)).unflatten(1, self._shape())
        # Noise on the way, where the scheduler adds some, is that of the first image for all.
        return Noise(x, [self._noise([first], seed).generators[0] for _ in t])

    def _generate(self, noise: Noise, labels: Tensor | None, sampling: Sampling) -> Tensor:
        return self._denoise(noise, labels, sampling)

    def edit(
        self,
        images: Tensor,
        *,
        strength: float = 0.6,
        mask: Tensor | None = None,
        indices: Sequence[int] | None = None,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        batch_size: int = 64,
        output: Output = "pil",
        **options: Any,
    ) -> Images:
        """Images made anew from a noisy state of others, everywhere or where a mask says so.

        Image to image begins at a share of the way and ends there: Meng et al. 2022
        (arXiv:2108.01073), section 3. With a mask, what it leaves out is put back at the noise of
        every step: Lugmayr et al. 2022 (arXiv:2201.09865), eq. 8, without resampling.

        Args:
            images: (N, C, S, S) in [0, 1].
            strength: In (0, 1]: the share of the steps that are taken; 1 begins at pure noise.
            mask: (N or 1, 1, S, S) in {0, 1}; 1 = make anew. None = all of it.
            indices: N numbers, whose noise and class of `labels` the images get; None = 0 to N-1.
            seed: Names the noise of all indices.
            labels: As in a call.
            batch_size: As in a call.
            output: As in a call.
            options: As in a call.
        """
        check_output(output)
        self.check_edit(images, strength, mask)
        count = len(images)
        numbers = range(count) if indices is None else indices
        if len(numbers) != count:
            raise PipelineError(f"indices: expected {count}, one per image; got {len(numbers)}")
        sampling = self.sampling(**options)
        classes = self.labels_of(numbers, labels)
        made = []
        for part in parts(range(count), batch_size):
            rows = slice(part[0], part[-1] + 1)
            area = None if mask is None else mask.expand(count, -1, -1, -1)[rows]
            begin = Begin(images[rows].float() * 2 - 1, strength, area)
            label = None if classes is None else classes[rows]
            noise = self._noise(numbers[rows], seed)
            made.append(finite(self._denoise(noise, label, sampling, begin)).cpu())
        return in_form(torch.cat(made), output)

    def check_edit(self, images: Tensor, strength: float, mask: Tensor | None) -> None:
        """Raise unless `edit` can take these."""
        channels, side, _ = self._shape()
        if images.ndim != 4 or not len(images) or images.shape[1:] != (channels, side, side):
            raise PipelineError(
                f"images: are {tuple(images.shape)}, expected (N, {channels}, {side}, {side}), "
                "as this model makes them; crop or resize them to that"
            )
        if not 0 < strength <= 1:
            raise PipelineError(f"strength: must be above 0 and at most 1, got {strength}")
        if mask is not None and mask.shape not in {
            (1, 1, side, side),
            (len(images), 1, side, side),
        }:
            raise PipelineError(
                f"mask: is {tuple(mask.shape)}, expected (1 or {len(images)}, 1, {side}, {side}): "
                "one channel, the size of the images"
            )

    def trajectory(
        self,
        count: int = 4,
        frames: int = 10,
        *,
        seed: int = 0,
        labels: int | Sequence[int] | None = None,
        **options: Any,
    ) -> Trajectory:
        """Images 0..count-1 of a seed on their way, and the same under growing noise.

        Args:
            count: B, at least 1.
            frames: At least 2, evenly spread over the steps; the last is the finished image.
            seed: As in a call.
            labels: As in a call.
            options: As in a call.
        """
        if count < 1 or frames < 2:
            raise PipelineError(
                f"trajectory: needs 1 image and 2 frames or more, got {count} and {frames}"
            )
        sampling = self.sampling(**options)
        classes = self.labels_of(range(count), labels)
        seen: list[tuple[Tensor, Tensor]] = []

        def watch(noisy: Tensor, predicted: Tensor) -> None:
            seen.append((noisy.cpu(), predicted.cpu()))

        noise = self._noise(range(count), seed)
        final = self._denoise(noise, classes, sampling, watch=watch).cpu()
        seen.append((final, final))
        chosen = torch.linspace(0, len(seen) - 1, frames).round().long().tolist()
        noisy, predicted = (torch.stack([seen[i][k] for i in chosen]) for k in (0, 1))
        return Trajectory(noisy, predicted, self._noised(final, seed, frames))

    def _noised(self, images: Tensor, seed: int, frames: int) -> Tensor:
        """Images (B, C, S, S) under growing noise: (frames, B, C, S, S)."""
        eps = self._noise(range(len(images)), seed).x
        prediction, rows = schedulers.prediction_of(self.scheduler), []
        for time in schedulers.times_between(self.scheduler, frames):
            level = schedulers.level_at(self.scheduler, time.expand(len(images)))
            x = predictions.add_noise(images, eps, level)
            rows.append(predictions.network_input(prediction, x, level))
        return torch.stack(rows)

    # -- the loop ----------------------------------------------------------------------------------

    @torch.no_grad()
    def _denoise(
        self,
        noise: Noise,
        labels: Tensor | None,
        sampling: Sampling,
        begin: Begin | None = None,
        watch: Watch | None = None,
    ) -> Tensor:
        """(B, C, S, S) in [-1, 1], on the network's device."""
        device = next(self.denoiser.parameters()).device
        scheduler = self._scheduler(sampling)
        schedulers.set_steps(scheduler, sampling.steps, device)
        times, order = scheduler.timesteps, getattr(scheduler, "order", 1)
        eps, start = noise.x.to(device), 0
        x = eps * getattr(scheduler, "init_noise_sigma", 1.0)
        if begin is not None:
            begin = begin.on(device)
            start = begin.first_step(sampling.steps) * order
            if hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(start)
            if begin.strength < 1:
                x = schedulers.add_noise(scheduler, begin.images, eps, times[start])
        extra = stepping.step_arguments(scheduler, sampling, noise.generators)
        predict = self._predictor(labels, sampling, device)
        with evaluating(self.denoiser, len(x)):
            for i in range(start, len(times)):
                time = times[i]
                seen = stepping.network_input(scheduler, x, time)
                output = predict(seen, time, i / len(times))
                if watch is not None:
                    watch(seen, self._image(output, seen, x, time))
                x = stepping.step(scheduler, output, time, x, **extra)
                if begin is not None and (i + 1) % order == 0 and i + 1 < len(times):
                    x = begin.restore(x, scheduler, eps, times[i + 1])
                if self.on_step is not None:
                    self.on_step(i + 1 - start, len(times) - start)
        if begin is not None and begin.mask is not None:
            x = torch.where(begin.mask > 0, x, begin.images)
        return x.float().clamp(-1, 1)

    def _predictor(
        self, labels: Tensor | None, sampling: Sampling, device: torch.device
    ) -> Callable[[Tensor, Tensor, float], Tensor]:
        """The guided network: (x, time, share of the steps done) -> its output in fp32."""
        given = None if labels is None else labels.to(device)
        hidden = None
        if given is not None and self.can_be_guided:
            hidden = torch.full_like(given, denoisers.null_label(self.denoiser))
        low, high = sampling.guidance_interval
        patch_size = self.config["patch_size"]

        def run(x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
            with torch.autocast(device.type, torch.bfloat16, enabled=sampling.precision == "bf16"):
                return denoise(self._forward, x, time.expand(len(x)), labels, patch_size).float()

        def predict(x: Tensor, time: Tensor, done: float) -> Tensor:
            scale = sampling.guidance if low <= done < high else 1.0
            if given is None or hidden is None or scale == 1:
                return run(x, time, given)
            rescale = sampling.guidance_rescale
            if scale == 0 and not rescale:
                return run(x, time, hidden)
            both = run(torch.cat([x, x]), time, torch.cat([given, hidden]))
            return guided(both[: len(x)], both[len(x) :], scale, rescale, channels=x.shape[1])

        return predict

    def _image(self, output: Tensor, seen: Tensor, x: Tensor, time: Tensor) -> Tensor:
        """The image that the network takes x for, in [-1, 1]."""
        level = schedulers.level_at(self.scheduler, time.expand(len(x)))
        # On timesteps every scheduler shows the network alpha x_0 + sigma eps, however it holds x.
        state = seen if schedulers.kind_of(self.scheduler) == "timesteps" else x
        prediction = schedulers.prediction_of(self.scheduler)
        image = predictions.to_sample(prediction, output[:, : x.shape[1]], state, level)
        return image.clamp(-1, 1)

    def _scheduler(self, sampling: Sampling) -> Any:
        assert sampling.scheduler is not None
        return schedulers.make(sampling.scheduler, self.scheduler, sampling.options or {})


@dataclass(frozen=True)
class Begin:
    """Images (B, C, S, S) in [-1, 1] to begin from, and where to keep them.

    Attributes:
        images: What there is.
        strength: The share of the steps that are taken.
        mask: (B, 1, S, S), 1 = make anew; None = everywhere.
    """

    images: Tensor
    strength: float
    mask: Tensor | None

    def on(self, device: torch.device) -> Begin:
        """The same on a device."""
        mask = None if self.mask is None else self.mask.to(device)
        return replace(self, images=self.images.to(device), mask=mask)

    def first_step(self, steps: int) -> int:
        """Of so many, that at which it begins; at least one is left to take."""
        return steps - max(1, round(steps * self.strength))

    def restore(self, x: Tensor, scheduler: Any, eps: Tensor, time: Tensor) -> Tensor:
        """x with what the mask keeps put back, at the noise of the next step."""
        if self.mask is None:
            return x
        known = schedulers.add_noise(scheduler, self.images, eps, time)
        return torch.where(self.mask > 0, x, known)


def guided(
    with_label: Tensor, without: Tensor, scale: float, rescale: float, *, channels: int
) -> Tensor:
    """Outputs guided by their label; channels beyond the first C (variances) stay `with_label`'s.

    Ho & Salimans 2022 (arXiv:2207.12598), eq. 6 with scale = 1 + w; rescaled as Lin et al. 2024
    (arXiv:2305.08891), eqs. 14-16, where `rescale` is phi.
    """
    pos, neg = with_label[:, :channels], without[:, :channels]
    out = neg + scale * (pos - neg)
    if rescale:
        spread = (pos.flatten(1).std(1) / out.flatten(1).std(1))[:, None, None, None]
        out = rescale * spread * out + (1 - rescale) * out
    return torch.cat([out, with_label[:, channels:]], dim=1)
