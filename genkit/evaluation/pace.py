"""What a person sees while images are read: a line now and then, and nothing where it is quick."""

from __future__ import annotations

import logging
import time

EVERY_S = 10.0

log = logging.getLogger("genkit")


class Pace:
    """Counts the images of one pass, and says every ten seconds how far it is.

    Args:
        name: Of the set.
        count: Images in all.
        share: Which part of them this process sees.
    """

    def __init__(self, name: str, count: int, share: int = 1) -> None:
        self.name, self.count, self.share = name, count, share
        self.done = 0
        self._begun = self._said = time.monotonic()

    def advance(self, images: int) -> None:
        """So many images more are done, here and on each of the other processes."""
        self.done = min(self.count, self.done + images * self.share)
        now = time.monotonic()
        if now - self._said < EVERY_S or self.done >= self.count:
            return
        self._said = now
        rate = self.done / (now - self._begun)
        left = (self.count - self.done) / rate
        text = "%s: %s of %s images measured, %.3g images/s, %s left"
        log.info(text, self.name, f"{self.done:,}", f"{self.count:,}", rate, _duration(left))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d} h" if hours else f"{minutes}:{rest:02d} min"
