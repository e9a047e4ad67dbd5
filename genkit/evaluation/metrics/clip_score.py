"""CLIPScore: does an image show what its caption says?

Hessel et al. 2021 (arXiv:2104.08718), eq. 1: 2.5 times the cosine of the embeddings of image and
caption, never below 0, with "A photo depicts " before the caption. torchmetrics multiplies by 100
instead of 2.5 and adds no words. A CLIP of one's own reads captions as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.extractors.clip_vitb32 import ClipExtractor, is_published
from genkit.evaluation.metric import Metric
from genkit.evaluation.sets import captions_of
from genkit.evaluation.view import Found, View
from genkit.nn import tokens
from genkit.rows.base import Rows

MEANING = {
    "clip-score": "how well images show what their captions say: 2.5 times the cosine of CLIP",
}
TITLE = {"clip-score": "Fits its caption"}
WEIGHT = 2.5
BATCH = 64


def check(samples: Rows, extractor: Extractor) -> tuple[str, ...]:
    """The captions of samples, when there is what reads them.

    Raises:
        EvaluationError: They have none, or CLIP's vocabulary can't be fetched.
    """
    captions = captions_of(samples)
    if captions is None:
        raise EvaluationError(
            f"clip-score: {samples.name} has no captions; give a folder with metadata.jsonl, a "
            'line for each image: {"file_name": "0.png", "caption": "..."}'
        )
    if isinstance(extractor, ClipExtractor):
        _ = extractor.tokenizer
    return captions


def measure(view: View) -> list[Found]:
    """ "clip-score" on ViT-B/32, else "clip-score-<extractor>"."""
    if not isinstance(view.extractor, ClipExtractor):
        return []
    captions = check(view.sample_set, view.extractor)
    cosines = (view.samples.rows * texts_of(view.extractor, captions)).sum(1)
    values = (WEIGHT * cosines.clamp_min(0)).double()
    name = view.extractor.name
    return [
        Found(
            "clip-score" if is_published(view.extractor, "clip-vitb32") else f"clip-score-{name}",
            values.mean().item(),
            "higher",
            values,
            note=_cut(view.extractor, captions),
            protocol={
                "prompt": view.extractor.prompt,
                "weight": WEIGHT,
                "interval": "samples drawn again",
            },
            most=WEIGHT,
        )
    ]


def texts_of(extractor: ClipExtractor, captions: Sequence[str]) -> Tensor:
    """Embeddings (N, P) of captions, as they are said to this extractor."""
    texts = [extractor.prompt.format(caption) for caption in captions]
    starts = range(0, len(texts), BATCH)
    return torch.cat([extractor.text_features(texts[i : i + BATCH]) for i in starts])


def _cut(extractor: ClipExtractor, captions: Sequence[str]) -> str:
    """A note where words of captions are not read; else empty."""
    texts = [extractor.prompt.format(caption) for caption in captions]
    if not (longer := tokens.too_long(extractor.tokenizer, texts, extractor.context)):
        return ""
    return (
        f"{longer:,} of {len(texts):,} captions have more than the {extractor.context} tokens that "
        "are read; the rest of those is passed over"
    )


METRIC = Metric(
    "clip-score",
    measure,
    MEANING,
    order=80,
    fits=lambda extractor: isinstance(extractor, ClipExtractor),
    hint="give --extractor clip-vitb32, which reads text, or a run of family clip",
    check=check,
    alone=True,
)
