"""Prompt retrieval: of all that was asked for, is a picture's own text the nearest to it?

As R-precision of Xu et al. 2018 (arXiv:1711.10485), section 4, by CLIP instead of DAMSM and among
all texts of the set instead of 100. Pictures of one text have that text in common.
"""

from __future__ import annotations

import torch

from genkit.evaluation.extractors.clip_vitb32 import ClipExtractor, is_published
from genkit.evaluation.metric import Metric
from genkit.evaluation.metrics.clip_score import check, texts_of
from genkit.evaluation.retrieval import nearer
from genkit.evaluation.view import Found, View

MEANING = {
    "prompt-retrieval": "how often a picture is nearer to its own text than to every other text of "
    "the set, by CLIP",
}
TITLE = {"prompt-retrieval": "Own text is nearest"}


def measure(view: View) -> list[Found]:
    """ "prompt-retrieval" on ViT-B/32, else "prompt-retrieval-<extractor>"; none of one text."""
    if not isinstance(view.extractor, ClipExtractor):
        return []
    captions = check(view.sample_set, view.extractor)
    number = {text: i for i, text in enumerate(dict.fromkeys(captions))}
    if len(number) < 2:
        return []
    own = torch.tensor([number[caption] for caption in captions])
    texts = texts_of(view.extractor, captions)
    wrong, _ = nearer(view.samples.rows, texts, own)  # a text that is as near counts as nearer
    right = (wrong == 0).double()
    name = "prompt-retrieval"
    return [
        Found(
            name
            if is_published(view.extractor, "clip-vitb32")
            else f"{name}-{view.extractor.name}",
            right.mean().item(),
            "higher",
            right,
            floor=1 / len(number),
            protocol={
                "prompt": view.extractor.prompt,
                "texts": len(number),
                "floor": "of guessing",
                "interval": "samples drawn again",
            },
            most=1.0,
        )
    ]


def why(view: View) -> str:
    """Why there is none."""
    return "all pictures have one text: no prompt-retrieval, which looks for it among several"


METRIC = Metric(
    "prompt-retrieval",
    measure,
    MEANING,
    order=81,
    fits=lambda extractor: isinstance(extractor, ClipExtractor),
    hint="give --extractor clip-vitb32, which reads text, or a run of family clip",
    check=check,
    why=why,
    alone=True,
)
