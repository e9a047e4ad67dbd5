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
        ill = ({"step": GRACE + i, **_SOUND, **changes} for i in range(1, LOOKS + 1))
        rows = [{"step": 1, **_SOUND}, *ill]
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


def stages(world: World) -> None:
    """A file of three stages, and what came of it: a model of texts."""
    data = {"kind": "scenes", "image_size": 32, "train_count": 32, "test_count": 16}
    data["batch_size"] = 8
    length = {"steps": 2, "log_every": 1, "save_every": 2, "preview_every": 9, "preview_count": 2}
    vae = yaml.safe_load(Path("autoencoder.yaml").read_text()) | {"data": data, "trainer": length}
    words = yaml.safe_load(Path("clip.yaml").read_text()) | {"trainer": length}
    built_on = {"autoencoder": "stage:autoencoder", "text": "stage:clip"}
    model = built_on | {"widths": [8, 16], "heads": 2, "attention": [16]}
    last = {"family": "latent_diffusion", "data": data, "model": model, "trainer": length,
            "optim": {"warmup_steps": 0}, "preview": {"steps": 1}}  # fmt: skip
    world.write("stages.yaml", {"stages": {"autoencoder": vae, "clip": words, "pictures": last}})
    if not Path("staged").exists():
        world.ok("train stages.yaml --out staged")
    alone = last | {"model": model | {"autoencoder": "staged/autoencoder", "text": "staged/clip"}}
    world.write("texts.yaml", alone)
    joint = {"kind": "mmdit", "width": 8, "layers": 1, "heads": 2}
    told = {name: alone["model"][name] for name in built_on}
    world.write("joint.yaml", alone | {"model": told | joint})
    grey = {"kind": "glyphs", "image_size": 16, "train_count": 32, "test_count": 16}
    world.write("grey-vae.yaml", vae | {"data": grey | {"batch_size": 8}})
    Path("empty.txt").write_text("\n")
    Path("latin.txt").write_bytes(b"t\xe9moin\n")
    Path("prompts.txt").write_text("a red star\n")


def _prompted(key: str, given: str, **more: Any) -> Case:
    command = f"sample staged/pictures --steps 1 --out {{new}} {given}"
    return Case(key, command, before=stages, **more)


def _scored(key: str, given: str, **more: Any) -> Case:
    command = f"evaluate staged/pictures --out {{new}}.json {given}"
    return Case(key, command, before=_to_score, **more)


def _to_score(world: World) -> None:
    stages(world)
    Path("strange.txt").write_text("a wise owl\na rainy day\n")


def _grey(world: World) -> str:
    """What is said of an autoencoder of grey pictures and scenes in colour."""
    stages(world)
    run = world.new()
    world.ok(f"train grey-vae.yaml --out {run}")
    status, text = world.run(f"train texts.yaml model.autoencoder={run} --out {world.new()}")
    assert status == 2
    return text


def _another_autoencoder(world: World, text: str) -> None:
    assert "or name another one" in " ".join(text.split())
    world.ok(f"train texts.yaml model.autoencoder=staged/autoencoder --out {world.new()}")


def _inverted(key: str, given: str, model: str = "{ddpm}", **more: Any) -> Case:
    return Case(key, f"sample {model} --steps 1 --out {{new}}.png {given}", **more)


def _of_levels(world: World) -> str:
    """What is said of a model on noise levels, which has no way back."""
    if not Path("levels").exists():
        tree = yaml.safe_load(Path("ddpm.yaml").read_text()) | {"noise": {"prediction": "edm"}}
        world.write("levels.yaml", tree)
        world.ok("train levels.yaml --out levels")
    status, text = world.run(f"sample levels --init seven.png --invert --out {world.new()}.png")
    assert status == 2
    return text


def _in_part(world: World, text: str) -> None:
    assert "--init PICTURE --strength SHARE" in " ".join(text.split())
    world.ok(f"sample levels --init seven.png --strength .5 --steps 2 --out {world.new()}.png")


CASES: list[Case | Call] = [
    _inverted("says what a picture shows that becomes noise", "--init seven.png --shows 1",
              "{guided}", then="--invert", says="add --invert"),
    _inverted("says what a picture shows that becomes noise", "--init seven.png --shows 1",
              "{guided}", leaves="--shows"),
    _inverted("give pictures too, by --init", "--invert", then="--init seven.png"),
    _inverted("finds the one noise that a picture comes from",
              "--init seven.png --invert --strength .5", leaves="--strength",
              says="leave --strength out"),
    Case("has no way back to noise, which diffusion", "sample {dcgan} --given few --invert "
         "--out {new}", leaves="--invert --given", then="--count 2", says="leave it out"),
    _inverted("knows no texts and no classes; leave", "--init seven.png --invert --shows 1",
              leaves="--shows"),
    _inverted("say what the pictures show by --shows", "--init seven.png --invert", "{guided}",
              then="--shows 1 --labels 2"),
    _inverted("--invert is work of one", "--init seven.png --invert --processes 2",
              leaves="--processes"),
    Call("this model was trained on EDM's noise levels; change", _of_levels, _in_part),
    _prompted("makes pictures of texts: say what by", "", then="--prompt 'a red star'",
              says="--prompt TEXT"),
    _prompted("prompt_files.py: no prompt in it", "--prompts empty.txt", leaves="--prompts",
              then="--prompts prompts.txt"),
    _prompted("is not in UTF-8 (byte", "--prompts latin.txt", leaves="--prompts",
              then="--prompts prompts.txt", says="a file in UTF-8"),
    _prompted("shows no way out of the noise, which", "--prompt star --trajectory {new}.png",
              leaves="--trajectory"),
    _prompted("prompt_files.py: can't be read (", "--prompts lost.txt", leaves="--prompts",
              then="--prompts prompts.txt", says="with one prompt in each line"),
    _scored("no captions to draw pictures of", "--reference others --extractor scenes --count 12",
            then="--prompts prompts.txt", says="--prompts FILE.txt"),
    _scored("no metric of prompts by these extractors", "--prompts prompts.txt --extractor digits",
            leaves="--extractor", then="--extractor scenes", says="give --extractor scenes"),
    _scored("no metric of prompts by these extractors", "--prompts prompts.txt --extractor digits",
            then="--reference others --count 12", says="--reference SET"),
    _scored("tells of no drawn scene, so nothing", "--prompts strange.txt",
            then="--extractor {clip}", says="or a run of family clip"),
    _scored("gives floors of what is compared with real", "--prompts prompts.txt --train others",
            leaves="--train"),
    _scored("compares with real images; give some",
            "--prompts prompts.txt --extractor scenes --metric fd",
            then="--reference others --count 12", says="--reference SET"),
    _scored("with --prompts a model is measured at", "--prompts prompts.txt --task samples",
            leaves="--task", says="leave --task out"),
    _scored("with --prompts real images are compared", "--prompts prompts.txt --reference-count 9 "
            "--count 12", then="--reference others", says="add --reference SET"),
    Case("clip_score.py: give --extractor clip-vitb32", "evaluate told --reference others "
         "--extractor digits --metric clip-score", leaves="--extractor", before=_told,
         then="--extractor {clip} --out {new}.json", says="or a run of family clip"),
    Case("prompt_retrieval.py: give --extractor clip-vitb32", "evaluate told --reference others "
         "--extractor digits --metric prompt-retrieval", leaves="--extractor", before=_told,
         then="--extractor {clip} --out {new}.json", says="or a run of family clip"),
    Case("takes no texts; leave it out", "sample {dcgan} --prompt star --count 2 --out {new}",
         leaves="--prompt"),
    Case("are of one run, and this file has several", "train stages.yaml --overfit-batch "
         "--out {new}", leaves="--overfit-batch", before=stages),
    Case("preview.guidance needs a share of hidden captions",
         "config show texts.yaml model.caption_drop=0", "set (model.caption_drop=0.1)",
         before=stages),
    Case("preview.guidance needs a share of hidden captions",
         "config show texts.yaml model.caption_drop=0", "or (preview.guidance=1)",
         before=stages),
    Case("knows flows only", "config show joint.yaml noise.prediction=epsilon",
         "set (noise.prediction=flow)", before=stages),
    Case("does not divide latents of", "train joint.yaml data.image_size=34 --out {new}",
         "set (model.patch=1)", before=stages),
    Call("takes pictures of {} channels, and those of the data", _grey, _another_autoencoder),
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
    _classify("cli/classify.py: can't be read as text", "--labels latin.txt", leaves="--labels",
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
