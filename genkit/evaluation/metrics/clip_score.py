"""CLIPScore: does an image show what its caption says?

Hessel et al. 2021 (arXiv:2104.08718), eq. 1: 2.5 times the cosine of the embeddings of image and
caption, never below 0, with "A photo depicts " before the caption. torchmetrics multiplies by 100
instead of 2.5 and adds no words.
"""

from __future__ import annotations

import torch

from genkit.errors import EvaluationError
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.extractors.clip_vitb32 import ClipExtractor, is_published
from genkit.evaluation.metric import Metric
from genkit.evaluation.sets import captions_of
from genkit.evaluation.view import Found, View
from genkit.rows.base import Rows

MEANING = {
    "clip-score": "how well images show what their captions say: 2.5 times the cosine of CLIP",
}
TITLE = {"clip-score": "Fits its caption"}
WEIGHT = 2.5
PROMPT = "A photo depicts {}"
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
    texts = [PROMPT.format(caption) for caption in captions]
    scores = []
    for start in range(0, len(texts), BATCH):
        words = view.extractor.text_features(texts[start : start + BATCH])
        cosine = (view.samples.rows[start : start + BATCH] * words).sum(1)
        scores += (WEIGHT * cosine.clamp_min(0)).tolist()
    values = torch.tensor(scores, dtype=torch.float64)
    name = view.extractor.name
    return [
        Found(
            "clip-score" if is_published(view.extractor, "clip-vitb32") else f"clip-score-{name}",
            values.mean().item(),
            "higher",
            values,
            protocol={"prompt": PROMPT, "weight": WEIGHT, "interval": "samples drawn again"},
            most=WEIGHT,
        )
    ]


METRIC = Metric(
    "clip-score",
    measure,
    MEANING,
    order=80,
    fits=lambda extractor: isinstance(extractor, ClipExtractor),
    hint="give --extractor clip-vitb32, which reads text",
    check=check,
)
