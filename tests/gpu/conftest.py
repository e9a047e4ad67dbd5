"""The tests that are for a GPU: `pytest -m gpu`, as `benchmarks/gpu.sh` runs them.

With GPU_REHEARSAL=1 a CPU stands in, so that they are known to run before a GPU is at hand; what
only a GPU can do is then left out.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

REHEARSAL = os.environ.get("GPU_REHEARSAL") == "1"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gpu)


@pytest.fixture(autouse=True)
def _something_to_run_on() -> None:
    if not (torch.cuda.is_available() or REHEARSAL):
        pytest.skip("no CUDA GPU here; GPU_REHEARSAL=1 lets a CPU stand in")


@pytest.fixture
def gpu() -> torch.device:
    """The GPU, or the CPU that stands in."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@pytest.fixture
def only_gpu() -> torch.device:
    """The GPU, for what a CPU cannot stand in for."""
    if not torch.cuda.is_available():
        pytest.skip("only a GPU can do this")
    return torch.device("cuda")


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets what follows run on "cpu" or on "gpu"."""
    from accelerate.state import AcceleratorState

    def chosen(where: str) -> None:
        AcceleratorState._reset_state(reset_partial_state=True)
        monkeypatch.setenv("ACCELERATE_USE_CPU", "true" if where == "cpu" else "false")

    yield chosen
    AcceleratorState._reset_state(reset_partial_state=True)
