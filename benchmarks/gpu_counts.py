"""What a step must do, what the card can do, and where a step's time goes.

Two numbers make a floor: the operations of convolutions, matrix products and attention over the
rate at which the card multiplies large matrices, and the bytes of everything else over its copy
bandwidth, if each operation reads its inputs and writes its outputs once, as PyTorch runs them.
Compiled code, which joins operations, may pass below the second.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.timing import now

# Kernels and operations that multiply matrices: cuBLAS, cuDNN, CUTLASS, attention, and torch's.
_MATRIX = re.compile(
    r"gemm|conv(?!ert)|cutlass|xmma|wgmma|nvjet|fmha|flash|scaled_dot_product|winograd|implicit_"
    r"|triton_(tem|mm)|\b(add|b|badd)?mm\b|dgrad|wgrad|fprop",
    re.IGNORECASE,
)
_LAYOUT = re.compile(r"nchw.?to.?nhwc|nhwc.?to.?nchw|transpose", re.IGNORECASE)


class Counts(TorchDispatchMode):
    """Adds up what every operation on one device does.

    Args:
        device: Work on others is not counted.
    """

    def __init__(self, device: torch.device) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops, self.bytes, self.operations = 0.0, 0.0, 0
        self._device = device.type

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        from torch.utils.flop_counter import flop_registry

        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=result)
            self.operations += 1
        else:
            moved = moved_bytes(func, args, kwargs or {}, result, self._device)
            self.bytes += moved
            self.operations += moved > 0
        return result


def moved_bytes(func: Any, args: Any, kwargs: Any, result: Any, device: str) -> int:
    """Bytes that an operation reads and writes, each tensor once; a view moves none."""
    inputs = _tensors((args, kwargs), device)
    storages = {tensor.untyped_storage().data_ptr() for tensor in inputs}
    made = [
        tensor
        for tensor in _tensors(result, device)
        if tensor.untyped_storage().data_ptr() not in storages
    ]
    changed: list[Tensor] = []
    for position, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            changed += _tensors(value, device)
    if not made and not changed:
        return 0
    return sum(_size(tensor) for tensor in (*inputs, *made, *changed))


def _tensors(tree: Any, device: str) -> list[Tensor]:
    leaves = tree_leaves(tree)
    return [leaf for leaf in leaves if isinstance(leaf, Tensor) and leaf.device.type == device]


def _size(tensor: Tensor) -> int:
    """Bytes of a tensor; those of an expanded one are few."""
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())


# -- where the time goes ---------------------------------------------------------------------------


@contextmanager
def profiled(device: torch.device, steps: int, found: dict[str, Any]) -> Iterator[None]:
    """Fills `found` with seconds of a step, by kind of work, of the steps taken inside.

    "matrix", "layout" (changes between both layouts), "other" (memory traffic), "idle" (the rest of
    the wall clock), and "top", the largest in order.
    """
    from torch.profiler import ProfilerActivity, profile

    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CUDA] if on_gpu else [ProfilerActivity.CPU]
    begun = now(device)
    with profile(activities=activities) as profiler:
        yield
        wall = now(device) - begun
    times: dict[str, float] = {}
    for event in profiler.key_averages():
        taken = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        times[event.key] = times.get(event.key, 0.0) + taken / 1e6 / steps
    kinds = dict.fromkeys(("matrix", "layout", "other"), 0.0)
    for name, seconds in times.items():
        kinds[kind_of(name)] += seconds
    largest = sorted(times.items(), key=lambda item: -item[1])[:12]
    found.update(kinds, idle=max(0.0, wall / steps - sum(kinds.values())), wall=wall / steps)
    found["top"] = [[name[:90], seconds] for name, seconds in largest]


def kind_of(name: str) -> str:
    """The kind of work of a kernel or operation of that name."""
    if _LAYOUT.search(name):
        return "layout"
    return "matrix" if _MATRIX.search(name) else "other"


# -- what the card can do --------------------------------------------------------------------------

# Dense bf16 operations a second by the vendor's data sheets.
PEAKS = {"H100": 989e12, "H200": 989e12, "A100": 312e12}


def ceilings(device: torch.device, *, side: int, megabytes: int) -> dict[str, Any]:
    """Matrix products and copies as fast as this card does them, the medians of some."""
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    source = torch.empty(megabytes << 20, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    product = _median(device, lambda: torch.mm(a, b))
    tf32 = _median(device, lambda: torch.mm(a.float(), b.float())) if side <= 1024 else None
    copy = _median(device, lambda: target.copy_(source))
    on_gpu = device.type == "cuda"
    name = torch.cuda.get_device_name(device) if on_gpu else "CPU"
    return {
        "card": name,
        "bf16_flops": 2 * side**3 / product,
        "small_fp32_seconds": tf32,
        "bytes_per_s": 2 * source.numel() / copy,
        "sheet_flops": next((peak for part, peak in PEAKS.items() if part in name), None),
        "memory_gb": torch.cuda.get_device_properties(device).total_memory / 1e9
        if on_gpu
        else None,
    }


def _median(device: torch.device, work: Any, repeats: int = 20) -> float:
    for _ in range(3):
        work()
    times = []
    for _ in range(repeats):
        begun = now(device)
        work()
        times.append(now(device) - begun)
        time.sleep(0)
    return sorted(times)[len(times) // 2]
