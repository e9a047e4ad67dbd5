"""What diffusion on pixels and on latents share in training: levels, hidden conditions, the loss.

The mathematics is in `genkit/noise/`; here it meets the keyed draws of a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genkit.noise.levels import low_discrepancy
from genkit.rows.base import onto
from genkit.rows.batch import Batch

if TYPE_CHECKING:
    from genkit.noise.process import Network, NoiseProcess
    from genkit.training.trainer import Trainer


class Diffusion:
    """A noise process and the draws of a run.

    Args:
        trainer: The run.
        process: The way from image to noise, and what the network says of it.
        evenly: Whether the levels of a step are spread evenly over its batch.
    """

    def __init__(
        self, trainer: Trainer[Any], process: NoiseProcess, *, evenly: bool = False
    ) -> None:
        self.process = process
        self._trainer, self._evenly = trainer, evenly

    def loss(self, batch: Batch, x0: Tensor, network: Network) -> Tensor:
        """The process's loss on images or latents with this step's noise and levels: a scalar.

        Args:
            batch: The micro-batch, whose rows key the draws.
            x0: (B, C, H, W): images in [-1, 1], or latents.
            network: Called with noisy x0 (B, C, H, W) and times (B,), conditions included.
        """
        eps = self._trainer.noise("noise", batch, x0.shape[1:])
        return self.process.loss(network, x0, eps, self.levels(batch))

    def levels(self, batch: Batch) -> Tensor:
        """(B,) in [0, 1): chooses each row's noise level."""
        trainer, position = self._trainer, batch["position"]
        if not self._evenly:
            return trainer.noise("level", batch, (), kind="uniform")
        one_for_all = batch | {"position": torch.zeros_like(position)}
        first = trainer.noise("level", one_for_all, (), kind="uniform")
        return low_discrepancy(first, onto(trainer.device, position), trainer.global_batch)

    def hidden(self, batch: Batch, share: float) -> Tensor:
        """(B,) bool: the rows whose condition the network is not told, each by a draw of its own.

        Args:
            batch: The micro-batch, whose rows key the draws.
            share: The probability of a row to be hidden, in [0, 1].
        """
        return self._trainer.noise("label-drop", batch, (), kind="uniform") < share
