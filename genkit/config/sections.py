"""What a group of settings is: frozen, unknown keys refused."""

from __future__ import annotations

import os
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    model_validator,
)
from pydantic_core import PydanticCustomError

from genkit.config.comments import comments_of

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]

MISREAD = "misread"  # the type of a problem that names its setting itself
LARGEST = 2**63  # whole numbers of settings stay below


class Section(BaseModel):
    """A group of settings: frozen, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _is_read_as_meant(cls, tree: Any) -> Any:
        """Home folders found, what would be misread refused; `optim:` alone has its defaults."""
        if not isinstance(tree, Mapping):
            return tree
        types = {name: field.annotation for name, field in cls.model_fields.items()}
        return {
            name: _as_meant(name, value, types.get(name))
            for name, value in tree.items()
            if not (value is None and _is_section(types.get(name)))
        }

    @classmethod
    def section_of(cls, name: str, tree: Any) -> type[Section] | None:
        """Which section a setting is in this tree, where its type alone doesn't say."""
        return None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core))
        for name, comment in comments_of(cls).items():
            if name in schema["properties"]:
                schema["properties"][name].setdefault("description", comment)
        return schema

    def settle(self, **values: Any) -> None:
        """Fill in settings whose default follows from others; for validators of this very section.

        A section within this one may be shared with other configs: put a copy in its place.
        """
        self.__dict__.update(values)

    def was_given(self, name: str) -> bool:
        """Whether a tree or a call named that setting, rather than its default."""
        return name in self.model_fields_set


@dataclass(frozen=True)
class ByKind:
    """Marks a setting that is one of several sections, told apart by a field of theirs.

        model: Annotated[UNet | DiT, ByKind("unet")] = UNet()

    Attributes:
        default: What a tree that leaves the field out means.
        key: The field; each section has it as a `Literal`.
    """

    default: str
    key: str = "kind"

    def __get_pydantic_core_schema__(self, union: Any, handler: GetCoreSchemaHandler) -> Any:
        told = Field(discriminator=self.key)
        return handler.generate_schema(Annotated[union, told, BeforeValidator(self._named)])

    def names(self, section: type[Section], tree: Any) -> bool:
        """Whether a plain tree means that section of the several."""
        named = tree.get(self.key, self.default) if isinstance(tree, Mapping) else self.default
        return named in get_args(section.model_fields[self.key].annotation)

    def _named(self, tree: Any) -> Any:
        return {self.key: self.default, **tree} if isinstance(tree, Mapping) else tree


def sections_of(annotation: Any) -> list[type[Section]]:
    """The sections that a setting of this type may be, one or several."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) in (Union, types.UnionType, Annotated):
        return [s for argument in get_args(annotation) for s in sections_of(argument)]
    return []


@dataclass(frozen=True)
class _MayChange:
    pass


# Marks a setting that a resumed run may change, since it alters nothing of what was computed:
#     log_every: MayChange[Positive] = 50
T = TypeVar("T")
MayChange = Annotated[T, _MayChange()]


@dataclass(frozen=True)
class _NamesCode:
    pass


# A word, or "module:NAME", which imports that module: see `code_in`.
CodeName = Annotated[str, _NamesCode()]

# A trained network that a run builds on and leaves as it is: a run folder, an export folder or a
# Hub id, and behind # the name of the component where there are several: runs/vae, org/model#vae.
# It may lie elsewhere when a run is resumed: the run knows its weights again.
ComponentRef = MayChange[
    Annotated[str, Field(pattern=r"^[^#]+(#\w+)?$"), AfterValidator(os.path.expanduser)]
]


def may_change(section: Section, dotted: str) -> bool:
    """Whether the setting `a.b` of a config is marked so, or its section is."""
    name, _, rest = dotted.partition(".")
    field = type(section).model_fields.get(name)
    if field is None:
        return False
    inner = getattr(section, name)
    marked = _MayChange() in field.metadata
    if marked or not isinstance(inner, Section):
        return marked
    return may_change(inner, rest)


def code_in(section: Section) -> dict[str, str]:
    """The settings that name code to import, {"a.b": "module:NAME"}; words are none."""
    found: dict[str, str] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            found |= {f"{name}.{inner}": code for inner, code in code_in(value).items()}
        elif _NamesCode() in field.metadata and ":" in value:
            found[name] = value
    return found


# -- values ----------------------------------------------------------------------------------------


def is_text(annotation: Any) -> bool:
    """Whether settings of this type are text: words, paths or names, or null beside them.

    A list of words is none: what stands in an override is then YAML.
    """
    if _may_be_list(annotation):
        return False
    kinds = set(_leaves(annotation)) - {type(None)}
    return bool(kinds) and all(kind is str or issubclass(kind, Path) for kind in kinds)


def _may_be_list(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _may_be_list(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return any(map(_may_be_list, get_args(annotation)))
    return get_origin(annotation) in (tuple, list)


def words_of(annotation: Any) -> list[str]:
    """The words that a setting of this type may be, in order; none if it may be anything else."""
    if get_origin(annotation) in (Annotated, tuple):
        return words_of(get_args(annotation)[0])
    if get_origin(annotation) is Literal:
        return [word for word in get_args(annotation) if isinstance(word, str)]
    if get_origin(annotation) in (Union, types.UnionType):
        arms = [arm for arm in get_args(annotation) if arm is not type(None)]
        return words_of(arms[0]) if len(arms) == 1 else []
    return []


def _is_section(annotation: Any) -> bool:
    return bool(sections_of(annotation)) and type(None) not in get_args(annotation)


def _as_meant(name: str, value: Any, annotation: Any) -> Any:
    kinds = set(_leaves(annotation))
    parts = list(value) if isinstance(value, list | tuple) else [value]
    is_number = bool(kinds & {int, float}) and bool not in kinds
    if is_number and any(isinstance(part, bool) for part in parts):
        raise misread(name, f"expected a number, got {str(value).lower()}")
    if any(type(part) is int and abs(part) >= LARGEST for part in parts):
        raise misread(name, "a number of more than 63 bits; give a smaller one")
    if Path in kinds and isinstance(value, str | Path):
        if not str(value):
            raise misread(name, "an empty path; write . for the current folder")
        return os.path.expanduser(value)
    return value


def misread(name: str, message: str) -> PydanticCustomError:
    """What a validator of a whole section raises about one setting of it."""
    return PydanticCustomError(MISREAD, "{message}", {"name": name, "message": message})


def _leaves(annotation: Any) -> Iterator[type]:
    """The plain types that a type is made of, those of the words of a `Literal` too."""
    if get_origin(annotation) is Annotated:
        yield from _leaves(get_args(annotation)[0])
    elif get_origin(annotation) is Literal:
        yield from (type(word) for word in get_args(annotation))
    elif get_origin(annotation) in (Union, types.UnionType, tuple, list):
        for part in get_args(annotation):
            yield from _leaves(part)
    elif isinstance(annotation, type):
        yield annotation
