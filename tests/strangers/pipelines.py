"""Pictures to pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from genkit.pipelines.base import Pipeline
from genkit.pipelines.given import Takes
from genkit.rows.columns import Columns, Image
from strangers.networks import Adapted, Painter


class Repaint(Pipeline):
    """Pictures of any size to others, by one painter."""

    @property
    def takes(self) -> Takes:
        return ({"source": Image(channels=self.painter.config["channels"])},)

    @property
    def gives(self) -> Columns:
        return {"image": Image(channels=self.painter.config["channels"])}

    def __init__(self, painter: Painter | Adapted, format_version: int = 1) -> None:
        super().__init__()
        self.register_modules(painter=painter)
        self.register_to_config(format_version=format_version)

    def generate(self, begun: None, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        return {"image": self.painter(given["source"])}


class Taught(Pipeline):
    """Pictures by a student, with the teacher that it learnt from."""

    takes: ClassVar[Any] = ({"source": Image()},)
    gives: ClassVar[Columns] = {"image": Image()}

    def __init__(self, student: Painter, teacher: nn.Module, format_version: int = 1) -> None:
        super().__init__()
        self.register_modules(student=student, teacher=teacher)
        self.register_to_config(format_version=format_version)

    def generate(self, begun: None, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        return {"image": self.student(given["source"])}
