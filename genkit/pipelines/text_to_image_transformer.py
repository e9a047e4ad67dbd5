"""Text to image by a transformer in which words and pictures look at each other.

It is saved as diffusers' `StableDiffusion3Pipeline`, which opens without genkit, and any such
folder without a tower of T5 opens here.

Legend: B batch, Z latent channels, S side of a latent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from genkit.errors import PipelineError
from genkit.nn.joint_attention import join
from genkit.nn.text_transformers import Words, denoise_jointly, encoded_jointly, towers_problem
from genkit.pipelines.base import FORMAT_VERSION
from genkit.pipelines.card import Card
from genkit.pipelines.from_text import FromText, check_latents, check_tokens


class TextToImageTransformer(FromText):
    """Pictures of what a text says.

        images = pipeline(4, caption="a red star left of a blue ring", guidance=5)

    An autoencoder that states no shift of its latents states one of 0 from here on, without which
    diffusers' pipeline does not run.

    Args:
        vae: An `AutoencoderKL`.
        text_encoder: A `CLIPTextModelWithProjection`.
        tokenizer: Its `CLIPTokenizer`, up to whose length texts are filled up.
        text_encoder_2: Another, or the same.
        tokenizer_2: That of `text_encoder_2`.
        transformer: An `SD3Transformer2DModel`.
        scheduler: A diffusers scheduler of a flow.
        text_encoder_3: Of exports of diffusers; None.
        tokenizer_3: Likewise.
        image_encoder: Likewise; not used here, and said so.
        feature_extractor: Likewise.
        format_version: Of the export folder that this pipeline is saved as.
    """

    _optional_components = [  # noqa: RUF012
        *("text_encoder_3", "tokenizer_3", "image_encoder", "feature_extractor")
    ]
    opens: ClassVar[tuple[str, ...]] = ("StableDiffusion3Pipeline",)

    def __init__(
        self,
        vae: Any,
        text_encoder: Any,
        tokenizer: Any,
        text_encoder_2: Any,
        tokenizer_2: Any,
        transformer: Any,
        scheduler: Any,
        text_encoder_3: Any = None,
        tokenizer_3: Any = None,
        image_encoder: Any = None,
        feature_extractor: Any = None,
        format_version: int = FORMAT_VERSION,
    ) -> None:
        super().__init__()
        if text_encoder_3 is not None:
            raise PipelineError(
                "text_encoder_3: a tower of T5 is not read here, and without it this model makes "
                "other pictures; if these will do, open it in diffusers with text_encoder_3=None, "
                "tokenizer_3=None, save it to a folder, and open that"
            )
        self.register_modules(  # type: ignore[no-untyped-call]
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            text_encoder_2=text_encoder_2,
            tokenizer_2=tokenizer_2,
            transformer=transformer,
            scheduler=scheduler,
            text_encoder_3=None,
            tokenizer_3=None,
            image_encoder=image_encoder,
            feature_extractor=feature_extractor,
        )
        self.register_to_config(format_version=format_version)  # type: ignore[no-untyped-call]
        self._check()
        if vae.config.get("shift_factor") is None:
            vae.register_to_config(shift_factor=0.0)
        self.shift = float(vae.config["shift_factor"])
        join(transformer)
        self._set_network(transformer)

    def _check(self) -> None:
        """Raise unless the parts fit each other."""
        check_latents(self.vae, self.transformer, "transformer")
        for tokenizer, tower in zip(self.tokenizers, self.towers, strict=True):
            check_tokens(tokenizer, tower)
        config = self.transformer.config
        width = sum(tower.config.hidden_size for tower in self.towers)
        pooled = sum(tower.config.projection_dim for tower in self.towers)
        room, wanted = config["joint_attention_dim"], config["pooled_projection_dim"]
        if width > room or pooled != wanted:
            raise PipelineError(
                f"text_encoder, text_encoder_2 and transformer don't fit: words are {width} wide "
                f"and texts {pooled}, the network reads {room} and {wanted}; take all from one "
                "model"
            )
        if problem := towers_problem(self.towers, self.tokenizers):
            raise PipelineError(
                f"text_encoder and text_encoder_2 don't fit: {problem}; take both from one model"
            )

    @property
    def towers(self) -> tuple[Any, Any]:
        """Both towers of texts."""
        return self.text_encoder, self.text_encoder_2

    @property
    def tokenizers(self) -> tuple[Any, Any]:
        """Theirs."""
        return self.tokenizer, self.tokenizer_2

    def words(self, texts: Sequence[str]) -> Words:
        """Texts as the transformer reads them: see `encoded_jointly`."""
        width = self.transformer.config["joint_attention_dim"]
        return encoded_jointly(self.towers, self.tokenizers, texts, width)

    def ask(self, network: Any, x: Tensor, time: Tensor, words: Words) -> Tensor:
        """What the transformer gives for x (B, Z, S, S) at times (B,), told of words."""
        return denoise_jointly(network, x, time, words)

    # -- as an export ------------------------------------------------------------------------------

    def save_pretrained(  # type: ignore[override]
        self, save_directory: Any, **options: Any
    ) -> None:
        """As diffusers' `StableDiffusion3Pipeline`."""
        from diffusers import StableDiffusion3Pipeline

        nothing: Any = None
        plain: Any = StableDiffusion3Pipeline(
            transformer=self.transformer,
            scheduler=self.scheduler,
            vae=self.vae,
            text_encoder=self.text_encoder,
            tokenizer=self.tokenizer,
            text_encoder_2=self.text_encoder_2,
            tokenizer_2=self.tokenizer_2,
            text_encoder_3=nothing,
            tokenizer_3=nothing,
        )
        plain._optional_components = self._optional_components  # or it warns that two are None
        plain.save_pretrained(save_directory, **options)

    def card(self) -> Card:
        """How it is called, here and in plain diffusers."""
        channels, height, width = self.shape
        call = 'images = pipeline(4, caption="a red star", guidance=5)  # a list of PIL images'
        facts = {
            "Images": f"{channels} x {height} x {width}",
            "Texts": f"{self.tokenizer.model_max_length} tokens",
        }
        return Card(call, "text-to-image", facts, _PLAIN)


_PLAIN = """\
```python
from diffusers import StableDiffusion3Pipeline

pipeline = StableDiffusion3Pipeline.from_pretrained(
    "PATH_OR_HUB_ID", text_encoder_3=None, tokenizer_3=None
)
sigmas = [1 - i / 20 for i in range(20)]
images = pipeline(["a red star"] * 4, guidance_scale=5, sigmas=sigmas).images
```

Both make the same pictures of the same noise. With `num_inference_steps` instead of `sigmas`
diffusers spaces the steps otherwise, and pictures differ.
"""
