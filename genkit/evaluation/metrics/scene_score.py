"""Scene-score: does a picture show the scene that its caption tells of?

After GenEval (Ghosh et al. 2023, arXiv:2310.11513): a reader says which things a picture shows, and
each claim of the caption is checked by itself. Here the reader is that of drawn scenes, and
captions are of their grammar. "All" asks for every claim at once and for nothing that is not told.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from genkit.errors import DataError, EvaluationError
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.extractors.scenes import SceneExtractor
from genkit.evaluation.metric import Metric
from genkit.evaluation.scenes import CLAIMS, Prompt, Scene, claims, judged, kind_of, read_scenes
from genkit.evaluation.sets import batches, captions_of
from genkit.evaluation.view import Found, View
from genkit.rows.base import Rows

MEANING = {
    "scene-score": "how often a picture shows all that its caption tells, and nothing else",
    "scene-score-count": "how often there are as many things as told",
    "scene-score-shapes": "how often the shapes that are told are there",
    "scene-score-colours": "how often the colours that are told are there",
    "scene-score-pairs": "how often each thing that is told has its own colour",
    "scene-score-sizes": "how often things have the sizes that are told",
    "scene-score-place": "how often things lie from each other as told",
    "scene-score-ground": "how often the ground is the one that is told",
    "scene-score-one": "all claims, of captions that tell of one thing",
    "scene-score-two": "all claims, of captions that tell of two things that differ",
    "scene-score-alike": "all claims, of captions that tell of several things that are alike",
    "scene-score-three": "all claims, of captions that tell of three things that differ",
}
TITLE = {
    "scene-score": "Shows what is told",
    "scene-score-count": "Number of things",
    "scene-score-shapes": "Shapes",
    "scene-score-colours": "Colours",
    "scene-score-pairs": "Colours with their shapes",
    "scene-score-sizes": "Sizes",
    "scene-score-place": "Where things lie",
    "scene-score-ground": "Ground",
    "scene-score-one": "Shows one thing as told",
    "scene-score-two": "Shows two things as told",
    "scene-score-alike": "Shows things alike as told",
    "scene-score-three": "Shows three things as told",
}
_FEW = 5  # captions with a kind of claim below which it has no value of its own
_BATCH = 256


def check(samples: Rows, extractor: Extractor) -> list[Prompt]:
    """What the captions of samples claim, by row.

    Raises:
        EvaluationError: They have none, or one that tells of no scene.
    """
    captions = captions_of(samples)
    if captions is None:
        raise EvaluationError(
            f"scene-score: {samples.name} has no captions; give a folder with metadata.jsonl, a "
            'line for each image: {"file_name": "0.png", "caption": "a small red star on grey"}'
        )
    try:
        return [claims(caption) for caption in captions]
    except DataError as error:
        raise EvaluationError(f"scene-score: {error}") from None


def measure(view: View) -> list[Found]:
    """Every kind of claim, and all of them by kind of caption."""
    if not isinstance(view.extractor, SceneExtractor):
        return []
    found = _shares(view.sample_set, view.extractor)
    real = _shares_of_real(view.reference_set, view.extractor)
    return [
        Found(
            name,
            share.mean().item(),
            "higher",
            share,
            places=places,
            count=len(places),
            floor=real.get(name),
            protocol={"interval": "samples drawn again", "captions": len(places)},
            most=1.0,
        )
        for name, (share, places) in found.items()
        if len(places) >= _FEW or name == "scene-score"
    ]


def _shares(rows: Rows, extractor: SceneExtractor) -> dict[str, tuple[Tensor, Tensor]]:
    """Of each value what is right, (n,) float64, and of which rows, (n,) int64."""
    prompts = check(rows, extractor)
    table: dict[str, list[tuple[int, bool]]] = {"scene-score": []}
    for place, scene in enumerate(_read(rows, extractor)):
        prompt = prompts[place]
        right = judged(prompt, scene)
        whole = prompt.holds(scene)
        table["scene-score"].append((place, whole))
        for claim in (c for c in CLAIMS if c in right):
            table.setdefault(f"scene-score-{claim}", []).append((place, right[claim]))
        table.setdefault(f"scene-score-{kind_of(prompt)}", []).append((place, whole))
    order = [name for name in MEANING if name in table]
    return {
        name: (
            torch.tensor([right for _, right in table[name]], dtype=torch.float64),
            torch.tensor([place for place, _ in table[name]]),
        )
        for name in order
    }


def _read(rows: Rows, extractor: SceneExtractor) -> Iterator[Scene]:
    for images in batches(rows, _BATCH):
        yield from read_scenes(extractor.network, extractor.prepare(images))


def _shares_of_real(rows: Rows | None, extractor: SceneExtractor) -> dict[str, float]:
    """What drawn scenes reach, by their own captions: how far the reader itself errs."""
    if rows is None or captions_of(rows) is None:
        return {}
    try:
        return {name: share.mean().item() for name, (share, _) in _shares(rows, extractor).items()}
    except EvaluationError:  # its captions tell of other things
        return {}


METRIC = Metric(
    "scene-score",
    measure,
    MEANING,
    order=82,
    fits=lambda extractor: isinstance(extractor, SceneExtractor),
    hint="give --extractor scenes, which reads drawn scenes",
    check=check,
    alone=True,
)
