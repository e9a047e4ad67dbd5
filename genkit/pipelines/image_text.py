"""Pictures and texts to vectors in one space: which text fits a picture, which picture a text.

Legend: B batch, N pictures, C channels, H W height and width in px, K texts or classes, P
embedding, T templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.errors import PipelineError, shown
from genkit.nn import tokens
from genkit.nn.image_text import (
    CLIP,
    Normalisation,
    embedded_pictures,
    embedded_texts,
    square,
)
from genkit.nn.pretrained import clip as published
from genkit.pipelines.base import FORMAT_VERSION, Pipeline
from genkit.pipelines.card import Card
from genkit.pipelines.export_files import (
    INDEX,
    check_complete,
    check_files,
    one_line,
    without_bars,
)
from genkit.pipelines.given import Takes
from genkit.pipelines.loading import hub_folder, load_pipeline
from genkit.rows.columns import Columns, Image, Latent, Text

_BATCH = 256  # texts embedded at a time


class ImageTextPipeline(Pipeline):
    """Pictures or texts to embeddings of length 1, whose products say what fits what.

        found = pipeline(image=picture)  # (1, P)
        texts = pipeline(caption=["a red star", "a blue ring"])  # (2, P)
        fits = found @ texts.T

    Args:
        clip: A transformers `CLIPModel`.
        tokenizer: Its `CLIPTokenizer`.
        image_processor: A `CLIPImageProcessor`, which says how pixels are normalised.
        logit_bias: b of a model that was trained by the sigmoid loss; None = by the contrastive.
        format_version: Of the export folder that this pipeline is saved as.
    """

    def __init__(
        self,
        clip: Any,
        tokenizer: Any,
        image_processor: Any,
        logit_bias: float | None = None,
        format_version: int = FORMAT_VERSION,
    ) -> None:
        super().__init__()
        self.register_modules(  # type: ignore[no-untyped-call]
            clip=clip, tokenizer=tokenizer, image_processor=image_processor
        )
        self.register_to_config(  # type: ignore[no-untyped-call]
            logit_bias=logit_bias, format_version=format_version
        )
        if problem := tokens.misfit(tokenizer, clip.config.text_config):
            raise PipelineError(
                f"tokenizer and tower of texts don't fit: {problem}; take both from one model"
            )

    @classmethod
    def of(
        cls, network: Any, tokenizer: Any, normalisation: Normalisation, bias: float | None = None
    ) -> ImageTextPipeline:
        """The pipeline of these towers.

        Args:
            network: A `CLIPModel`.
            tokenizer: Its tokenizer.
            normalisation: Of the channels of its pictures.
            bias: b of the sigmoid loss, if it was trained by that.
        """
        from transformers import CLIPImageProcessor

        side = network.config.vision_config.image_size
        processor = CLIPImageProcessor(
            size={"shortest_edge": side},
            crop_size={"height": side, "width": side},
            image_mean=list(normalisation.mean),
            image_std=list(normalisation.deviation),
        )
        return cls(network, tokenizer, processor, bias)

    # -- what it is --------------------------------------------------------------------------------

    @property
    def takes(self) -> Takes:
        """A picture of any size, of which the middle square is seen; or a text."""
        return ({"image": Image()}, {"caption": Text()})

    @property
    def gives(self) -> Columns:
        """An embedding of length 1."""
        return {"embedding": Latent((self.clip.config.projection_dim,))}

    @property
    def normalisation(self) -> Normalisation:
        """Of the channels of a picture."""
        said = self.image_processor
        return Normalisation(tuple(said.image_mean), tuple(said.image_std))

    @property
    def side(self) -> int:
        """Of the square that the tower of pictures takes, in px."""
        return int(self.clip.config.vision_config.image_size)

    @property
    def context(self) -> int:
        """Tokens of a text that the tower of texts takes at most."""
        return int(self.clip.config.text_config.max_position_embeddings)

    def generate(self, begun: Any, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        """Embeddings (B, P) float32 of length 1."""
        if "caption" in given:
            ids = tokens.tokens(self.tokenizer, given["caption"], self.context)
            return {"embedding": embedded_texts(self.clip, ids.to(self.device))}
        images = square(given["image"], self.side)
        return {"embedding": embedded_pictures(self.clip, self.normalisation(images))}

    # -- what fits what ----------------------------------------------------------------------------

    def texts(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (K, P) of texts, on the CPU."""
        found = [
            made["embedding"]
            for _, made in self.stream(range(len(texts)), caption=list(texts), batch_size=_BATCH)
        ]
        return torch.cat([torch.as_tensor(each) for each in found])

    def too_long(self, texts: Sequence[str]) -> int:
        """How many texts have more tokens than are read; the rest of those is passed over."""
        return tokens.too_long(self.tokenizer, texts, self.context)

    def classes(self, names: Sequence[str], templates: Sequence[str] = ("{}",)) -> Tensor:
        """A vector of length 1 for each class, (K, P): the mean over templates of its texts.

        Radford et al. 2021 (arXiv:2103.00020), section 3.1.4: each text has length 1 before the
        mean, and the mean afterwards.

        Args:
            names: K words.
            templates: Texts with {} where the word goes, such as "a photo of a {}".
        """
        asked = [each.replace("{}", name) for name in names for each in templates]
        each_text = F.normalize(self.texts(asked)).unflatten(0, (len(names), len(templates)))
        return F.normalize(each_text.mean(1))

    def shares(self, pictures: Tensor, texts: Tensor) -> Tensor:
        """How sure the model is which text fits each picture, (N, K).

        By the temperature that it learnt. Of a model of the contrastive loss they add up to 1, of
        one of the sigmoid loss each text stands alone.

        Args:
            pictures: (N, P), as `pipeline(image=...)` gives them.
            texts: (K, P), as `classes` gives them.
        """
        logits = self.clip.logit_scale.detach().exp().item() * (pictures @ texts.T)
        bias = self.config["logit_bias"]
        return logits.softmax(1) if bias is None else torch.sigmoid(logits + bias)

    def card(self) -> Card:
        """How it is asked, and how without genkit."""
        call = 'from PIL import Image\nvector = pipeline(image=Image.open("PICTURE"))'
        facts = {
            "Pictures": f"3 x {self.side} x {self.side}",
            "Texts": f"{self.context} tokens of a vocabulary of {len(self.tokenizer):,}",
            "Embedding": self.clip.config.projection_dim,
        }
        bias = self.config["logit_bias"]
        shares = ".softmax(1)" if bias is None else f".add({bias}).sigmoid()"
        plain = _PLAIN.replace(".softmax(1)", shares)
        return Card(call, "zero-shot-image-classification", facts, plain)


_PLAIN = """\
```python
from PIL import Image
from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

model = CLIPModel.from_pretrained("FOLDER/clip")
words = CLIPTokenizer.from_pretrained("FOLDER/tokenizer")
pixels = CLIPImageProcessor.from_pretrained("FOLDER/image_processor")
texts = words(["a red star", "a blue ring"], padding=True, truncation=True, return_tensors="pt")
pictures = pixels(Image.open("PICTURE"), return_tensors="pt")
shares = model(input_ids=texts.input_ids, **pictures).logits_per_image.softmax(1)
```
"""


def open_image_text(source: str | Path, *, device: Any = None) -> ImageTextPipeline:
    """The towers of a run, an export, a folder in transformers' format, a Hub id or published CLIP.

    Args:
        source: A run or export of family clip; a folder or Hub id with config.json, .safetensors
            and tokenizer of a `CLIPModel`; or one of the names clip-vitb32 and clip-vitl14-336,
            fetched once to the user's cache.
        device: Where they go; None = the CPU.

    Raises:
        PipelineError: It is none of these, or a model of another kind.
        WeightsError: Published weights can't be fetched.
    """
    if str(source) in published.PUBLISHED:
        network = published.load(str(source)).network
        pipeline = ImageTextPipeline.of(network, published.tokenizer(), CLIP)
    else:
        folder = Path(source)
        if not folder.exists() and _may_be_hub_id(str(source)):
            folder = hub_folder(str(source))
        is_plain = (folder / "config.json").is_file() and not (folder / INDEX).is_file()
        pipeline = _of_transformers(folder) if is_plain else load_pipeline(folder)
    if not isinstance(pipeline, ImageTextPipeline):
        raise PipelineError(
            f"{shown(source)}: a {type(pipeline).__name__}, which knows nothing of texts; give a "
            "run of family clip, a folder or Hub id of a CLIPModel, or clip-vitb32"
        )
    return pipeline if device is None else pipeline.to(device)


def _may_be_hub_id(source: str) -> bool:
    return source.count("/") == 1 and not Path(source).parent.exists()


def _of_transformers(folder: Path) -> ImageTextPipeline:
    """A folder as `CLIPModel.save_pretrained` and Hub repositories lay it out."""
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    check_files(folder, needs_weights=True)
    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    path = str(folder)
    try:
        with without_bars():
            network, info = CLIPModel.from_pretrained(  # type: ignore[misc]
                path, use_safetensors=True, output_loading_info=True, **options
            )
            tokenizer = CLIPTokenizer.from_pretrained(path, **options)
            processor = CLIPImageProcessor.from_pretrained(path, **options)
    except (OSError, ValueError, TypeError, RuntimeError, LookupError, AttributeError) as error:
        raise PipelineError(
            f"{shown(folder)}: no CLIPModel with its tokenizer and preprocessor_config.json can be "
            f"made of it ({one_line(error)}); give a folder that holds all three"
        ) from None
    check_complete(folder, info)  # type: ignore[has-type]
    return ImageTextPipeline(network.float().eval(), tokenizer, processor)  # type: ignore[has-type]
