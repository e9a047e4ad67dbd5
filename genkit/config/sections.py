"""What a group of settings is: frozen, unknown keys refused, its comments read from its source."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

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
