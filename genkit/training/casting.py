"""The precision of a run: autocast for forward passes, and the scaler that fp16 needs.

Weights stay fp32; the dtype of a region decides what is computed in less.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch

from genkit.errors import TrainingError
from genkit.training.estimate import Precision
from genkit.training.kernels import uncompiled


def check_precision(precision: str, device: torch.device) -> None:
    """Raise a `TrainingError` where a device doesn't have a precision."""
    if precision == "fp16" and device.type == "cpu":
        raise TrainingError(
            "trainer.precision: fp16 needs a GPU; set trainer.precision=bf16 or fp32"
        )


class Casting:
    """In which precision a run computes.

    Args:
        device: Where it computes.
    """

    def __init__(self, device: torch.device) -> None:
        self.precision: Precision = "fp32"
        self.compiled = False  # whether networks are computed by torch.compile
        self.scaler = torch.amp.GradScaler(device.type, enabled=False)
        self._device = device
        self._resumed: dict[str, Any] = {}  # the precision is chosen only when steps begin

    def use(self, precision: Precision) -> None:
        """Take the following steps in this precision; fp16 with a scaler, resumed if there is one.

        Raises:
            TrainingError: fp16 on a CPU.
        """
        check_precision(precision, self._device)
        self.precision = precision
        self.scaler = torch.amp.GradScaler(self._device.type, enabled=precision == "fp16")
        if self._resumed and self.scaler.is_enabled():
            self.scaler.load_state_dict(self._resumed)

    def resume(self, precision: Precision, scaler: dict[str, Any]) -> None:
        """Go on in the precision and with the scaler of a checkpoint."""
        self.precision, self._resumed = precision, scaler

    def autocast(self) -> AbstractContextManager[Any]:
        """The run's precision, for forward passes."""
        dtype = torch.float16 if self.precision == "fp16" else torch.bfloat16
        return torch.autocast(self._device.type, dtype, enabled=self.precision != "fp32")

    @contextmanager
    def full(self) -> Iterator[None]:
        """fp32 and nothing compiled inside an autocast region, for gradient penalties."""
        with torch.autocast(self._device.type, enabled=False), uncompiled(self.compiled):
            yield
