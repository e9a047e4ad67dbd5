"""How many of the 1,000 modes of stacked digits do samples show, and how evenly?

Three digits lie in the red, green and blue channel; a classifier names each, and the triple is the
mode. A model that has collapsed leaves modes out (Metz et al. 2017, arXiv:1611.02163, section 3.3).
Both numbers depend on how many samples are drawn, 26,000 as a rule: n images of a perfect model
show about K (1 - exp(-n / K)) of K modes, and the divergence of their shares from uniform is about
(K - 1) / 2n for n well above K, never 0. Digits of MNIST aren't quite equally frequent either.
"""

from __future__ import annotations

import math
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from genkit.evaluation.engine import features_of
from genkit.evaluation.extractor import Extractor
from genkit.evaluation.extractors.digits import DigitsExtractor
from genkit.evaluation.metric import Metric
from genkit.evaluation.sets import shape_of
from genkit.evaluation.view import Found, View
from genkit.rows.base import Rows

MEANING = {
    "modes": "how many of the 1,000 classes of stacked digits the samples show: what a collapsed "
    "model leaves out; more samples show more",
    "modes-kl": "how unevenly the 1,000 classes of stacked digits are shown: KL divergence of "
    "their shares from equal ones, in nats; falls with more samples",
}
TITLE = {"modes": "Modes shown", "modes-kl": "Unevenness of modes"}
NAMES = tuple(f"{number:03d}" for number in range(1000))  # red, green and blue digit
USUAL_COUNT = 26_000  # samples


def measure(view: View) -> list[Found]:
    """How many modes the samples show, and how evenly."""
    if not applies(view) or shape_of(view.sample_set)[0] != 3:
        return []
    assert view.reference_set is not None
    assert isinstance(view.extractor, DigitsExtractor)
    total = len(NAMES)
    named = modes_shown(view.sample_set, view.extractor)
    real_named = modes_shown(view.reference_set, view.extractor, keep=True)
    real = real_named[view.order("modes", len(real_named))[: len(named)]]  # for the floors
    counts, real_counts = (x.bincount(minlength=total) for x in (named, real))
    lines = []
    if len(named) != USUAL_COUNT:
        lines.append(f"depends on the number of samples: {len(named):,}, {USUAL_COUNT:,} are usual")
    if len(real) != len(named):
        lines.append(f"the floor is of {len(real):,} real images")
    protocol = {"classified": "each channel as a grey image", "floor_count": len(real)}
    return [
        Found(
            "modes",
            covered(counts),
            "higher",
            floor=covered(real_counts),
            note="; ".join([f"of {total:,}", *lines]),
            protocol=protocol | {"interval": "none: samples drawn again show fewer modes"},
        ),
        Found(
            "modes-kl",
            kl_to_uniform(counts).item(),
            "lower",
            kl_influence(named, total),
            floor=kl_to_uniform(real_counts).item(),
            note="; ".join(lines),
            protocol=protocol | {"interval": "samples drawn again"},
            most=math.log(total),
        ),
    ]


def applies(view: View) -> bool:
    """Whether the reference is of stacked digits and the classifier of digits looks at it."""
    real = view.reference_set
    named = real is not None and real.class_names == NAMES
    return named and isinstance(view.extractor, DigitsExtractor)


def why(view: View) -> str:
    """Why there are no modes; empty where nobody asked for them."""
    if applies(view):
        return "the samples are grey: no modes"
    return "the reference is not stacked digits: no modes" if view.is_asked else ""


def remark(view: View) -> str:
    """What the other metrics see of stacked digits."""
    if not applies(view):
        return ""
    return (
        f"stacked digits: {view.extractor.frechet_name}, precision, recall, density, coverage "
        "and near copies see the three digits laid over each other, as one grey image"
    )


def covered(counts: Tensor) -> int:
    """How many modes occur: (K,) images per mode -> 0 to K."""
    return int((counts > 0).sum())


def kl_to_uniform(counts: Tensor) -> Tensor:
    """KL(p || uniform) in nats: (..., K) images per mode -> (...,) float64 in [0, ln K].

    p is the share of each mode, so ln K - H(p): 0 when all are equally frequent, ln K when one
    is all there is.
    """
    share = counts.double() / counts.sum(-1, keepdim=True)
    return torch.xlogy(share, share * counts.shape[-1]).sum(-1)


def kl_influence(shown: Tensor, modes: int) -> Tensor:
    """How each image moves that divergence: (N,) from its mode (N,) int64 in [0, modes).

    The derivative of sum p ln p towards mode j is ln p_j, up to a constant.
    """
    share = shown.bincount(minlength=modes).double() / len(shown)
    return share.log()[shown]


class Channels(Extractor):
    """The digits classifier on each channel of an RGB image by itself: three times 128 features."""

    batch_size = 85  # times three channels

    def __init__(self, digits: DigitsExtractor) -> None:
        self.digits = digits
        self.name, self.sha256 = f"{digits.name}-by-channel", digits.sha256
        self.layer, self.resize = f"{digits.layer}, of each channel", digits.resize

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, 3, 32, 32) float32 in [0, 1]."""
        return self.digits.prepare(images.flatten(0, 1)[:, None]).view(len(images), 3, 32, 32)

    def features(self, inputs: Tensor) -> Tensor:
        """(B, 3, 32, 32) -> (B, 384) float32 on the CPU."""
        return self.digits.features(inputs.flatten(0, 1)[:, None]).view(len(inputs), -1)


_SHOWN: WeakKeyDictionary[Rows, Tensor] = WeakKeyDictionary()


def modes_shown(images: Rows, extractor: DigitsExtractor, *, keep: bool = False) -> Tensor:
    """The mode of each RGB image: (N,) int64, 100 red + 10 green + blue digit.

    A set is looked at once, however often it is asked for.

    Args:
        images: Stacked digits.
        extractor: Names the digit in each channel.
        keep: Keep the features in the user's cache, as `features_of` does.
    """
    if images not in _SHOWN:
        features = features_of(images, Channels(extractor), keep=keep)  # (N, 384)
        digits = extractor.classify(features.view(len(features) * 3, -1)).view(-1, 3)
        _SHOWN[images] = digits @ torch.tensor([100, 10, 1])
    return _SHOWN[images]


METRIC = Metric(
    "modes",
    measure,
    MEANING,
    order=110,
    needs=frozenset({"reference"}),
    fits=lambda extractor: isinstance(extractor, DigitsExtractor),
    hint="give --extractor digits",
    is_quick=True,
    why=why,
    remark=remark,
)
