"""Images against their own originals: PSNR, SSIM and LPIPS, for translation and reconstruction.

PSNR is 10 log10(255^2 / MSE) of each image, then averaged. SSIM is that of Wang et al. 2004 (IEEE
TIP 13:600): Gaussian window of 11 px and deviation 1.5, K = 0.01 and 0.03, population covariance,
channel by channel on 8-bit values. Where a window would leave the image nothing is computed
("valid"); torchmetrics reflects the image there ("reflect"), which moves the value in the second
decimal for small images, so the border is part of the protocol.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from genkit import launch
from genkit.errors import EvaluationError
from genkit.evaluation.intervals import interval, standard_error
from genkit.evaluation.partners import partners
from genkit.evaluation.perceptual import BATCH, Lpips
from genkit.evaluation.results import Evaluation, Value, identity, versions
from genkit.evaluation.sets import pictures
from genkit.nn.pretrained.lpips import Trunk
from genkit.rows.base import Rows
from genkit.rows.combine import picked

MEANING = {
    "psnr": "how near each picture is to its original, in dB: 20 where pixels are off by a tenth "
    "of the range",
    "ssim": "how alike each picture and its original are in light, contrast and structure; 1 where "
    "they are equal",
}
TITLE = {"psnr": "Nearness, dB", "ssim": "Likeness"}
WINDOW, DEVIATION = 11, 1.5
K1, K2 = 0.01, 0.03
RANGES = {"ssim": (-1.0, 1.0), "psnr": (-math.inf, math.inf)}  # others are distances
Border = Literal["valid", "reflect"]
BY_POSITION = "paired by position: one of the sets does not say what its pictures are called"


def evaluate_pairs(
    images: Rows,
    originals: Rows,
    *,
    lpips: Sequence[Trunk] = (),
    weights: dict[str, Path] | None = None,
    border: Border = "valid",
    by: Literal["names", "position"] = "names",
    device: torch.device | str | None = None,
) -> Evaluation:
    """PSNR, SSIM and, for each trunk, LPIPS of each image against its original.

    Args:
        images: What a model made.
        originals: As many, of the same sizes.
        lpips: "alex", "vgg".
        weights: Files of the trunks by "lpips-alex", "lpips-vgg"; the user's cache for others.
        border: Of SSIM.
        by: What makes a pair: the names of files where both sets have them, or the position.
        device: Where the networks run; None = a GPU if there is one, else the CPU.

    Raises:
        EvaluationError: A picture has no partner, or the shapes of a pair differ.
    """
    start = time.monotonic()
    order = partners(images, originals) if by == "names" else None
    made = images if order is None else picked(images, order, images.name)
    if len(images) != len(originals) or not len(images):
        raise EvaluationError(
            f"{images.name} has {len(images)} images and {originals.name} {len(originals)}: "
            "paired metrics need one original for each image, in the same order"
        )
    files = weights or {}
    if spare := [name for name in files if name not in {f"lpips-{trunk}" for trunk in lpips}]:
        raise EvaluationError(
            f"weights of {spare[0]!r}, which these metrics don't use; leave them out, or ask for "
            "--lpips alex or vgg, whose weights are lpips-alex and lpips-vgg"
        )
    where = device or launch.own_device()
    distances = [Lpips(t, files.get(f"lpips-{t}"), device=where) for t in lpips]
    found = _values(made, originals, distances, border)
    protocols: dict[str, dict[str, Any]] = {
        "psnr": {"range": 255},
        "ssim": {"window": f"Gaussian, {WINDOW} px, deviation {DEVIATION}", "border": border},
        **{d.name: {"trunk_sha256": d.sha256, "version": "0.1"} for d in distances},
    }
    equal = int((~found["psnr"].isfinite()).sum())
    notes = [f"{equal} of {len(images)} pairs are equal: PSNR is of the others"] if equal else []
    if order is None and by == "names" and "file" in {*images.columns, *originals.columns}:
        notes.append(BY_POSITION)
    metrics = [
        _value(name, kept, protocols[name], originals)
        for name, all_values in found.items()
        if len(kept := all_values[all_values.isfinite()])
    ]
    return Evaluation(
        samples=identity(images),
        reference=identity(originals),
        train=None,
        metrics=tuple(metrics),
        classes=None,
        notes=tuple(notes),
        seconds=round(time.monotonic() - start, 2),
        versions=versions(),
    )


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """(B, C, H, W) uint8 twice -> (B,) float64 in dB; infinite for equal images."""
    error = (a.double() - b.double()).square().mean((1, 2, 3))
    return 10 * torch.log10(255**2 / error)


def ssim(a: Tensor, b: Tensor, border: Border = "valid") -> Tensor:
    """(B, C, H, W) uint8 twice -> (B,) float64 in [-1, 1], the mean over channels and places."""
    channels = a.shape[1]
    if min(a.shape[2:]) < WINDOW:
        raise EvaluationError(f"ssim: images of {min(a.shape[2:])} px, the window has {WINDOW}")
    place = torch.arange(WINDOW, dtype=torch.float64) - WINDOW // 2
    row = (-place.square() / (2 * DEVIATION**2)).exp()
    row = row / row.sum()
    window = torch.outer(row, row).expand(channels, 1, WINDOW, WINDOW)

    def blurred(x: Tensor) -> Tensor:
        if border == "reflect":
            x = F.pad(x, [WINDOW // 2] * 4, mode="reflect")
        return F.conv2d(x, window, groups=channels)

    x, y = a.double() / 255, b.double() / 255
    mean_x, mean_y = blurred(x), blurred(y)
    var_x = (blurred(x * x) - mean_x.square()).clamp_min(0)
    var_y = (blurred(y * y) - mean_y.square()).clamp_min(0)
    covariance = blurred(x * y) - mean_x * mean_y
    light = (2 * mean_x * mean_y + K1**2) / (mean_x.square() + mean_y.square() + K1**2)
    return (light * (2 * covariance + K2**2) / (var_x + var_y + K2**2)).mean((1, 2, 3))


def _values(
    images: Rows, originals: Rows, distances: Sequence[Lpips], border: Border
) -> dict[str, Tensor]:
    """Each metric of each pair: (N,) by name."""
    values: dict[str, list[Tensor]] = {}
    for begin in range(0, len(images), BATCH):
        places = range(begin, min(begin + BATCH, len(images)))
        for a, b in _alike(images, originals, places):
            values.setdefault("psnr", []).append(psnr(a, b))
            values.setdefault("ssim", []).append(ssim(a, b, border))
            for distance in distances:
                values.setdefault(distance.name, []).append(distance(a, b))
    return {name: torch.cat(parts) for name, parts in values.items()}


def _alike(images: Rows, originals: Rows, places: range) -> list[tuple[Tensor, Tensor]]:
    """Pairs in batches of one shape."""
    pairs = list(zip(pictures(images, places), pictures(originals, places), strict=True))
    for place, (a, b) in zip(places, pairs, strict=True):
        if a.shape != b.shape:
            raise EvaluationError(
                f"image {place} of {images.name} is {tuple(a.shape)} and its original in "
                f"{originals.name} {tuple(b.shape)}: bring both to one size and number of channels"
            )
    if len({a.shape for a, _ in pairs}) > 1:
        return [(a[None], b[None]) for a, b in pairs]
    return [(torch.stack([a for a, _ in pairs]), torch.stack([b for _, b in pairs]))]


def _value(name: str, values: Tensor, protocol: dict[str, Any], originals: Rows) -> Value:
    better: Literal["lower", "higher"] = "lower" if name.startswith("lpips") else "higher"
    value, error = values.double().mean().item(), standard_error(values)
    low = high = None
    if math.isfinite(error):
        least, most = RANGES.get(name, (0.0, math.inf))
        low, high = interval(value, error, least=least, most=most)
    reference = identity(originals)
    shared = {
        "samples": len(values),
        "reference": reference["name"],
        "reference_count": reference["count"],
        "reference_sha256": reference["sha256"],
        "interval": "95 %, standard error of the mean over pairs",
    }
    return Value(name, value, low, high, better, None, "", protocol | shared)
