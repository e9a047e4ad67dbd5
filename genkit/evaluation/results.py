"""What an evaluation found, as Python objects and as evaluation.json."""

from __future__ import annotations

import errno
import json
import math
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from genkit.errors import EvaluationError, OutputError, shown
from genkit.evaluation import tables
from genkit.files import write_whole
from genkit.rows.left_out import NONE, LeftOut

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

FORMAT = 1


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn the system's refusal to write a result into a message that says what to do."""
    try:
        yield
    except OSError as error:
        what = "the disk is full; free some space there"
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            what = f"can't be written ({error.strerror or error}); mend that"
        raise OutputError(f"{shown(path)}: {what} or name another file, and run it again") from None


@dataclass(frozen=True)
class Value:
    """One number and what is needed to judge it.

    Attributes:
        name: Such as "fd-digits"; the extractor is part of it.
        value: Of the samples.
        low: Lower end of the 95 % interval; None where none can be given.
        high: Upper end, or None.
        better: Which way is good.
        floor: The same metric of real training images (for accuracy, modes and near copies: of the
            real reference images); None where there was nothing to compute it from.
        note: What a reader must know; empty if nothing.
        protocol: Extractor, resize, counts, reference: values compare only if these agree.
        copying: The same metric where a model that changes pictures gives them back as they are;
            None where that says nothing.
        part: What of the samples it is of, such as an attribute; its name ends in it. None = all.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    better: Literal["lower", "higher"]
    floor: float | None
    note: str
    protocol: dict[str, Any]
    copying: float | None = None
    part: str | None = None

    @property
    def whole(self) -> str:
        """Its name without the part."""
        return self.name if self.part is None else self.name.removesuffix(f"-{self.part}")


@dataclass(frozen=True)
class Shown:
    """A picture that an evaluation shows beside its numbers, such as pictures before and after.

    Attributes:
        name: Of its file, without an ending: "edits".
        title: What it shows, in words.
        picture: The picture.
    """

    name: str
    title: str
    picture: Picture


def identity(images: Any) -> dict[str, Any]:
    """A set's name, count and content, and what was not read of it; of rows or of statistics."""
    found = {"name": images.name, "count": identity_count(images), "sha256": images.fingerprint}
    left_out: LeftOut = getattr(images, "left_out", NONE)
    return found | ({"left_out": left_out.to_tree()} if left_out else {})


def left_out(images: Any) -> str:
    """A sentence on what was not read of a set; empty if nothing."""
    found: LeftOut = getattr(images, "left_out", NONE)
    return f"{shown(images.name)}: {found.sentence(examples=True)}" if found else ""


def identity_count(images: Any) -> int | None:
    """How many images a set has; of statistics None where the file doesn't say."""
    return images.count if hasattr(images, "gaussian") else len(images)


def versions() -> dict[str, str]:
    """The packages that a value depends on."""
    packages = ("genkit", "torch", "torchvision", "transformers", "lpips", "numpy", "pillow")
    found = {name: version(name) for name in packages}
    return found | {"python": platform.python_version()}


@dataclass(frozen=True, repr=False)
class Evaluation:
    """What `evaluate` found; `evaluation.json` holds the same."""

    samples: dict[str, Any]
    reference: dict[str, Any]
    train: dict[str, Any] | None
    metrics: tuple[Value, ...]
    classes: tuple[dict[str, Any], ...] | None
    notes: tuple[str, ...]
    seconds: float
    versions: dict[str, str]
    pictures: tuple[Shown, ...] = field(default=(), compare=False)  # the file has their names

    def __getitem__(self, name: str) -> Value:
        """The metric of that name.

        Raises:
            KeyError: It was not measured; says what was.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise KeyError(
            f"{name!r} was not measured; there are: {', '.join(m.name for m in self.metrics)}"
        )

    @property
    def warnings(self) -> list[str]:
        """What a reader must know of single metrics: each note once, after the metrics' names."""
        notes = dict.fromkeys(metric.note for metric in self.metrics if metric.note)
        return [
            f"{', '.join(m.name for m in self.metrics if m.note == note)}: {note}" for note in notes
        ]

    @classmethod
    def load(cls, path: Path | str) -> Evaluation:
        """What `save` wrote.

        Raises:
            EvaluationError: The file can't be read, or is something else.
        """
        try:
            tree = json.loads(Path(path).read_text(encoding="utf-8"))
            tree["metrics"] = tuple(Value(**metric) for metric in tree["metrics"])
            for name in ("classes", "notes"):
                tree[name] = None if tree[name] is None else tuple(tree[name])
            return cls(**{each.name: tree[each.name] for each in fields(cls) if each.compare})
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise EvaluationError(
                f"{shown(path)}: no evaluation that can be read ({shown(error, 120)}); measure anew"
            ) from None

    def __repr__(self) -> str:
        ends = [f"{v.name} {v.value:.4g}" + (f" ({e})" if (e := tables.interval(v)) else "")
                for v in self.metrics if v.part is None]  # fmt: skip
        count, real = self.samples["count"], shown(self.reference["name"])
        return f"<Evaluation of {count:,} samples against {real}: {', '.join(ends)}>"

    def _repr_html_(self) -> str:
        """The table, as notebooks show it."""
        return tables.as_html(self.metrics)

    def to_markdown(self) -> str:
        """A table of GitHub's Markdown: value, interval, floor, and which way is good."""
        return tables.markdown(self.metrics)

    def to_latex(self) -> str:
        """The same as a tabular for the package booktabs."""
        return tables.latex(self.metrics)

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists and numbers, as written to evaluation.json."""
        tree = asdict(replace(self, pictures=()))
        del tree["pictures"]
        if self.pictures:
            tree["pictures"] = [{"name": p.name, "title": p.title} for p in self.pictures]
        return {"format": FORMAT, **tree}

    def save(self, path: Path | str) -> None:
        """Write evaluation.json, whole or not at all."""
        if strange := [v.name for v in self.metrics if not math.isfinite(v.value)]:
            raise EvaluationError(
                f"{shown(path)}: {', '.join(strange)} is no finite number, so nothing was written; "
                "leave it out by naming other metrics"
            )
        text = json.dumps(self.to_json(), indent=2, allow_nan=False)
        with writing(path):
            write_whole(Path(path), text + "\n")
