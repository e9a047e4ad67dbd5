"""Classes or attributes of real pictures: how many are named rightly?

Accuracy says little where an answer is rare, so two things stand beside it: as `floor` the accuracy
of always giving the commoner answer, and of attributes the balanced accuracy, the mean of the
shares right among pictures that have the attribute and among those that don't.

Legend: N pictures, K classes, A attributes.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from genkit.config import nearest
from genkit.errors import EvaluationError, shown
from genkit.evaluation import processes
from genkit.evaluation.metrics.accuracy import per_class
from genkit.evaluation.results import Evaluation, Value, identity, left_out, versions
from genkit.evaluation.statistics import ReferenceStatistics
from genkit.evaluation.task import Asked, Task, images_only, some
from genkit.evaluation.values import value_of
from genkit.evaluation.view import Found
from genkit.rows.base import Rows
from genkit.rows.columns import Class, Flags
from genkit.rows.combine import numbered_alike
from genkit.rows.given import cycle

MEANING = {
    "balanced-accuracy": "how many attributes are named rightly where each counts as often as not: "
    "the mean of the shares right with and without it",
}
TITLE = {"balanced-accuracy": "Named rightly, balanced"}
AGAIN = {"interval": "pictures drawn again"}
COMMONER = "of always giving the answer that is commoner among these pictures"


def measure(pipeline: Any, rows: Rows | ReferenceStatistics, asked: Asked) -> Evaluation:
    """How many classes or attributes of real pictures a pipeline names rightly."""
    start = time.monotonic()
    real = some(images_only(rows), asked.count)
    column = getattr(pipeline, "answers", None)
    if not isinstance(column, Class | Flags):
        raise EvaluationError(
            f"a {type(pipeline).__name__} names neither classes nor attributes: nothing to compare"
        )
    judge = _of_classes if isinstance(column, Class) else _of_attributes
    found, classes, notes = processes.from_first(
        lambda: judge(pipeline, column, real, asked.batch_size)  # type: ignore[arg-type]
    )
    return Evaluation(
        samples=identity(real),
        reference=identity(real),
        train=None,
        metrics=tuple(_value(each, real) for each in found),
        classes=tuple(classes),
        notes=tuple(note for note in (*notes, _passed_over(asked), left_out(real)) if note),
        seconds=round(time.monotonic() - start, 2),
        versions=versions(),
    )


Judged = tuple[list[Found], list[dict[str, Any]], list[str]]


def _of_classes(pipeline: Any, column: Class, rows: Rows, batch_size: int) -> Judged:
    like = cycle("classes", {"label": column}, label=0)
    alike = numbered_alike(rows, like)
    labels = alike.labels
    if labels is None:
        raise EvaluationError(f"{rows.name}: no column 'label' to compare with; give labelled ones")
    named = _shares(pipeline, rows, batch_size).argmax(1)
    right = (named == labels).double()
    commonest = torch.bincount(labels).max().item() / len(labels)
    found = [_share("accuracy", right, commonest)]
    table = per_class(named, labels)
    names = alike.class_names
    for row in table if names is not None else ():
        row["class"] = names[int(row["class"])]  # type: ignore[index]
    unknown = int((labels >= column.count).sum())
    notes = [f"{unknown:,} pictures are of classes that it does not know"] if unknown else []
    return found, table, notes


def _of_attributes(pipeline: Any, column: Flags, rows: Rows, batch_size: int) -> Judged:
    real, names = _attributes(rows, column)
    mine = torch.tensor([column.names.index(name) for name in names])
    said = _shares(pipeline, rows, batch_size)[:, mine] > 0.5
    right = (said == real).double()  # (N, A)
    common = torch.maximum(real.double().mean(0), 1 - real.double().mean(0))
    found = [
        _share("accuracy", right.mean(1), common.mean().item()),
        *_balanced(right, real),
        *(
            _share(f"accuracy-{name}", right[:, i], common[i].item())
            for i, name in enumerate(names)
        ),
    ]
    table = [
        {"class": name, "accuracy": right[:, i].mean().item(), "count": len(right)}
        for i, name in enumerate(names)
    ]
    rest = [name for name in column.names if name not in names]
    notes = [f"not in {rows.name}, so not measured: {shown(', '.join(rest))}"] if rest else []
    return found, table, notes


def _attributes(rows: Rows, column: Flags) -> tuple[Tensor, list[str]]:
    """The attributes of rows that a model knows, (N, A) bool, and their names in its order."""
    held = rows.columns.get("attributes")
    if not isinstance(held, Flags):
        raise EvaluationError(
            f"{rows.name}: no column 'attributes' to compare with; give pictures with attributes, "
            "as sets of the kinds celeba and faces are"
        )
    names = [name for name in column.names if name in held.names]
    if not names:
        raise EvaluationError(
            f"{rows.name}: knows none of the attributes {shown(', '.join(column.names))}; "
            f"{column.names[0]}: {nearest(column.names[0], held.names)}"
        )
    values = rows.read(range(len(rows)), ("attributes",))["attributes"]
    places = [held.names.index(name) for name in names]
    return torch.as_tensor(values)[:, places] > 0, names


def _shares(pipeline: Any, rows: Rows, batch_size: int) -> Tensor:
    """(N, K) of all rows in order."""
    stream = pipeline.stream(range(len(rows)), given=rows, batch_size=batch_size)
    return torch.cat([made["shares"] for _, made in stream])


def _share(name: str, right: Tensor, floor: float) -> Found:
    """The mean of (N,) values in [0, 1]."""
    protocol = {**AGAIN, "floor": COMMONER}
    value = right.mean().item()
    return Found(name, value, "higher", right, floor=floor, protocol=protocol, most=1.0)


def _balanced(right: Tensor, real: Tensor) -> list[Found]:
    """The mean over attributes of the shares right among those that have it and that don't.

    The influence of a picture is the derivative of that: how far it is from the share of its kind,
    divided by how common the kind is. Attributes of which one kind is missing are left aside; no
    value where that is so of all.
    """
    parts: list[Tensor] = []
    influence = torch.zeros(len(right), dtype=torch.float64)
    both = [i for i in range(real.shape[1]) if 0 < int(real[:, i].sum()) < len(real)]
    for i in both:
        for kind in (real[:, i], ~real[:, i]):
            among = right[kind, i].mean()
            parts.append(among)
            common = kind.double().mean()
            influence += torch.where(kind, (right[:, i] - among) / common, 0.0)
    if not parts:
        return []
    value, protocol = torch.stack(parts).mean().item(), {**AGAIN, "attributes": len(both)}
    influence /= len(parts)
    protocol["floor"] = COMMONER
    return [Found("balanced-accuracy", value, "higher", influence, floor=0.5, protocol=protocol,
                  most=1.0)]  # fmt: skip


def _passed_over(asked: Asked) -> str:
    """What to say of a request that means nothing here."""
    given = [name for name in ("extractors", "metrics", "lpips") if asked.request.get(name)]
    return f"a classifier is measured by its own answers: no {' and '.join(given)}" if given else ""


def _value(found: Found, rows: Rows) -> Value:
    return value_of(found, rows, rows, None, {})


def values(extractor: Any) -> list[str]:
    """What the best weights can be chosen by."""
    return ["accuracy", "balanced-accuracy"]


TASK = Task(measure, values, by_extractor=False)
