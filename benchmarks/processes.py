"""Arms: the same global batch on one process with all cores, and on two with half of them each.

Both stay on the CPU.
"""

from __future__ import annotations

from typing import Any

from benchmarks.step import Measured, trained
from genkit.launch import run_together


def one(**arguments: Any) -> Measured:
    """Arm: one process; arguments as for `benchmarks.step.trained`."""
    return trained(**arguments)


def two(*, batch_size: int = 64, **arguments: Any) -> Measured:
    """Arm: two processes, each with half of `batch_size`; what the first one measured."""
    return run_together(trained, arguments | {"batch_size": batch_size // 2}, 2)
