"""Advice about sets with attributes, followed by training a few steps on one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import sets_at_hand
import torch
from advice.cases_python import refused
from advice.follow import Call, Case, World

from genkit.data import open_data
from genkit.data.readers.celeba import CelebaData
from genkit.evaluation import load_extractor
from genkit.family import load

ROOT = Path("celeba")
_CELEBA = "train plain.yaml --out {new} data.kind=celeba data.root=celeba"


def _whole(world: World) -> None:
    shutil.rmtree(ROOT, ignore_errors=True)
    sets_at_hand.celeba(ROOT, 24)


def _without_one(world: World) -> None:
    _whole(world)
    (ROOT / "img_align_celeba" / "000003.jpg").unlink()


def _short_partition(world: World) -> None:
    _whole(world)
    path = ROOT / "list_eval_partition.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))


def _classifier(world: World) -> None:
    world.write("classifier.yaml", {"family": "classifier", **load("classifier").tiny})


def _judge(world: World) -> None:
    _classifier(world)
    world.ok("train classifier.yaml --out judge")


def _told(world: World) -> None:
    world.pictures("told", 24)
    rows = [{"file_name": f"{i}.png", "Smiling": i % 2, "Eyeglasses": 0} for i in range(24)]
    Path("told/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {"kind": "folder", "root": "told", "image_size": 16, "batch_size": 8}
    tiny = {**load("classifier").tiny, "data": data, "model": {"answers": "attributes"}}
    world.write("told.yaml", {"family": "classifier", **tiny})


def _no_attributes(world: World) -> str:
    return refused(load_extractor("digits").shares, torch.zeros(1, 128))


def _attributes(world: World, text: str) -> None:
    assert "model.answers=attributes" in text
    _whole(world)
    data = {"kind": "celeba", "root": "celeba", "image_size": 8, "batch_size": 8}
    world.write("knows.yaml", {"family": "classifier", **load("classifier").tiny, "data": data})
    world.ok("train knows.yaml --out knows model.answers=attributes")
    assert load_extractor("knows").shares(torch.zeros(1, 8)).shape == (1, 14)


def _no_parts(world: World) -> str:
    _whole(world)
    data = CelebaData(root=ROOT, image_size=16, partition_file=None)
    return refused(open_data, data, "test")


def _parts(world: World, text: str) -> None:
    assert "name a list of parts in data.partition_file" in text
    data = CelebaData(root=ROOT, image_size=16, partition_file="list_eval_partition.txt")
    assert len(open_data(data, "test"))


CASES = [
    Case("name the columns of metadata.jsonl that say yes or no", "train told.yaml --out {new}",
         r"data\.attributes=\[[^\]]+\]", before=_told),
    Case("add a line for each, or set", _CELEBA, r"data\.partition_file=null",
         before=_short_partition),
    Case("put them there, or leave their rows out", _CELEBA, r"data\.on_error=skip",
         before=_without_one),
    Case("give a crop within all pictures", f"{_CELEBA} 'data.crop=[50,3,170]'",
         then="'data.crop=[26,3,170]'", says="give a crop within all pictures", before=_whole),
    Case("next_command.py: genkit evaluate", "train classifier.yaml --out {new}",
         r"next: (genkit evaluate \S+)", before=_classifier, status=0),
    Case("families/classifier.py: data.batch_size=1",
         "train classifier.yaml --out {new} data.batch_size=1", then="data.batch_size=2",
         says="2 or more images", before=_classifier),
    Case("families/classifier.py: model.levels=",
         "train classifier.yaml --out {new} model.levels=5", then="model.levels=1",
         says="or fewer levels", before=_classifier),
    Case("makes no pictures, it gives", "sample judge --given pictures",
         r"`(genkit evaluate [^`]+)`", before=_judge),
    Case("evaluation/classifiers.py: this run has no export",
         "evaluate pictures --reference others --extractor {bare}", r"genkit export \S+"),
    Call("knows no attributes; give a classifier", _no_attributes, _attributes),
    Call("so all pictures train and there is no", _no_parts, _parts),
]  # fmt: skip
