from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from genkit.pipelines.base import Pipeline
from genkit.rows.columns import Columns, Image
from tinygan.networks import Brightener


class Brighten(Pipeline):
    """Pictures of any size, made brighter."""

    takes: ClassVar[Any] = ({"source": Image()},)
    gives: ClassVar[Columns] = {"image": Image()}

    def __init__(self, network: Brightener, format_version: int = 1) -> None:
        super().__init__()
        self.register_modules(network=network)
        self.register_to_config(format_version=format_version)

    def generate(self, begun: None, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        return {"image": self.network(given["source"])}
