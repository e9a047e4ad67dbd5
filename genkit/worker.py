"""One rank of `genkit train` or `genkit evaluate --processes N`; started by `genkit/launch.py`."""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from genkit.errors import GenkitError
from genkit.launch import is_main, leave


def end_with_parent() -> None:
    """Have Linux kill this process when the launcher dies, so that no rank trains on unseen."""
    if sys.platform == "linux":
        death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def main() -> None:
    """Train the run whose folder is already prepared, or evaluate as a file of arguments says."""
    end_with_parent()
    parser = argparse.ArgumentParser(prog="genkit.worker")
    verbs = parser.add_subparsers(dest="verb", required=True)
    training = verbs.add_parser("train")
    training.add_argument("run", type=Path)
    training.add_argument("--resume", action="store_true")
    training.add_argument("--init")
    verbs.add_parser("evaluate").add_argument("request", type=Path)
    options = parser.parse_args()
    level = logging.INFO if is_main() else logging.ERROR
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("genkit").setLevel(level)
    try:
        if options.verb == "train":
            from genkit.verbs.train import train

            config = options.run / "config.yaml"
            train(config, out=options.run, resume=options.resume, init=options.init)
        else:
            _evaluate(json.loads(options.request.read_text()))
    except GenkitError as error:
        print(f"genkit: {error}", file=sys.stderr)
        leave(2)
    except BaseException:
        traceback.print_exc()
        leave(1)
    leave()


def _evaluate(request: dict[str, Any]) -> None:
    from genkit.verbs.evaluate import evaluate_samples

    paths = {key: request[key] and Path(request[key]) for key in ("samples", "root", "out")}
    weights = {name: Path(path) for name, path in request.get("weights", {}).items()}
    evaluate_samples(**(request | paths | {"weights": weights}))


if __name__ == "__main__":
    main()
