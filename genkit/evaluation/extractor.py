"""What turns images into the features that metrics compare."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from genkit.errors import EvaluationError

Precision = Literal["fp32", "bf16"]
USUAL = ("fd", "kid", "prdc")  # metrics of an extractor that is not genkit's
DEFAULTS: dict[str, Any] = {"how": "clean", "precision": "fp32"}


@contextmanager
def full_precision() -> Iterator[None]:
    """Without TF32, which GPUs use for convolutions of fp32 and which moves features."""
    settings: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [setting.allow_tf32 for setting in settings]
    try:
        for setting in settings:
            setting.allow_tf32 = False
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.allow_tf32 = value


class Extractor(ABC):
    """Images to features, with all that a reader must know to compare two values.

    An extractor is known by its name and the SHA-256 of its weights. Values of different
    extractors, or of different weights under one name, are different quantities. To bring one's
    own, derive from this class and name it as `module:Class`; it is made without arguments.

    Attributes:
        name: Short, part of the metric's name: "digits".
        sha256: Hex digest of the weights file.
        layer: Which layer the features are read from.
        resize: How an image becomes the network's input.
        precision: Of the network: "fp32", or "bf16" for a preview.
        batch_size: Inputs that go through the network at a time.
        class_names: Words of the classes of which `logits` are; None = they are not known.
        flag_names: Words of the attributes of which `shares` are; None = it knows none.
        usual: Metrics that are measured by it where none are named and its name says none; None =
            those of every extractor.
    """

    name: str
    sha256: str
    layer: str
    resize: str
    precision: str = "fp32"
    batch_size: int = 32
    class_names: tuple[str, ...] | None = None
    flag_names: tuple[str, ...] | None = None
    usual: tuple[str, ...] | None = None

    @abstractmethod
    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 of one size, C 1 or 3 -> the network's input, (B, ...) float32."""

    @abstractmethod
    def features(self, inputs: Tensor) -> Tensor:
        """What `prepare` gave -> (B, D) float32 on the CPU."""

    @property
    def has_classes(self) -> bool:
        """Whether `logits` gives some."""
        return False

    @property
    def frechet_name(self) -> str:
        """What the Fréchet distance on these features is called."""
        return f"fd-{self.name}"

    def logits(self, features: Tensor) -> Tensor | None:
        """(B, D) features -> (B, K) logits of a classifier on them, or None if there is none."""
        return None

    def shares(self, features: Tensor) -> Tensor:
        """(B, D) features -> how sure it is of each attribute of `flag_names`, (B, A) in [0, 1].

        Raises:
            EvaluationError: It knows no attributes.
        """
        raise EvaluationError(
            f"{self.name} knows no attributes; give a classifier that does, such as a run of "
            "family classifier with model.answers=attributes"
        )

    def of(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """Features (B, D) of (B, C, H, W) uint8 or a list of (C, H, W) of any sizes."""
        with full_precision(), torch.no_grad():
            return self.features(self.prepare_all(images))

    def prepare_all(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """The network's input for images of any sizes, in order."""
        if isinstance(images, Tensor):
            return self.prepare(images)
        places: dict[torch.Size, list[int]] = {}
        for place, image in enumerate(images):
            places.setdefault(image.shape, []).append(place)
        parts = [self.prepare(torch.stack([images[i] for i in same])) for same in places.values()]
        order = torch.tensor([place for same in places.values() for place in same])
        joined = torch.cat(parts)
        return joined if len(parts) == 1 else joined[order.argsort()]


@dataclass(frozen=True)
class Entry:
    """What a file of `genkit/evaluation/extractors/` offers, as `EXTRACTOR`.

    Attributes:
        load: Makes it from a path (None = the user's cache), a device and those of `how` (the
            resize) and `precision` that it takes.
        usual: The metrics that are measured by it unless others are asked for.
    """

    load: Callable[..., Extractor]
    usual: tuple[str, ...] = USUAL

    @property
    def options(self) -> set[str]:
        """Those of `DEFAULTS` that it takes."""
        return set(inspect.signature(self.load).parameters) & DEFAULTS.keys()
