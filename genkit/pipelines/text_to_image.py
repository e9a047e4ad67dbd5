"""Text to image by a U-Net that reads the words by cross-attention.

It is saved as diffusers' `StableDiffusionPipeline`, which opens without genkit, and any such folder
opens here.

Legend: B batch, Z latent channels, S side of a latent, L tokens, D width of their embeddings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from genkit.errors import PipelineError
from genkit.nn.attention import quicken
from genkit.nn.text_unets import denoise_by_text, encoded_text
from genkit.noise.process import NoiseProcess
from genkit.pipelines import schedulers
from genkit.pipelines.adapted import save_adapted
from genkit.pipelines.base import FORMAT_VERSION
from genkit.pipelines.card import Card
from genkit.pipelines.from_text import FromText, check_latents, check_tokens


class TextToImage(FromText):
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
        check_latents(vae, unet, "unet")
        width, wanted = text_encoder.config.hidden_size, unet.config["cross_attention_dim"]
        if width != wanted:
            raise PipelineError(
                f"text_encoder and unet don't fit: words are {width} wide, the network reads "
                f"{wanted}; take both from one model"
            )
        check_tokens(tokenizer, text_encoder)
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
        self._set_network(unet)

    def words(self, texts: Sequence[str]) -> Tensor:
        """Texts as the U-Net reads them: (B, L, D)."""
        return encoded_text(self.text_encoder, self.tokenizer, texts)

    def ask(self, network: Any, x: Tensor, time: Tensor, words: Tensor) -> Tensor:
        """What the U-Net gives for x (B, Z, S, S) at times (B,), told of words (B, L, D)."""
        return denoise_by_text(network, x, time, words)

    # -- as an export ------------------------------------------------------------------------------

    def save_pretrained(  # type: ignore[override]
        self, save_directory: Any, **options: Any
    ) -> None:
        """As diffusers' `StableDiffusionPipeline`; with a `base` the adapter alone."""
        if self.base is not None:
            save_adapted(self, Path(save_directory))
            return
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


def latent_scheduler(process: NoiseProcess) -> Any:
    """A scheduler of this process that diffusers' `StableDiffusionPipeline` can run as it is.

    Its schedulers for flows are none of these, and its others clip pictures to [-1, 1], which would
    cut latents.
    """
    if process.prediction == "flow":
        return flow_scheduler(process.shift)
    trained = process.scheduler()
    trained.register_to_config(clip_sample=False)
    return schedulers.make("dpmsolver++", trained, {"steps_offset": 1})


def flow_scheduler(shift: float) -> Any:
    """A scheduler of a flow with this shift, in the form of those on timesteps."""
    from diffusers import DPMSolverMultistepScheduler

    # The offset says nothing to a flow; without it diffusers warns of old exports.
    return DPMSolverMultistepScheduler(
        use_flow_sigmas=True,
        prediction_type="flow_prediction",
        flow_shift=shift,
        steps_offset=1,
    )


_PLAIN = """\
```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("PATH_OR_HUB_ID")
images = pipeline(["a red star"] * 4, guidance_scale=5, num_inference_steps=20).images
```
"""
