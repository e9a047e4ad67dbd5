"""Accelerate as every trainer uses it: devices, wrapping and trackers, but not its autocast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from genkit import launch
from genkit.errors import TrainingError

if TYPE_CHECKING:
    from accelerate import Accelerator


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
    return accelerator
