"""The files of an export: JSON and safetensors, whole, and nothing that asks for code."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from genkit.errors import PipelineError, shown

INDEX = "model_index.json"
# What makes diffusers or transformers import code that lies beside the weights or on the Hub.
_CODE = frozenset({"auto_map", "custom_pipelines", "trust_remote_code"})
_KERNEL = "attn_implementation"  # by the name of a repository: code from the Hub


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of an export."""
    _refuse_without_right(path)
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PipelineError(
            f"{path}: can't be read ({one_line(error)}); export again, or download it again"
        ) from None
    if not isinstance(tree, dict):
        raise PipelineError(f"{path}: expected a JSON object; export again, or download it again")
    return tree


def is_pair(entry: Any) -> bool:
    """["module", "Class"]."""
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(x, str) for x in entry)


def component_names(folder: Path) -> set[str]:
    """The folders of an export that hold its components; if its index is damaged, a guess."""
    try:
        named = {name for name, entry in read_json(folder / INDEX).items() if is_pair(entry)}
    except PipelineError:
        named = {path.parent.name for path in folder.glob("*/*config.json")}
    return {name for name in named if (folder / name).is_dir() and "/" not in name}


def check_files(part: Path, *, needs_weights: bool) -> None:
    """Raise unless every file of a component that will be read is there, whole and only data."""
    if not part.is_dir():
        raise PipelineError(f"{part}: missing; export again, or download it again")
    for path in sorted(part.glob("*.json")):
        tree = read_json(path)
        _refuse_code(path, tree)
        if path.name.endswith(".index.json"):
            _check_shards(path, tree)
    weights = sorted(part.glob("*.safetensors"))
    if needs_weights and not weights:
        raise PipelineError(
            f"{part}: no .safetensors file in it; export again (others aren't read)"
        )
    for path in weights:
        _check_weights(path)


def check_complete(part: Path, info: Mapping[str, Any]) -> None:
    """Diffusers fills what the file lacks with random weights and goes on; that is no model."""
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if info.get(problem):
            names = ", ".join(sorted(map(str, info[problem]))[:3])
            raise PipelineError(
                f"{part}: weights don't fit config.json ({problem.replace('_', ' ')}: "
                f"{shown(names)}); the files are of different models: export again"
            )


@contextmanager
def without_bars() -> Iterator[None]:
    """Without the bars that transformers draws while it loads and saves."""
    from transformers.utils import logging

    theirs: Any = logging

    shown = theirs.is_progress_bar_enabled()
    theirs.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            theirs.enable_progress_bar()


def one_line(error: BaseException) -> str:
    """What another library says, fit for the middle of our message."""
    return shown(" ".join(str(error).split())[:200]) or type(error).__name__


def _refuse_code(path: Path, tree: Mapping[str, Any]) -> None:
    for key, value in _entries(tree):
        named = key.endswith(_KERNEL) and "/" in str(value)
        if key in _CODE or named:
            raise PipelineError(
                f"{path}: asks for code of its own ({shown(key, 60)}), and an export is data only; "
                f"none of it was run. Take out {shown(key, 60)}, or use another export"
            )


def _entries(tree: Any) -> Iterator[tuple[str, Any]]:
    """Keys and values at any depth."""
    todo = [tree]
    while todo:
        part = todo.pop()
        if isinstance(part, dict):
            yield from part.items()
            todo += part.values()
        elif isinstance(part, list):
            todo += part


def _check_shards(path: Path, tree: Mapping[str, Any]) -> None:
    """Weights in several files are named by another file, which may name anything."""
    named = tree.get("weight_map")
    for name in set(map(str, named.values())) if isinstance(named, dict) else ():
        if not name.endswith(".safetensors") or Path(name).name != name:
            raise PipelineError(
                f"{path}: names {shown(name, 60)} for weights, and .safetensors files beside it "
                "are read only; export again"
            )


def _refuse_without_right(path: Path) -> None:
    try:
        path.open("rb").close()
    except PermissionError:
        raise PipelineError(
            f"{path}: you have no right to read it; its owner can give it: chmod a+r {path}"
        ) from None
    except OSError:
        pass  # said by what reads it


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    _refuse_without_right(path)  # of which safetensors says "no such file"
    try:
        with safe_open(path, framework="pt"):
            pass  # opening compares the header with the length of the file
    except (SafetensorError, OSError) as error:
        raise PipelineError(
            f"{path}: cut short or corrupt ({one_line(error)}); export again, or download it again"
        ) from None
