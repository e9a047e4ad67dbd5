"""Stable Diffusion taught by adapters or as a whole, and what comes of it elsewhere."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from itertools import islice

import pytest
import torch
from families_at_hand import assert_same_state, state, trainer
from PIL import Image as Pillow
from rank_at_work import work
from sets_at_hand import captions, pixels
from stable_diffusion_at_hand import TEXTS, stable_diffusion, stable_diffusion_xl

from genkit.config import to_tree
from genkit.errors import CheckpointError, ConfigError, PipelineError
from genkit.family import resolve
from genkit.launch import run_together
from genkit.nn import adapters
from genkit.pipelines import load_pipeline, save_export
from genkit.pipelines.adapted import merged
from genkit.pipelines.adapter_file import FILE, read_adapter, write_adapter
from genkit.pipelines.denoise import Noise

LORA = {"kind": "lora", "rank": 4, "alpha": 8.0}
ASKED = {"seed": 3, "guidance": 3.0, "steps": 4, "output": "tensor"}


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, and pictures with captions."""
    place = tmp_path_factory.mktemp("world")
    (place / "set").mkdir()
    for i in range(8):
        Pillow.fromarray(pixels(32, 32 + i, 3).numpy()).save(place / "set" / f"{i}.png")
    captions(place / "set", TEXTS)
    return {"source": stable_diffusion(place / "sd"), "root": str(place / "set")}


def config(world, learn=LORA, **changes):
    tree = {
        "family": "stable_diffusion",
        "data": {"root": world["root"], "image_size": 32, "batch_size": 4},
        "model": {"source": world["source"], "learn": learn},
        "optim": {"lr": 0.05},
        "preview": {"steps": 2},
        "trainer": {
            "steps": 4,
            "log_every": 1,
            "save_every": 2,
            "preview_every": 2,
            "precision": "fp32",
        },
    }
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        tree.setdefault(section, {})[key] = value
    return resolve(tree, "test.yaml")


def run_of(world, folder, learn=LORA, **changes):
    return trainer(config(world, learn, **changes), folder)


def pictures(pipeline, **asked):
    return pipeline(2, caption=TEXTS[:2], **ASKED | asked)


@pytest.fixture(scope="module")
def taught(world, tmp_path_factory):
    """A run of four steps with an adapter, and its export."""
    place = tmp_path_factory.mktemp("taught")
    run = run_of(world, place / "run", {**LORA, "text": True})
    run.fit()
    export = save_export(run.pipeline(), place / "export", provenance={}, config_yaml="")
    return run, export


# -- what learns -----------------------------------------------------------------------------------


def test_the_adapter_alone_learns_and_is_all_that_a_checkpoint_holds(world, tmp_path):
    run = run_of(world, tmp_path)
    first = copy.deepcopy(run.bare_networks["unet"].state_dict())
    untaught = pictures(load_pipeline(world["source"]))
    torch.testing.assert_close(pictures(run.pipeline()), untaught)
    run.fit()
    for key, value in run.bare_networks["unet"].state_dict().items():
        assert torch.equal(value, first[key]) == (".lora_" not in key)
    (file,) = (tmp_path / "checkpoints" / "step-0000004").glob("*.pt")
    saved = torch.load(file, weights_only=True)
    assert saved["networks"].keys() == {"unet"}
    assert all(".lora_" in key for key in saved["networks"]["unet"])
    assert (pictures(run.pipeline()) - untaught).abs().max() > 1e-3


def test_every_tensor_that_learns_is_in_full_precision(world, tmp_path):
    changes = {"trainer__precision": "bf16"}
    run = run_of(world, tmp_path, {**LORA, "base": "bf16"}, **changes)
    run.fit()
    again = run_of(world, tmp_path, {**LORA, "base": "bf16"}, **changes)
    again.resume()
    for each in (run, again):
        named = dict(each.bare_networks["unet"].named_parameters())
        assert {p.dtype for key, p in named.items() if ".lora_" in key} == {torch.float32}
        assert {p.dtype for key, p in named.items() if ".lora_" not in key} == {torch.bfloat16}
        each.preview()
        assert all(p.dtype == torch.float32 for p in named.values() if p.requires_grad)


@pytest.mark.parametrize("learn", [LORA, {**LORA, "text": True}, {"kind": "full"}], ids=str)
def test_a_resumed_run_equals_the_unbroken_one(world, tmp_path, learn):
    unbroken = run_of(world, tmp_path / "a", learn)
    unbroken.fit()
    run_of(world, tmp_path / "b", learn, trainer__steps=2).fit()
    resumed = run_of(world, tmp_path / "b", learn)
    resumed.resume()
    assert resumed.steps_done == 2
    resumed.fit()
    assert_same_state(state(unbroken), state(resumed))


@pytest.mark.parametrize("learn", [{**LORA, "text": True}, {"kind": "full", "text": True}], ids=str)
def test_two_micro_batches_equal_one_in_both_networks(world, tmp_path, learn):
    found = []
    for rows, count in ((8, 1), (4, 2)):
        run = run_of(world, tmp_path / str(count), learn, data__batch_size=rows,
                     trainer__grad_accumulation=count)  # fmt: skip
        found.append(gradients(run, next(run.loader.steps(accumulation=count))))
    assert {key.partition(".")[0] for key in found[0]} == {"unet", "text_encoder"}
    assert_close(*found)


def test_two_processes_learn_what_one_does(world, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(__file__).rsplit("/families/", 1)[0])
    found = {}
    for count in (1, 2):
        (tmp_path / str(count)).mkdir()
        tree = to_tree(config(world, data__batch_size=8 // count, optim__lr=1e-3))
        run_together(work, {"folder": tmp_path / str(count), "tree": tree}, count)
        files = [tmp_path / str(count) / f"rank-{rank}.pt" for rank in range(count)]
        found[count] = [torch.load(file) for file in files]
    (one,), (first, second) = found[1], found[2]
    moved = far(one["state"], one["begun"])
    assert moved > 0
    assert far(first["state"], second["state"]) == 0
    assert far(one["state"], first["state"]) < 1e-2 * moved


def far(one, other):
    """How far the adapters of two states are from each other."""
    keys = [key for key in one if ".lora_" in key]
    assert keys
    return sum((one[key] - other[key]).double().square().sum().item() for key in keys) ** 0.5


def test_checkpointing_changes_no_gradient(world, tmp_path):
    found = []
    for checkpointing in (False, True):
        run = run_of(world, tmp_path / str(checkpointing), model__checkpointing=checkpointing)
        found.append(gradients(run, next(run.loader.steps())))
    assert_close(*found)


def gradients(run, micro_batches):
    """Those of a step, by network and name."""
    found = {}

    def record(names):
        for name in names:
            for key, parameter in run.bare_networks[name].named_parameters():
                if parameter.requires_grad:
                    found[f"{name}.{key}"] = parameter.grad.clone()

    run._update = record
    run.step(micro_batches)
    return found


def assert_close(one, other):
    """To 1e-5 of the largest of each network."""
    assert one.keys() == other.keys()
    largest = max(value.abs().max().item() for value in one.values())
    for key, value in one.items():
        assert (value - other[key]).abs().max() <= 1e-5 * largest, key


def test_the_process_is_that_of_the_model(world, tmp_path):
    v = stable_diffusion(
        tmp_path / "v", prediction_type="v_prediction", rescale_betas_zero_snr=True
    )
    process = run_of({**world, "source": v}, tmp_path / "a").diffusion.process
    assert (process.prediction, process.schedule, process.steps) == ("v", "scaled-linear", 1000)
    assert process.zero_terminal_snr
    plain = run_of(world, tmp_path / "b", noise__weighting="min-snr", noise__gamma=3.0)
    assert plain.diffusion.process.prediction == "epsilon"
    assert (plain.diffusion.process.weighting, plain.diffusion.process.gamma) == ("min-snr", 3.0)


# -- elsewhere -------------------------------------------------------------------------------------

PLAIN = """
import json, sys, torch
sys.modules["genkit"] = None
from diffusers import DDIMScheduler, StableDiffusionPipeline
base, out, *adapters = sys.argv[1:]
words, found = json.loads(sys.stdin.read()), []
for adapter in [None, *adapters]:
    pipe = StableDiffusionPipeline.from_pretrained(base)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config, steps_offset=0)
    if adapter is not None:
        pipe.load_lora_weights(adapter)
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    found.append(pipe(words, latents=latents, guidance_scale=3, num_inference_steps=4,
                      output_type="pt").images)
torch.save(found, out)
"""


def test_plain_diffusers_sees_the_change_that_was_learnt(world, taught, tmp_path):
    """By a process that can't import genkit, of a file in either form."""
    _, export = taught
    (tmp_path / "kohya").mkdir()
    write_adapter(tmp_path / "kohya" / FILE, read_adapter(export)[0], form="kohya")
    out = tmp_path / "theirs.pt"
    command = [sys.executable, "-W", "ignore", "-c", PLAIN, world["source"], out]
    command = [str(word) for word in (*command, export, tmp_path / "kohya")]
    subprocess.run(command, input=json.dumps(TEXTS[:2]), text=True, check=True, timeout=300)
    base, *theirs = torch.load(out)
    opened = load_pipeline(export)
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    opened.begin = lambda *_: Noise(latents, [torch.Generator()] * 2)
    ours = pictures(opened, scheduler="ddim")
    for each in theirs:
        torch.testing.assert_close(each, ours, atol=1e-4, rtol=0)
    assert (base - ours).abs().max() > 1e-2


@pytest.fixture(scope="module")
def xl(tmp_path_factory):
    return stable_diffusion_xl(tmp_path_factory.mktemp("xl") / "xl")


def test_xl_makes_what_plain_diffusers_makes_and_its_adapter_opens_there(world, xl, tmp_path):
    from diffusers import DDIMScheduler, StableDiffusionXLPipeline

    run = run_of({**world, "source": xl}, tmp_path / "run")
    run.fit()
    save_export(run.pipeline(), tmp_path / "export", provenance={}, config_yaml="")
    latents = torch.randn(2, 4, 16, 16, generator=torch.Generator().manual_seed(5))
    found = []
    for adapter in (None, tmp_path / "export"):
        opened = load_pipeline(xl if adapter is None else adapter)
        opened.begin = lambda *_: Noise(latents, [torch.Generator()] * 2)
        ours = pictures(opened, scheduler="ddim")
        plain = StableDiffusionXLPipeline.from_pretrained(xl, add_watermarker=False)
        plain.set_progress_bar_config(disable=True)
        plain.scheduler = DDIMScheduler.from_config(plain.scheduler.config, steps_offset=0)
        if adapter is not None:
            plain.load_lora_weights(adapter)
        asked = {"latents": latents, "guidance_scale": 3, "num_inference_steps": 4}
        theirs = plain(TEXTS[:2], output_type="pt", **asked).images
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)
        found.append(ours)
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_both_sides_of_mirrored_pictures_are_read(world, tmp_path):
    run = run_of(world, tmp_path, data__flip=True)
    seen = {}
    for (batch,) in islice(run.loader.steps(), 50):
        for index, latent in zip(batch["index"].tolist(), batch["latent"], strict=True):
            seen.setdefault(index, set()).add(round(latent.sum().item(), 3))
    assert {len(sides) for sides in seen.values()} == {2}


def test_no_text_is_zeros_where_the_model_has_it_so(world, xl, tmp_path):
    run = run_of({**world, "source": xl}, tmp_path, model__caption_drop=0.999)
    (batch,) = next(run.loader.steps())
    states, pooled, sizes = run.words(batch)
    assert not states.any()
    assert not pooled.any()
    width = 32 + batch["index"][0].item()
    assert sizes[0].tolist() == [32, width, 0, (width - 32) // 2, 32, 32]
    with pytest.raises(ConfigError, match="towers of Stable Diffusion XL stay as they are"):
        run_of({**world, "source": xl}, tmp_path / "b", {**LORA, "text": True})


def test_an_export_is_the_adapter_and_opens_with_its_base(world, taught):
    run, export = taught
    assert {path.name for path in export.iterdir()} == {"README.md", FILE, "model_index.json"}
    opened = load_pipeline(export)
    torch.testing.assert_close(pictures(opened), pictures(run.pipeline()), atol=1e-5, rtol=0)
    keys = read_adapter(export)[0]
    assert keys.keys() == {"unet", "text_encoder"}


def test_strength_0_is_the_base_to_the_last_bit(world, taught):
    opened = load_pipeline(taught[1])
    whole = pictures(opened)
    for name in ("unet", "text_encoder"):
        adapters.strengthen(getattr(opened, name), 0.0)
    assert torch.equal(pictures(opened), pictures(load_pipeline(world["source"])))
    for name in ("unet", "text_encoder"):
        adapters.strengthen(getattr(opened, name), 1.0)
    assert torch.equal(pictures(opened), whole)


def test_a_merged_model_makes_the_same_pictures_and_stands_alone(world, taught, tmp_path):
    opened = load_pipeline(taught[1])
    expected = pictures(opened)
    keys = load_pipeline(world["source"]).unet.state_dict().keys()
    assert merged(opened) > 0
    assert opened.unet.state_dict().keys() == keys
    alone = save_export(opened, tmp_path / "alone", provenance={}, config_yaml="")
    torch.testing.assert_close(pictures(load_pipeline(alone)), expected, atol=1e-5, rtol=0)
    assert merged(opened) == 0


def test_the_average_of_an_adapter_is_an_adapter(world, tmp_path):
    run = run_of(world, tmp_path / "run", trainer__ema_decay=0.5)
    run.fit()
    save_export(run.pipeline(), tmp_path / "export", provenance={}, config_yaml="")
    averaged = adapters.weights_of(run.averaged_network("unet"))
    assert not torch.equal(
        averaged[next(iter(averaged))],
        next(iter(adapters.weights_of(run.bare_networks["unet"]).values())),
    )
    found = read_adapter(tmp_path / "export")[0]["unet"]
    for key, value in averaged.items():
        assert torch.equal(found[key], value)


# -- what is refused -------------------------------------------------------------------------------


def test_an_adapter_of_another_model_is_refused_with_counts(world, taught, tmp_path):
    adapter = {part: dict(held) for part, held in read_adapter(taught[1])[0].items()}
    unet = adapter["unet"]
    for key in [*unet][:2]:
        unet[key.replace("to_", "from_")] = unet.pop(key)
    network = load_pipeline(world["source"]).unet
    with pytest.raises(CheckpointError, match=r"of 56 layers of the adapter the model has 55; it"):
        adapters.put_on(network, unet)
    with pytest.raises(CheckpointError, match="of 0 layers"):
        adapters.put_on(network, {})


def test_a_base_that_changed_or_is_gone_is_said(world, tmp_path):
    other = stable_diffusion(tmp_path / "sd")
    run = run_of({**world, "source": other}, tmp_path / "run")
    export = save_export(run.pipeline(), tmp_path / "export", provenance={}, config_yaml="")
    weights = next((tmp_path / "sd" / "unet").glob("*.safetensors"))
    from safetensors.torch import load_file, save_file

    save_file({k: v + 1e-3 for k, v in load_file(weights).items()}, weights)
    with pytest.raises(PipelineError, match="whose weights are others now"):
        load_pipeline(export)
    (tmp_path / "sd").rename(tmp_path / "elsewhere")
    with pytest.raises(PipelineError, match=r"an adapter of .*, which can't be opened"):
        load_pipeline(export)


def test_numbers_that_are_not_finite_reach_no_file(taught, tmp_path):
    adapter = {part: dict(held) for part, held in read_adapter(taught[1])[0].items()}
    first = next(iter(adapter["unet"]))
    adapter["unet"][first] = adapter["unet"][first] * float("nan")
    with pytest.raises(PipelineError, match="is not finite, and pictures would be black"):
        write_adapter(tmp_path / FILE, adapter)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    ("learn", "changes", "problem"),
    [
        (LORA, {"data__shift": 1}, "data.shift: pictures are encoded once"),
        ({**LORA, "base": "bf16"}, {}, "set trainer.precision=bf16 too"),
        (LORA, {"noise__gamma": 3.0}, "gamma says nothing to weighting=simple"),
        ({"kind": "full", "rank": 4}, {}, "rank"),
    ],
    ids=str,
)
def test_settings_that_can_not_be_are_refused(world, learn, changes, problem):
    with pytest.raises(ConfigError, match=problem):
        config(world, learn, **changes)


def test_layers_that_are_not_there_are_named(world, tmp_path):
    with pytest.raises(ConfigError, match=r"model.learn.layers: no layer is called 'to_z'; .*to_q"):
        run_of(world, tmp_path, {**LORA, "layers": ["to_q", "to_z"]})


def test_an_adapter_is_no_model_to_begin_with(world, taught, tmp_path):
    with pytest.raises(ConfigError, match="is an adapter; merge it first"):
        run_of({**world, "source": str(taught[1])}, tmp_path)


# -- near copies -----------------------------------------------------------------------------------


def test_previews_that_show_training_pictures_are_counted_and_found(world, tmp_path, monkeypatch):
    run = run_of(world, tmp_path, trainer__preview_every=1)
    known = run.data.rows.read(range(4))["image"] / 255
    noise = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for images, rate in ((known, 1.0), (noise, 0.0)):
        monkeypatch.setattr(run, "pipeline", lambda images=images: lambda *args, **asked: images)
        (sheet,) = run.preview()
        assert sheet.numbers["near-copies/rate"] == rate
    monkeypatch.setattr(run, "pipeline", lambda: lambda *args, **asked: known)
    run.fit()
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["near-copies/rate"] for row in rows if "near-copies/rate" in row] == [1.0] * 4
    assert "copied-pictures" in {row.get("finding") for row in rows}
