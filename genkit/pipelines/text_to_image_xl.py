"""Text to image by the U-Net of Stable Diffusion XL: Podell et al. 2023 (arXiv:2307.01952).

It reads two towers of texts, and is told how large the picture was, where it was cut out and how
large it is to be (section 2.2). It is saved as diffusers' `StableDiffusionXLPipeline`, and any such
folder opens here.

Legend: B batch, Z latent channels, S side of a latent, L tokens, D width of both towers' embeddings
side by side, P width of the second tower's projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from genkit.errors import PipelineError
from genkit.nn.attention import quicken
from genkit.nn.text_unets import denoise_by_text
from genkit.nn.tokens import filled
from genkit.pipelines.adapted import save_adapted
from genkit.pipelines.base import FORMAT_VERSION
from genkit.pipelines.card import Card
from genkit.pipelines.from_text import FromText, check_latents, check_tokens

_TOLD = 6  # numbers of a picture's sizes

Words = tuple[Tensor, Tensor, Tensor]  # (B, L, D) of the texts, (B, P) of each, (B, 6) of sizes


class TextToImageXL(FromText):
    """Pictures of what a text says, by a network of the kind of Stable Diffusion XL.

        images = pipeline(4, caption="a lighthouse at dusk", guidance=5)

    Args:
        vae: An `AutoencoderKL`.
        text_encoder: A `CLIPTextModel`.
        text_encoder_2: A `CLIPTextModelWithProjection`.
        tokenizer: The `CLIPTokenizer` of the first.
        tokenizer_2: That of the second.
        unet: A `UNet2DConditionModel` that is told sizes.
        scheduler: A diffusers scheduler: which schedule and prediction the network learnt.
        image_encoder: Of exports of diffusers; not used here.
        feature_extractor: Likewise.
        force_zeros_for_empty_prompt: Whether zeros stand for no text, and not the text "".
        format_version: Of the export folder that this pipeline is saved as.
    """

    _optional_components = ["image_encoder", "feature_extractor"]  # noqa: RUF012
    opens: ClassVar[tuple[str, ...]] = ("StableDiffusionXLPipeline",)
    reads_cuts: ClassVar[bool] = True

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        text_encoder_2: Any,
        tokenizer: Any,
        tokenizer_2: Any,
        unet: Any,
        scheduler: Any,
        image_encoder: Any = None,
        feature_extractor: Any = None,
        force_zeros_for_empty_prompt: bool = True,
        format_version: int = FORMAT_VERSION,
    ) -> None:
        super().__init__()
        check_latents(vae, unet, "unet")
        check_tokens(tokenizer, text_encoder)
        check_tokens(tokenizer_2, text_encoder_2)
        _check_widths(unet, text_encoder, text_encoder_2)
        self.register_modules(  # type: ignore[no-untyped-call]
            vae=vae,
            text_encoder=text_encoder,
            text_encoder_2=text_encoder_2,
            tokenizer=tokenizer,
            tokenizer_2=tokenizer_2,
            unet=unet,
            scheduler=scheduler,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
        )
        self.register_to_config(  # type: ignore[no-untyped-call]
            force_zeros_for_empty_prompt=force_zeros_for_empty_prompt,
            format_version=format_version,
        )
        quicken(unet)
        self._set_network(unet)

    def words(self, texts: Sequence[str]) -> Words:
        """Texts as the U-Net reads them, and sizes of a picture that was as large as it is to be.

        As diffusers' `StableDiffusionXLPipeline` has it: the last but one hidden states of both
        towers side by side, and the second one's embedding of the whole text.
        """
        states = []
        for tower, tokenizer in (
            (self.text_encoder, self.tokenizer),
            (self.text_encoder_2, self.tokenizer_2),
        ):
            ids = filled(tokenizer, texts, tokenizer.model_max_length).to(tower.device)
            said = tower(input_ids=ids, output_hidden_states=True)
            states.append(said.hidden_states[-2])
        pooled = said.text_embeds
        side_by_side = torch.cat(states, -1)
        if self.config["force_zeros_for_empty_prompt"]:
            told = torch.tensor([bool(text) for text in texts], device=pooled.device)
            side_by_side, pooled = side_by_side * told[:, None, None], pooled * told[:, None]
        height, width = self.shape[1:]
        sizes = torch.tensor([height, width, 0, 0, height, width], device=pooled.device)
        return side_by_side, pooled, sizes.to(pooled).expand(len(texts), -1)

    def ask(self, network: Any, x: Tensor, time: Tensor, words: Words) -> Tensor:
        """What the U-Net gives for x (B, Z, S, S) at times (B,), told of words."""
        states, pooled, sizes = words
        return denoise_by_text(network, x, time, states, text_embeds=pooled, time_ids=sizes)

    def told(self, words: Words, cuts: Tensor) -> Words:
        """The same texts beside the sizes and corners of these pictures (B, 6)."""
        states, pooled, sizes = words
        return states, pooled, cuts.to(sizes)

    # -- as an export ------------------------------------------------------------------------------

    def save_pretrained(  # type: ignore[override]
        self, save_directory: Any, **options: Any
    ) -> None:
        """As diffusers' `StableDiffusionXLPipeline`; with a `base` the adapter alone."""
        if self.base is not None:
            save_adapted(self, Path(save_directory))
            return
        from diffusers import StableDiffusionXLPipeline

        parts = ("vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet",
                 "scheduler")  # fmt: skip
        plain: Any = StableDiffusionXLPipeline(
            **{name: getattr(self, name) for name in parts},
            force_zeros_for_empty_prompt=self.config["force_zeros_for_empty_prompt"],
            add_watermarker=False,
        )
        plain.save_pretrained(save_directory, **options)

    def card(self) -> Card:
        """How it is called, here and in plain diffusers."""
        channels, height, width = self.shape
        call = 'images = pipeline(4, caption="a lighthouse", guidance=5)  # a list of PIL images'
        facts = {
            "Images": f"{channels} x {height} x {width}",
            "Texts": f"{self.tokenizer.model_max_length} tokens",
        }
        return Card(call, "text-to-image", facts, _PLAIN)


def _check_widths(unet: Any, first: Any, second: Any) -> None:
    """Raise unless a U-Net reads what these towers say.

    Raises:
        PipelineError: It reads something else.
    """
    states = first.config.hidden_size + second.config.hidden_size
    wanted = unet.config["cross_attention_dim"]
    told = second.config.projection_dim + _TOLD * (unet.config["addition_time_embed_dim"] or 0)
    taken = unet.config["projection_class_embeddings_input_dim"]
    if (states, told) != (wanted, taken):
        raise PipelineError(
            f"text_encoder, text_encoder_2 and unet don't fit: words are {states} wide and what is "
            f"told beside them {told}, the network reads {wanted} and {taken}; take all from one "
            "model"
        )


_PLAIN = """\
```python
from diffusers import StableDiffusionXLPipeline

pipeline = StableDiffusionXLPipeline.from_pretrained("PATH_OR_HUB_ID")
images = pipeline(["a lighthouse"] * 4, guidance_scale=5, num_inference_steps=20).images
```
"""
