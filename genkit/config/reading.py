"""A YAML file becomes plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genkit.config.parsing import parse
from genkit.errors import ConfigError, shown


def read_tree(path: Path | str) -> dict[str, Any]:
    """What a YAML file says, as plain dicts, not yet validated.

    Raises:
        ConfigError: There is no such file, or it can't be read.
    """
    name = shown(path)
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(
            f"{name}: no such config file; `ls configs/*/` shows the shipped ones"
        ) from None
    except (OSError, ValueError) as error:
        why = shown(getattr(error, "strerror", None) or error)
        raise ConfigError(f"{name}: can't be read: {why}") from None
    tree = parse(text, name)
    if not isinstance(tree, dict):
        raise ConfigError(f"{name}: expected `key: value` lines, got {type(tree).__name__}")
    return tree
