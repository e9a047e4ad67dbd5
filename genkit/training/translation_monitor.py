"""What the training doctor measures of translations, on the pictures that previews show.

`diagnosis.py` says what the numbers mean. All are of one way, such as "a_to_b".

Legend: N pictures, C channels, H W height and width in px.
"""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from genkit.images import stack, to_float, to_pil, to_uint8
from genkit.training.diversity import Numbers, mean_distance

JPEG_QUALITY = 75
_PERIODS = (2, 4)  # px, of what layers of stride 2 may leave on the output


@torch.no_grad()
def numbers(
    way: str,
    before: Tensor,
    after: Tensor,
    target: Tensor,
    back: Callable[[Tensor], Tensor] | None = None,
    *,
    paired: bool = False,
) -> Numbers:
    """The numbers of one way.

    Args:
        way: Its name.
        before: (N, C, H, W) in [-1, 1], what was given.
        after: (N, C', H, W), what was made of it.
        target: (N, C', H, W), real pictures of the other kind.
        back: The way back; None = there is none.
        paired: Whether row i of `target` is the right answer for row i of `before`.

    Returns:
        "<way>/change": mean absolute difference of output and input over that of real pictures of
        the two kinds. "<way>/approach": how much nearer the real pictures the output is than the
        input, by means, spreads and edges: 0 as near, 1 there. "<way>/variety": mean distance
        between outputs over that between real pictures. "<way>/luminance": correlation of the
        luminance of output and input over the pixels of a picture, mean over pictures; with
        `paired` also "<way>/luminance-wanted", that of the right answers. "<way>/checkerboard":
        the largest share of a period of the strides in the spectrum of outputs over that in real
        ones. With `back` "<way>/cycle", the mean absolute difference of what comes back in [0, 1],
        "<way>/cycle-jpeg", the same where the picture between is kept as a JPEG, and
        "<way>/hidden": by how much the one is larger than the other, over what the JPEG changed.
    """
    made = after.float()  # as the way back takes it, perhaps grey
    before, after, target = (_coloured(each.float()) for each in (before, after, target))
    found = {
        "change": _difference(after, before) / max(_difference(target.roll(1, 0), before), 1e-6),
        "approach": _approach(before, after, target),
        "luminance": luminance_correlation(before, after),
        "checkerboard": checkerboard(after) / max(checkerboard(target), 1e-6),
    }
    if len(after) > 1 and (real := mean_distance(target)) > 0:
        found["variety"] = mean_distance(after) / real
    if paired:
        found["luminance-wanted"] = luminance_correlation(before, target)
    if back is not None:
        found |= _cycle(before, made, back)
    return {f"{way}/{name}": value for name, value in found.items()}


def luminance_correlation(some: Tensor, others: Tensor) -> float:
    """Correlation of the luminance of pictures (N, 3, H, W) pixel by pixel, mean over pictures; of
    one without contrast 0."""
    a, b = (_luminance(each).flatten(1) for each in (some, others))
    a, b = (each - each.mean(1, keepdim=True) for each in (a, b))
    return F.cosine_similarity(a, b, dim=1, eps=1e-6).mean().item()


def checkerboard(images: Tensor) -> float:
    """The amplitude at the periods of 2 and 4 px over that at neighbouring frequencies, the largest
    of all directions: about 1 for pictures (N, 3, H, W) without a pattern."""
    height, width = images.shape[2:]
    power = torch.fft.fft2(_luminance(images)).abs().square().mean(0)  # (H, W)
    found = []
    for period in _PERIODS:
        if height % period or width % period or min(height, width) < 8 * period:
            continue
        h, w = height // period, width // period
        for y, x in ((h, 0), (0, w), (h, w)):
            found.append(_peak(power, y, x))
    return max(found, default=1.0)


def recompressed(images: Tensor) -> Tensor:
    """Pictures (N, C, H, W) in [-1, 1] as a JPEG keeps them, colours at full size."""
    return to_float(stack([_jpeg(image) for image in to_uint8(images).cpu()])).to(images.device)


def _jpeg(image: Tensor) -> Image.Image:
    file = io.BytesIO()
    to_pil(image).save(file, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    with Image.open(file) as kept:
        kept.load()
        return kept.convert("L" if len(image) == 1 else "RGB")


def _cycle(before: Tensor, after: Tensor, back: Callable[[Tensor], Tensor]) -> Numbers:
    kept = recompressed(after)
    plain, rough = (_difference(_coloured(back(each)), before) / 2 for each in (after, kept))
    changed = _difference(kept, after) / 2
    hidden = (rough - plain) / max(changed, 1e-6)
    return {"cycle": plain, "cycle-jpeg": rough, "hidden": hidden}


def _approach(before: Tensor, after: Tensor, target: Tensor) -> float:
    start, now, goal = (_description(each) for each in (before, after, target))
    spread = (start.var(0, correction=0) + goal.var(0, correction=0)).div(2).sqrt() + 1e-3
    far, near = (((each.mean(0) - goal.mean(0)) / spread).norm().item() for each in (start, now))
    return 1 - near / max(far, 1e-6)


def _description(images: Tensor) -> Tensor:
    """Mean, spread and strength of edges of each channel: (N, 12)."""
    edges = [images.diff(dim=dim).abs().mean((2, 3)) for dim in (2, 3)]
    return torch.cat([images.mean((2, 3)), images.std((2, 3)), *edges], dim=1)


def _peak(power: Tensor, y: int, x: int) -> float:
    """The amplitude at a frequency over the root mean power two and three places beside it."""
    away = [-3, -2, 2, 3]
    beside = [power[(y + i) % len(power), (x + j) % power.shape[1]] for i in away for j in away]
    return (power[y, x] / torch.stack(beside).mean().clamp(min=1e-9)).sqrt().item()


def _luminance(images: Tensor) -> Tensor:
    """(N, 3, H, W) -> (N, H, W): ITU-R BT.601."""
    return torch.einsum("nchw,c->nhw", images, images.new_tensor([0.299, 0.587, 0.114]))


def _coloured(images: Tensor) -> Tensor:
    """Grey pictures as coloured ones: (N, 3, H, W)."""
    return images.expand(-1, 3, -1, -1)


def _difference(some: Tensor, others: Tensor) -> float:
    return (some - others).abs().mean().item()
