"""What holds for every test: a cache that is not the user's, and no waiting for disks."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER")  # None with one process
if WORKER is not None:  # before torch counts the cores: the workers share them
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _a_cache_of_the_tests_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One for all workers: what is drawn once is written whole, then read."""
    base: Path = tmp_path_factory.getbasetemp()
    cache = (base.parent if WORKER else base) / "genkit-cache"
    cache.mkdir(exist_ok=True)
    os.environ["GENKIT_CACHE"] = str(cache)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test outlives the system, and what is written can be read before it is on the disk."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(autouse=True)
def _nobody_has_set_up_logging() -> None:
    """The command line, run within another test, leaves its handler behind."""
    logger = logging.getLogger("genkit")
    logger.handlers, logger.propagate = [], True
    logger.setLevel(logging.NOTSET)


@pytest.fixture(scope="session", autouse=True)
def _what_is_imported_stays() -> Iterator[None]:
    """Collections, and every trainer makes one, pass over the modules that are there already."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
