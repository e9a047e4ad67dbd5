"""What a process says, and where it goes.

Standard output and error may lead nowhere: to a closed terminal, a full disk, a reader that is
gone. What can't be printed is no failure of the work: files that were asked for are written in any
case, and who runs a command learns from `lost_output` what became of the rest.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from genkit.launch.ranks import ranks


class Printed:
    """A text stream that remembers why it was refused, and drops what comes after.

    Args:
        stream: Where to write while that works.
    """

    def __init__(self, stream: TextIO) -> None:
        self.refused: OSError | None = None
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if anybody takes it."""
        if self.refused is None:
            try:
                return self._stream.write(self._encodable(text))
            except OSError as error:
                self._give_up(error)
        return len(text)

    def _encodable(self, text: str) -> str:
        """The text; what its encoding lacks, such as a path's bytes that are no text, escaped."""
        encoding = self._stream.encoding or "utf-8"
        try:
            text.encode(encoding, self._stream.errors or "strict")
        except UnicodeEncodeError:
            return text.encode(encoding, "backslashreplace").decode(encoding)
        return text

    def flush(self) -> None:
        """Flush, if anybody takes it."""
        if self.refused is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """From now on into nothing: what is in the buffer too, which Python flushes at its end."""
        self.refused = error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def printed() -> Iterator[None]:
    """Let both streams of this process be refused meanwhile.

    One that was closed from the start leads nowhere, so that no file takes its number and with it
    what a library prints.
    """
    while (fresh := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fresh, True)
    os.close(fresh)
    before = sys.stdout, sys.stderr
    out, err = (None if stream is None else Printed(stream) for stream in before)
    sys.stdout, sys.stderr = out, err
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def lost_output() -> str | None:
    """Why standard output was refused, if it was; what is in its buffer is written before."""
    if not isinstance(sys.stdout, Printed):
        return None
    sys.stdout.flush()
    refused = sys.stdout.refused
    return None if refused is None else refused.strerror or str(refused)


def handler() -> logging.Handler:
    """Coloured lines on a terminal; plain ones, not folded, in a file or a pipe."""
    from rich.console import Console
    from rich.logging import RichHandler

    console = Console(stderr=True)
    if console.is_terminal:
        return RichHandler(console=console, show_path=False)
    plain = logging.StreamHandler()
    plain.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return plain


@contextmanager
def heard() -> Iterator[None]:
    """Let what genkit logs be seen meanwhile as on the command line, on standard error.

    Whoever has set up logging decides: a handler of the logger "genkit", or of the root, or a level
    of the logger, and nothing is changed.
    """
    logger = logging.getLogger("genkit")
    if logger.hasHandlers() or logger.level != logging.NOTSET:
        yield
        return
    ours = handler()
    logger.addHandler(ours)
    logger.setLevel(logging.INFO if ranks().is_first else logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(ours)
        logger.setLevel(logging.NOTSET)
