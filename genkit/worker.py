"""One rank of `genkit train --processes N`; started by `genkit/launch.py`, not by hand."""

from __future__ import annotations

import argparse
import ctypes
import logging
import signal
import sys
import traceback
from pathlib import Path

from genkit.errors import GenkitError
from genkit.launch import is_main, leave


def end_with_parent() -> None:
    """Have Linux kill this process when the launcher dies, so that no rank trains on unseen."""
    if sys.platform == "linux":
        death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def main() -> None:
    """Train the run whose folder is already prepared."""
    end_with_parent()
    parser = argparse.ArgumentParser(prog="genkit.worker")
    parser.add_argument("run", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--init")
    options = parser.parse_args()
    level = logging.INFO if is_main() else logging.ERROR
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("genkit").setLevel(level)
    try:
        from genkit.runs import train

        config = options.run / "config.yaml"
        train(config, out=options.run, resume=options.resume, init=options.init)
    except GenkitError as error:
        print(f"genkit: {error}", file=sys.stderr)
        leave(2)
    except BaseException:
        traceback.print_exc()
        leave(1)
    leave()


if __name__ == "__main__":
    main()
