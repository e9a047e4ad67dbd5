"""What a group of settings is: frozen, unknown keys refused, its comments read from its source."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
FOR_TOOLS = ("# type:", "# noqa", "# pragma", "# pyright", "# fmt")  # comments that say nothing


class Section(BaseModel):
    """A group of settings: frozen, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

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

    def _named(self, tree: Any) -> Any:
        return {self.key: self.default, **tree} if isinstance(tree, Mapping) else tree


@dataclass(frozen=True)
class _MayChange:
    pass


# Marks a setting that a resumed run may change, since it alters nothing of what was computed:
#     log_every: MayChange[Positive] = 50
T = TypeVar("T")
MayChange = Annotated[T, _MayChange()]

# A trained network that a run builds on and leaves as it is: a run folder, an export folder or a
# Hub id, and behind # the name of the component where there are several: runs/vae, org/model#vae.
# It may lie elsewhere when a run is resumed: the run knows its weights again.
ComponentRef = MayChange[Annotated[str, Field(pattern=r"^[^#]+(#\w+)?$")]]


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
