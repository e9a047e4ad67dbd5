"""Advice about adapters: of the family stable_diffusion, its exports and `genkit lora`."""

from __future__ import annotations

import json
import re
from html import unescape
from pathlib import Path

import yaml
from advice.cases_image_text import stages
from advice.cases_python import command_of
from advice.follow import Call, Case, World
from stable_diffusion_at_hand import TEXTS, stable_diffusion

from genkit.family import load
from genkit.report import write_report
from genkit.training.diagnosis import History, diagnose


def _tuned(world: World) -> None:
    """A model, pictures with captions, and an adapter that was trained on both."""
    if Path("adapter").exists():
        return
    stable_diffusion(Path("sd"))
    world.pictures("sights", 8, side=32)
    rows = [{"file_name": f"{i}.png", "caption": TEXTS[i % len(TEXTS)]} for i in range(8)]
    Path("sights/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    tree = {
        "family": "stable_diffusion",
        "data": {"root": "sights", "image_size": 32, "batch_size": 4},
        "model": {"source": "sd"},
        "preview": {"steps": 1},
        "trainer": {"steps": 1, "log_every": 1, "save_every": 1},
    }
    world.write("tune.yaml", tree)
    world.ok("train tune.yaml --out adapter")


def _of_an_adapter(world: World) -> str:
    _tuned(world)
    status, text = world.run(f"train tune.yaml model.source=adapter --out {world.new()}")
    assert status == 2
    return text


def _merged(world: World, text: str) -> None:
    merged = world.new()
    command = command_of(" ".join(text.split()), "lora merge").replace("FOLDER", merged)
    world.ok(command)
    world.ok(f"train tune.yaml model.source={merged} --out {world.new()}")


def _page_of_texts(world: World) -> str:
    stages(world)
    text = Path(write_report([Path("staged/pictures")])).read_text()
    return unescape(re.sub(r"<[^>]+>", "", text))


def _drawn(world: World, text: str) -> None:
    command = command_of(text, "sample").replace("FILE.txt", "prompts.txt")
    world.ok(f"{command} --steps 1 --out {world.new()}")


def _nothing_encoded(world: World) -> str:
    status, text = world.run("data encode ddpm.yaml")
    assert status == 2
    return " ".join(text.split())


def _encoded(world: World, text: str) -> None:
    assert "model.autoencoder=RUN" in text
    data = json.dumps(load("ddpm").tiny["data"])
    small = "model.widths=[8,8] model.groups=2 model.critic_width=4 model.critic_layers=1"
    name = world.new()
    world.write("vae.yaml", {"family": "autoencoder", **load("autoencoder").tiny, "data": {}})
    world.ok(["train", "vae.yaml", f"data={data}", *small.split(), "--out", name])
    world.ok(f"data encode ddpm.yaml model.autoencoder={name}")


def _copied(world: World) -> str:
    rows = [{"step": step, "near-copies/rate": 1.0} for step in (1, 2)]
    (found,) = diagnose(History(rows))
    return found.text


def _earlier(world: World, text: str) -> None:
    command = command_of(text, "export").replace("RUN", world.copy("dcgan"))
    world.ok(command.replace(" N", " 2"))


def _grown(world: World) -> None:
    """Two autoencoders of the same size."""
    stages(world)
    if not Path("second-vae").exists():
        tree = yaml.safe_load(Path("stages.yaml").read_text())["stages"]["autoencoder"]
        world.write("second-vae.yaml", tree | {"trainer": tree["trainer"] | {"seed": 7}})
        world.ok("train second-vae.yaml --out second-vae")


CASES: list[Case | Call] = [
    Case("the export was trained on latents",
         "train texts.yaml model.autoencoder=second-vae --init staged/pictures --out {new}",
         r"set (model.autoencoder=\S+#vae)", before=_grown),
    Case("the export was trained on latents",
         "train texts.yaml model.autoencoder=second-vae --init staged/pictures --out {new}",
         leaves="--init", before=_grown),
    Call("encodes nothing before it trains", _nothing_encoded, _encoded),
    Call("of the previews{} are near copies", _copied, _earlier),
    Case("stable_diffusion.py: gamma says nothing to", "config show tune.yaml noise.gamma=3",
         then="noise.weighting=min-snr", says="set weighting=min-snr", before=_tuned),
    Case("weights of half precision are computed", "config show tune.yaml model.learn.base=bf16",
         "set (trainer.precision=bf16)", before=_tuned),
    Case("name a StableDiffusionPipeline or", "train tune.yaml model.source={dcgan} --out {new}",
         then="model.source=sd", before=_tuned),
    Case("memory=always says nothing to buckets",
         "config show tune.yaml data.buckets.step=8 data.memory=always",
         leaves="data.memory=always", before=_tuned),
    Call("is an adapter; merge it first", _of_an_adapter, _merged),
    Case("says nothing of its model; name that by",
         "lora merge adapter/export/pytorch_lora_weights.safetensors --out {new}",
         then="--base sd", says="name that by --base", before=_tuned),
    Call("advice.py: --prompts FILE.txt", _page_of_texts, _drawn),
    Case("next_command.py: --prompt", "train texts.yaml --out {new}",
         r'genkit sample [\w-]+ --prompt "TEXT" --grid sheet.png', status=0, before=stages),
]  # fmt: skip
