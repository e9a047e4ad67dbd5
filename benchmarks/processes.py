"""Arms: the same global batch on one process with all cores, and on two with half of them each.

Both stay on the CPU. A rank of the second arm is `python -m benchmarks.processes RESULT ARGUMENTS`.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.step import Measured, trained
from genkit.launch import is_main, launch, leave
from genkit.worker import end_with_parent


def one(**arguments: Any) -> Measured:
    """Arm: one process; arguments as for `benchmarks.step.trained`."""
    return trained(**arguments)


def two(*, batch_size: int = 64, **arguments: Any) -> Measured:
    """Arm: two processes, each with half of `batch_size`."""
    arguments["batch_size"] = batch_size // 2
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        launch(["benchmarks.processes", str(result), json.dumps(arguments)], 2)
        measured: Measured = json.loads(result.read_text())
    return measured


def main(result: Path, arguments: dict[str, Any]) -> None:
    """Be one rank; rank 0 writes what it measured."""
    end_with_parent()
    measured = trained(**arguments)
    if is_main():
        result.write_text(json.dumps(measured))
    leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]))
