"""Pictures and texts: does a model find the text of a picture and the picture of a text?

The first caption of each picture asks. Rows whose captions equal each other are right answers for
each other and count for nothing; of drawn scenes those that show the same. Beside the share found
among all rows stands that among 100, which does not depend on how many there are: the mean over
all ways to draw 99 wrong ones. What is right by chance is the floor.

Legend: N pictures, P embedding.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation import processes, scenes
from genkit.evaluation.results import Evaluation, Shown, identity, left_out, versions
from genkit.evaluation.retrieval import found_among, nearer
from genkit.evaluation.sets import captions_of, pictures
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.task import Asked, Task, images_only, some
from genkit.evaluation.values import value_of
from genkit.evaluation.view import Found
from genkit.images import sheets
from genkit.rows.base import Rows

MEANING = {
    "retrieval-1-by-text": "how often a text finds its picture at first, of all",
    "retrieval-1-of-100-by-text": "how often a text finds its picture at first, of 100",
    "retrieval-5-by-text": "how often a text finds its picture among five, of all",
    "retrieval-5-of-100-by-text": "how often a text finds its picture among five, of 100",
    "retrieval-10-by-text": "how often a text finds its picture among ten, of all",
    "retrieval-10-of-100-by-text": "how often a text finds its picture among ten, of 100",
    "retrieval-1-by-picture": "how often a picture finds its text at first, of all",
    "retrieval-1-of-100-by-picture": "how often a picture finds its text at first, of 100",
    "retrieval-5-by-picture": "how often a picture finds its text among five, of all",
    "retrieval-5-of-100-by-picture": "how often a picture finds its text among five, of 100",
    "retrieval-10-by-picture": "how often a picture finds its text among ten, of all",
    "retrieval-10-of-100-by-picture": "how often a picture finds its text among ten, of 100",
    "binding": "how often a picture of two things is nearer to its text than to the same text with "
    "both colours exchanged: a half by chance",
}
TITLE = {
    "retrieval-1-by-text": "Picture found at first",
    "retrieval-1-of-100-by-text": "Picture found at first, of 100",
    "retrieval-5-by-text": "Picture found among five",
    "retrieval-5-of-100-by-text": "Picture found among five, of 100",
    "retrieval-10-by-text": "Picture found among ten",
    "retrieval-10-of-100-by-text": "Picture found among ten, of 100",
    "retrieval-1-by-picture": "Text found at first",
    "retrieval-1-of-100-by-picture": "Text found at first, of 100",
    "retrieval-5-by-picture": "Text found among five",
    "retrieval-5-of-100-by-picture": "Text found among five, of 100",
    "retrieval-10-by-picture": "Text found among ten",
    "retrieval-10-of-100-by-picture": "Text found among ten, of 100",
    "binding": "Colours with their things",
}
AMONG, MOST = 100, (1, 5, 10)
UNSEEN = "unseen"  # the part of the data with combinations that no training saw
CHANCE = "of guessing"
_SHOWN, _NEAREST = 8, 6  # texts on the sheet, pictures of each
_SIDE, _LETTERS = 64, 14  # px of a picture there, about, and of letters


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """How often pictures and texts find each other, and whether colours go with their things."""
    start = time.monotonic()
    real = some(images_only(rows), asked.count)
    if not hasattr(pipeline, "texts"):
        raise EvaluationError(
            f"a {type(pipeline).__name__} embeds no texts; give a run of family clip"
        )
    found, notes, shown = processes.from_first(lambda: _measured(pipeline, real, asked, ""))
    values = [value_of(each, real, real, None, {}) for each in found]
    if (unseen := asked.parts.get(UNSEEN)) is not None:
        more, said, _ = processes.from_first(
            lambda: _measured(pipeline, unseen, asked, f"-{UNSEEN}")
        )
        values += [value_of(each, unseen, unseen, None, {}) for each in more]
        notes += said
    return Evaluation(
        samples=identity(real),
        reference=identity(real),
        train=None,
        metrics=tuple(values),
        classes=None,
        notes=tuple(note for note in (*notes, _passed_over(asked), left_out(real)) if note),
        seconds=round(time.monotonic() - start, 2),
        versions=versions(),
        pictures=tuple(shown),
    )


Measured = tuple[list[Found], list[str], list[Shown]]


def _measured(pipeline: Any, rows: Rows, asked: Asked, ending: str) -> Measured:
    said = captions_of(rows)
    if said is None:
        raise EvaluationError(f"{rows.name}: no captions to find pictures by; give captioned ones")
    stream = pipeline.stream(range(len(rows)), given=rows, batch_size=asked.batch_size)
    vectors = torch.cat([torch.as_tensor(made["embedding"]) for _, made in stream])
    texts = pipeline.texts(said)
    known = scenes.scenes_of(rows)
    groups, notes = _groups(rows, said if known is None else [*map(scenes.facts, known)])
    found = [
        *_retrieval(texts, vectors, groups, f"by-text{ending}"),
        *_retrieval(vectors, texts, groups, f"by-picture{ending}"),
    ]
    places, exchanged = scenes.exchanged(known or [], said)
    if places:
        own = (vectors[places] * texts[places]).sum(1)
        other = (vectors[places] * pipeline.texts(exchanged)).sum(1)
        found.append(_share(f"binding{ending}", (own > other).double(), 0.5))
    wanted = asked.pictures and not ending and len(rows) >= _NEAREST
    shown = _nearest(rows, said, texts @ vectors.T) if wanted else []
    return found, notes, shown


def _groups(rows: Rows, said: Sequence[str]) -> tuple[Tensor, list[str]]:
    """A number for each row, equal for those of which the same is said; what to say of it."""
    keys = [" ".join(text.lower().split()) for text in said]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    groups, notes = torch.tensor([numbers[key] for key in keys]), []
    if twice := len(keys) - len(numbers):
        notes = [
            f"{rows.name}: of {twice:,} of {len(keys):,} pictures the same is said as of an "
            "earlier one: they are right answers for each other and count for nothing"
        ]
    return groups, notes


def _retrieval(queries: Tensor, candidates: Tensor, groups: Tensor, by: str) -> Iterator[Found]:
    better, wrong = nearer(queries, candidates, groups)
    enough = int(wrong.min()) >= AMONG - 1
    for most in MOST:
        if enough:
            share = found_among(better, wrong, most, AMONG)
            yield _share(f"retrieval-{most}-of-{AMONG}-{by}", share, most / AMONG)
        share = found_among(better, wrong, most)
        chance = (most / (wrong + 1)).clamp(max=1).mean().item()
        yield _share(f"retrieval-{most}-{by}", share, chance)


def _share(name: str, right: Tensor, chance: float) -> Found:
    """The mean of (N,) values in [0, 1]."""
    protocol = {"interval": "pictures drawn again", "floor": CHANCE}
    value = right.mean().item()
    return Found(name, value, "higher", right, floor=chance, protocol=protocol, most=1.0)


def _nearest(rows: Rows, said: Sequence[str], cosines: Tensor) -> list[Shown]:
    """Some texts with the pictures nearest to each; none where pictures differ in size."""
    found = [pictures(rows, near) for near in cosines[:_SHOWN].topk(_NEAREST).indices.tolist()]
    shapes = {images.shape if isinstance(images, Tensor) else None for images in found}
    if len(shapes) > 1 or None in shapes:
        return []
    scale = max(1, _SIDE // found[0].shape[-2])  # type: ignore[union-attr]
    named = zip(found, said, strict=False)
    lines = [sheets.Line(images, sheets.in_lines(text)) for images, text in named]  # type: ignore[arg-type]
    title = "Texts, and the pictures nearest to them"
    return [Shown("nearest", title, sheets.sheet(lines, scale=scale, letters=_LETTERS))]


def _passed_over(asked: Asked) -> str:
    """What to say of a request that means nothing here."""
    given = [name for name in ("extractors", "metrics", "lpips") if asked.request.get(name)]
    return (
        f"texts are found by the model's own embeddings: no {' and '.join(given)}" if given else ""
    )


def values(extractor: Any) -> list[str]:
    """What the best weights can be chosen by; the first is measured of any set."""
    by = ("by-text", "by-picture")
    return [*(f"retrieval-1-{way}" for way in by), *(f"retrieval-1-of-{AMONG}-{way}" for way in by),
            "binding"]  # fmt: skip


TASK = Task(measure, values, by_extractor=False, parts=(UNSEEN,))
