"""Pictures and words: which of a person's own labels fits each picture.

Legend: N pictures, K labels, P embedding.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit.errors import DataError, PipelineError, shown
from genkit.nn.pretrained.clip import PUBLISHED
from genkit.pipelines.image_text import ImageTextPipeline, open_image_text
from genkit.verbs.change_pictures import Bar
from genkit.verbs.embed_pictures import Embedded, embed_pictures
from genkit.verbs.own_pictures import find_pictures
from genkit.verbs.sample import usable_device

log = logging.getLogger("genkit")

# The seven that Radford et al. 2021 chose greedily of their eighty for ImageNet (their notebook).
SEVEN = (
    "itap of a {}.",
    "a bad photo of the {}.",
    "a origami {}.",
    "a photo of the large {}.",
    "a {} in a video game.",
    "art of the {}.",
    "a photo of the small {}.",
)
_SCALES = torch.logspace(-2, 3, 501, dtype=torch.float64)  # of the inverse temperature
_BINS = 10  # of the calibration error
_FEW = 20  # labelled pictures below which no temperature is fitted


@dataclass(frozen=True)
class Request:
    """What is to be told apart.

    Attributes:
        images: Files, folders, patterns, - for standard input.
        labels: Words, two or more.
        model: A run, an export, a folder, a Hub id or the name of a published CLIP.
        templates: Texts with {} where a label goes; None = the seven of the paper for published
            CLIP, the label alone for others.
        calibrate: A folder with a folder of pictures for each label, by which shares are made to
            say how often they are right; None = they are as the model learnt them.
        device: Of the networks; None = a GPU if there is one.
    """

    images: Sequence[str]
    labels: Sequence[str]
    model: str
    templates: Sequence[str] | None = None
    calibrate: Path | None = None
    device: str | None = None


@dataclass(frozen=True)
class Classified:
    """What was found.

    Attributes:
        names: Of the N pictures that could be read.
        labels: K of them.
        shares: (N, K) in [0, 1].
        templates: By which labels became texts.
        failed: Why other pictures have none.
        calibration: What the fit of the temperature found; None = there was none.
    """

    names: list[str]
    labels: list[str]
    shares: Tensor
    templates: list[str]
    failed: dict[str, str]
    calibration: dict[str, Any] | None = None

    def to_tree(self) -> dict[str, Any]:
        """As JSON: of each picture every label with its share, the likeliest first."""
        rows = {}
        for name, shares in zip(self.names, self.shares, strict=True):
            order = shares.argsort(descending=True).tolist()
            rows[name] = {self.labels[i]: round(float(shares[i]), 6) for i in order}
        return {
            "pictures": rows,
            "templates": self.templates,
            "calibration": self.calibration,
            "failed": self.failed,
        }


def classify(request: Request, bar: Bar | None = None) -> Classified:
    """How well each label fits each picture.

    Args:
        request: What to tell apart.
        bar: Makes something that is told how far the work is.

    Raises:
        PipelineError: It is no model of pictures and texts, or labels or templates say nothing.
        DataError: There are no pictures, or none that can be read.
    """
    labels = _checked(request.labels)
    templates = request.templates or (SEVEN if request.model in PUBLISHED else ("{}",))
    for each in templates:
        if "{}" not in each:
            raise PipelineError(f"--template {shown(repr(each))}: has no {{}} where the label goes")
    found = find_pictures(request.images)
    pipeline = open_image_text(request.model, device=usable_device(request.device))
    if cut := pipeline.too_long(
        [each.replace("{}", word) for word in labels for each in templates]
    ):
        log.warning(
            "--labels: %d texts are longer than the %d tokens that are read", cut, pipeline.context
        )
    with pipeline.generating():
        classes = pipeline.classes(labels, templates)
        embedded = embed_pictures(pipeline, found, bar)
        if request.calibrate is None:
            shares, how = pipeline.shares(embedded.vectors, classes), None
        else:
            scale, how = _calibrated(pipeline, request.calibrate, labels, classes)
            shares = (scale * embedded.vectors @ classes.T).softmax(1)
    names = [source.where for source in embedded.sources]
    return Classified(names, labels, shares, list(templates), embedded.failed, how)


def _checked(labels: Sequence[str]) -> list[str]:
    words = [label.strip() for label in labels]
    if "" in words:
        raise PipelineError("--labels: one of them is empty; give words with commas between")
    if len({word.lower() for word in words}) < len(words):
        twice = next(w for w in words if [v.lower() for v in words].count(w.lower()) > 1)
        raise PipelineError(f"--labels: {shown(repr(twice))} stands twice; give each once")
    if len(words) < 2:
        raise PipelineError(
            "--labels: a picture is told apart by two labels or more; give the others too"
        )
    return words


def _calibrated(
    pipeline: ImageTextPipeline, folder: Path, labels: Sequence[str], classes: Tensor
) -> tuple[float, dict[str, Any]]:
    """The inverse temperature by which shares fit labelled pictures best, and what it changed.

    One number for all, that of the least cross entropy (Guo et al. 2017, arXiv:1706.04599).
    """
    if pipeline.config["logit_bias"] is not None:
        raise PipelineError(
            "--calibrate: this model judges each label alone (loss.kind=sigmoid), and a "
            "temperature is fitted to shares that add up to 1; leave it out"
        )
    embedded, truth = _labelled(pipeline, folder, labels)
    cosines = (embedded.vectors @ classes.T).double()
    scale = _fitted(cosines, truth)
    if bool((cosines.argmax(1) == truth).all()):
        raise DataError(
            f"--calibrate {shown(folder)}: all {len(truth)} pictures are named rightly, so nothing "
            "says how sure to be; give harder pictures, or leave it out"
        )
    before = pipeline.shares(embedded.vectors, classes).double()
    # Each half by the temperature of the other, so that the error is that of new pictures.
    after = torch.empty_like(cosines)
    for half in (0, 1):
        other = _fitted(cosines[1 - half :: 2], truth[1 - half :: 2])
        after[half::2] = (other * cosines[half::2]).softmax(1)
    how = {
        "pictures": len(truth),
        "accuracy": round((cosines.argmax(1) == truth).double().mean().item(), 4),
        "scale": round(scale, 3),
        "error_before": round(calibration_error(before, truth), 4),
        "error": round(calibration_error(after, truth), 4),
    }
    log.info(
        "%s: %d labelled pictures, %.1f %% named rightly; shares were off by %.3f and are by %.3f",
        *(shown(folder), how["pictures"], 100 * how["accuracy"], how["error_before"], how["error"]),
    )
    return scale, how


def _fitted(cosines: Tensor, truth: Tensor) -> float:
    """The inverse temperature of the least cross entropy."""
    losses = torch.stack([F.cross_entropy(scale * cosines, truth) for scale in _SCALES])
    return float(_SCALES[losses.argmin()])


def _labelled(
    pipeline: ImageTextPipeline, folder: Path, labels: Sequence[str]
) -> tuple[Embedded, Tensor]:
    """Pictures of the folders that are called as labels are, and the number of each one's label."""
    there = {path.name.lower(): path for path in sorted(folder.glob("*")) if path.is_dir()}
    missing = [label for label in labels if label.lower() not in there]
    if missing:
        raise DataError(
            f"--calibrate {shown(folder)}: has no folder of pictures called "
            f"{shown(repr(missing[0]))}; it needs one for each label"
        )
    parts = [embed_pictures(pipeline, find_pictures([str(there[word.lower()])])) for word in labels]
    truth = torch.cat([torch.full((len(p.sources),), i) for i, p in enumerate(parts)])
    if len(truth) < _FEW:
        raise DataError(
            f"--calibrate {shown(folder)}: {len(truth)} pictures are too few to fit a temperature "
            f"by; give {_FEW} or more"
        )
    sources = [source for part in parts for source in part.sources]
    return Embedded(sources, torch.cat([part.vectors for part in parts])), truth


def calibration_error(shares: Tensor, truth: Tensor) -> float:
    """By how much the largest share differs from how often it is right, over ten bins of it.

    Naeini et al. 2015, as Guo et al. 2017 (arXiv:1706.04599), eq. 3.

    Args:
        shares: (N, K).
        truth: (N,) int64.
    """
    sure, named = shares.max(1)
    right = (named == truth).to(sure)
    bins = (sure * _BINS).long().clamp(max=_BINS - 1)
    gaps = torch.zeros(_BINS, dtype=sure.dtype).index_add_(0, bins, right - sure)
    return float(gaps.abs().sum() / len(truth))
