"""Pictures to shares: which class a picture shows, or which attributes hold in it.

Legend: B batch, N pictures, C channels, H W height and width in px, K classes or attributes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from genkit.nn.classifiers import shares
from genkit.pipelines.base import FORMAT_VERSION, Pipeline
from genkit.pipelines.card import Card
from genkit.pipelines.given import Takes
from genkit.rows.columns import Class, Columns, Flags, Image, Latent


class ClassificationPipeline(Pipeline):
    """How sure a classifier is of each class or attribute of a picture.

        shares = pipeline(image=picture)  # (1, 13)
        dict(zip(pipeline.answers.names, shares[0].tolist()))

    Args:
        classifier: A `genkit.nn.classifiers.Classifier`.
        format_version: Of the export folder that this pipeline is saved as.
    """

    def __init__(self, classifier: Any, format_version: int = FORMAT_VERSION) -> None:
        super().__init__()
        self.register_modules(classifier=classifier)  # type: ignore[no-untyped-call]
        self.register_to_config(format_version=format_version)  # type: ignore[no-untyped-call]

    @property
    def takes(self) -> Takes:
        """A picture of the size that it learnt from."""
        shape = self.classifier.config
        height, width = shape["size"]
        return ({"image": Image((height, width), shape["channels"])},)

    @property
    def gives(self) -> Columns:
        """K shares in [0, 1]."""
        return {"shares": Latent((self.classifier.config["outputs"],))}

    @property
    def answers(self) -> Class | Flags:
        """What the shares are of: a column `label` or `attributes`."""
        said = self.classifier.config
        names = None if said["names"] is None else tuple(said["names"])
        if said["answers"] == "attributes":
            return Flags(names or tuple(map(str, range(said["outputs"]))))
        return Class(said["outputs"], names)

    def generate(self, begun: Any, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        """Shares (B, K) float32."""
        logits = self.classifier(given["image"]).float()
        return {"shares": shares(logits, self.classifier.config["answers"])}

    def card(self) -> Card:
        """How it is asked, and what it knows."""
        column, said = self.answers, self.classifier.config
        names = ", ".join(column.names or ()) or said["outputs"]
        kind = "Attributes" if isinstance(column, Flags) else "Classes"
        size = "{} x {} x {}".format(said["channels"], *said["size"])
        return Card(
            'from PIL import Image\nshares = pipeline(image=Image.open("PICTURE"))',
            "image-classification",
            {"Images": size, kind: names},
        )
