"""Advice that Python gives, or that takes more than one command to come to."""

from __future__ import annotations

import os
import re
import shutil
from html import unescape
from pathlib import Path

import torch
from advice.follow import Call, World

import genkit
from genkit.errors import GenkitError
from genkit.nn.generators import DCGANGenerator as Generator
from genkit.pipelines.export import push
from genkit.report import write_report
from genkit.report.record import read_run


def refused(action: object, *values: object, **named: object) -> str:
    try:
        action(*values, **named)  # type: ignore[operator]
    except (GenkitError, ValueError) as error:
        return str(error)
    raise AssertionError(f"{action}: nothing is refused")


def command_of(text: str, start: str) -> str:
    """The command in a text that begins so, without `genkit`."""
    found = re.search(rf"genkit ({start}[^`;\n(]*)", text)
    assert found, text
    return found[1].strip()


# -- data handed over in Python --------------------------------------------------------------------

DATASET = [(torch.rand(1, 16, 16), 0)] * 16


def _without_data(world: World) -> str:
    return world.run("train custom.yaml --out never")[1]


def _hand_over(world: World, text: str) -> None:
    assert "genkit.train(config, dataset=...)" in text
    genkit.train("custom.yaml", dataset=DATASET, out=world.new())


def _two_sets(world: World) -> str:
    return refused(genkit.train, "plain.yaml", dataset=DATASET, out=world.new())


def _one_set(world: World, text: str) -> None:
    assert "data.kind=custom, or leave it out" in text
    genkit.train("custom.yaml", dataset=DATASET, out=world.new())
    genkit.train("plain.yaml", out=world.new())


def _custom_run(world: World) -> str:
    genkit.train("custom.yaml", dataset=DATASET, out="of-custom")
    return world.run("evaluate of-custom --count 40 --extractor digits")[1]


# -- runs ------------------------------------------------------------------------------------------


def _other_images(world: World) -> str:
    world.pictures("changing", 20)
    world.ok("train plain.yaml data.root=changing --out changed")
    shutil.copy("others/0.png", "changing/0.png")
    return world.run("train changed --resume trainer.steps=3")[1]


def _unknown_setting(world: World) -> str:
    run = Path(world.copy("plain"))
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("trainer:\n", "trainer:\n  magic: 3\n"))
    return world.run(f"train {run} --resume")[1]


def _no_record(world: World) -> str:
    run = Path(world.copy("plain"))
    (run / "provenance.json").write_text("{}")
    return world.run(f"export {run}")[1]


def _broken_later(world: World) -> str:
    world.pictures("worse", 20)
    picture = Path("worse/7.png").read_bytes()
    Path("worse/7.png").write_bytes(picture[: len(picture) - 40])
    text = world.run("train plain.yaml data.root=worse data.memory=never --out hurt-run "
                     "trainer.steps=6")[1]  # fmt: skip
    Path("worse/7.png").write_bytes(picture)
    return text


def _lagging(world: World) -> str:
    run = Path(world.copy("dcgan"))
    shutil.copytree(run / "export", world.folder / "old-export")
    world.ok(f"train {run} --resume trainer.steps=4")
    shutil.rmtree(run / "export")
    shutil.move(world.folder / "old-export", run / "export")
    return world.run(f"sample {run} --count 4")[1]


def _old_samples(world: World) -> str:
    run = Path(world.copy("cgan"))
    world.ok(f"sample {run} --count 40")
    world.ok(f"train {run} --resume trainer.steps=4")  # of other weights now
    os.utime(run / "samples.npz", (1, 1))
    return world.ok(f"evaluate {run}/samples.npz --extractor digits")


def _sample_anew(world: World, text: str) -> None:
    old = re.search(r"delete (\S+) and run", text)[1]
    world.ok(f"evaluate {Path(old).parent} --count 40 --extractor digits")  # the other way out
    Path(old).unlink()
    world.ok(command_of(text, "sample") + " --count 40")


def _begun_samples(world: World) -> str:
    run = Path(world.copy("cgan"))
    world.ok(f"sample {run} --count 40 --out {run}/samples")
    (run / "samples" / "metadata.jsonl").unlink()
    (run / "samples" / "000003.png").unlink()
    return world.run(f"evaluate {run}/samples --extractor digits")[1]


def _broken_evaluation(world: World) -> str:
    run, other = world.copy("cgan"), world.copy("cgan")
    Path(run, "evaluation.json").write_text("{")
    return world.run(f"compare {run} {other}")[1]


def _move_away(world: World, text: str) -> None:
    command = command_of(text, "evaluate")
    Path(command.split()[1], "evaluation.json").rename("broken.json")
    world.ok(f"{command} --count 40")


def _other_samples(world: World) -> str:
    world.ok(f"sample {world.copy('cgan')} --count 4 --out same.npz")
    return world.run(f"sample {world.copy('cgan')} --count 5 --out same.npz")[1]


def _delete_or_elsewhere(world: World, text: str) -> None:
    assert "delete it or choose another --out" in text
    world.ok(f"sample {world.copy('cgan')} --count 5 --out elsewhere.npz")
    Path("same.npz").unlink()
    world.ok(f"sample {world.copy('cgan')} --count 5 --out same.npz")


# -- what a page says ------------------------------------------------------------------------------


def _page(run: str) -> str:
    text = Path(write_report([Path(run)])).read_text()
    return unescape(re.sub(r"<[^>]+>", "", text))


def _no_rows(world: World) -> str:
    run = Path(world.copy("plain"))
    (run / "metrics.jsonl").unlink()
    shutil.rmtree(run / "export")
    return _page(str(run))


def _no_samples(world: World) -> str:
    return _page(world.copy("cgan"))


def _no_samples_nor_export(world: World) -> str:
    return _page(world.copy("bare"))


def _page_of_begun(world: World) -> str:
    shutil.move(world.copy("cgan"), "begun")
    world.ok("sample begun --count 40 --out begun/samples")
    Path("begun/samples/metadata.jsonl").unlink()
    return _page("begun")


def _unmeasured(world: World) -> str:
    run = world.copy("cgan")
    world.ok(f"sample {run} --count 40")
    return _page(run)


def _unmeasured_plain(world: World) -> str:
    run = world.copy("plain")
    world.ok(f"sample {run} --count 40 --batch-size 40")
    return _page(run)


def _unmeasured_custom(world: World) -> str:
    genkit.train("custom.yaml", dataset=DATASET, out="mine")
    world.ok("sample mine --count 40")
    return _page("mine")


def _follow_page(start: str, more: str = "", **fill: str):
    def follow(world: World, text: str) -> None:
        command = command_of(text, start)
        for name, value in fill.items():
            command = re.sub(rf"\b{name}\b", value, command)
        world.ok(f"{command} {more}")

    return follow


CASES = [
    Call("no data set was handed over", _without_data, _hand_over),
    Call("a data set was handed over in Python as well", _two_sets, _one_set),
    Call("its data was handed over in Python; name a set", _custom_run,
         lambda w, t: w.ok("evaluate of-custom --count 40 --extractor digits --reference others")),
    Call("norm='conditional' needs", lambda w: refused(Generator, norm="conditional"),
         lambda w, t: Generator(norm="conditional", num_classes=10)),
    Call("record.py: not a run folder", lambda w: refused(read_run, Path("pictures")),
         lambda w, t: read_run(Path(w.copy("dcgan")))),
    Call("no export (no {}); make one", lambda w: refused(push, w.copy("bare"), "me/model"),
         lambda w, t: w.ok(command_of(t, "export").replace("RUN", w.copy("bare")))),
    Call("start a new run from these weights", _other_images,
         lambda w, t: w.ok("train plain.yaml data.root=changing --out anew --init changed")),
    Call("begin another run from its weights", _unknown_setting,
         lambda w, t: w.ok("train plain.yaml --out afresh "
                           + re.search(r"--init [\w-]+", t)[0])),
    Call("`genkit train {}`", _broken_later,
         lambda w, t: w.ok(command_of(t, "train"))),
    Call("holds no record of a training", _no_record,
         lambda w, t: w.ok(command_of(t, "train"))),
    Call("brings it up to date", _lagging, lambda w, t: w.ok(command_of(t, "export"))),
    Call("and may be of other weights: delete", _old_samples, _sample_anew),
    Call("run the `genkit sample` command that began", _begun_samples,
         lambda w, t: w.ok("sample " + re.search(r"([\w-]+)/samples", t)[1]
                           + " --count 40 --out " + re.search(r"[\w-]+/samples", t)[0])),
    Call("mend the file, or move it away and measure", _broken_evaluation, _move_away),
    Call("genkit export {}", _no_samples_nor_export, _follow_page("export")),
    Call("`genkit sample` goes on with them", _page_of_begun, lambda w, t: w.ok(
        "sample begun --count 40 --out begun/samples")),
    Call("spec.py: holds other samples", _other_samples, _delete_or_elsewhere),
    Call("genkit train {} --resume", _no_rows, _follow_page("train")),
    Call("advice.py: --count 2000", _no_samples, _follow_page("sample")),
    Call("advice.py: genkit sample {} {}", _no_samples, _follow_page("sample")),
    Call("genkit evaluate {}{}{}", _unmeasured, _follow_page("evaluate")),
    Call(" --train {}:train", _unmeasured, _follow_page("evaluate")),
    Call(" --reference FOLDER_OF_REAL_IMAGES", _unmeasured_plain, _follow_page(
        "evaluate", "--extractor digits", FOLDER_OF_REAL_IMAGES="others")),
    Call(" --train FOLDER_OF_TRAINING_IMAGES", _unmeasured_custom, _follow_page(
        "evaluate", "--extractor digits", FOLDER_OF_REAL_IMAGES="others",
        FOLDER_OF_TRAINING_IMAGES="few")),
]  # fmt: skip
