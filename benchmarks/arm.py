"""Run one arm in this process and print what it measured as one line of JSON.

python -m benchmarks.arm step.plain '{"size": 32}'
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

import torch

from genkit.machine import has_fast_bf16


def run(function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What the arm `module.name` of this package measured, and what it had for it."""
    module, _, name = function.rpartition(".")
    arm = getattr(importlib.import_module(f"benchmarks.{module}"), name)
    measured = arm(**arguments)
    device = torch.device(measured.get("device", "cpu"))
    about = {"threads": torch.get_num_threads(), "bf16_in_hardware": has_fast_bf16(device)}
    return {**measured, **about}


if __name__ == "__main__":
    print(json.dumps(run(sys.argv[1], json.loads(sys.argv[2]))))
