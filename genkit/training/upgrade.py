"""Configs of earlier versions in today's words, so that their runs still open and resume.

Before sections were unions by kind, one had the settings of all its kinds, and null stood for what
a kind made of it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from genkit.config import ByKind, Section, sections_of
from genkit.training.config import RunConfig

# Null there meant what is now written out: the default.
ONCE_NULL = {
    "model": (
        *("width", "layers", "patch_size", "channels", "attention", "heads", "latent"),
        *("critic_norm", "critic_dropout", "generator_norm"),
    ),
    "noise": ("schedule", "draws", "draw_mean", "draw_std"),
    "optim": ("critic_lr",),
    "preview": ("scheduler", "steps"),
    "evaluation": ("best_by",),
}

# What it wrote of a setting that a kind had no use for, besides null.
IDLE: dict[str, Any] = {
    "conditioning": "channels",
    "scale_shift": False,
    "steps": 1000,
    "zero_terminal_snr": False,
    "learned_variance": False,
}


def upgraded(tree: Mapping[str, Any], config: type[RunConfig]) -> dict[str, Any]:
    """The tree of a run without what an earlier version wrote and this one refuses.

    Dropped are nulls that stood for a default, and settings that only another kind of the section
    has, if they are null or as that version always wrote them: they never said anything.

    Args:
        tree: As a file or a person wrote it; it may be a new one.
        config: The class that will check it.
    """
    return {
        name: _upgraded(name, value, config) if isinstance(value, Mapping) else value
        for name, value in tree.items()
    }


def without_unknown(
    tree: Mapping[str, Any], config: type[RunConfig]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tree without settings that this version doesn't know, and those by their dotted names.

    Args:
        tree: As another version wrote it.
        config: The class that will check what is left.
    """
    left: dict[str, Any] = copy.deepcopy(dict(tree))
    unknown: dict[str, Any] = {}
    try:
        config.model_validate(left)
    except ValidationError as error:
        for problem in error.errors():
            if problem["type"] == "extra_forbidden":
                dotted, value = _taken_out(left, problem["loc"])
                unknown[dotted] = value
    return left, unknown


def _taken_out(tree: dict[str, Any], place: Sequence[str | int]) -> tuple[str, Any]:
    """A setting's dotted name and value, gone from the tree; tags of unions are no part of it."""
    names: list[str] = []
    section: Any = tree
    for key in place[:-1]:
        if isinstance(section, dict) and key in section:
            names.append(str(key))
            section = section[key]
    return ".".join([*names, str(place[-1])]), section.pop(place[-1])


def _upgraded(name: str, tree: Mapping[str, Any], config: type[RunConfig]) -> Mapping[str, Any]:
    field = config.model_fields.get(name)
    kinds = [] if field is None else sections_of(field.annotation)
    told = next((m for m in getattr(field, "metadata", ()) if isinstance(m, ByKind)), None)
    chosen = next((kind for kind in kinds if told is None or told.names(kind, tree)), None)
    if chosen is None:
        return tree
    others = [kind for kind in kinds if kind is not chosen]
    return {
        key: value
        for key, value in tree.items()
        if not (_stood_for_default(name, key, value, chosen) or _idle(key, value, chosen, others))
    }


def _stood_for_default(name: str, key: str, value: Any, section: type[Section]) -> bool:
    field = section.model_fields.get(key)
    if value is not None or field is None or key not in ONCE_NULL.get(name, ()):
        return False
    return type(None) not in get_args(field.annotation)


def _idle(key: str, value: Any, chosen: type[Section], others: list[type[Section]]) -> bool:
    if key in chosen.model_fields:
        return False
    known = any(key in kind.model_fields for kind in others)
    return known and (value is None or (key in IDLE and value == IDLE[key]))
