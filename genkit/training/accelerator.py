"""Accelerate as every trainer uses it: devices, wrapping and trackers, but not its autocast."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from genkit import launch
from genkit.errors import TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger("genkit")


def make_accelerator(run_dir: Path) -> Accelerator:
    """The accelerator of a run.

    Raises:
        TrainingError: Other than the launched number of processes take part.
    """
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    # Buffers are shared when they are needed (`Learnt.share_buffers`), not at each forward pass,
    # where it would overwrite batch-norm statistics between the critic's two passes.
    wrapping = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
    accelerator = Accelerator(
        mixed_precision="no",  # autocast is ours: penalties leave it, see `Casting.full`
        kwargs_handlers=[wrapping],
        project_dir=run_dir,
    )
    expected = launch.ranks().world
    if accelerator.num_processes != expected:
        raise TrainingError(
            f"{expected} processes were launched but {accelerator.num_processes} take part; "
            "on CPUs start with `genkit train CONFIG --processes N`"
        )
    if launch.on_cpu() and launch.asked_precision() and not launch.ranks().is_launched:
        log.info(
            "one process: `accelerate launch` starts no more on CPUs, whatever it was asked for; "
            "several are started by `genkit train CONFIG --processes N`"
        )
    return accelerator


def wrapped(accelerator: Accelerator, network: nn.Module) -> nn.Module:
    """The network as several processes train it; itself where there is one."""
    with warnings.catch_warnings():
        # torch 2.13's word for it, `forward_sync_buffers`, is none that Accelerate passes on.
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        return accelerator.prepare_model(network)


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let torch choose kernels that give the same bits each time; afterwards it is as it was."""
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once, by the first product
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
