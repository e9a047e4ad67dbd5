"""What a run has learnt, as plain dictionaries: into a checkpoint and back, and from an export."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from genkit.errors import CheckpointError
from genkit.training.ema import EMA

Networks = Mapping[str, nn.Module]
Optimizers = Mapping[str, torch.optim.Optimizer]


def collect(
    networks: Networks, optimizers: Optimizers, ema: EMA | None, scaler: torch.amp.GradScaler
) -> dict[str, Any]:
    """Everything that the next step depends on besides the config and the step itself."""
    return {
        "networks": {name: network.state_dict() for name, network in networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in optimizers.items()},
        "ema": {name: net.state_dict() for name, net in ema.networks.items()} if ema else {},
        "scaler": scaler.state_dict(),
    }


def restore(
    state: Mapping[str, Any], networks: Networks, optimizers: Optimizers, ema: EMA | None
) -> None:
    """Put back what `collect` gave; the scaler is the caller's."""
    for name, network in networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimizer in optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    for name, average in ema.networks.items() if ema else ():
        average.load_state_dict(state["ema"][name])


def not_finite(networks: Networks) -> str | None:
    """The first network that holds a weight which is infinite or no number."""
    for name, network in networks.items():
        norms = torch._foreach_norm([p.detach() for p in network.parameters()])
        if not bool(torch.stack(norms).isfinite().all()):
            return name
    return None


def take_weights(pipeline: Any, networks: Networks, ema: EMA | None) -> None:
    """Start networks and averages from a pipeline's components of the same names.

    Raises:
        CheckpointError: There are none, or their shapes differ.
    """
    found = [name for name in networks if hasattr(pipeline, name)]
    if not found:
        raise CheckpointError(f"--init: the export has none of the networks {', '.join(networks)}")
    for name in found:
        weights = getattr(pipeline, name).state_dict()
        try:
            networks[name].load_state_dict(weights)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:300]
            raise CheckpointError(
                f"--init: {name} does not fit this config ({reason}); "
                "give data and model the sizes of the export"
            ) from None
        if ema is not None and name in ema.networks:
            ema.networks[name].load_state_dict(weights)
