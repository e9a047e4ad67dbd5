"""Advice about pipelines, machines and files that commands alone do not come to."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

import pytest
from advice.cases_python import DATASET, command_of, refused
from advice.follow import Call, World
from PIL import Image
from pipelines_at_hand import Inverter, Reader, Tagger

import genkit
from genkit import machine, run_folder
from genkit.data import open_data
from genkit.data.pack import pack
from genkit.errors import UNFINISHED, Unfinished
from genkit.family import load, load_config
from genkit.pipelines.pictures import save_interpolation
from genkit.pipelines.samples import write_samples
from genkit.rows.batch import DataInfo
from genkit.rows.combine import fitted
from genkit.training import checkpoints, refusals
from genkit.training.trainer import Trainer
from genkit.verbs import machine as verbs_machine
from genkit.verbs.real_images import real_images

# -- machines without bf16 arithmetic --------------------------------------------------------------


def _emulated(command: str) -> Callable[[World], str]:
    """What a command says where bf16 would be emulated."""

    def says(world: World) -> str:
        known, machine.has_fast_bf16 = machine.has_fast_bf16, lambda device: False
        machine.warn_of_emulation.cache_clear()
        try:
            return world.run(world.named(command))[1]
        finally:
            machine.has_fast_bf16 = known
            machine.warn_of_emulation.cache_clear()

    return says


def _then(command: str) -> Callable[[World, str], object]:
    return lambda world, text: world.ok(world.named(command))


# -- what the command line reads otherwise ---------------------------------------------------------


def _alone(world: World) -> str:
    shutil.copytree(f"{world.copy('cgan')}/export", "alone")
    return refused(real_images, Path("alone"))


def _unlabelled(world: World) -> str:
    info = DataInfo.of(open_data(load_config("plain.yaml").data, "train"))
    return refused(load("ddpm").trainer, load_config("guided.yaml"), info, Path("unlabelled"))


def _training_alone(world: World, text: str) -> None:
    info = DataInfo.of(open_data(load_config("plain.yaml").data, "train"))
    config = load_config("guided.yaml", re.findall(r"model.conditional=\w+", text))
    load("ddpm").trainer(config, info, Path("unlabelled"))


def _any_size(world: World) -> str:
    rows = genkit.open_rows("pictures")
    return refused(write_samples, Inverter(), Path("x.npz"), count=2, given=rows)


def _into_a_folder(world: World, text: str) -> None:
    write_samples(Inverter(), Path("inverted"), count=2, given=genkit.open_rows("pictures"))


def _lost_worker(world: World) -> str:
    def of_a_lost_worker() -> None:
        trainer = SimpleNamespace(steps_done=2, run_dir=world.copy("plain"))
        trainer.config = load_config("plain.yaml")
        with refusals.lost_worker(trainer):
            raise RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed.")

    return refused(of_a_lost_worker)


def _full_memory(world: World) -> str:
    def of_full_memory() -> None:
        with refusals.building():
            raise MemoryError

    return refused(of_full_memory)


def _card(world: World) -> str:
    run = world.copy("cgan")
    return Path(run, "export", "README.md").read_text().split("```python\n")[1].split("```")[0]


def _run_card(world: World, text: str) -> None:
    exec(text.replace("PATH_OR_HUB_ID", f"{world.copy('cgan')}/export"), {})


def _nothing_given(world: World) -> str:
    return refused(Inverter(), 2)


def _given(world: World, text: str) -> None:
    lacking = re.search(r"give (\w+)=", text)[1]
    Inverter()(2, **{lacking: Image.open("seven.png")})
    Inverter()(2, given=genkit.open_rows("pictures"))


def _no_walk(world: World) -> str:
    return refused(save_interpolation, Tagger(), Path("walk.png"))


def _no_picture(world: World) -> str:
    world.pictures("tiny", 4, side=4)
    rows = fitted(genkit.open_rows("tiny"), (4, 4), 3)
    return refused(write_samples, Reader(), Path("read"), count=2, given=rows)


def _npz(world: World, text: str) -> None:
    assert "give --out FILE.npz" in text
    rows = fitted(genkit.open_rows("tiny"), (4, 4), 3)
    write_samples(Reader(), Path("FILE.npz"), count=2, given=rows)


def _held(world: World) -> str:
    with run_folder.locked(Path("held")):
        return world.run("train plain.yaml --out held")[1]


def _held_no_more(world: World, text: str) -> None:
    world.ok("train plain.yaml --out held")
    with run_folder.locked(Path("held")):
        world.ok(f"train plain.yaml --out {world.new()}")


def _full_disk(world: World) -> str:
    def of_a_full_disk() -> None:
        with checkpoints.explained("run folder x"):
            raise OSError(errno.ENOSPC, "No space left on device")

    return refused(of_a_full_disk)


def _closed_folders(world: World) -> str:
    with patch("genkit.verbs.machine._is_writable", lambda path: False):
        return verbs_machine.folders().advice


def _open_folders(world: World, text: str) -> None:
    with patch.dict(os.environ, {"GENKIT_CACHE": "my-cache"}):
        world.ok("train plain.yaml --out my-run")


def _stopped_by_python(world: World) -> str:
    step = Trainer.train_step

    def interrupted(self, batches):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batches)

    with patch.object(Trainer, "train_step", interrupted), pytest.raises(Unfinished) as told:
        genkit.train("custom.yaml", dataset=DATASET, out=Path("handed"))
    return str(told.value)


def _goes_on_in_python(world: World, text: str) -> None:
    call = re.search(r"genkit.train\(.*?\)", text)[0].replace("...", "DATASET")
    eval(call, {"genkit": genkit, "DATASET": DATASET})


def _stopped(world: World) -> str:
    step = Trainer.train_step

    def interrupted(self, batches):
        os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batches)

    with patch.object(Trainer, "train_step", interrupted):
        status, text = world.run("train plain.yaml --out stopped")
    assert status == UNFINISHED
    return text


_BF16 = "--precision bf16 --count 2 --steps 1 --out {new}"

CASES = [
    Call("start a run with trainer.precision=fp32",
         _emulated("train plain.yaml trainer.precision=bf16 --out {new}"),
         _then("train plain.yaml trainer.precision=fp32 --out {new}")),
    Call("denoising.py: leave --precision (precision=) out",
         _emulated(f"sample {{guided}} {_BF16}"),
         _then("sample {guided} --count 2 --steps 1 --out {new}")),
    Call("an export says nothing of its data", _alone, lambda w, t: w.ok(
        "evaluate alone --count 40 --extractor digits --reference synthetic:glyphs:test")),
    Call("has no labels; set model.conditional", _unlabelled, _training_alone),
    Call("--per-shard {}", lambda w: refused(pack, Path("pictures"), Path("p"), 0),
         lambda w, t: pack(Path("pictures"), Path("p"), 1)),
    Call("may be of any; give --out FOLDER", _any_size, _into_a_folder),
    Call("`genkit train {}`", _lost_worker, lambda w, t: w.ok(command_of(t, "train"))),
    Call("memory ran out while the networks", _full_memory, lambda w, t: w.ok(
        "config show plain.yaml " + re.search(r"trainer.ema_decay=null", t)[0])),
    Call("import genkit", _card, _run_card),
    Call("or rows that hold it (--given)", _nothing_given, _given),
    Call("has no walk between its samples", _no_walk, lambda w, t: Tagger()(2)),
    Call("holds one picture a row", _no_picture, _npz),
    Call("is training there; wait for it", _held, _held_no_more),
    Call("the disk is full; free some", _full_disk,
         lambda w, t: w.ok(f"train {w.copy('plain')} --resume")),
    Call("use --out for runs, and GENKIT_CACHE", _closed_folders, _open_folders),
    Call("`genkit train {}`", _stopped, lambda w, t: w.ok(command_of(t, "train"))),
    Call("dataset=..., resume=True)", _stopped_by_python, _goes_on_in_python),
    Call("request.py: leave --precision (precision=) out",
         _emulated("evaluate pictures --reference others --extractor digits --precision bf16 "
                   "--out {new}.json"),
         _then("evaluate pictures --reference others --extractor digits --out {new}.json")),
]  # fmt: skip
