"""Configuration: YAML plus `a.b=value` overrides, checked at once and then frozen.

Every section is a frozen pydantic model that refuses unknown keys. A family adds its own sections
by subclassing `RunConfig` of `genkit/training/config.py`.

The comment beside a setting is its documentation: `genkit config show` and the schema repeat it.
"""

from genkit.config.data import (
    Cifar10Data,
    CustomData,
    DataConfig,
    DataSection,
    FolderData,
    MnistData,
    ShardsData,
    StackedData,
    SyntheticData,
)
from genkit.config.reading import read_tree, validate
from genkit.config.sections import Fraction, NonNegative, Positive, Section, by_kind, comments_of
from genkit.config.writing import differences, flatten, to_tree, to_yaml

__all__ = [
    "Cifar10Data",
    "CustomData",
    "DataConfig",
    "DataSection",
    "FolderData",
    "Fraction",
    "MnistData",
    "NonNegative",
    "Positive",
    "Section",
    "ShardsData",
    "StackedData",
    "SyntheticData",
    "by_kind",
    "comments_of",
    "differences",
    "flatten",
    "read_tree",
    "to_tree",
    "to_yaml",
    "validate",
]
