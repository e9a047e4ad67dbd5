"""Configuration: YAML plus `a.b=value` overrides, checked at once and then frozen.

Every section is a frozen pydantic model that refuses unknown keys. A family adds its own sections
by subclassing `RunConfig` of `genkit/training/config.py`.

The comment beside a setting is its documentation: `genkit config show` and the schema repeat it.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import inspect
import math
import textwrap
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from genkit.errors import ConfigError

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
FOR_TOOLS = ("# type:", "# noqa", "# pragma", "# pyright", "# fmt")  # comments that say nothing
COMMENT_COLUMN = 30  # of what `to_yaml` writes
END_OF_SCALAR = "...\n"  # YAML's, after a lone value


class Section(BaseModel):
    """A group of settings: frozen, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core))
        for name, comment in comments_of(cls).items():
            if name in schema["properties"]:
                schema["properties"][name].setdefault("description", comment)
        return schema


def by_kind(union: Any, default: str, key: str = "kind") -> Any:
    """The type of a setting that is one of several sections, told apart by their `kind`.

        model: by_kind(UNet | DiT, "unet") = UNet()

    Args:
        union: Sections, each with a field `key` of type `Literal`.
        default: What a tree that leaves `key` out means.
        key: The field that tells them apart.
    """

    def named(tree: Any) -> Any:
        return {key: default, **tree} if isinstance(tree, Mapping) else tree

    return Annotated[union, Field(discriminator=key), BeforeValidator(named)]


# -- data ------------------------------------------------------------------------------------------


class DataSection(Section):
    """What every reader has: how images arrive, whatever their files look like."""

    image_size: Annotated[int, Field(ge=8, le=1024)] = 32  # px, square
    channels: Literal[1, 3] = 3  # 3 = colour, 1 = grey
    batch_size: Positive = 64  # per process and micro-batch
    limit: Positive | None = None  # use only the first so many training images; None = all
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how another shape becomes a square
    flip: bool = False  # mirror left-right at random
    shift: NonNegative = 0  # random crop after padding by so many px
    memory: Literal["auto", "always", "never"] = "auto"  # hold the set as uint8; auto = below 2 GB
    workers: NonNegative = 0  # processes that decode, when the set streams
    on_error: Literal["raise", "skip"] = "raise"  # a broken file: stop, or count and leave it out


class SyntheticData(DataSection):
    """Images drawn by our own code from (seed, index), cached in the user's cache folder."""

    kind: Literal["synthetic"] = "synthetic"
    name: Literal["glyphs"] = "glyphs"
    characters: Annotated[str, Field(min_length=1)] = "0123456789"  # one class each
    train_count: Positive = 10_000
    test_count: Positive = 2_000
    seed: int = 0
    channels: Literal[1, 3] = 1

    @model_validator(mode="after")
    def _characters_differ(self) -> SyntheticData:
        if len(set(self.characters)) != len(self.characters):
            raise ValueError(f"characters must all differ, got {self.characters!r}")
        return self


class StackedData(DataSection):
    """Three digits in the red, green and blue channel: 1,000 classes, called modes."""

    kind: Literal["stacked"]
    digits: Literal["glyphs", "mnist"] = "glyphs"  # what the three are drawn from
    root: Path | None = None  # mnist: folder with the files; None = user cache
    train_count: Positive = 50_000
    test_count: Positive = 26_000  # as many as modes are usually counted in
    seed: int = 0
    channels: Literal[3] = 3


class MnistData(DataSection):
    """The four IDX files, gzipped or not, from `root` or downloaded once to the user's cache."""

    kind: Literal["mnist"]
    root: Path | None = None  # folder with the files, may be read-only; None = user cache
    channels: Literal[1, 3] = 1


class Cifar10Data(DataSection):
    """CIFAR-10: the published binary archive or its .bin files, or shards cifar10-train-*.tar."""

    kind: Literal["cifar10"]
    root: Path | None = None  # None = user cache, downloaded once


class FolderData(DataSection):
    """A folder of images: plain, one sub-folder per class, or with `metadata.jsonl`."""

    kind: Literal["folder"]
    root: Path
    label: str | None = None  # metadata.jsonl: the column that holds the class


class ShardsData(DataSection):
    """Local WebDataset shards, .tar or .tar.gz: KEY.png|jpg with KEY.cls or KEY.json beside it."""

    kind: Literal["shards"]
    root: Path  # a folder, one file, or a pattern such as data/train-*.tar


class CustomData(DataSection):
    """One's own torch `Dataset`, handed over in Python: `genkit.train(config, dataset=...)`."""

    kind: Literal["custom"]


DataConfig = Annotated[
    SyntheticData | StackedData | MnistData | Cifar10Data | FolderData | ShardsData | CustomData,
    Field(discriminator="kind"),
]


S = TypeVar("S", bound=Section)


# -- reading ---------------------------------------------------------------------------------------


def read_tree(path: Path | str, overrides: Iterable[str] = ()) -> dict[str, Any]:
    """The YAML file with `a.b=value` overrides laid over it, as plain dicts, not yet validated."""
    path = Path(path)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: no such config file; `ls configs/*/` shows the shipped ones"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: can't be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: expected `key: value` lines, got {type(tree).__name__}")
    for override in overrides:
        _apply(tree, override)
    return tree


def _apply(tree: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"override {override!r}: write it as section.key=value")
    *sections, leaf = dotted.strip().split(".")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(f"override {override!r}: {section!r} is a value, not a section")
    try:
        tree[leaf] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ConfigError(f"override {override!r}: {text!r} is not a YAML value") from None


def validate(kind: type[S], tree: Mapping[str, Any], where: str) -> S:
    """The tree as a frozen config, or one `ConfigError` that lists every problem with its path."""
    try:
        return kind.model_validate(dict(tree))
    except ValidationError as error:
        problems = [_describe(kind, problem) for problem in error.errors()]
        if len(problems) == 1:
            raise ConfigError(f"{where}: {problems[0]}") from None
        head = f"{where}: {len(problems)} problems"
        raise ConfigError("\n  ".join([head, *problems])) from None


def _describe(kind: type[BaseModel], problem: Mapping[str, Any]) -> str:
    keys = [key for key in problem["loc"] if isinstance(key, str | int)]
    section, path = _walk(kind, keys)
    dotted = ".".join(str(key) for key in path)
    return f"{dotted}: {_explain(problem, section)}" if dotted else _explain(problem, section)


def _explain(problem: Mapping[str, Any], section: type[BaseModel]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key; {_nearest(str(problem['loc'][-1]), list(section.model_fields))}"
        case "missing":
            return "missing; give it a value"
        case "union_tag_not_found":
            return "`kind` is missing, it says what the other keys mean"
        case "union_tag_invalid":
            tag, known = str(problem["ctx"]["tag"]), str(problem["ctx"]["expected_tags"])
            return f"no kind {tag!r}; {_nearest(tag, known.replace(chr(39), '').split(', '))}"
        case "model_type" | "model_attributes_type":
            return f"expected a section of `key: value` lines (got {problem['input']!r})"
        case "value_error":
            return message
    return f"{message} (got {problem['input']!r})"


def _walk(
    kind: type[BaseModel], keys: Sequence[str | int]
) -> tuple[type[BaseModel], list[str | int]]:
    """The section that holds the last key, and the path without pydantic's union tags."""
    section, path = kind, []
    current: Any = kind
    for position, key in enumerate(keys):
        options = _sections(current)
        tagged = [o for o in options if len(options) > 1 and key in _tags(o)]
        if tagged:
            current = tagged[0]
            continue
        path.append(key)
        if not options:
            continue
        section = options[0]
        field = section.model_fields.get(str(key))
        if field is not None and position + 1 < len(keys):
            current = field.annotation
    return section, path


def _sections(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return [s for argument in get_args(annotation) for s in _sections(argument)]
    return []


def _tags(section: type[BaseModel]) -> tuple[str, ...]:
    field = section.model_fields.get("kind")
    return get_args(field.annotation) if field is not None else ()


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if not close:  # batchsize -> batch_size scores well; lr_rate -> lr does not
        close = [k for k in known if name.startswith(k) or k.startswith(name)][:1]
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"


# -- writing and comparing -------------------------------------------------------------------------


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


@functools.cache
def comments_of(section: type[Section]) -> dict[str, str]:
    """What the source says beside the settings of a section, `name: type = default  # this`."""
    found: dict[str, str] = {}
    for kind in reversed(section.__mro__):
        if issubclass(kind, Section):
            # Typed into a prompt it has no source; while it is being edited, a broken one.
            with contextlib.suppress(OSError, TypeError, SyntaxError):
                found |= _comments_in(textwrap.dedent(inspect.getsource(kind)))
    return {name: text for name, text in found.items() if name in section.model_fields}


def _comments_in(source: str) -> Iterator[tuple[str, str]]:
    """(name, comment) of the annotated names in the body of a class."""
    lines = source.splitlines()
    body: list[ast.stmt] = getattr(ast.parse(source).body[0], "body", [])
    for node in body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        assert node.end_lineno is not None
        rest = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode().strip()
        if rest.startswith("# ") and not rest.startswith(FOR_TOOLS):
            yield node.target.id, rest[2:]


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
