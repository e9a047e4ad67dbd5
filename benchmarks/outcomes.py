"""What is compared of two runs, exports or sets of samples: nothing of the time of their making."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genkit.training import checkpoints

Result = dict[str, Any]
TIMES = re.compile(r"second|started|finished|images_per_s|loader/wait|created|hardware|command")


def state_of(run: Path) -> str:
    """A hash of every tensor and number of the newest checkpoint."""
    root = run / "checkpoints"
    state, _ = checkpoints.load(root, checkpoints.steps(root)[-1])
    digest = hashlib.sha256()
    for name, value in sorted(flat(state)):
        content = value.numpy().tobytes() if isinstance(value, torch.Tensor) else repr(value)
        digest.update(name.encode())
        digest.update(content if isinstance(content, bytes) else content.encode())
    return digest.hexdigest()


def flat(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested dictionaries and lists by their dotted names."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from flat(value, f"{name}.{key}")
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield from flat(value, f"{name}.{i}")
    else:
        yield name, tree


def training(out: Path) -> Result:
    """State, export and logged numbers of a finished run; of another one nothing."""
    if not (out / "export").is_dir():
        return {}
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return {"state": state_of(out), "rows": timeless(rows)} | weights(out / "export")


def weights(folder: Path) -> Result:
    """Hashes of the weights and settings of an export."""
    found = [*folder.rglob("*.safetensors"), *folder.rglob("*.json")]
    return {str(path.relative_to(folder)): sha(path.read_bytes()) for path in found}


def files(out: Path) -> Result:
    """Hashes of pictures, weights, arrays: what is not about the time and place of its making."""
    kinds = {".png", ".safetensors", ".npy", ".npz", ".pt"}
    found = [p for p in out.rglob("*") if p.suffix in kinds and not p.name.startswith(".")]
    return {str(path.relative_to(out)): sha(path.read_bytes()) for path in found}


def arrays(out: Path) -> Result:
    """Hashes of the arrays of an npz."""
    file = out.with_name(f"{out.name}.npz")
    if not file.exists():
        return {}
    with np.load(file) as found:
        return {name: sha(found[name].tobytes()) for name in found.files if name != "provenance"}


def members(out: Path) -> Result:
    """Hashes of the members of a tar."""
    file = out.with_name(f"{out.name}.tar")
    if not file.exists():
        return {}
    with tarfile.open(file) as archive:
        read = {m.name: archive.extractfile(m) for m in archive}
        return {name: sha(stream.read()) for name, stream in read.items() if stream is not None}


def evaluation(out: Path) -> Result:
    """The numbers of an evaluation."""
    file = out.with_name(f"{out.name}.json")
    return {"found": timeless(json.loads(file.read_text()))} if file.exists() else {}


def timeless(tree: Any) -> Any:
    """The same without what no two runs share."""
    if isinstance(tree, dict):
        return {k: timeless(v) for k, v in tree.items() if not TIMES.search(k)}
    return [timeless(value) for value in tree] if isinstance(tree, list) else tree


def sha(content: bytes) -> str:
    """SHA-256."""
    return hashlib.sha256(content).hexdigest()
