"""Kinds of data sets: one file each, or of another installed package."""

import sys
from importlib.metadata import EntryPoint

import pytest

from genkit.config import DataSection, kinds, offered, reader, to_tree
from genkit.config import data as registry
from genkit.data import open_data, open_reference
from genkit.data.readers.folder import FolderData
from genkit.data.readers.glyphs import GlyphsData
from genkit.errors import ConfigError, DataError
from genkit.family import load, resolve

FOREIGN = '''
from typing import Literal
import torch
from genkit.config import DataSection
from genkit.rows.base import image_rows

class SquaresData(DataSection):
    """Grey squares."""

    kind: Literal["squares"] = "squares"
    level: int = 7  # of grey

    def open(self, split):
        height, width = self.size
        pixels = torch.full((9, self.channels, height, width), self.level, dtype=torch.uint8)
        return image_rows(f"squares:{split}", pixels)

READER = SquaresData
'''


@pytest.fixture
def squares(tmp_path, monkeypatch):
    (tmp_path / "squares_of_ones_own.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("squares", "squares_of_ones_own", registry.GROUP)
    monkeypatch.setattr(offered, "entry_points", lambda group: [point])
    yield
    sys.modules.pop("squares_of_ones_own", None)


def test_every_kind_names_itself_and_has_a_reader():
    assert kinds() == sorted(
        [
            "celeba",
            "cifar10",
            "custom",
            "faces",
            "folder",
            "glyphs",
            "mnist",
            "paired",
            "scenes",
            "shards",
            "stacked",
            "unpaired",
        ]
    )
    for kind in kinds():
        assert issubclass(reader(kind), DataSection)
        assert reader(kind).model_fields["kind"].default == kind
    with pytest.raises(ValueError, match="no kind 'foldr'; did you mean 'folder'"):
        reader("foldr")


def test_a_data_section_without_kind_takes_the_default_of_the_family_and_overrides():
    config = resolve({"family": "dcgan", "data": {"image_size": 64}}, "x")
    assert config.data == GlyphsData(image_size=64)
    assert resolve({"family": "dcgan"}, "x").data == GlyphsData()
    assert resolve(to_tree(config), "x") == config


def test_glyphs_as_they_were_written_once_are_the_same():
    old = {"kind": "synthetic", "name": "glyphs", "seed": 3}
    assert resolve({"family": "dcgan", "data": old}, "x").data == GlyphsData(seed=3)
    with pytest.raises(ConfigError, match=r"data\.name: unknown key"):
        resolve({"family": "dcgan", "data": old | {"name": "faces"}}, "x")


@pytest.mark.usefixtures("squares")
def test_a_kind_of_an_installed_package_is_configured_opened_and_a_reference():
    config = resolve({"family": "dcgan", "data": {"kind": "squares", "level": 9}}, "x")
    assert to_tree(config)["data"]["level"] == 9
    assert open_data(config.data).read([0])["image"].unique().tolist() == [9]
    assert (
        open_reference("squares:test", like=FolderData(root="x", channels=1)).name == "squares:test"
    )
    with pytest.raises(ConfigError, match=r"data\.levl: unknown key; did you mean 'level'"):
        resolve({"family": "dcgan", "data": {"kind": "squares", "levl": 9}}, "x")
    every = type(config).model_json_schema()["properties"]["data"]["oneOf"]
    (shown,) = (schema for schema in every if schema["title"] == "SquaresData")
    assert shown["properties"]["level"]["description"] == "of grey"


def test_the_schema_shows_the_settings_of_all_kinds():
    every = load("dcgan").config.model_json_schema()["properties"]["data"]["oneOf"]
    assert [schema["title"] for schema in every] == [reader(kind).__name__ for kind in kinds()]


def test_a_kind_that_needs_a_root_is_no_reference_by_name():
    with pytest.raises(DataError, match=r"reference 'folder:test': kind 'folder' needs settings"):
        open_reference("folder:test")
    with pytest.raises(DataError, match=r"reference 'mnits:test': no such set; no kind 'mnits'"):
        open_reference("mnits:test")
    with pytest.raises(DataError, match="glyphs: it has no truth part; there are: train, test"):
        open_reference("glyphs:truth")


def test_sizes_are_one_number_or_two():
    tree = {"family": "dcgan", "data": {"kind": "folder", "root": "x", "image_size": [32, 64]}}
    with pytest.raises(ConfigError, match=r"data.image_size=\[32, 64\]: this needs square"):
        resolve(tree, "x")
    assert FolderData(root="x", image_size=[32, 64]).size == (32, 64)
    assert FolderData(root="x", image_size=32).size == (32, 32)
    for wrong in ({"image_size": [32]}, {"image_size": [32, 4]}, {"image_size": "big"}):
        with pytest.raises(ConfigError, match=r"x: data\.image_size"):
            resolve({"family": "dcgan", "data": wrong}, "x")
