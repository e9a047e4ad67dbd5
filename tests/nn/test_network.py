"""The base of our networks: plain until one of them is needed, then diffusers' own."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys

import torch
from diffusers import ModelMixin
from torch import nn

from genkit.nn.network import Network, complete


class Twice(Network):
    """x (B, size) -> (B, size)."""

    def __init__(self, size: int = 3, bias: bool = True) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size, bias)


class TwiceNamed(Twice):
    def __init__(self, name: str, size: int = 3) -> None:
        super().__init__(size)
        self.name = name


def test_a_class_is_plain_until_the_first_instance_and_then_of_diffusers():
    code = """
import sys
from genkit.nn.generators import DCGANGenerator as Generator
from genkit.nn.network import Network
before = Generator.__bases__, Network.__bases__, "diffusers" in sys.modules
made = Generator(latent_dim=2, width=2, image_size=16)
from diffusers import ModelMixin
print(before[2], before[1][0].__name__, issubclass(Generator, ModelMixin), made.config["width"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "Module", "True", "2"]


def test_the_arguments_are_the_config_and_a_folder_holds_them(tmp_path):
    complete()
    made = Twice(size=4)
    assert isinstance(made, ModelMixin)
    assert (made.config["size"], made.config["bias"]) == (4, True)
    made.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert (saved["_class_name"], saved["size"], saved["bias"]) == ("Twice", 4, True)
    found = Twice.from_pretrained(tmp_path)
    assert torch.equal(found.layer.weight, made.layer.weight)
    assert TwiceNamed("a", 5).config["name"] == "a"
    assert TwiceNamed("a", 5).config["size"] == 5


def test_a_network_is_copied_and_pickled_as_any_module_is():
    made = Twice()
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert type(other) is Twice
        assert torch.equal(other.layer.weight, made.layer.weight)


def test_to_complete_twice_changes_nothing():
    complete()
    bases, start = Network.__bases__, Twice.__init__
    complete()
    assert (Network.__bases__, Twice.__init__) == (bases, start)
