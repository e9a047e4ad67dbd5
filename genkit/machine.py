"""What this machine can do, and how its memory is held."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
import os
import platform
from pathlib import Path

import torch

log = logging.getLogger("genkit")

# glibc gives large blocks back to the system at every free; each training step then pays for
# fresh pages. Measured on two cores: 1.05-1.3 times faster with these thresholds, same bits.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP = 1 << 30
# What RuntimeErrors say: of the allocator, and of sizes beyond what a tensor can have.
_OUT_OF_MEMORY = ("DefaultCPUAllocator", "can't allocate memory", "calculation overflowed")


def is_installed(package: str) -> bool:
    """Whether a package can be imported: a mere folder of its name, such as W&B's logs, is none."""
    found = importlib.util.find_spec(package)
    return found is not None and found.origin is not None


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ended: torch says so in several ways."""
    if isinstance(error, MemoryError | OverflowError | torch.OutOfMemoryError):
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for reuse; True if it was set. GENKIT_MALLOPT=0 turns it off."""
    if os.environ.get("GENKIT_MALLOPT") == "0" or platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(
        libc.mallopt(_M_MMAP_THRESHOLD, _KEEP) and libc.mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
    )


def give_back_freed_memory() -> None:
    """Let glibc return what is free between blocks in use; elsewhere nothing happens."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


# What ONEDNN_MAX_CPU_ISA can hold a processor back to that has no bf16; oneDNN knows more words.
_WITHOUT_BF16 = frozenset(
    {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
)


def has_fast_bf16(device: torch.device) -> bool:
    """Whether bfloat16 arithmetic is in the hardware, not emulated."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    if device.type != "cpu" or os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() in _WITHOUT_BF16:
        return False
    flags = cpu_flags()
    return "avx512_bf16" in flags or "amx_bf16" in flags


@functools.cache
def warn_of_emulation(setting: str, device: torch.device, instead: str) -> None:
    """Say, once in a process, that bf16 was asked for where it is emulated: right, but slow.

    Args:
        setting: What asked for it.
        device: Where it is to be computed.
        instead: What to do.
    """
    if not has_fast_bf16(device):
        log.warning(
            "%s: this machine's %s has no bf16 arithmetic; it is emulated, slower than fp32; %s",
            *(setting, device.type, instead),
        )


def cpu_flags() -> frozenset[str]:
    """The processor's feature flags as Linux lists them; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def free_memory(device: torch.device) -> int | None:
    """Bytes that can still be taken on the device, or None where nobody says."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None
