"""Advice of trainings, followed by training a few steps more."""

from __future__ import annotations

import re
from pathlib import Path

import sets_at_hand
from advice.follow import Call, Case, World

from genkit.family import load
from genkit.training.diagnosis import GRACE, LOOKS, History, diagnose

_PLAIN = "train plain.yaml --out {new}"


def _broken_one(world: World) -> None:
    world.pictures("hurt", 40)
    Path("hurt/7.png").write_bytes(b"\x89PNG no more")


def _sorted(world: World) -> None:
    for name in ("a", "b"):
        world.pictures(f"sorted/{name}", 20)


def _mnist(world: World) -> None:
    tiny = {**load("dcgan").tiny, "data": {"kind": "mnist", "batch_size": 8, "image_size": 32}}
    world.write("mnist.yaml", {"family": "dcgan", **tiny})
    Path("empty").mkdir(exist_ok=True)
    Path("idx").mkdir(exist_ok=True)
    sets_at_hand.mnist(Path("idx"))
    tiny = tiny | {"data": {"kind": "cifar10", "batch_size": 8, "image_size": 32}}
    world.write("cifar10.yaml", {"family": "dcgan", **tiny})
    sets_at_hand.cifar10(Path("idx"))


def _tars(world: World) -> None:
    world.pictures("numbered", 12)
    world.ok("data pack numbered shards")
    for path in Path("shards").glob("*.tar"):
        path.rename(path.with_name(path.name.replace("train", "test")))


DATA = [
    Case("data/__init__.py: sort the images into one", f"{_PLAIN} model.conditional=true",
         then="data.root=sorted", says="one sub-folder per class", before=_sorted),
    Case("a training leaves such files out", f"{_PLAIN} data.root=hurt", "data.on_error=skip",
         before=_broken_one),
    Case("asks for one of its columns", f"{_PLAIN} data.label=kind", leaves="data.label"),
    Case("cgan.py: data.batch_size=1", "train cgan.yaml --out {new} data.batch_size=1",
         then="data.batch_size=2", says="2 or more images"),
    Case("dcgan.py: data.batch_size=1", "train dcgan.yaml --out {new} data.batch_size=1",
         then="data.batch_size=2", says="2 or more images"),
    Case("no font of matplotlib has", "train dcgan.yaml --out {new} data.characters=\u4e00",
         then="data.characters=ab", says="use letters"),
    Case("leave out characters without ink", "train dcgan.yaml --out {new} 'data.characters=a b'",
         then="data.characters=ab", says="without ink"),
    Case("put the four IDX files there", "train mnist.yaml --out {new} data.root=empty",
         then="data.root=idx", says="the four IDX files", before=_mnist),
    Case("no CIFAR-10 {} part", "train cifar10.yaml --out {new} data.root=empty",
         then="data.root=idx", says="put one there", before=_mnist),
    Case("to train on them, name them", f"{_PLAIN} data.root=shards", r"data.root='[^']+'",
         before=_tars),
]  # fmt: skip

RUNS = [
    Case("fp16 needs a GPU", f"{_PLAIN} trainer.precision=fp16", r"trainer.precision=bf16"),
    Case("fp16 needs a GPU", f"{_PLAIN} trainer.precision=fp16", then="trainer.precision=fp32",
         says="bf16 or fp32"),
    Case("with trainer.grad_clip=1 or", "train dcgan.yaml --out {new} optim.lr=1e30 "
         "trainer.steps=6", r"trainer.grad_clip=1", then="optim.lr=1e-4 --out {other}"),
    Case("with trainer.grad_clip=1 or", "train dcgan.yaml --out {new} optim.lr=1e30 "
         "trainer.steps=6", r"trainer.precision=fp32", then="optim.lr=1e-4 --out {other}"),
    Case("is not over at the end of", f"{_PLAIN} optim.warmup_steps=500",
         r"as by (optim.warmup_steps=\d+)", then="--out {other}", status=0),
    Case("ask for more steps, or begin another run with", "train {plain} --resume trainer.steps=1",
         then="genkit train {plain} --resume trainer.steps=3", says="ask for more steps"),
    Case("ask for more steps, or begin another run with", "train {plain} --resume trainer.steps=1",
         leaves="", then="genkit train plain.yaml trainer.steps=1 --out {new}", says="--out"),
    Case("a resumed run must keep its settings", "train {plain} --resume data.limit=20",
         r"genkit train [\w-]+ --resume"),
    Case("a resumed run must keep its settings", "train {plain} --resume data.limit=20",
         then="genkit train plain.yaml data.limit=20 --out {new}", says="another --out"),
    Case("holds a run of another config", "train plain.yaml --out {plain} data.limit=20",
         leaves="--out", then="--out {other}"),
    Case("holds a run of this config", "train plain.yaml --out {plain}", "--resume"),
    Case("holds a run of this config", "train plain.yaml --out {plain}", leaves="--out",
         then="--out {other}"),
    Case("a folder without config.yaml, so it is no run", "train pictures",
         then="genkit train {plain} --resume", says="the folder that `genkit train` wrote"),
    Case("with --out or mend its", "train plain.yaml --out seven.png/run", leaves="--out",
         then="--out {other}"),
    Case("is passed over", "train {plain} --resume --init {plain} trainer.steps=3",
         leaves="--init", status=0),
    Case("none of the networks", f"{_PLAIN} --init {{dcgan}}", leaves="--init"),
    Case("does not fit this config", "train dcgan.yaml --out {new} --init {dcgan} model.width=8",
         leaves="model.width", says="give data and model the sizes"),
    Case("data.batch_size={}", "train {plain} --resume data.batch_size=4",
         then="trainer.grad_accumulation=2", says="choose data.batch_size or"),
    Case("adversarial.critic_steps={}", "train {dcgan} --resume data.batch_size=4",
         then="trainer.grad_accumulation=2", says="choose data.batch_size or"),
    Case("config.py: trainer.grad_accumulation={}", "train {plain} --resume data.batch_size=4",
         then="trainer.grad_accumulation=2", says="choose data.batch_size or"),
    Case("not learnt (the mean image", "train dcgan.yaml --overfit-batch --out {new} "
         "trainer.preview_every=1", r"adversarial.r1_weight=1",
         then="model.critic_norm=none data.batch_size=4 --out {other}", status=0, same=True),
    Case("next_command.py: genkit sample", _PLAIN,
         r"genkit sample [\w-]+ --grid sheet.png", status=0),
    Case("next_command.py: --grid sheet.png", _PLAIN,
         r"genkit sample [\w-]+ --grid sheet.png", status=0),
]  # fmt: skip


# -- evaluation during a training ------------------------------------------------------------------

_EVERY = "evaluation.every=2 evaluation.count=100 evaluation.extractor=digits"
EVALUATING = [
    Case("trains without it", f"{_PLAIN} {_EVERY}", r"evaluation.every=null"),
    Case("evaluate_training.py: evaluation.extractor=digits", "train parted.yaml --out {new} "
         "evaluation.every=2 evaluation.count=100", r"evaluation.extractor=digits"),
    Case("not measured here", f"train dcgan.yaml --out {{new}} {_EVERY} "
         "evaluation.best_by=accuracy", then="evaluation.best_by=fd-digits --out {other}",
         says="there are fd-digits"),
    Case("not measured during training", f"train dcgan.yaml --out {{new}} {_EVERY} "
         "evaluation.best_by=is", leaves="evaluation.best_by", then="evaluation.best_by=fd-digits",
         says="there are fd-digits"),
]  # fmt: skip


# -- what the doctor says --------------------------------------------------------------------------

_SOUND = {
    "critic/accuracy": 0.9, "critic/margin": 2.0, "gradient/generator": 4.0,
    "update/generator": 0.007, "update/critic": 0.003, "ema/lag/generator": 0.1,
    "ema/follow/generator": 1.0, "loader/wait": 0.01, "diversity/overall": 0.95,
}  # fmt: skip
_ILL: dict[str, dict[str, float]] = {
    "Restart with a lower optim.lr": {"diversity/overall": 0.1, "diversity/narrowest-class": 0.1},
    "Steps so long overshoot": {"update/critic": 0.025},
    "critic_remedies.py: , each with model.critic_norm=none": {
        "gradient/generator": 2e-3,
        "critic/accuracy": 1.0,
    },
    "previews, evaluation and export show": {"ema/follow/generator": 0.0, "ema/lag/generator": 1.2},
    "of the time goes by waiting": {"loader/wait": 0.6},
}


def _diagnosis(changes: dict[str, float]) -> str:
    rows = [_SOUND, _SOUND, *[{**_SOUND, **changes}] * LOOKS]
    seen = [{"step": GRACE + i, "seconds": float(i), **row} for i, row in enumerate(rows, 1)]
    return " ".join(finding.text for finding in diagnose(History(seen)))


def _each_setting(world: World, text: str) -> None:
    """Settings that are named with a value are taken by a config; some need the one beside them."""
    for word in re.findall(r"(?:[a-z_]+\.)?[a-z_1]+=[\w-]+", text):
        word = word if "." in word else f"adversarial.{word}"
        beside = "model.critic_norm=none" if word.startswith("adversarial.") else ""
        world.ok(f"config show dcgan.yaml {word} {beside}")


DOCTOR = [
    Call(key, lambda _, changes=changes: _diagnosis(changes), _each_setting)
    for key, changes in _ILL.items()
]

CASES: list[Case | Call] = [*DATA, *RUNS, *EVALUATING, *DOCTOR]
