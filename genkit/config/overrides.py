"""`a.b=value` laid over a tree: the type of the setting decides how the text is read.

Text and paths are taken as they stand. Everything else is YAML, of which nothing may get lost: a
comment, say. Quotes around the whole are YAML's, so `data.label='null'` is the word, and
`data.label=null` nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_args

from genkit.config.parsing import is_quoted, is_whole, parse
from genkit.config.sections import ByKind, Section, is_text, sections_of
from genkit.errors import ConfigError, shown

Kind = type[Section] | None
NULLS = ("null", "None", "none", "~")


def laid_over(
    tree: Mapping[str, Any],
    overrides: Iterable[str],
    kind_of: Callable[[Mapping[str, Any]], Kind],
) -> tuple[dict[str, Any], list[str]]:
    """A copy of the tree with the overrides laid over it, not yet validated, and what to say of it.

    Args:
        tree: As a file says it.
        overrides: Each as `section.key=value`.
        kind_of: The class that will check such a tree, or None if nobody knows.

    Raises:
        ConfigError: An override can't be read, or two say the same setting.
    """
    given = [_parted(override) for override in overrides]
    guess = _laid(tree, [(keys, _guess(text)) for keys, text in given])
    kind = kind_of(guess) if given else None
    meant = [(keys, _meant(keys, text, kind, guess)) for keys, text in given]
    _refuse_twice(meant)
    lost: list[str] = []
    return _laid(tree, meant, lost), lost


def _parted(override: str) -> tuple[list[str], str]:
    dotted, equals, text = override.partition("=")
    keys = [key.strip() for key in dotted.split(".")]
    if not equals or not all(keys):
        raise ConfigError(f"override {shown(repr(override))}: write it as section.key=value")
    return keys, text


def _laid(
    tree: Mapping[str, Any], given: list[tuple[list[str], Any]], lost: list[str] | None = None
) -> dict[str, Any]:
    found = copy.deepcopy(dict(tree))
    for (*sections, leaf), value in given:
        inner = found
        for section in sections:
            if inner.get(section) is None:  # missing, or `section:` with nothing below it
                inner[section] = {}
            inner = inner[section]
            if not isinstance(inner, dict):
                dotted = ".".join([*sections, leaf])
                raise ConfigError(f"override {dotted!r}: {section!r} is a value, not a section")
        if lost is not None and isinstance(value, dict) and isinstance(inner.get(leaf), dict):
            lost += _lost(".".join([*sections, leaf]), inner[leaf], value)
        inner[leaf] = value
    return found


def _lost(dotted: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    gone = shown(", ".join(str(key) for key in before if key not in after))
    one = f"{dotted}.{shown(next(iter(after), 'key'))}"
    said = f"{dotted}={{...}} stands in place of the whole section, so these have their defaults: "
    return [f"{said}{gone}; write {one}=... to keep them"] if gone else []


def _refuse_twice(given: list[tuple[list[str], Any]]) -> None:
    said: dict[str, Any] = {}
    for keys, value in given:
        dotted = ".".join(keys)
        again = [name for name in said if name == dotted or name.startswith(dotted + ".")]
        above = [name for name in said if dotted.startswith(name + ".")]
        again += [name for name in above if _holds(said[name], dotted[len(name) + 1 :].split("."))]
        if again:
            both = f"{again[0]} and {dotted}" if again[0] != dotted else dotted
            raise ConfigError(f"override {dotted}: given twice ({both}); keep one of them")
        said[dotted] = value


def _holds(value: Any, keys: list[str]) -> bool:
    for key in keys:
        if not isinstance(value, Mapping) or key not in value:
            return False
        value = value[key]
    return True


# -- what a text means -----------------------------------------------------------------------------


def _guess(text: str) -> Any:
    """What a text is before its type is known: enough to see the kinds of sections."""
    try:
        return parse(text, "") if is_whole(text) else text
    except ConfigError:
        return text


def _meant(keys: list[str], text: str, kind: Kind, tree: Mapping[str, Any]) -> Any:
    dotted = ".".join(keys)
    annotation = setting_type(kind, keys, tree)
    if not text.strip():
        none = ", or null for none" if type(None) in get_args(annotation) else ""
        raise ConfigError(f"override {dotted}=: nothing behind the =; write a value there{none}")
    if is_text(annotation) and not is_quoted(text):
        if text != "null" and text in NULLS and type(None) in get_args(annotation):
            raise ConfigError(
                f"override {dotted}={text}: write null for none, or '{text}' in quotes of its own "
                "for the word"
            )
        return None if text == "null" else text
    if not is_whole(text):
        raise ConfigError(
            f"override {dotted}={shown(text)}: not one YAML value; write a number, true, false, "
            "null, [a, b] or {key: value}, without comments"
        )
    return parse(text, f"override {dotted}")


def setting_type(kind: Kind, keys: list[str], tree: Any) -> Any:
    """The type of a setting, through the sections whose kinds a tree names; None = unknown."""
    for position, key in enumerate(keys):
        field = kind.model_fields.get(key) if kind is not None else None
        if kind is None or field is None:
            return None
        if position + 1 == len(keys):
            return field.annotation
        tree = tree.get(key) if isinstance(tree, Mapping) else None
        kind = _section(kind, key, tree, field)
    return None


def _section(kind: type[Section], key: str, tree: Any, field: Any) -> Kind:
    try:
        if named := kind.section_of(key, tree if isinstance(tree, Mapping) else {}):
            return named
    except ValueError:
        return None  # of a kind that there isn't: to be refused as such
    options = sections_of(field.annotation)
    told = next((mark for mark in field.metadata if isinstance(mark, ByKind)), None)
    if told is None:
        return options[0] if len(options) == 1 else None
    return next((option for option in options if told.names(option, tree)), None)
