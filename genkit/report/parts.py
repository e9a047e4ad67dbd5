"""The files that a report reads, as typed values; what another version wrote beside them passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, model_validator

from genkit.errors import shown

M = TypeVar("M", bound=BaseModel)

LARGEST = 1e100  # sums and squares of numbers below it are finite, and nothing measures more
_DEEPEST = 50  # levels of a file


def sound(value: object) -> float | None:
    """A number that can be drawn and compared, or None: neither infinite nor beyond all measure."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    if not -LARGEST <= value <= LARGEST:  # also of NaN and of integers that are no float
        return None
    return 0.0 if abs(value) < 1 / LARGEST else float(value)


def _number(value: object) -> object:
    if not isinstance(value, int | float):
        return value
    if (number := sound(value)) is None:
        raise ValueError("no finite number")
    return number


Number = Annotated[float, BeforeValidator(_number)]
Count = Annotated[int, Field(ge=0, le=10**15)]


class Part(BaseModel):
    """A group of values in a file that another version may have written: unknown keys pass."""


class DataFacts(Part):
    """The training images of a run."""

    name: str = "unnamed data"
    count: Count | None = None
    fingerprint: str | None = None
    columns: dict[str, dict[str, Any]] = {}
    left_out: dict[str, Any] | None = None

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, by number; none where they have none."""
        named = [column.get("names") for column in self.columns.values()]
        return next(([str(name) for name in each] for each in named if isinstance(each, list)), [])


class Hardware(Part):
    """The machine that a run was trained on."""

    cpu: str | None = None
    cores: Count | None = None
    memory_gb: Number | None = None
    devices: list[str] = []


class Provenance(Part):
    """`provenance.json`: where a run comes from."""

    genkit: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    command: list[str] = []
    started: str | None = None
    finished: str | None = None
    steps: Count | None = None
    seconds: Number | None = None
    processes: Count = 1
    precision: str | None = None
    packages: dict[str, str | None] = {}
    hardware: Hardware = Hardware()
    data: DataFacts = DataFacts()
    parameters: dict[str, Count] = {}


class Identity(Part):
    """A set of images: what it was called, how many, and which bytes."""

    name: str
    count: Count | None
    sha256: str | None = None


_NUMBERS = ("value", "low", "high", "floor", "copying")
_IS = ("is no finite number", "are no finite numbers")


class Metric(Part):
    """One number with its interval, its floor and the protocol that it was measured by."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    better: Literal["lower", "higher"] | None = None
    floor: float | None = None
    note: str | None = None
    protocol: dict[str, Any] = {}
    copying: float | None = None
    part: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _none_for_what_is_no_number(cls, tree: Any) -> Any:
        """Values that are infinite or not a number become None, and the note says so."""
        if not isinstance(tree, dict):
            return tree
        given = {key: tree.get(key) for key in _NUMBERS}
        numbers = {k: sound(v) for k, v in given.items() if isinstance(v, int | float)}
        wrong = [key for key, number in numbers.items() if number is None]
        if not wrong:
            return {**tree, **numbers}
        said = f"its {' and '.join(wrong)} in the file {_IS[len(wrong) > 1]}"
        note = "; ".join(filter(None, [tree.get("note"), said]))
        return {**tree, **numbers, "note": note}

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends, or None."""
        return None if self.low is None or self.high is None else (self.low, self.high)


class Shown(Part):
    """A picture that lies beside an evaluation: what its file is called, and what it shows."""

    name: str
    title: str


class ClassAccuracy(Part):
    """How often the classifier sees the class that was asked for."""

    name: str | int
    accuracy: Number | None
    count: Count


class Evaluation(Part):
    """`evaluation.json`, format 1."""

    format: Literal[1]
    samples: Identity
    reference: Identity
    train: Identity | None = None
    metrics: list[Metric]
    classes: list[ClassAccuracy] | None = None
    notes: list[str] = []
    seconds: Number | None = None
    versions: dict[str, str | None] = {}
    pictures: list[Shown] = []

    @model_validator(mode="before")
    @classmethod
    def _named(cls, tree: Any) -> Any:
        """The file says "class", which can't be an attribute."""
        if not isinstance(tree, dict):
            return tree
        rows = tree.get("classes") or []
        classes = [{**row, "name": row.get("class", row.get("name"))}
                   for row in rows if isinstance(row, dict)]  # fmt: skip
        return {**tree, "classes": classes or None}


class FrontierRow(Part):
    """One way to sample: how fast, how good."""

    scheduler: str
    steps: Count
    guidance: Number
    precision: str
    evaluations: Count
    images_per_s: Number
    pareto: bool
    metrics: list[Metric]

    def metric(self, name: str) -> Metric | None:
        """The metric of that name, or None."""
        return next((metric for metric in self.metrics if metric.name == name), None)


class FrontierMachine(Hardware):
    """Where speed was measured."""

    threads: Count | None = None


class FrontierSpeed(Part):
    """How speed was measured."""

    how: str
    batch_size: Count


class FrontierReference(Part):
    """The real images of a frontier."""

    name: str


class Frontier(Part):
    """`frontier.json`, format 1."""

    format: Literal[1]
    count: Count
    quality: str
    reference: FrontierReference
    speed: FrontierSpeed
    machine: FrontierMachine
    rows: Annotated[list[FrontierRow], Field(min_length=1)]


class Sampling(Part):
    """`sampling.json`: how fast samples were drawn."""

    images_per_s: Number
    count: Count
    processes: Count = 1
    batch_size: Count | None = None
    hardware: Hardware = Hardware()
    options: dict[str, str] = {}


class Best(Part):
    """`best.json`: the best evaluation during training, whose weights are in best/."""

    metric: str
    value: Number
    step: Count


def read_part(file: Path, kind: type[M], notes: list[str]) -> M | None:
    """What a file holds; None without the file, and with a note where it can't be read."""
    if not file.is_file():
        return None
    try:
        return kind.model_validate(read_json(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(key) for key in first["loc"]) or "file"
        why = f"{where}: {first['msg'].removeprefix('Value error, ')}"
    except (OSError, ValueError) as error:
        why = str(error)
    notes.append(f"{shown(file.name)} is left out: {shown(why)}")
    return None


def read_json(text: str) -> Any:
    """The value of a text.

    Raises:
        ValueError: It is no JSON, or nested so deep that no genkit wrote it.
    """
    try:
        tree = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level, depth = [tree], 0
    while level:
        level, depth = [part for each in level for part in _parts(each)], depth + 1
        if depth > _DEEPEST:
            raise ValueError(_TOO_DEEP)
    return tree


_TOO_DEEP = f"nested deeper than {_DEEPEST} levels, so genkit did not write it"


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
