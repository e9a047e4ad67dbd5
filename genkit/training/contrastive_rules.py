"""Rules of the training doctor about pictures and texts that are to find each other.

How each threshold was measured: docs/training-doctor.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from genkit.training.history import LOOKS, Finding, History, percent

GUESSING = 2.0  # times as often right as by guessing, at least, where something is learnt
CLAMPED = 0.99  # of the largest inverse temperature
FEW_DIRECTIONS = 0.04  # effective rank, as a share of what it can be
ALIKE = 0.5  # share of rows whose text or picture another row of the step has too


def no_contrast(history: History) -> Iterator[Finding]:
    """Embeddings that tell nothing apart."""
    for name in history.networks("guessing/"):
        if _guesses(history, name):
            right = history.last(f"accuracy/{name}", LOOKS)
            chance = history.last(f"guessing/{name}", LOOKS)
            yield Finding(
                "no-contrast",
                f"{percent(right[-1])} of the pictures find their text, by guessing it is "
                f"{percent(chance[-1])}: the loss stands where embeddings tell nothing apart (ln N "
                "of the contrastive one, N rows a step). Lower optim.lr, to a tenth as a start, "
                "raise optim.warmup_steps, and look at the pairs with `genkit data preview`: "
                "captions that are not of their pictures teach nothing",
            )


def clamped_temperature(history: History) -> Iterator[Finding]:
    """An inverse temperature that would grow on."""
    most = history.settings.get("loss.largest_scale")
    for name in history.networks("scale/") if most else ():
        scale = history.last(f"scale/{name}", LOOKS)
        limit = CLAMPED * float(most)  # type: ignore[arg-type]
        began = history.first(f"scale/{name}")  # published towers begin there
        if scale and min(scale) > limit > began:
            yield Finding(
                "clamped-temperature",
                f"the inverse temperature stands at its largest value, loss.largest_scale={most}: "
                "the loss would fall further by sharper answers alone. In a long run on very many "
                "pairs that is the usual end; in a short one the pairs are learnt by heart: "
                "compare `genkit evaluate RUN` with the accuracy here, and stop earlier or show "
                "it more pairs",
            )


def few_directions(history: History) -> Iterator[Finding]:
    """Embeddings that lie in few directions."""
    for name in history.networks("rank/"):
        rank = history.last(f"rank/{name}", LOOKS)
        # Where nothing is learnt, that is what is to be said.
        if rank and max(rank) < FEW_DIRECTIONS and not _guesses(history, name):
            yield Finding(
                "low-rank",
                f"embeddings of pictures lie in {percent(rank[-1])} of the directions there are: "
                "they hold few facts. Show more different captions in a step (a larger "
                "data.batch_size), lower optim.lr, or take a smaller model.embed if the pictures "
                "hold no more",
            )


def equal_captions(history: History) -> Iterator[Finding]:
    """Steps in which most texts are those of several pictures."""
    for name in history.networks("equal/"):
        equal = history.last(f"equal/{name}", LOOKS, after=0)
        if equal and min(equal) > ALIKE:
            yield Finding(
                "equal-captions",
                f"{percent(equal[-1])} of the rows of a step have a text that another row has too: "
                "they count as belonging together, so little is left to tell apart. Write captions "
                "that say more than a class, give each picture several, or lower data.batch_size",
            )


def _guesses(history: History, name: str) -> bool:
    """Whether pictures find their texts hardly more often than by guessing."""
    right = history.last(f"accuracy/{name}", LOOKS)
    chance = history.last(f"guessing/{name}", LOOKS)
    pairs = zip(right, chance, strict=False)
    return bool(right and chance) and all(a < GUESSING * b for a, b in pairs)


RULES: tuple[Callable[[History], Iterator[Finding]], ...] = (
    no_contrast,
    clamped_temperature,
    few_directions,
    equal_captions,
)
