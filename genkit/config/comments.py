"""What the source says beside the settings of a section: `name: type = default  # this`."""

from __future__ import annotations

import ast
import functools
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

FOR_TOOLS = ("# type:", "# noqa", "# pragma", "# pyright", "# fmt")  # comments that say nothing


@functools.cache
def comments_of(section: type[BaseModel]) -> dict[str, str]:
    """The comment beside each setting that has one, those of the classes it is made from too."""
    found: dict[str, str] = {}
    for kind in reversed(section.__mro__[: section.__mro__.index(BaseModel)]):
        found |= _comments_in(kind.__module__).get(kind.__qualname__, {})
    return {name: text for name, text in found.items() if name in section.model_fields}


@functools.cache
def _comments_in(module: str) -> Mapping[str, Mapping[str, str]]:
    """Of every class of a module by its qualified name; the file is parsed once for all of them."""
    try:
        source = inspect.getsource(sys.modules[module])
        tree = ast.parse(source)
    except (KeyError, OSError, TypeError, SyntaxError):
        return {}  # typed into a prompt it has no source; while it is being edited, a broken one
    lines = source.splitlines()
    return {name: dict(_beside(node.body, lines)) for name, node in _classes(tree)}


def _classes(node: ast.AST, within: str = "") -> Iterator[tuple[str, ast.ClassDef]]:
    for inner in ast.iter_child_nodes(node):
        if isinstance(inner, ast.ClassDef):
            yield within + inner.name, inner
            yield from _classes(inner, f"{within}{inner.name}.")
        elif isinstance(inner, ast.FunctionDef):
            yield from _classes(inner, f"{within}{inner.name}.<locals>.")
        elif isinstance(inner, ast.If | ast.Try | ast.With):
            yield from _classes(inner, within)


def _beside(body: Sequence[ast.stmt], lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(name, comment) of the annotated names in the body of a class."""
    for node in body:
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
            continue
        assert node.end_lineno is not None
        rest = lines[node.end_lineno - 1].encode()[node.end_col_offset :].decode().strip()
        if rest.startswith("# ") and not rest.startswith(FOR_TOOLS):
            yield node.target.id, rest[2:]
