"""Pictures of texts: do they show what is said, and are they as good and as varied as real ones?

Pictures are drawn by the first captions of real ones, and both sets compared; metrics that read
captions (`clip-score`, `scene-score`, `prompt-retrieval`) say whether each shows its own. Prompts
of one's own take the place of the captions; then real pictures are compared with only where they
are named.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from genkit.errors import DataError, EvaluationError
from genkit.evaluation import metrics
from genkit.evaluation.prompts import Prompts
from genkit.evaluation.results import Evaluation
from genkit.evaluation.scenes import claims
from genkit.evaluation.sets import captions_of
from genkit.evaluation.statistics import NoReference, ReferenceStatistics
from genkit.evaluation.suite import evaluate
from genkit.evaluation.task import Asked, Task, images_only, loaded, made, of_sets, some
from genkit.rows.base import Rows
from genkit.rows.columns import Text
from genkit.rows.combine import picked
from genkit.rows.given import cycle

OF_TEXTS = ("clip-score", "prompt-retrieval", "scene-score")  # of prompts, where none are named


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """Pictures of the captions of real ones, or of prompts, as a set."""
    if asked.prompts is not None:
        return _of_prompts(pipeline, rows, asked, asked.prompts)
    real = some(images_only(rows), asked.count)
    captions = captions_of(real)
    if captions is None:
        raise EvaluationError(
            f"{real.name}: no captions to draw pictures of; give a set with captions as the "
            "reference, or texts of your own: --prompts FILE.txt"
        )
    samples = made(pipeline, asked, _given(captions))
    return evaluate(samples, real, train=asked.train, seed=asked.seed, **asked.request)


def _of_prompts(
    pipeline: Any, real: Rows | ReferenceStatistics, asked: Asked, prompts: Prompts
) -> Evaluation:
    """Pictures of prompts in turn; each value's protocol says which these are."""
    count = asked.count or len(prompts.texts)
    given = picked(_given(prompts.texts), [i % len(prompts.texts) for i in range(count)])
    samples = made(pipeline, asked, given)
    if asked.request.get("protocol") is None:
        asked = _usual(asked, real, prompts)
    found = evaluate(samples, real, train=asked.train, seed=asked.seed, **asked.request)
    values = [replace(v, protocol={**v.protocol, **prompts.protocol}) for v in found.metrics]
    return replace(found, metrics=tuple(values))


def _given(texts: tuple[str, ...]) -> Rows:
    return cycle("captions", {"caption": Text()}, caption=list(texts))


def _usual(asked: Asked, real: Rows | ReferenceStatistics, prompts: Prompts) -> Asked:
    """What is asked for with the extractors and metrics that suit prompts, where none are named."""
    request = dict(asked.request)
    if request.get("extractors") is None:
        request["extractors"] = (_extractor_for(prompts),)
    asked, extractors = loaded(replace(asked, request=request), _given(prompts.texts))
    if asked.request.get("metrics") is None:
        wanted = OF_TEXTS if isinstance(real, NoReference) else ("fd", *OF_TEXTS)
        fitting = [m for m in metrics.chosen(wanted) if any(map(m.fits, extractors))]
        names = [metric.name for metric in fitting]
        if not names:
            raise EvaluationError(
                "no metric of prompts by these extractors; give --extractor scenes, clip-vitb32 or "
                "a run of family clip, or real images to compare with: --reference SET"
            )
        asked = replace(asked, request={**asked.request, "metrics": names})
    return asked


def _extractor_for(prompts: Prompts) -> str:
    """The reader of scenes, where all prompts tell of some."""
    for number, text in enumerate(prompts.texts, start=1):
        try:
            claims(text)
        except DataError:
            raise EvaluationError(
                f"prompt {number}, {text!r}, tells of no drawn scene, so nothing says by itself "
                "what reads such pictures; give a CLIP: --extractor clip-vitb32, or a run of "
                "family clip"
            ) from None
    return "scenes"


TASK = Task(measure, of_sets)
