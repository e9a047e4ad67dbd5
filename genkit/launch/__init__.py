"""Several processes that work as one: which of them this is, and a function that all of them run.

On GPUs and over several machines `accelerate launch train/run.py CONFIG` starts them. On one
machine `run_together` does, for `--processes N`: `accelerate launch --num_processes 2` starts one
process on a CPU without saying so, and torchrun turns a SIGTERM that its workers have answered with
a checkpoint and exit status 0 into a failure.
"""

from genkit.launch.ranks import (
    Ranks,
    asked_precision,
    in_group,
    leave,
    meet,
    on_cpu,
    own_device,
    ranks,
)
from genkit.launch.together import core_shares, refuse_within_launched, run_together

__all__ = [
    "Ranks",
    "asked_precision",
    "core_shares",
    "in_group",
    "leave",
    "meet",
    "on_cpu",
    "own_device",
    "ranks",
    "refuse_within_launched",
    "run_together",
]
