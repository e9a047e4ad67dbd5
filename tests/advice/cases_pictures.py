"""Advice about one's own pictures: translated, and made again."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from advice.cases_python import command_of
from advice.follow import Call, Case, World

from genkit.nn.translators import ResnetTranslator
from genkit.pipelines import save_export
from genkit.pipelines.translation import TranslationPipeline

_TRANSLATE = "translate zebras seven.png --out {new}"
_RECORD = Path("translated/seven-a2b.json")


def _model(world: World, name: str = "zebras") -> None:
    if not Path(name).exists():
        pipeline = TranslationPipeline(ResnetTranslator(1, 1, width=2, blocks=1))
        save_export(pipeline, Path(name), provenance={"family": "cut"}, config_yaml="")


def _translated(world: World) -> None:
    _model(world)
    if not _RECORD.exists():
        world.ok("translate zebras seven.png --out translated")


def _record_says(world: World) -> str:
    _translated(world)
    return str(json.loads(_RECORD.read_text())["again"])


def _do_again(world: World, text: str) -> None:
    shutil.copytree("translated", folder := world.new())
    words = text.removeprefix("genkit ").replace("seven", f"{folder}/seven")
    assert "every pixel is the same" in world.ok(f"{words} --out {world.new()}")


def _other_model(world: World) -> None:
    _translated(world)
    _model(world, "others-model")


def _other_picture(world: World) -> str:
    _translated(world)
    shutil.copy("pictures/1.png", "one.png")
    record = _RECORD.read_text().replace('"path": "seven.png"', '"path": "one.png"')
    Path("moved.json").write_text(record)
    return world.run(f"again moved.json --out {world.new()}")[1]


def _right_picture(world: World, text: str) -> None:
    (option,) = re.findall(r"--picture", text)
    world.ok(f"again moved.json --out {world.new()} {option} seven.png")


def _of_noise(world: World) -> str:
    return world.run(f"translate {world.copy('dcgan')} seven.png")[1]


def _sample(world: World, text: str) -> None:
    words = command_of(text, "sample").replace("RUN", world.copy("dcgan"))
    world.ok(f"{words} --count 2 --out {world.new()}")


def _variants(world: World) -> str:
    return world.run(f"translate {world.copy('plain')} seven.png")[1]


def _vary(world: World, text: str) -> None:
    words = (
        command_of(text, "sample").replace("RUN", world.copy("plain")).replace("FILE", "seven.png")
    )
    world.ok(f"{words} --count 1 --steps 2 --out {world.new()}.png")


CASES = [
    Case("that is a file; name a folder", "translate zebras seven.png --out seven.png",
         then="--out {new}", before=_model, leaves="--out", says="name a folder"),
    Case("lies in {}, whose pictures are read", "translate zebras pictures --out pictures/made",
         then="--out {new}", before=_model, leaves="--out", says="name a folder elsewhere"),
    Case("changed.py: free some space or name a writable folder",
         "translate zebras seven.png --out seven.png/made", then="--out {new}", before=_model,
         leaves="--out", says="name a writable folder"),
    Case("made of something else or in another way", f"{_TRANSLATE[:-5]}translated --tile 64",
         then="--out {new}", before=_translated, leaves="--out", says="name another folder"),
    Case("before_after.py: can't be written", f"{_TRANSLATE} --grid seven.png/x.png",
         then="--grid {new}.png", before=_model, leaves="--grid", says="name a writable folder"),
    Case("this model has only", f"{_TRANSLATE} --direction b2a", then="--direction a2b",
         before=_model, leaves="--direction", says="has only a2b"),
    Call("it makes pictures of nothing", _of_noise, _sample),
    Call("it makes variants of a picture", _variants, _vary),
    Call("genkit again {}", _record_says, _do_again),
    Case("has other weights than the model", "again translated/seven-a2b.json --model others-model",
         then="--model zebras --out {new}", before=_other_model, leaves="--model",
         says="give that one by --model"),
    Call("is another picture than that of the record", _other_picture, _right_picture),
]  # fmt: skip
