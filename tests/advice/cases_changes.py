"""Advice about translations and edits, followed on a few pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

from advice.cases_python import refused
from advice.follow import Call, World
from sets_at_hand import folder

from genkit.data import open_data
from genkit.data.readers.unpaired import UnpairedData

ROOT = Path("sides")


def _strangers(world: World) -> str:
    shutil.rmtree(ROOT, ignore_errors=True)
    for part in ("trainA", "trainB", "testA", "testB"):
        (ROOT / part).mkdir(parents=True)
        folder(ROOT / part, channels=3)
    for i, picture in enumerate(sorted((ROOT / "testB").iterdir())):
        picture.rename(picture.with_name(f"other{i}.png"))
    data = UnpairedData(root=ROOT, image_size=16, counterparts="names")
    return refused(open_data, data, "truth")


def _known_or_not(world: World, text: str) -> None:
    assert "give counterparts one name, or set data.counterparts=none" in text
    assert len(open_data(UnpairedData(root=ROOT, image_size=16, counterparts="none"), "test"))
    names = sorted(picture.name for picture in (ROOT / "testA").iterdir())
    for picture, name in zip(sorted((ROOT / "testB").iterdir()), names, strict=True):
        picture.rename(picture.with_name(name))
    data = UnpairedData(root=ROOT, image_size=16, counterparts="names")
    assert len(open_data(data, "truth")) == len(names)


CASES = [
    Call("so no counterparts are known", _strangers, _known_or_not),
]
