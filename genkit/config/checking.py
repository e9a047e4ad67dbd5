"""A plain tree becomes a frozen config, or one error that lists every problem."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, get_args

from pydantic import ValidationError

from genkit.config.sections import MISREAD, Section, is_text, sections_of
from genkit.errors import ConfigError, shown

S = TypeVar("S", bound=Section)

TOLD_APART_BY = ("kind", "prediction")  # the fields that name one section of several


def validate(kind: type[S], tree: Mapping[str, Any], where: str) -> S:
    """The tree as a frozen config, or one `ConfigError` that lists every problem with its path."""
    try:
        return kind.model_validate(dict(tree))
    except ValidationError as error:
        problems = [_describe(kind, problem, tree) for problem in error.errors()]
        if len(problems) == 1:
            raise ConfigError(f"{where}: {problems[0]}") from None
        head = f"{where}: {len(problems)} problems"
        raise ConfigError("\n  ".join([head, *problems])) from None


def _describe(kind: type[Section], problem: Mapping[str, Any], tree: Any) -> str:
    keys = [key for key in problem["loc"] if isinstance(key, str | int)]
    section, path, others = _walk(kind, keys, tree)
    path += [problem["ctx"]["name"]] if problem["type"] == MISREAD else []
    dotted = shown(".".join(str(key) for key in path))
    said = _of_another_kind(problem, section, others) or _explain(problem, section)
    said += _how_to_write(problem, section, path)
    return f"{dotted}: {said}" if dotted else said


def _how_to_write(
    problem: Mapping[str, Any], section: type[Section], path: Sequence[str | int]
) -> str:
    """What to add to a problem that comes from how YAML spells things; mostly nothing."""
    given, field = problem["input"], section.model_fields.get(str(path[-1] if path else ""))
    annotation = None if field is None else field.annotation
    if problem["type"] in ("tuple_type", "list_type") and isinstance(given, str | int | float):
        return f"; a list has brackets: write [{shown(given)}]"
    if given is None:
        return "; null is no value of it: leave it out, or give it one"
    if given in ("None", "none") and type(None) in get_args(annotation):
        return "; write null for none"
    if is_text(annotation) and isinstance(given, bool | int | float):
        what = "true or false" if isinstance(given, bool) else "a number"
        return f"; YAML takes it for {what}: put it in quotes, as it is to be read"
    return ""


def _of_another_kind(
    problem: Mapping[str, Any], section: type[Section], others: Sequence[type[Section]]
) -> str | None:
    """What to say of a key that is unknown here, but not to sections of another kind."""
    key = str(problem["loc"][-1]) if problem["loc"] else ""
    knowing = [other for other in others if key in other.model_fields]
    if problem["type"] != "extra_forbidden" or not knowing:
        return None
    name, (own, *_) = next((n, tags) for n, tags in _tags(section).items())
    tags = [tag for other in knowing for tag in _tags(other)[name]]
    return f"{key} says nothing to {name}={own}; leave it out, or choose {name}={' or '.join(tags)}"


def _explain(problem: Mapping[str, Any], section: type[Section]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key; {nearest(str(problem['loc'][-1]), list(section.model_fields))}"
        case "missing":
            return "missing; give it a value"
        case "union_tag_not_found":
            return "`kind` is missing, it says what the other keys mean"
        case "union_tag_invalid":
            tag, known = str(problem["ctx"]["tag"]), str(problem["ctx"]["expected_tags"])
            return f"no kind {tag!r}; {nearest(tag, known.replace(chr(39), '').split(', '))}"
        case "model_type" | "model_attributes_type":
            return f"expected a section of `key: value` lines (got {_got(problem['input'])})"
        case "value_error" | "misread":
            return message
        case "path_type":
            message = "expected a path"
    return f"{message} (got {_got(problem['input'])})"


def _got(value: Any) -> str:
    """A value that may be of any size and depth, shortened to a glance."""
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 3, 120, 120, 60
    return shown(short.repr(value))


def _walk(
    kind: type[Section], keys: Sequence[str | int], tree: Any
) -> tuple[type[Section], list[str | int], list[type[Section]]]:
    """The section that holds the last key, the path without pydantic's union tags, and the
    sections of other kinds that could have stood in the section's place.

    Args:
        kind: The outermost section.
        keys: Where pydantic found a problem.
        tree: What was to be validated.
    """
    section: type[Section] = kind
    path: list[str | int] = []
    current: Any = kind
    others: list[type[Section]] = []
    for position, key in enumerate(keys):
        options = sections_of(current)
        tagged = [o for o in options if len(options) > 1 and key in sum(_tags(o).values(), ())]
        if tagged:
            current, others = tagged[0], [option for option in options if option != tagged[0]]
            continue
        if not options:
            path += [key] if isinstance(key, int) else []  # a place in a list, or a union's tag
            continue
        path.append(key)
        section = options[0]
        tree = tree.get(key) if isinstance(tree, Mapping) else None
        if str(key) in section.model_fields and position + 1 < len(keys):
            field = section.model_fields[str(key)]
            current = section.section_of(str(key), tree) or field.annotation
    return section, path, others


def _tags(section: type[Section]) -> dict[str, tuple[str, ...]]:
    """The fields that may tell a section from others, and their values."""
    fields = section.model_fields.items()
    return {n: get_args(f.annotation) for n, f in fields if n in TOLD_APART_BY}


def nearest(name: str, known: Sequence[str]) -> str:
    """What to say to a name that is not known: the nearest one, or all there are."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not close:  # batchsize -> batch_size scores well; lr_rate -> lr does not
        close = [k for k in known if name.startswith(k) or k.startswith(name)][:1]
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
