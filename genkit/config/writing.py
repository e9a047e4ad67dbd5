"""A config becomes plain values or YAML again, and two of them are compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from genkit.config.comments import comments_of
from genkit.config.sections import Section

COMMENT_COLUMN = 30  # of what `to_yaml` writes
END_OF_SCALAR = "...\n"  # YAML's, after a lone value


def to_tree(config: Section) -> dict[str, Any]:
    """Every resolved value as plain dicts, lists and scalars; `validate` reads it back."""
    return config.model_dump(mode="json")


def to_yaml(config: Section) -> str:
    """Every resolved value as YAML, with what its setting's comment says."""
    return "\n".join(_lines(config, to_tree(config))) + "\n"


def _lines(section: Section, tree: Mapping[str, Any]) -> Iterator[str]:
    comments = comments_of(type(section))
    for name, value in tree.items():
        inner = getattr(section, name)
        if isinstance(inner, Section) and value:
            yield f"{name}:"
            yield from (f"  {line}" for line in _lines(inner, value))
            continue
        text = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
        line = f"{name}: {text.removesuffix(END_OF_SCALAR).rstrip()}"
        yield f"{line:<{COMMENT_COLUMN}}  # {comments[name]}" if name in comments else line


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dicts as {"a.b": value}."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Settings that differ between two trees: {"a.b": (old, new)}."""
    a, b = flatten(old), flatten(new)
    return {k: (a.get(k), b.get(k)) for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)}
