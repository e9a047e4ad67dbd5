"""Configuration: YAML plus `a.b=value` overrides, checked at once and then frozen.

Every section is a frozen pydantic model that refuses unknown keys. A family adds its own sections
by subclassing `RunConfig` of `genkit/training/config.py`.

The comment beside a setting is its documentation: `genkit config show` and the schema repeat it.
"""

from genkit.config.data import AnyData, DataSection, kinds, reader
from genkit.config.reading import read_tree, validate
from genkit.config.sections import Fraction, NonNegative, Positive, Section, by_kind, comments_of
from genkit.config.writing import differences, flatten, to_tree, to_yaml

__all__ = [
    "AnyData",
    "DataSection",
    "Fraction",
    "NonNegative",
    "Positive",
    "Section",
    "by_kind",
    "comments_of",
    "differences",
    "flatten",
    "kinds",
    "read_tree",
    "reader",
    "to_tree",
    "to_yaml",
    "validate",
]
