"""Advice about one's own pictures: translated, and made again."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from advice.cases_python import command_of
from advice.follow import Call, Case, World

from genkit.family import load
from genkit.nn.editors import AttributeCritic, EditDecoder, EditEncoder
from genkit.nn.translators import ResnetTranslator
from genkit.pipelines import save_export
from genkit.pipelines.editing import EditingPipeline
from genkit.pipelines.translation import TranslationPipeline
from genkit.rows.columns import Image

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


def _changed(world: World) -> None:
    _translated(world)
    shutil.copytree("translated", "changed", dirs_exist_ok=True)
    shutil.copy("seven.png", "changed/seven-a2b.png")


def _without_record(world: World) -> None:
    _translated(world)
    shutil.copytree("translated", "bare", dirs_exist_ok=True)
    Path("bare/seven-a2b.json").unlink()


def _other_model(world: World) -> None:
    _translated(world)
    _model(world, "others-model")


def _gone(world: World) -> None:
    """Records whose model or picture is not there, or came by standard input."""
    _translated(world)
    record = _RECORD.read_text()
    for name, there, instead in (
        ("no-model", '"path": "zebras"', '"path": "none"'),
        ("no-picture", '"path": "seven.png"', '"path": "none.png"'),
        ("stdin", '"path": "seven.png"', '"path": "-"'),
    ):
        Path(f"{name}.json").write_text(record.replace(there, instead))


def _sheet_of_two(world: World) -> str:
    _editor(world)
    shutil.copy("seven.png", "eight.png")
    if not Path("two.png").exists():
        world.ok("edit faces seven.png eight.png --grid two.png")
    Path("eight.png").rename("elsewhere.png")
    return world.run(f"again two.json --picture elsewhere.png --out {world.new()}")[1]


def _put_back(world: World, text: str) -> None:
    assert "where the record says" in text
    Path("elsewhere.png").rename("eight.png")
    world.ok(f"again two.json --out {world.new()}")


def _larger(world: World) -> str:
    _editor(world)
    world.pictures("large", 1, side=40)
    shutil.copy("large/0.png", "large.png")
    return world.run(f"edit faces large.png --set Bald=1 --out {world.new()}")[1]


def _itself(world: World, text: str) -> None:
    (option,) = re.findall(r"--model-size", text)
    world.ok(f"edit faces large.png --set Bald=1 {option} --out {world.new()}")


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


def _editor(world: World) -> None:
    if not Path("faces").exists():
        critic = AttributeCritic((16, 16), 2, 1, 2, 2, 4)
        networks = EditEncoder(1, 2, 2), EditDecoder(2, 1, 2, 2), critic
        names = ("Bald", "Smiling")
        pipeline = EditingPipeline(*networks, attributes=names, image_size=16)
        save_export(pipeline, Path("faces"), provenance={"family": "attgan"}, config_yaml="")


def _to_be_edited(world: World) -> str:
    _editor(world)
    return world.run("translate faces seven.png")[1]


def _edit(world: World, text: str) -> None:
    words = command_of(text, "edit").replace("RUN", "faces").replace("IMAGES", "seven.png")
    world.ok(f"{words.replace('NAME', 'Bald')} --out {world.new()}")


def _unfamiliar(world: World) -> str:
    _editor(world)
    with (
        patch.object(EditingPipeline, "familiar_below", -1.0),
        patch.object(EditingPipeline, "unfamiliarity", lambda self, images: images.mean((1, 2, 3))),
    ):
        return world.run(f"edit faces seven.png --set Bald=1 --out {world.new()}")[1]


def _another_crop(world: World, text: str) -> None:
    (option,) = re.findall(r"--crop", text)
    world.ok(f"edit faces seven.png --set Bald=1 {option} 2,2,12 --out {world.new()}")


def _train(name: str) -> str:
    return f"train {name}.yaml --out {{new}}"


def _config(name: str) -> Callable[[World], None]:
    def write(world: World) -> None:
        tree = dict(load(name).tiny)
        steps = {"steps": 2, "preview_every": 1000}
        world.write(f"{name}.yaml", {**tree, "trainer": {**tree["trainer"], **steps}})

    return write


def _of_one_size(world: World) -> str:
    patched = patch.object(TranslationPipeline, "takes", ({"image_a": Image((16, 16), 1)},))
    _model(world)
    with patched:
        return world.run(f"translate zebras seven.png --out {world.new()}")[1]


def _given(world: World, text: str) -> None:
    words = command_of(text, "sample").replace("RUN", "zebras").replace("FOLDER", "few")
    world.ok(f"{words} --out {world.new()}")


_EDIT = "edit faces seven.png --set Bald=1 --out {new}"

CASES = [
    Case("next_command.py: genkit translate", _train("cyclegan"),
         r"genkit translate [\w-]+ PICTURES",
         fill={"PICTURES": "pictures"}, then="--out {other}", status=0, before=_config("cyclegan")),
    Case("next_command.py: genkit edit", _train("attgan"),
         r"genkit edit [\w-]+ PICTURES --set \w+=1",
         fill={"PICTURES": "pictures"}, then="--out {other}", status=0, before=_config("attgan")),
    Call("it takes pictures of one size", _of_one_size, _given),
    Call("it edits attributes: ", _to_be_edited, _edit),
    Call("unlike 99 % of pictures", _unfamiliar, _another_crop),
    Case("nothing to edit", "edit faces seven.png --out {new}", then="--set Bald=0",
         before=_editor, says="--set NAME=1 or NAME=0"),
    Case("nothing to edit", "edit faces seven.png --out {new}", then="--sweep Smiling",
         before=_editor, says="--sweep NAME"),
    Case("nothing to edit", "edit faces seven.png --out {new}", then="--grid {other}.png",
         before=_editor, says="--grid FILE.png"),
    Case("is of --set and --grid", "edit faces seven.png --sweep Bald --strength 2 --out {new}",
         leaves="--strength", before=_editor, says="leave it out"),
    Case("write TOP,LEFT,SIDE in px", f"{_EDIT} --crop 1,2", r"26,3,170", leaves="--crop",
         fill={"26,3,170": "--crop=1,2,8"}, before=_editor),
    Case("the side must be at least 1 px", f"{_EDIT} --crop 1,2,0", then="--crop 1,2,1",
         leaves="--crop", before=_editor, says="at least 1"),
    Case("does not say that its pictures were cut", f"{_EDIT} --crop training", leaves="--crop",
         before=_editor, says="leave it out"),
    Case("that is a file; name a folder", "translate zebras seven.png --out seven.png",
         then="--out {new}", before=_model, leaves="--out", says="name a folder"),
    Case("lies in {}, whose pictures are read", "translate zebras pictures --out pictures/made",
         then="--out {new}", before=_model, leaves="--out", says="name a folder elsewhere"),
    Case("each result goes into a folder", "translate zebras seven.png --out made.png",
         then="--out {new}", before=_model, leaves="--out", says="without an ending"),
    Case("is not the picture that its record was written for", f"{_TRANSLATE[:-5]}changed",
         then="--out {new}", before=_changed, leaves="--out", says="name another folder"),
    Case("is no sheet of this very command", f"{_TRANSLATE} --grid mask.png", leaves="--grid",
         then="--grid {new}.png", before=_model, says="name another file"),
    Case("change_pictures.py: free some space or name a writable folder",
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
    Case("there lies the picture that it is compared with",
         "again translated/seven-a2b.json --out translated", then="--out {new}", leaves="--out",
         before=_translated, says="name another folder"),
    Case("--picture: is of one record", "again translated/seven-a2b.json translated/seven-a2b.json "
         "--picture seven.png --out {new}", before=_translated, says="name that alone",
         then="genkit again translated/seven-a2b.json --picture seven.png --out {other}"),
    Case("the model of this record is not there", "again no-model.json --out {new}",
         then="--model zebras", before=_gone, says="say where it is by --model"),
    Case("the picture came by standard input", "again stdin.json --out {new}",
         then="--picture seven.png", before=_gone, says="give its file by --picture"),
    Case("the record names it as it was given then", "again no-picture.json --out {new}",
         then="--picture seven.png", before=_gone, says="say where it is by --picture"),
    Call("this sheet shows {} pictures", _sheet_of_two, _put_back),
    Call("--model-size gives what the model made itself", _larger, _itself),
    Case("verbs/edit.py: --sweep {}: stands twice",
         "edit faces seven.png --sweep Bald --sweep Bald --out {new}", then="--sweep Bald",
         before=_editor, leaves="--sweep"),
    Case("is there without its record", f"{_TRANSLATE[:-5]}bare", then="--out {new}",
         before=_without_record, leaves="--out", says="name another folder"),
    Case("--model-size: is of --set", "edit faces seven.png --sweep Bald --model-size --out {new}",
         leaves="--model-size", before=_editor, says="leave it out"),
    Case("--set switches it too", "edit faces seven.png --set Bald=1 --sweep Bald --out {new}",
         leaves="--sweep", before=_editor, says="leave one of them out"),
    Case("has other weights than the model", "again translated/seven-a2b.json --model others-model",
         then="--model zebras --out {new}", before=_other_model, leaves="--model",
         says="give that one by --model"),
    Call("is another picture than that of the record", _other_picture, _right_picture),
]  # fmt: skip
