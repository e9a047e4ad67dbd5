"""How networks are computed: the layout of their weights in memory, and compiled kernels.

Both change a run's numbers by rounding only. Which of them gains depends on the machine:
`benchmarks/gpu.sh` measures all four combinations.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal

import torch
from torch import nn

from genkit.nn.spectral import is_spectral

log = logging.getLogger("genkit")


def place(
    networks: Mapping[str, nn.Module],
    device: torch.device,
    asked: Literal["auto", "contiguous", "channels_last"],
    *,
    usual: bool,
) -> None:
    """Move networks to a device, their convolutions' weights laid out as asked.

    Images need not be: a convolution whose weights are channels last answers so.

    Args:
        networks: By name, changed in place.
        device: Where they are to be.
        asked: "auto" = as the family is computed fastest on CPUs.
        usual: Whether that is channels last.
    """
    last = usual if asked == "auto" else asked == "channels_last"
    layout = torch.channels_last if last else torch.preserve_format
    for network in networks.values():
        # Not `network.to`: diffusers' imports peft and transformers for it, seconds of a start.
        nn.Module.to(network, device=device, memory_format=layout)  # type: ignore[call-overload]


def compile_networks(networks: Mapping[str, nn.Module]) -> None:
    """Let `torch.compile` compute networks from now on, in place: the modules stay the same.

    Copies of them, such as averages and what previews are drawn with, are computed as before. So
    are networks with spectral norm: compiled, their second pass would overwrite what the gradient
    of the first one needs.
    """
    spectral = [name for name, network in networks.items() if is_spectral(network)]
    chosen = [name for name in networks if name not in spectral]
    for name in chosen:
        networks[name].compile()
    if chosen:
        slow = "the first steps take longer, by up to some minutes"
        log.info("%s: compiled by torch.compile; %s", ", ".join(chosen), slow)
    if spectral:
        log.info("%s: not compiled, which spectral norm does not allow", ", ".join(spectral))


def uncompiled(compiled: bool) -> AbstractContextManager[Any]:
    """What is called in here is computed as without `torch.compile`.

    Compiled code can't be differentiated twice, as gradient penalties are.
    """
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
