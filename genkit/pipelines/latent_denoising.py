"""Denoising in the latents of an autoencoder, unconditional or by class.

Rombach et al. 2022 (arXiv:2112.10752), section 3, with the label told as on pixels. A transformer
that knows classes is saved as diffusers' `DiTPipeline` (Peebles & Xie 2023, arXiv:2212.09748),
which opens without genkit, and any such folder opens here.

Legend: B batch, Z latent channels, S side of a latent, C channels, H W size in px, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from genkit.errors import PipelineError
from genkit.nn.autoencoders import factor, from_latents, to_latents
from genkit.nn.class_tables import with_classes
from genkit.pipelines import schedulers
from genkit.pipelines.base import FORMAT_VERSION
from genkit.pipelines.denoising import Denoising
from genkit.pipelines.from_text import check_latents
from genkit.pipelines.recipe import PUBLISHED_CLASSES, plain_class
from genkit.pipelines.text_to_image import flow_scheduler


class LatentDenoising(Denoising):
    """A network that takes noise off latents, and the autoencoder that makes pictures of them.

        images = pipeline(16, label="cat", guidance=4)

    Args:
        vae: An `AutoencoderKL`.
        scheduler: As `Denoising` has it, like all that follows but the last but one.
        unet: Of latents.
        transformer: Of latents.
        num_classes: K; None = unconditional, or as many as `id2label` names.
        class_names: K names for people to read.
        patch_size: Of latents.
        null_label: Whether the label behind the others means none.
        id2label: Of exports of diffusers: names of classes by number.
        format_version: Of the export folder that this pipeline is saved as.
    """

    opens: ClassVar[tuple[str, ...]] = ("DiTPipeline",)

    def __init__(
        self,
        vae: Any,
        scheduler: Any,
        unet: Any = None,
        transformer: Any = None,
        num_classes: int | None = None,
        class_names: list[str] | None = None,
        patch_size: int = 1,
        null_label: bool = True,
        id2label: Mapping[Any, str] | None = None,
        format_version: int = FORMAT_VERSION,
    ) -> None:
        if transformer is not None and num_classes is None:
            known = transformer.config["num_embeds_ada_norm"]
            num_classes = known if known > 1 else None  # of one that is never named: of none
            if id2label is not None:
                num_classes, class_names = _classes(id2label)
                if num_classes < known:
                    transformer = with_classes(transformer, num_classes)
        super().__init__(
            *(scheduler, unet, transformer, num_classes, class_names),
            *(patch_size, null_label, format_version),
        )
        name = "unet" if transformer is None else "transformer"
        check_latents(vae, self.denoiser, name, patch_size)
        self.register_modules(vae=vae)  # type: ignore[no-untyped-call]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its pictures."""
        _, height, width = self.noise_shape
        each = factor(self.vae)
        return int(self.vae.config["out_channels"]), height * each, width * each

    def encoded(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1] as latents (B, Z, S, S), without their spread."""
        return to_latents(self.vae, images)[0]

    def decoded(self, x: Tensor) -> Tensor:
        """Latents (B, Z, S, S) as pictures (B, C, H, W), nearly in [-1, 1]."""
        return from_latents(self.vae, x)

    def masked(self, mask: Tensor) -> Tensor:
        """Latents (B, 1, S, S) that are made anew: all in which a pixel is."""
        return torch.nn.functional.max_pool2d(mask, factor(self.vae))

    def save_pretrained(  # type: ignore[override]
        self, save_directory: Any, **options: Any
    ) -> None:
        """As diffusers' `DiTPipeline` where that can run it, as this class otherwise."""
        if plain_class(self) != "DiTPipeline":
            super().save_pretrained(save_directory, **options)
            return
        from diffusers import DiTPipeline

        count = self.config["num_classes"]
        names = self.config["class_names"] or map(str, range(count))
        network = with_classes(self.transformer, PUBLISHED_CLASSES)
        plain: Any = DiTPipeline(network, self.vae, _plain_scheduler(self.scheduler))
        plain.register_to_config(id2label={str(i): name for i, name in enumerate(names)})
        plain.save_pretrained(save_directory, **options)


def _classes(id2label: Mapping[Any, str]) -> tuple[int, list[str] | None]:
    """K and the names of the classes; None where they are called by their numbers."""
    count = len(id2label)
    named = {str(key): name for key, name in id2label.items()}
    if {*named} != {str(i) for i in range(count)}:
        raise PipelineError(f"id2label: must name the classes 0 to {count - 1}; export again")
    names = [str(named[str(i)]) for i in range(count)]
    return count, None if names == [str(i) for i in range(count)] else names


def _plain_scheduler(exported: Any) -> Any:
    """A scheduler of the same process that diffusers' `DiTPipeline` runs as it is."""
    if schedulers.kind_of(exported) == "flow":
        return flow_scheduler(exported.config.get("shift", exported.config.get("flow_shift", 1.0)))
    if exported.config.get("variance_type") == "fixed_small":  # which every solver begins with
        return schedulers.make("dpmsolver++", exported, {"steps_offset": 1})
    return exported
