"""Configuration: YAML plus `a.b=value` overrides, checked at once and then frozen.

Every section is a frozen pydantic model that refuses unknown keys. A family adds its own sections
by subclassing `RunConfig` of `genkit/training/config.py`.

The comment beside a setting is its documentation: `genkit config show` and the schema repeat it.
"""

from genkit.config.checking import nearest, validate
from genkit.config.comments import comments_of
from genkit.config.data import AnyData, DataSection, kinds, reader
from genkit.config.overrides import laid_over
from genkit.config.parsing import is_whole, parse
from genkit.config.reading import read_tree
from genkit.config.sections import (
    ByKind,
    CodeName,
    ComponentRef,
    Fraction,
    MayChange,
    NonNegative,
    Positive,
    Section,
    code_in,
    may_change,
    sections_of,
)
from genkit.config.writing import differences, flatten, to_tree, to_yaml

__all__ = [
    "AnyData",
    "ByKind",
    "CodeName",
    "ComponentRef",
    "DataSection",
    "Fraction",
    "MayChange",
    "NonNegative",
    "Positive",
    "Section",
    "code_in",
    "comments_of",
    "differences",
    "flatten",
    "is_whole",
    "kinds",
    "laid_over",
    "may_change",
    "nearest",
    "parse",
    "read_tree",
    "reader",
    "sections_of",
    "to_tree",
    "to_yaml",
    "validate",
]
