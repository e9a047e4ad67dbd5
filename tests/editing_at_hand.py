"""Pictures whose attributes are squares, with an editor and a classifier that know the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genkit.evaluation import Extractor
from genkit.pipelines.base import Pipeline
from genkit.random import generator
from genkit.rows.base import MemoryRows
from genkit.rows.columns import Class, Flags, Image
from genkit.rows.flags import switched

NAMES = ("Hat", "Blond", "Black")
FLAGS = Flags(NAMES, (("Blond", ("Black",)), ("Black", ("Blond",))))
SIZE = (16, 16)
OFF, ON = 40, 200  # of the square of an attribute


def drawn(flags: Tensor, seed: int = 0) -> Tensor:
    """Pictures (B, 3, 16, 16) uint8 of flags (B, 3): a square of 5 px for each, beside noise."""
    noise = torch.randint(256, (len(flags), 3, *SIZE), generator=generator(seed, "squares"))
    for i in range(len(NAMES)):
        level = torch.where(flags[:, i] > 0, ON, OFF)
        noise[:, :, 5 * i : 5 * i + 5, :5] = level[:, None, None, None]
    return noise.to(torch.uint8)


def attributes(count: int) -> Tensor:
    """Flags (B, 3) uint8, at most one colour of hair."""
    colour = torch.arange(count) % 3
    return torch.stack([torch.arange(count) // 3 % 2, colour == 1, colour == 2], 1).to(torch.uint8)


def faces(count: int = 12, flags: Flags = FLAGS) -> MemoryRows:
    """Pictures with their attributes."""
    values = {"image": drawn(attributes(count)), "attributes": attributes(count)}
    return MemoryRows("squares:test", {"image": Image(SIZE, 3), "attributes": flags}, values)


def counterfactuals(count: int = 12) -> MemoryRows:
    """Each picture with one attribute flipped; the answer for hats is one of several."""
    flags = attributes(count)
    edited = torch.arange(count) % 3
    to = 1 - flags[torch.arange(count), edited].long()
    pairs = zip(edited.tolist(), to.tolist(), strict=True)
    targets = torch.cat(
        [switched(FLAGS, flags[k : k + 1], NAMES[i], bool(t)) for k, (i, t) in enumerate(pairs)]
    )
    columns = {
        "image": Image(SIZE, 3),
        "attributes": FLAGS,
        "target": Image(SIZE, 3),
        "target_attributes": FLAGS,
        "edited": Class(3, NAMES),
        "to": Class(2, ("off", "on")),
        "truth": Class(2, ("one_of_several", "unique")),
    }
    values = {
        "image": drawn(flags),
        "attributes": flags,
        "target": drawn(targets),
        "target_attributes": targets,
        "edited": edited,
        "to": to,
        "truth": (edited > 0).long(),
    }
    return MemoryRows("squares:counterfactual", columns, values)


class Squares(Extractor):
    """Sees the attributes of squares."""

    name, sha256, layer, resize = "squares", "none", "squares", "none"
    flag_names = NAMES

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 3, 16, 16) uint8 -> the same in [0, 1]."""
        return images.float() / 255

    def features(self, inputs: Tensor) -> Tensor:
        """The middle of each square, (B, 3), and of four places beside them."""
        beside = inputs[:, 0, 2::4, 8::6].flatten(1)
        return torch.cat([inputs[:, 0, [2, 7, 12], 2], beside], 1)

    def shares(self, features: Tensor) -> Tensor:
        """How sure it is that each attribute is on, (B, 3)."""
        return features[:, :3].clamp(0, 1)


class Editor(Pipeline):
    """Switches squares on and off, all the way or part of it.

    Args:
        by: 1 = as it should, 0 = not at all.
        noise: Added to every pixel, in [-1, 1].
        flags: What it takes.
    """

    critic = familiarity = None

    def __init__(self, by: float = 1.0, noise: float = 0.0, flags: Flags = FLAGS) -> None:
        super().__init__()
        self.register_to_config()
        self.by, self.noise, self.flags = by, noise, flags

    @property
    def takes(self) -> Any:
        """A picture and its attributes."""
        return ({**self.gives, "attributes": self.flags},)

    @property
    def gives(self) -> Any:
        """A picture."""
        return {"image": Image(SIZE, 3)}

    def options(self, **asked: Any) -> Any:
        """What is switched."""
        return asked.get("set", {})

    def generate(self, begun: Any, given: Mapping[str, Any], options: Any) -> dict[str, Tensor]:
        """The squares as they are asked for, the rest as it was."""
        images, rows = given["image"].clone(), given["attributes"]
        for name, on in options.items():
            rows = switched(self.flags, rows, name, bool(on))
        for i, name in enumerate(self.flags.names):
            at = NAMES.index(name)
            here = images[:, :, 5 * at : 5 * at + 5, :5]
            level = (torch.where(rows[:, i] > 0, ON, OFF) / 127.5 - 1)[:, None, None, None]
            here += self.by * (level - here)
        return {"image": (images + self.noise).clamp(-1, 1)}


class Guesser(Editor):
    """An editor that guesses attributes, never a hat, and finds dark pictures strange."""

    critic = familiarity = "there"
    familiar_below = 0.5

    def guess(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, 3) shares."""
        seen = images[:, 0, [2, 7, 12], 2] * 0.5 + 0.5
        return seen * torch.tensor([0.0, 1.0, 1.0])

    def unfamiliarity(self, images: Tensor) -> Tensor:
        """(B,), above .5 where there is a hat."""
        return images[:, 0, 2, 2] * 0.5 + 0.5
