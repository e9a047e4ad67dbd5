"""A config becomes plain values or YAML again, and two of them are compared."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from pydantic.fields import FieldInfo

from genkit.config.comments import comments_of
from genkit.config.data import DataSection, kinds
from genkit.config.sections import ByKind, Section, sections_of, words_of

COMMENT_COLUMN = 30  # of what `to_yaml` writes
END_OF_SCALAR = "...\n"  # YAML's, after a lone value


def to_tree(config: Section) -> dict[str, Any]:
    """Every resolved value as plain dicts, lists and scalars; `validate` reads it back."""
    return config.model_dump(mode="json")


def to_yaml(config: Section) -> str:
    """Every resolved value as YAML, with what its setting's comment says."""
    return "\n".join(_lines(config, to_tree(config), {})) + "\n"


def _lines(
    section: Section, tree: Mapping[str, Any], kinds: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """The lines of a section; `kinds` has the words of those of its fields that tell its kind."""
    comments = comments_of(type(section))
    for name, value in tree.items():
        inner, field = getattr(section, name), type(section).model_fields[name]
        if isinstance(inner, Section) and value:
            yield f"{name}:"
            yield from (f"  {line}" for line in _lines(inner, value, _kinds(inner, field)))
            continue
        said = [comments[name]] if name in comments else []
        words = kinds.get(name) or words_of(field.annotation)
        said += [f"({', '.join(words)})"] if len(words) > 1 else []
        text = yaml.safe_dump(value, default_flow_style=True, width=math.inf)
        line = f"{name}: {text.removesuffix(END_OF_SCALAR).rstrip()}"
        yield f"{line:<{COMMENT_COLUMN}}  # {' '.join(said)}" if said else line


def _kinds(section: Section, field: FieldInfo) -> dict[str, Sequence[str]]:
    """The words by which a section that may be one of several is told from the others."""
    if isinstance(section, DataSection):
        return {"kind": kinds()}
    told = next((mark for mark in field.metadata if isinstance(mark, ByKind)), None)
    if told is None:
        return {}
    every = (each.model_fields[told.key].annotation for each in sections_of(field.annotation))
    return {told.key: [word for one in every for word in words_of(one)]}


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
