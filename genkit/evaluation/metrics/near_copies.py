"""Near copies: are samples nearer to a training image than unseen real images are?

What closeness is stands in `nn/closeness.py`.

Near-copy rate: share of samples whose closeness is below the 1 % quantile of the test images'.
Real images that were not trained on give 0.01 by construction; that is its floor. Test images that
are among the training images too are left out of it, and counted. `near-copy-half`
is the same with the median, 0.5 for unseen real images: it sees a model that leans towards its
training images without copying any.
"""

from __future__ import annotations

import torch
from torch import Tensor

from genkit.errors import EvaluationError
from genkit.evaluation.metric import Metric
from genkit.evaluation.overlap import contents_of
from genkit.evaluation.sets import batches
from genkit.evaluation.view import Found, View
from genkit.nn.closeness import NEIGHBOURS
from genkit.nn.closeness import closeness as closeness_of
from genkit.nn.pretrained.digits import to_grey
from genkit.rows.base import Rows

MEANING = {
    "near-copy-rate": "share of samples nearer to a training image than 99 % of unseen real images",
    "near-copy-half": "share of samples nearer to a training image than half of the unseen real "
    "images; about 0.5 where nothing is copied",
}
TITLE = {"near-copy-rate": "Near copies", "near-copy-half": "Nearer than half"}
ENOUGH = {"near-copy-rate": 0.01}  # as unseen real images; less is no better
AIM = {"near-copy-half": 0.5}  # less: farther off than real images are
RATES = {"near-copy-rate": 0.01, "near-copy-half": 0.5}  # name: quantile of the test images
CHUNK = 2048


def measure(view: View) -> list[Found]:
    """Both rates, through the pixels of samples and unseen real images."""
    train = view.train_set
    if train is None or view.reference is None:
        return []
    rows = view.reference.rows[_unseen(view, train)]
    if not len(rows):
        if view.is_asked:
            raise EvaluationError(f"near-copies: {_why(view)}")
        return []
    known = len(view.reference.rows) - len(rows)
    mine, unseen = closeness(view.samples.rows, train), closeness(rows, train)
    found = []
    for name, quantile in RATES.items():
        near, floor = nearer_than(mine, unseen, quantile)
        found.append(
            Found(
                name,
                near.mean().item(),
                "lower",
                near,
                count=together(len(mine), len(unseen)),
                floor=floor,
                note=_note(quantile, known, len(unseen)),
                protocol={
                    "distance": "Euclidean between grey 32 px images, over the mean distance to "
                    f"the {NEIGHBOURS} nearest training images",
                    "threshold": f"{quantile:.0%} quantile of the reference images",
                    "train": train.name,
                    "train_count": len(train),
                    **({"reference_left_out": known} if known else {}),
                    "interval": "samples and reference drawn again",
                },
                most=1.0,
            )
        )
    return found


def _unseen(view: View, train: Rows) -> Tensor:
    """Which reference images are none of the training images, (N,) bool."""
    if view.shared is None or view.shared.reference is None:
        assert view.reference is not None
        return torch.ones(len(view.reference.rows), dtype=torch.bool)
    return ~torch.isin(view.shared.reference, contents_of(train))


def _note(quantile: float, known: int, unseen: int) -> str:
    base = f"{quantile:g} for unseen real images, by construction"
    if not known:
        return base
    return f"{base}; {known:,} reference images are training images: the other {unseen:,} were used"


def _why(view: View) -> str:
    if view.train_set is None or view.reference_set is None:
        return "needs training and reference images: no near-copy rate"
    return (
        f"all images of {view.reference_set.name} are training images, so nothing says how near "
        "unseen ones lie: no near-copy rate; give images that were not trained on as --reference"
    )


def pixels(images: Rows) -> Tensor:
    """The grey 32 px images of a set as rows: (N, 1024) float32 in [0, 1]."""
    return torch.cat([to_grey(batch).flatten(1) for batch in batches(images, CHUNK)])


def nearest(rows: Tensor, train: Rows, count: int) -> tuple[Tensor, Tensor]:
    """The nearest training images of each row: distances and indices, (N, count), rising.

    The training set is streamed and looked at by some rows at a time; `count` is cut to its size.
    """
    count = min(count, len(train))
    distances = torch.full((len(rows), count), torch.inf)
    indices = torch.zeros(len(rows), count, dtype=torch.int64)
    start = 0
    for batch in batches(train, CHUNK):
        images = to_grey(batch).flatten(1)
        numbers = torch.arange(start, start + len(batch))
        for first in range(0, len(rows), CHUNK):
            part = slice(first, first + CHUNK)
            found = torch.cat([distances[part], torch.cdist(rows[part], images)], 1)
            places = torch.cat([indices[part], numbers.expand(len(found), -1)], 1)
            distances[part], order = found.topk(count, dim=1, largest=False)
            indices[part] = places.gather(1, order)
        start += len(batch)
    return distances, indices


def closeness(rows: Tensor, train: Rows) -> Tensor:
    """Of pixels (N, 1024), (N,) in [0, 1]: 0 for an exact copy, 1 where no image stands out."""
    if len(train) < 2:
        raise EvaluationError(f"{train.name}: near copies need at least 2 training images")
    distances, _ = nearest(rows, train, NEIGHBOURS)
    return closeness_of(distances)


def nearer_than(samples: Tensor, reference: Tensor, quantile: float) -> tuple[Tensor, float]:
    """Which samples are closer than that quantile of the reference, and its own share.

    Args:
        samples: (M,) closeness of the samples.
        reference: (N,) closeness of real images that were not trained on.
        quantile: In (0, 1).

    Returns:
        (M,) float64 of 0 and 1, and the share of the reference below its own quantile.
    """
    threshold = reference.quantile(quantile)
    return (samples < threshold).double(), (reference < threshold).double().mean().item()


def together(samples: int, reference: int) -> float:
    """Images that are as uncertain as a share of the samples beyond a quantile of the reference.

    Unseen images lie below the q quantile of N others with a share whose variance is
    q (1 - q) (1 / M + 1 / N): that of their own count M, and that of the quantile.
    """
    return 1 / (1 / samples + 1 / reference)


METRIC = Metric(
    "near-copies",
    measure,
    MEANING,
    order=130,
    on="pixels",
    needs=frozenset({"reference", "train"}),
    is_usual=True,
    why=_why,
)
