"""What works on this machine, what doesn't, and what to do about it.

Every check is a small function that gives one `Check`; `CHECKS` lists them in the order shown.
"""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

import torch
from packaging.requirements import Requirement

from genkit.errors import GenkitError
from genkit.files import cache_folder
from genkit.machine import free_memory, has_fast_bf16, is_installed
from genkit.nn.pretrained import digits, inception
from genkit.nn.pretrained.weights import sha256_of

Status = Literal["ok", "warn", "fail"]

_GIB = 2**30
_LOW_MEMORY, _LOW_DISK = 2 * _GIB, 5 * _GIB


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        status: "ok"; "warn" if something optional won't work; "fail" if genkit can't be used.
        detail: What was found.
        advice: What this means and what to do; empty if nothing.
    """

    name: str
    status: Status
    detail: str
    advice: str = ""


def examine() -> list[Check]:
    """All checks of this machine. Nothing is downloaded and nothing stays written."""
    return [check() for check in CHECKS]


# -- software --------------------------------------------------------------------------------------


def python() -> Check:
    """The Python version and the system; pip refuses versions that are too old."""
    return Check("python", "ok", f"{platform.python_version()} on {platform.system()}")


def packages() -> Check:
    """Required packages: present, new enough, and the versions that were tested."""
    needed = [Requirement(text) for text in requires("genkit") or ()]
    needed = [r for r in needed if r.marker is None or r.marker.evaluate()]
    wrong = [_unmet(r) for r in needed]
    if problems := [text for text in wrong if text]:
        advice = "run `pip install -c constraints.txt -e .` in the checkout"
        return Check("packages", "fail", "; ".join(problems), advice)
    tested = _constraints()
    others = [
        f"{r.name} {version(r.name)} (tested: {tested[r.name.lower()]})"
        for r in needed
        if tested.get(r.name.lower(), version(r.name)) != version(r.name)
    ]
    if others:
        advice = "usually fine; `pip install -c constraints.txt -e .` gives the tested ones"
        return Check("packages", "warn", "; ".join(others), advice)
    return Check("packages", "ok", f"{len(needed)} packages, torch {torch.__version__}")


def _unmet(needed: Requirement) -> str:
    try:
        found = version(needed.name)
    except PackageNotFoundError:
        return f"{needed.name} is missing"
    fits = needed.specifier.contains(found, prereleases=True)
    return "" if fits else f"{needed.name} {found}, needs {needed.specifier}"


def _constraints() -> dict[str, str]:
    """The tested versions by lower-case name; empty where genkit runs outside its checkout."""
    file = Path(__file__).parent.parent / "constraints.txt"
    if not file.is_file():
        return {}
    lines = (line.partition("==") for line in file.read_text().splitlines() if "==" in line)
    return {name.strip().lower(): number.strip() for name, _, number in lines}


def extras() -> Check:
    """Packages that only some settings need."""
    missing = [name for name in ("tensorboard", "wandb") if not is_installed(name)]
    if not missing:
        return Check("extras", "ok", "tensorboard, wandb")
    advice = "only for trainer.trackers: " + ", ".join(f"pip install {n}" for n in missing)
    return Check("extras", "ok", f"without {' and '.join(missing)}", advice)


# -- hardware --------------------------------------------------------------------------------------


def devices() -> Check:
    """What training runs on."""
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        advice = (
            "`accelerate launch train/run.py CONFIG` uses all of them" if len(names) > 1 else ""
        )
        return Check("devices", "ok", ", ".join(names), advice)
    if torch.backends.mps.is_available():
        return Check("devices", "ok", "Apple GPU (mps)")
    advice = "small models (28 to 32 px) train in minutes; larger ones want a GPU"
    return Check("devices", "ok", "CPU only", advice)


def precision() -> Check:
    """Number formats in the hardware; what `trainer.precision: auto` may choose from."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if has_fast_bf16(device):
        return Check("precision", "ok", f"fp32 and bf16 in the {device.type}")
    if device.type == "cuda":
        return Check("precision", "ok", "fp32 and fp16", "this GPU has no bf16: use fp16")
    return Check(
        "precision", "ok", "fp32", "this CPU has no bf16 unit: bf16 would run, but not faster"
    )


def cores() -> Check:
    """Processor cores that may be used, and torch's threads."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads, found = torch.get_num_threads(), usable or 1
    detail = f"{found} cores, {threads} threads"
    if threads > found:
        return Check("cores", "warn", detail, f"more threads than cores: OMP_NUM_THREADS={found}")
    return Check("cores", "ok", detail)


def memory() -> Check:
    """Free memory."""
    free = free_memory(torch.device("cpu"))
    if free is None:
        return Check("memory", "ok", "unknown on this system")
    low = free < _LOW_MEMORY
    advice = "close other programs, or use a smaller data.batch_size" if low else ""
    return Check("memory", "warn" if low else "ok", f"{free / _GIB:.1f} GiB free", advice)


# -- files -----------------------------------------------------------------------------------------


def folders() -> Check:
    """Whether runs and caches can be written."""
    wanted = {"runs": Path.cwd() / "runs", "cache": cache_folder()}
    closed = [f"{name} ({path})" for name, path in wanted.items() if not _is_writable(path)]
    if closed:
        advice = "use --out for runs, and GENKIT_CACHE=FOLDER for the cache"
        return Check("folders", "warn", f"can't be written: {', '.join(closed)}", advice)
    return Check("folders", "ok", f"writable: {', '.join(map(str, wanted.values()))}")


def _is_writable(path: Path) -> bool:
    """Whether a file can be made there, or in the nearest folder above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    try:
        with tempfile.TemporaryFile(dir=path):
            return True
    except OSError:
        return False


def disk() -> Check:
    """Free space where runs go."""
    free = shutil.disk_usage(Path.cwd()).free
    low = free < _LOW_DISK
    advice = "checkpoints may not fit: lower trainer.keep_last, or free some space" if low else ""
    return Check("disk", "warn" if low else "ok", f"{free / _GIB:.1f} GiB free here", advice)


def datasets() -> Check:
    """Data sets in the user's cache."""
    cache = cache_folder()
    found = {name: _count(cache / name) for name in ("glyphs", "mnist", "cifar10")}
    here = [f"{name} ({n} file{'s' * (n > 1)})" for name, n in found.items() if n]
    absent = [name for name in ("mnist", "cifar10") if not found[name]]
    advice = f"{' and '.join(absent)}: downloaded at first use, or set data.root" if absent else ""
    detail = ", ".join(here) or "none yet; glyphs are drawn at first use"
    return Check("data sets", "ok", detail, advice)


def _count(folder: Path) -> int:
    return sum(path.is_file() for path in folder.iterdir()) if folder.is_dir() else 0


def digits_weights() -> Check:
    """The classifier behind `fd-digits`, recall and accuracy, which ships with genkit."""
    try:
        digits.load()
    except (GenkitError, OSError) as error:
        return Check(
            "digits weights", "fail", str(error), "reinstall genkit: the file ships with it"
        )
    return Check("digits weights", "ok", "present: fd-digits, recall and accuracy work offline")


def inception_weights() -> Check:
    """The network behind `fid`."""
    path, published = inception.PUBLISHED.path, inception.PUBLISHED
    if not path.is_file():
        advice = f"fid fetches it once; offline, put it there yourself: {published.urls[0]}"
        return Check("inception weights", "warn", f"not at {path}", advice)
    if sha256_of(path) != published.sha256:
        advice = "delete it; it is fetched anew when fid is asked for"
        return Check("inception weights", "warn", f"{path} is another file", advice)
    return Check("inception weights", "ok", "present: fid works offline")


CHECKS: tuple[Callable[[], Check], ...] = (
    python,
    packages,
    extras,
    devices,
    precision,
    cores,
    memory,
    disk,
    folders,
    datasets,
    digits_weights,
    inception_weights,
)
