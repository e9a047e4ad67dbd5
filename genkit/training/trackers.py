"""Where a run's numbers go: `metrics.jsonl` always, TensorBoard or W&B if asked."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genkit.errors import ConfigError, shown
from genkit.files import write_whole
from genkit.machine import is_installed
from genkit.training.checkpoints import explained

if TYPE_CHECKING:
    from accelerate import Accelerator


log = logging.getLogger("genkit")


class MetricsFile:
    """`metrics.jsonl`: one JSON object per line, each with its `step`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one line."""
        with explained(f"metrics {self.path}"), self.path.open("a") as file:
            file.write(json.dumps(dict(row)) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """What was logged so far."""
        return read_rows(self.path) if self.path.exists() else []

    def rewind(self, step: int) -> None:
        """Drop what was logged after `step`, and a line that a kill cut short."""
        if self.path.exists():
            rows = [row for row in self.rows() if row["step"] <= step]
            with explained(f"metrics {self.path}"):
                write_whole(self.path, "".join(json.dumps(row) + "\n" for row in rows))


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics file. Lines that are none are passed over, and that is said.

    The last line may have been cut short by a kill: nothing is said of that.
    """
    rows, bad = [], []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        row = _row(line)
        if row is not None:
            rows.append(row)
        elif line and number < len(lines):
            bad.append(number)
    if bad:
        few = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        log.warning("%s: %d lines are no rows and are left out: %s", shown(path), len(bad), few)
    return rows


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(row, dict) and isinstance(row.get("step"), int)
    return row if known else None


def check_trackers(names: Sequence[str]) -> None:
    """Raise a `ConfigError` where one of them is not installed."""
    for name in names:
        if not is_installed(name):
            raise ConfigError(
                f"trainer.trackers: {name} is not installed; pip install 'genkit[{name}]'"
            )


def start_trackers(
    accelerator: Accelerator, names: Sequence[str], config: Mapping[str, Any], *, step: int
) -> None:
    """Open the trackers that the config names, on the main process.

    Args:
        accelerator: Of the run.
        names: TensorBoard or W&B, which `check_trackers` has found.
        config: Of the run, flat.
        step: After which the run goes on: what TensorBoard was told of later ones it forgets.
    """
    if names:
        from accelerate.tracking import filter_trackers

        accelerator.log_with = filter_trackers(list(names), accelerator.logging_dir)
        scalars = {k: v for k, v in config.items() if isinstance(v, bool | int | float | str)}
        forget = {"tensorboard": {"purge_step": step + 1}} if step else {}
        accelerator.init_trackers("genkit", config=scalars, init_kwargs=forget)


class Window:
    """Metrics since the last log step, summed on the device so that no step waits for it."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._first_bad: dict[str, Tensor] = {}
        self._count = 0

    def add(self, metrics: Mapping[str, Tensor], step: int) -> None:
        """Take in the scalars of one step."""
        self._count += 1
        for name, value in metrics.items():
            value = value.detach().to(
                torch.float64 if value.device.type == "cpu" else torch.float32
            )
            if name not in self._sums:
                self._sums[name] = torch.zeros_like(value)
                self._first_bad[name] = torch.full_like(value, math.inf)
            self._sums[name] += value
            bad = torch.where(torch.isfinite(value), math.inf, float(step))
            self._first_bad[name] = torch.minimum(self._first_bad[name], bad)

    def close(self, accelerator: Accelerator) -> tuple[dict[str, float], dict[str, int]]:
        """Means over the window and all processes, and for non-finite ones the step it began."""
        names = sorted(self._sums)
        if not names:
            return {}, {}
        rows = [self._sums[n] / self._count for n in names] + [self._first_bad[n] for n in names]
        table = accelerator.gather(torch.stack(rows)[None]).cpu()  # (processes, 2 * names)
        means = table[:, : len(names)].mean(0).tolist()
        first = table[:, len(names) :].amin(0).tolist()
        self.__init__()  # type: ignore[misc]
        bad = {n: int(step) for n, step in zip(names, first, strict=True) if math.isfinite(step)}
        return dict(zip(names, means, strict=True)), bad
