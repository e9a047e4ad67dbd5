"""What a run will cost, found by rehearsing one step on a few rows before the first real one."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from genkit.machine import free_memory, has_fast_bf16, warn_of_emulation
from genkit.rows.batch import Batch
from genkit.training.progress import duration

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer

log = logging.getLogger("genkit")

Precision = Literal["fp32", "bf16", "fp16"]

# Below this, casting costs more than bf16 arithmetic saves (measured: 0.93x at 10 GFLOP a step,
# 1.5x at 27, on two CPU cores). A GPU is left idle by such steps either way.
WORTH_CASTING = 20e9
REHEARSED_ROWS = 8


@dataclass(frozen=True)
class Estimate:
    """The cost of one optimizer step on one process.

    Attributes:
        flops: Floating-point operations, forward and backward.
        seconds: Wall time in the precision of the rehearsal.
        activation_bytes: What autograd keeps of one micro-batch.
        state_bytes: Weights, gradients, optimizer state and averages.
    """

    flops: float
    seconds: float
    activation_bytes: float
    state_bytes: int

    @property
    def memory_bytes(self) -> float:
        """Peak of the training process, the data set left out."""
        return self.activation_bytes + self.state_bytes


def rehearse(trainer: Trainer[Any], micro_batches: list[Batch]) -> Estimate:
    """The cost of a step: counted on a few rows and scaled up, timed on a whole one."""
    size = len(micro_batches[0]["index"])
    rows = min(size, REHEARSED_ROWS)
    few = [{name: value[:rows] for name, value in batch.items()} for batch in micro_batches]
    saved = _Saved({p.data_ptr() for n in trainer.bare_networks.values() for p in n.parameters()})
    hooks = torch.autograd.graph.saved_tensors_hooks(saved.pack, saved.unpack)
    with trainer.rehearsal(), _Flops() as counter, hooks:  # type: ignore[no-untyped-call]
        trainer.step(few)
    _seconds(trainer, micro_batches)  # the first whole step also prepares kernels
    return Estimate(
        flops=counter.total * size / rows,
        seconds=_seconds(trainer, micro_batches),
        activation_bytes=saved.bytes * size / rows / len(micro_batches),
        state_bytes=_state_bytes(trainer),
    )


def _seconds(trainer: Trainer[Any], micro_batches: list[Batch]) -> float:
    with trainer.rehearsal():
        begun = time.perf_counter()
        trainer.step(micro_batches)
        if trainer.device.type == "cuda":
            torch.cuda.synchronize(trainer.device)
        return time.perf_counter() - begun


class _Flops(TorchDispatchMode):
    """Adds up the operations of every call that torch has a formula for.

    torch's own FlopCounterMode also tracks modules, by hooks that a gradient penalty trips over.
    """

    total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        from torch.utils.flop_counter import flop_registry  # which imports Triton

        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.total += formula(*args, **(kwargs or {}), out_val=result)
        return result


class _Saved:
    """Counts the bytes that autograd keeps for the backward pass, each storage once."""

    def __init__(self, ignored: set[int]) -> None:
        self._seen = ignored
        self.bytes = 0

    def pack(self, tensor: Tensor) -> Tensor:
        pointer = tensor.untyped_storage().data_ptr()
        if pointer not in self._seen:
            self._seen.add(pointer)
            self.bytes += tensor.untyped_storage().nbytes()
        return tensor

    def unpack(self, tensor: Tensor) -> Tensor:
        return tensor


def _state_bytes(trainer: Trainer[Any]) -> int:
    """Weights once; of trained ones also gradient and two moments; averages, memory."""
    networks, trained = trainer.bare_networks, trainer.learnt.trained
    weights = [parameter for network in networks.values() for parameter in network.parameters()]
    weights += 3 * [parameter for parameters in trained.values() for parameter in parameters]
    averages = trainer.ema.networks.values() if trainer.ema else ()
    tensors = [*weights, *(p for n in averages for p in n.parameters()), *trainer.memory.values()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def choose_precision(
    asked: str, launcher: str | None, device: torch.device, flops: float
) -> Precision:
    """What `auto` means here: the launcher's word, else bf16 where it is fast and worth it."""
    if asked != "auto":
        return asked  # type: ignore[return-value]
    if launcher in ("bf16", "fp16"):
        return launcher  # type: ignore[return-value]
    worth = device.type != "cpu" or flops >= WORTH_CASTING
    return "bf16" if worth and has_fast_bf16(device) else "fp32"


def amount(number: float, unit: str) -> str:
    """A large number in words: "3.2 GB", "12 MB"."""
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= size:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number / 1e3:.3g} k{unit}"


def announce(estimate: Estimate, steps: int, device: torch.device, precision: Precision) -> None:
    """Say what the run will take, and what to do if memory or arithmetic will not do for it."""
    log.info(
        "about %s and %.2f s a step, %s for %d steps; about %s of memory",
        *(amount(estimate.flops, "FLOP"), estimate.seconds, duration(estimate.seconds * steps)),
        *(steps, amount(estimate.memory_bytes, "B")),
    )
    free = free_memory(device)
    if free is not None and estimate.memory_bytes > 0.9 * free:
        log.warning("only %.1f GB are free: %s", free / 1e9, LESS_MEMORY)
    if precision == "bf16":
        warn_of_emulation("precision bf16", device, "start a run with trainer.precision=fp32")


LESS_MEMORY = (
    "halve data.batch_size and double trainer.grad_accumulation (the same optimizer step), "
    "or choose a smaller model or data.image_size"
)
