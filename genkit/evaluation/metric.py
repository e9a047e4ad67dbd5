"""What a metric says of itself: all that the rest of genkit knows of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from genkit.evaluation.extractor import Extractor
from genkit.evaluation.view import Found, View
from genkit.rows.base import Rows


@dataclass(frozen=True)
class Metric:
    """One metric: a file of `genkit/evaluation/metrics/`, or "module:METRIC" of another package.

    Attributes:
        name: What `--metric` calls it; the values that it gives have names of their own.
        measure: Its values from a `View`; none where it does not apply.
        meaning: What a value asks, by the beginning of its name: {"fd": "how far ..."}.
        order: Its place in tables, rising.
        on: "features" of each extractor that is asked for and that `fits`; "pixels", the images in
            grey and 32 px as one more extractor; "images", the sets themselves.
        needs: Of "reference" and "train" the sets of images without which it is left out.
        fits: Whether an extractor can measure it at all.
        hint: What to give where no extractor fits.
        check: Refuses samples that it can't measure by an extractor, before any image is read.
        is_quick: Whether it is measured during training and for each row of a frontier.
        is_usual: Whether it is measured where no metrics are named; on features the extractor says
            what is usual.
        alone: Whether it needs no real images at all.
        takes_moments: Whether mean and covariance are enough, so that sets may stream.
        why: Why it was left out; empty where nobody would expect it.
        remark: What a reader of the other values must know of these sets; empty if nothing.
        table: Rows by class, or None.
    """

    name: str
    measure: Callable[[View], Sequence[Found]]
    meaning: Mapping[str, str]
    order: float
    on: Literal["features", "pixels", "images"] = "features"
    needs: frozenset[str] = frozenset()
    fits: Callable[[Extractor], bool] = lambda extractor: True
    hint: str = "give one that fits"
    check: Callable[[Rows, Extractor], object] = lambda samples, extractor: None
    is_quick: bool = False
    is_usual: bool = False
    alone: bool = False
    takes_moments: bool = False
    why: Callable[[View], str] = lambda view: ""
    remark: Callable[[View], str] = lambda view: ""
    table: Callable[[View], list[dict[str, Any]] | None] = lambda view: None

    def left_out(self, view: View) -> str:
        """Why it gave no value; empty where nobody would expect one."""
        if self.on == "features" and "reference" in self.needs and view.reference is None:
            return f"the reference is statistics only: no {self.name}"
        if self.on == "features" and "train" in self.needs and view.floor is None:
            return f"needs the training images: no {self.name}"
        return self.why(view)
