"""Rules of the training doctor about training pictures that are learnt by heart.

How each threshold was measured: docs/training-doctor.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from genkit.training.history import PREVIEWS, Finding, History, percent

RISEN = 1.05  # times the lowest loss on test pictures
COPIED = 0.25  # share of a preview's pictures that are near copies: one of four


def learnt_by_heart(history: History) -> Iterator[Finding]:
    """A loss on test pictures that rises again."""
    for band in history.networks("held-out/"):
        latest = history.last(f"held-out/{band}", PREVIEWS, after=0)
        lowest, step = history.lowest(f"held-out/{band}")
        if latest and min(latest) > RISEN * lowest:
            yield Finding(
                "learnt-by-heart",
                f"the loss on test pictures at {band} noise was {lowest:.4g} at step {step:,} and "
                f"is {latest[-1]:.4g} now: since then the training pictures are learnt by heart. "
                f"Its best weights are those of about that step; {_advice(history)}",
            )
            return


def copied_pictures(history: History) -> Iterator[Finding]:
    """Previews that show training pictures again."""
    latest = history.last("near-copies/rate", PREVIEWS, after=0)
    if not latest or min(latest) < COPIED:
        return
    fewest, step = history.lowest("near-copies/rate")
    before = f" (at step {step:,} it was {percent(fewest)})" if fewest < COPIED else ""
    yield Finding(
        "copied-pictures",
        f"{percent(latest[-1])} of the previews{before} are near copies of training pictures: "
        "nearer to one of them than 99 % of these are to each other. Take the weights of an "
        f"earlier checkpoint: genkit export RUN --checkpoint N; {_advice(history)}",
    )


def _advice(history: History) -> str:
    advice = "show it more pictures or train for fewer steps, with a lower optim.lr"
    if "model.learn.rank" in history.settings:
        advice += f" or a model.learn.rank below {history.settings['model.learn.rank']}"
    return advice


RULES: tuple[Callable[[History], Iterator[Finding]], ...] = (learnt_by_heart, copied_pictures)
