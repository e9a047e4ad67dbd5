"""Text to image: noise and words become a latent, and that a picture.

It is saved as diffusers' `StableDiffusionPipeline`, which opens without genkit, and any such folder
opens here.

Legend: B batch, C channels, H W size of a picture in px, Z latent channels, S side of a latent.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from genkit.errors import PipelineError
from genkit.nn.attention import quicken
from genkit.nn.autoencoders import factor
from genkit.nn.text_unets import denoise_by_text, encoded_text
from genkit.pipelines import stepping
from genkit.pipelines.base import FORMAT_VERSION
from genkit.pipelines.card import Card
from genkit.pipelines.denoise import (
    Begin,
    Noise,
    Predict,
    begun_with,
    denoise,
    gaussian,
    gaussian_between,
    guided,
    invert,
)
from genkit.pipelines.denoising import precision_of
from genkit.pipelines.given import Takes
from genkit.pipelines.inversion import Inverted, inverted
from genkit.pipelines.sampling import Sampling, complete
from genkit.pipelines.walks import FromNoise
from genkit.rows.base import Rows
from genkit.rows.columns import Columns, Image, Latent, Mask, Text


class TextToImage(FromNoise):
    """Pictures of what a text says.

        images = pipeline(4, caption="a red star left of a blue ring", guidance=5)

    Args:
        vae: An `AutoencoderKL`.
        text_encoder: A `CLIPTextModel`.
        tokenizer: Its `CLIPTokenizer`.
        unet: A `UNet2DConditionModel`.
        scheduler: A diffusers scheduler: which schedule and prediction the network learnt.
        safety_checker: Of exports of diffusers; not used here, and said so.
        feature_extractor: Likewise.
        image_encoder: Likewise.
        requires_safety_checker: Likewise.
        format_version: Of the export folder that this pipeline is saved as.
    """

    _optional_components = ["safety_checker", "feature_extractor", "image_encoder"]  # noqa: RUF012
    in_steps: ClassVar[bool] = True
    opens: ClassVar[tuple[str, ...]] = ("StableDiffusionPipeline",)

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        unet: Any,
        scheduler: Any,
        safety_checker: Any = None,
        feature_extractor: Any = None,
        image_encoder: Any = None,
        requires_safety_checker: bool = False,
        format_version: int = FORMAT_VERSION,
    ) -> None:
        super().__init__()
        self._check(vae, text_encoder, tokenizer, unet)
        self.register_modules(  # type: ignore[no-untyped-call]
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=safety_checker,
            feature_extractor=feature_extractor,
            image_encoder=image_encoder,
        )
        self.register_to_config(  # type: ignore[no-untyped-call]
            requires_safety_checker=requires_safety_checker, format_version=format_version
        )
        quicken(unet)
        self._forward = unet

    @staticmethod
    def _check(vae: Any, text_encoder: Any, tokenizer: Any, unet: Any) -> None:
        """Raise unless the parts fit each other."""
        latent, seen = vae.config["latent_channels"], unet.config["in_channels"]
        if latent != seen:
            raise PipelineError(
                f"vae and unet don't fit: latents have {latent} channels, the network takes "
                f"{seen}; take both from one model"
            )
        width, wanted = text_encoder.config.hidden_size, unet.config["cross_attention_dim"]
        if width != wanted:
            raise PipelineError(
                f"text_encoder and unet don't fit: words are {width} wide, the network reads "
                f"{wanted}; take both from one model"
            )
        words, known = len(tokenizer), text_encoder.config.vocab_size
        if words > known:
            raise PipelineError(
                f"tokenizer and text_encoder don't fit: {words:,} tokens, and the tower knows "
                f"{known:,}; take both from one model"
            )

    # -- what it is --------------------------------------------------------------------------------

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(Z, S, S)."""
        side = self.unet.config["sample_size"]
        return int(self.unet.config["in_channels"]), int(side), int(side)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its pictures."""
        side = self.latent_shape[1] * factor(self.vae)
        return int(self.vae.config["out_channels"]), side, side

    @property
    def takes(self) -> Takes:
        """A text, and what is not wanted; or a picture to begin from besides, and a mask that is 1
        where to change; or the noise to begin with."""
        words: Columns = {"caption": Text(), "negative": Text(optional=True)}
        mask = Mask(self.shape[1:], optional=True)
        image: Columns = {"image": self.gives["image"], "mask": mask, **words}
        return words, image, {"noise": Latent(self.latent_shape), **words}

    @property
    def gives(self) -> Columns:
        """Pictures."""
        return {"image": Image(self.shape[1:], self.shape[0])}

    def options(self, **asked: Any) -> Sampling:
        """Options of a call, checked and completed: see `Sampling`."""
        found = complete(asked, self.scheduler, 1)
        made = found.make(self.scheduler)
        channels = self.latent_shape[0]
        stepping.check_options(made, found, channels, channels)
        return replace(found, precision=precision_of(found.precision, self.unet))

    def describe(self, options: Sampling, taken: Collection[str]) -> Mapping[str, Any]:
        """The sampling options that were used, defaults included."""
        return {"sampling": options.to_tree(with_picture="image" in taken)}

    def compile(self) -> None:
        """Sample through `torch.compile` from now on: the first batch of each size takes longer."""
        self._forward = torch.compile(self.unet)

    # -- how ---------------------------------------------------------------------------------------

    def begin(
        self, indices: Sequence[int], seed: int, given: Mapping[str, Any], options: Any
    ) -> Noise:
        """Noise of latents; schedulers that add some on the way go on from it."""
        return begun_with(gaussian(indices, seed, self.latent_shape), given)

    def between(self, first: int, second: int, t: Tensor, seed: int) -> Noise:
        """Noise on the arc from that of image `first` to that of image `second`."""
        return gaussian_between(first, second, t, seed, self.latent_shape)

    def between_texts(self, texts: Sequence[str], places: Tensor, options: Sampling) -> Tensor:
        """Words (N, L, D) on the straight way from text to text, as the network reads them."""
        if options.guidance == 0:
            raise PipelineError(
                "guidance: 0 passes over what captions say, so between them nothing changes; leave "
                "guidance out"
            )
        with self.generating():
            words = encoded_text(self.text_encoder, self.tokenizer, texts)
        before = places.long().clamp(max=len(texts) - 2)
        share = (places - before).to(words)[:, None, None]
        return words[before].lerp(words[before + 1], share)

    def generate(
        self, begun: Noise, given: Mapping[str, Any], options: Sampling
    ) -> dict[str, Tensor]:
        """One batch: pictures (B, C, H, W) in [-1, 1]."""
        latents = denoise(
            options.make(self.scheduler),
            self._predictor(given, options),
            begun.x.to(self.device),
            begun.generators,
            steps=options.steps,
            eta=options.step_eta,
            begin=self._begin(given, options),
            on_step=self.on_step,
        )
        images = self.vae.decode(latents.float() / self.vae.config["scaling_factor"]).sample
        return {"image": images.float().clamp(-1, 1)}

    def invert(self, given: Rows | None = None, **asked: Any) -> Inverted:
        """Pictures as the noise that they come from: see `inversion.inverted`."""
        return inverted(self, given, **asked)

    def noise_of(self, given: Mapping[str, Any], options: Sampling) -> Tensor:
        """The noise (B, Z, S, S) of which pictures are made again, nearly."""
        return invert(
            options.make(self.scheduler),
            self._predictor(given, options),
            self._encoded(given["image"]),
            steps=options.steps,
            on_step=self.on_step,
        )

    def _begin(self, given: Mapping[str, Any], options: Sampling) -> Begin | None:
        if "image" not in given:
            if options.strength != Sampling.strength:
                raise PipelineError(
                    "strength: says how much of a picture to change; give image too"
                )
            return None
        mask = given.get("mask")
        if mask is not None:
            mask = torch.nn.functional.max_pool2d(mask, factor(self.vae))
        return Begin(self._encoded(given["image"]), options.strength, mask)

    def _encoded(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1] as latents (B, Z, S, S)."""
        latents: Tensor = self.vae.encode(images).latent_dist.mean
        return latents * self.vae.config["scaling_factor"]

    def _predictor(self, given: Mapping[str, Any], options: Sampling) -> Predict:
        """The network, guided away from what is not wanted: by default from no text at all."""

        def network(x: Tensor, time: Tensor, words: Tensor) -> Tensor:
            casts = options.precision == "bf16"
            with torch.autocast(x.device.type, torch.bfloat16, enabled=casts):
                return denoise_by_text(self._forward, x, time.expand(len(x)), words).float()

        wanted = self._words(given["caption"])
        without = self._words(given.get("negative") or [""] * len(wanted))
        return guided(network, wanted, without, **options.guiding)

    def _words(self, said: Sequence[str] | Tensor) -> Tensor:
        """Texts as the network reads them, (B, L, D); on a walk they come so."""
        if isinstance(said, Tensor):
            return said
        return encoded_text(self.text_encoder, self.tokenizer, said)

    # -- as an export ------------------------------------------------------------------------------

    def save_pretrained(  # type: ignore[override]
        self, save_directory: Any, **options: Any
    ) -> None:
        """As diffusers' `StableDiffusionPipeline`."""
        from diffusers import StableDiffusionPipeline

        plain: Any = StableDiffusionPipeline(
            self.vae,
            self.text_encoder,
            self.tokenizer,
            self.unet,
            self.scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
        plain.save_pretrained(save_directory, **options)

    def card(self) -> Card:
        """How it is called, here and in plain diffusers."""
        channels, height, width = self.shape
        call = 'images = pipeline(4, caption="a red star", guidance=5)  # a list of PIL images'
        facts = {
            "Images": f"{channels} x {height} x {width}",
            "Texts": f"{self.text_encoder.config.max_position_embeddings} tokens",
        }
        return Card(call, "text-to-image", facts, _PLAIN)


_PLAIN = """\
```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("PATH_OR_HUB_ID")
images = pipeline(["a red star"] * 4, guidance_scale=5, num_inference_steps=20).images
```
"""
