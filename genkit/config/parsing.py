"""YAML text becomes plain values, and nothing in it is lost or read as something else in silence.

It is YAML 1.1 as PyYAML reads it, with these differences: a key that stands twice is refused;
dates, and numbers that begin with 0 or hold colons, are the text that they look like (YAML 1.1
reads 010 as 8 and 1:30 as 90); aliases may not grow, nor values nest, without end.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from genkit.errors import ConfigError, shown

MOST_VALUES = 10_000  # in one document, with every alias followed
DEEPEST = 50  # levels of sections and lists

_TAG = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$")
_FLOAT = re.compile(
    r"([-+]?[0-9][0-9_]*\.[0-9_]*([eE][-+]?[0-9]+)?|[-+]?\.[0-9][0-9_]*([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)


def parse(text: str, where: str) -> Any:
    """The values of a YAML document.

    Args:
        text: The document.
        where: What messages call it.

    Raises:
        ConfigError: It is not valid, or holds what is refused here.
    """
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{where}: not valid YAML: {shown(' '.join(str(error).split()))}"
        ) from None
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{where}: not valid YAML: {shown(error)}") from None


def is_quoted(text: str) -> bool:
    """Whether a text is one YAML scalar in quotes and nothing else."""
    return text[:1] in ("'", '"') and _says_all(text, styles=("'", '"'))


def is_whole(text: str) -> bool:
    """Whether a text is one YAML value and nothing else, so that reading it as one loses nothing.

    Comments, anchors, tags and the marks of documents would be lost.
    """
    return _says_all(text, styles=None)


def _says_all(text: str, styles: tuple[str, ...] | None) -> bool:
    try:
        parse(text, "")  # which stops at what nests too deep: PyYAML's events alone take n² there
    except ConfigError:
        return False
    inner = list(yaml.parse(text, Loader=_Loader))[2:-2]  # without the marks of the document
    if not inner or any(getattr(event, "anchor", None) for event in inner):
        return False
    if any(getattr(event, "tag", None) not in (None, "!") for event in inner):
        return False
    if styles is not None and getattr(inner[0], "style", None) not in styles:
        return False
    begins, ends = inner[0].start_mark, inner[-1].end_mark
    assert begins is not None
    assert ends is not None
    before, after = text[: begins.index], text[ends.index :]
    return not before.strip() and not after.strip()


class _Loader(yaml.SafeLoader):
    """What the head of this module says."""

    depth = 0

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        if node is not None and _count(node, {}) > MOST_VALUES:
            raise yaml.YAMLError(
                f"more than {MOST_VALUES:,} values once its aliases (*name) are followed; "
                "write out what is meant"
            )
        return node

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise yaml.YAMLError(f"sections and lists nest more than {DEEPEST} levels deep")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        first: dict[Any, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            name = (key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key))
            if name in first and key.value != "<<":
                raise yaml.YAMLError(
                    f"{key.value!r} stands twice, in lines {first[name]} and {line}; "
                    "keep one, or join what is below them"
                )
            first[name] = line
        return super().construct_mapping(node, deep)


def _count(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for; `known` has those counted before, by identity."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # of a node that lies within itself
        inner = node.value
        parts = [part for pair in inner for part in pair] if _is_mapping(node) else inner
        known[id(node)] = 1 + sum(_count(part, known) for part in parts)
    return known[id(node)]


def _is_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """PyYAML's rules for what a plain word is, those for numbers and dates replaced."""
    ours = {_TAG + "int": _INT, _TAG + "float": _FLOAT}
    return {
        first: [(tag, ours.get(tag, rule)) for tag, rule in rules if tag != _TAG + "timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.yaml_implicit_resolvers = _resolvers()
