"""YAML with overrides becomes a config, or one error that says what to write instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from genkit.config import read_tree
from genkit.errors import ConfigError
from genkit.family import load_config


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", ["family: dcgan\n", "family: dcgan\ndata:\n"])
def test_a_section_that_is_missing_or_empty_takes_overrides(tmp_path, text):
    config = load_config(written(tmp_path, text), ["data.batch_size=4", "data.flip=true"])
    assert (config.data.batch_size, config.data.flip) == (4, True)


def test_overrides_are_yaml_and_lie_over_the_file(tmp_path):
    path = written(tmp_path, "a: {b: 1, c: 2}\n")
    tree = read_tree(path, ["a.b=[1, two]", "a.d.e=0.5", "f=null"])
    assert tree == {"a": {"b": [1, "two"], "c": 2, "d": {"e": 0.5}}, "f": None}


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("a.b", "write it as section.key=value"),
        ("=3", "write it as section.key=value"),
        ("a.b.c=3", "'b' is a value, not a section"),
        ("a.b=[1", "is not a YAML value"),
    ],
)
def test_an_override_that_can_not_be_is_named(tmp_path, override, said):
    with pytest.raises(ConfigError, match=said):
        read_tree(written(tmp_path, "a: {b: 1}\n"), [override])
