"""Rules of the training doctor about losses on pictures that are not trained on.

How each threshold was measured: docs/training-doctor.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from genkit.training.history import PREVIEWS, Finding, History

RISEN = 1.05  # times the lowest loss on test pictures


def learnt_by_heart(history: History) -> Iterator[Finding]:
    """A loss on test pictures that rises again."""
    for band in history.networks("held-out/"):
        latest = history.last(f"held-out/{band}", PREVIEWS, after=0)
        lowest, step = history.lowest(f"held-out/{band}")
        if latest and min(latest) > RISEN * lowest:
            advice = "show it more pictures or train for fewer steps, with a lower optim.lr"
            if "model.learn.rank" in history.settings:
                advice += f" or a model.learn.rank below {history.settings['model.learn.rank']}"
            yield Finding(
                "learnt-by-heart",
                f"the loss on test pictures at {band} noise was {lowest:.4g} at step {step:,} and "
                f"is {latest[-1]:.4g} now: since then the training pictures are learnt by heart. "
                f"Its best weights are those of about that step; {advice}",
            )
            return


RULES: tuple[Callable[[History], Iterator[Finding]], ...] = (learnt_by_heart,)
