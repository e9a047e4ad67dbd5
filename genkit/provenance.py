"""Where a run comes from: code, packages, machine, data, command. Written beside its results."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = (
    "genkit", "torch", "torchvision", "diffusers", "accelerate", "safetensors", "numpy", "pillow"
)  # fmt: skip


def provenance() -> dict[str, Any]:
    """What identifies this code on this machine at this moment."""
    commit = _git("rev-parse", "HEAD")
    return {
        "genkit": _version("genkit"),
        "commit": commit,
        "dirty": bool(_git("status", "--porcelain")) if commit else None,
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
        "started": now(),
        "finished": None,
        "packages": {name: _version(name) for name in PACKAGES}
        | {"python": platform.python_version()},
        "hardware": hardware(),
    }


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and accelerators."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": round(memory / 2**30, 1),
        "devices": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Git's answer about the checkout that holds this file; None outside one."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
