"""Pictures that two sets share: metrics compare sets that are meant to have none in common."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from genkit.evaluation.engine import features_of
from genkit.evaluation.extractor import Extractor
from genkit.rows.base import Rows

_SIZE = 8  # bytes of a digest: two of a million pictures agree by chance once in 10^7 sets


class Contents(Extractor):
    """The digest of each picture's pixels, so that one pass over a set tells what it shares.

    A grey picture is the same in one channel and in three.
    """

    name = "contents"
    sha256 = "none"
    layer = "BLAKE2 of shape and pixels"
    resize = "none"
    batch_size = 256

    def prepare(self, images: Tensor) -> Tensor:
        """(B, C, H, W) uint8 -> (B, 1) int64."""
        digests = [_digest(_as_grey(image)) for image in images.cpu()]
        return torch.tensor(digests, dtype=torch.int64)[:, None]

    def features(self, inputs: Tensor) -> Tensor:
        """(B, 1) as they are."""
        return inputs


def contents_of(images: Rows) -> Tensor:
    """The digests of the pictures of a set, (N,) int64; kept in the user's cache."""
    return features_of(images, Contents(), keep=True)[:, 0]


@dataclass(frozen=True)
class Shared:
    """What the sets of an evaluation hold, as digests of pictures.

    Attributes:
        samples: Of the samples, (N,) int64.
        reference: Of the real images; None = not known.
        floor: Of the training images that the floors come from; None = there are none.
    """

    samples: Tensor
    reference: Tensor | None
    floor: Tensor | None

    @property
    def with_reference(self) -> int:
        """How many samples are pictures of the reference."""
        return 0 if self.reference is None else int(torch.isin(self.samples, self.reference).sum())

    def notes(self) -> Iterator[str]:
        """What a reader must know of pictures that the sets share."""
        if self.reference is None:
            return
        shared = self.with_reference
        if shared == len(self.samples) and bool(torch.isin(self.reference, self.samples).all()):
            yield "samples and reference are the same pictures: no value says anything of a model"
        elif shared:
            yield (
                f"{shared:,} of {len(self.samples):,} samples are pictures of the reference, pixel "
                "by pixel: the values are too good"
            )
        if self.floor is None:
            return
        if learned := int(torch.isin(self.floor, self.reference).sum()):
            yield (
                f"{learned:,} of {len(self.floor):,} training images behind the floors are "
                "pictures of the reference, so floors are too good; measure against images that "
                "were not trained on"
            )


def _as_grey(image: Tensor) -> Tensor:
    is_grey = len(image) == 3 and bool((image == image[:1]).all())
    return image[:1] if is_grey else image


def _digest(image: Tensor) -> int:
    pixels = image.contiguous().numpy()
    found = hashlib.blake2b(f"{pixels.shape};".encode(), digest_size=_SIZE)
    found.update(pixels.data)
    return int.from_bytes(found.digest(), "little", signed=True)
