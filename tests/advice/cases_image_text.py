"""Advice about pictures and texts: of the family clip, `genkit classify` and scene-score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from advice.follow import Call, Case, World

from genkit.config import flatten
from genkit.training.diagnosis import GRACE, LOOKS, History, diagnose

_SOUND = {
    "accuracy/clip": 0.6,
    "guessing/clip": 1 / 128,
    "equal/clip": 0.02,
    "scale/clip": 40.0,
    "rank/clip": 0.3,
}


def _set(key: str, given: str, takes: str = "", **more: Any) -> Case:
    return Case(key, f"config show clip.yaml {given}", takes, **more)


def _classify(key: str, given: str, **more: Any) -> Case:
    return Case(key, f"classify few --model {{clip}} {given}", **more)


def _labels(world: World) -> None:
    Path("latin.txt").write_bytes(b"star\nt\xe9moin\n")
    Path("labels.txt").write_text("star\ntémoin\n", encoding="utf-8")


def _known(world: World) -> None:
    """Labelled pictures: enough of them, too few, and none of a label."""
    for name, count in (("known", 12), ("scarce", 4)):
        for label in ("star", "ring"):
            world.pictures(f"{name}/{label}", count)
    world.pictures("half/star", 12)


def _told(world: World) -> None:
    world.pictures("told", 40, side=32)
    rows = [{"file_name": f"{i}.png", "caption": "a red star"} for i in range(40)]
    Path("told/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


def _of_another_size(world: World) -> str:
    """What is said of towers of 32 px and pictures of 64."""
    export = world.copy("clip")
    tree = yaml.safe_load(Path("clip.yaml").read_text())
    tree |= {"model": {"kind": "pretrained", "source": export}}
    world.write("pretrained.yaml", tree)
    status, text = world.run(f"train pretrained.yaml data.image_size=64 --out {world.new()}")
    assert status == 2
    return text


def _at_its_size(world: World, text: str) -> None:
    assert "set data.image_size=32" in " ".join(text.split())
    world.ok(f"train pretrained.yaml data.image_size=32 --out {world.new()}")


def _doctor(key: str, changes: dict[str, float], *advised: str) -> Call:
    """What the training doctor says of rows with these numbers, and the settings that it names."""

    def says(world: World) -> str:
        rows = [{"step": GRACE + i, **_SOUND, **changes} for i in range(1, LOOKS + 1)]
        settings = flatten(yaml.safe_load(world.ok("config show clip.yaml")))
        return diagnose(History(rows, settings))[0].text

    def follow(world: World, text: str) -> None:
        for word in advised:
            name = word.partition("=")[0]
            assert name in text if "=" in word else word in text
            world.ok(f"config show clip.yaml {word}" if "=" in word else _evaluated(world, word))

    return Call(key, says, follow)


def _evaluated(world: World, command: str) -> str:
    return world.named(command.removeprefix("genkit ").replace("RUN", "{clip}"))


CASES: list[Case | Call] = [
    _set("data.batch_size=1: a picture is compared", "data.batch_size=1",
         then="data.batch_size=2", says="give 2 or more"),
    _set("px are not parted evenly into patches", "model.patch=5", then="data.image_size=40",
         says="give squares that are"),
    _set("says nothing to tokenizer=clip", "model.tokenizer=clip", then="model.vocabulary=49408",
         says="which has 49,408 tokens"),
    Call("and the tower of model.source takes", _of_another_size, _at_its_size),
    _classify("told apart by two labels or more", "--labels star", leaves="--labels",
              then="--labels star,ring", says="give the others too"),
    _classify("one of them is empty; give words", "--labels star,", leaves="--labels",
              then="--labels star,ring"),
    _classify("verbs/classify.py: --labels: {} stands twice", "--labels star,Star",
              leaves="--labels", then="--labels star,ring", says="give each once"),
    _classify("has no {} where the label goes", "--labels star,ring --template photo",
              leaves="--template", then="--template 'a {{}}'"),
    _classify("can't be read as text", "--labels latin.txt", leaves="--labels",
              then="--labels labels.txt", before=_labels, says="a file in UTF-8"),
    _classify("has no folder of pictures called", "--labels star,ring --calibrate half",
              leaves="--calibrate", then="--calibrate known", before=_known),
    _classify("are too few to fit a temperature", "--labels star,ring --calibrate scarce",
              leaves="--calibrate", then="--calibrate known", before=_known),
    Case("scene_score.py: give --extractor scenes", "evaluate told --reference others "
         "--extractor digits --metric scene-score", "--extractor scenes", leaves="--extractor",
         before=_told, then="--out {new}.json"),
    _doctor("of the pictures find their text", {"accuracy/clip": 0.008}, "optim.lr=5e-5",
            "optim.warmup_steps=1"),
    _doctor("the inverse temperature stands at its largest", {"scale/clip": 100.0},
            "genkit evaluate RUN"),
]  # fmt: skip
