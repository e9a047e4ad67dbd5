"""What every family must keep, its own and those of other packages: found by their files.

Also in every variant of `families_at_hand.VARIANTS`: each objective, conditioning and kind.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import sets_at_hand
import torch
from families_at_hand import (
    assert_same_state,
    cases,
    families,
    fed,
    state,
    tiny,
    trainer,
    unfelt,
)
from stable_diffusion_at_hand import stable_diffusion
from torch import nn

from genkit.config import Section, read_tree, to_tree
from genkit.data import open_data
from genkit.family import load, load_config, names, resolve
from genkit.nn.spectral import FullPrecision
from genkit.pipelines import load_pipeline, save_export
from genkit.training import checkpoints
from genkit.training.config import RunConfig
from genkit.verbs.export import export

by_family = pytest.mark.parametrize("name", families())
OURS = [name for name in families() if load(name).config.__module__.startswith("genkit.")]
by_case = pytest.mark.parametrize("name", cases())
CONFIGS = [p for p in sorted(Path("configs").glob("*/*.yaml")) if p.parent.name in names()]
# Published sizes, which a test can't train: their numbers of weights have tests of their own.
SMALLER = {
    "attgan/folder": ("model.width=4", "model.head_width=8"),
    "attgan/celeba-128": ("adversarial.critic_steps=1",),
    "cyclegan/horse2zebra": ("model.blocks=1",),
    "autoencoder/folder": ("losses.perceptual=edges", "model.widths=[32,32]"),
    "autoencoder/kl-f8": ("losses.perceptual=edges", "model.widths=[32,32,32,32]"),
    "clip/vit-b32": (
        *("data.image_size=64", "model.layers=1", "model.text_layers=1"),
        *("model.tokenizer=own", "model.vocabulary=600"),  # the published one is no file here
    ),
}
TIMES = ("seconds", "per_s", "wait")  # parts of the names of numbers that no two runs share


@by_case
def test_the_config_validates_and_round_trips(name):
    config = tiny(name)
    assert resolve(to_tree(config), "again") == config


@by_family
def test_setting_one_value_of_a_section_keeps_the_familys_other_defaults(name):
    # A default given as an instance would be lost as soon as a config names one key of its section.
    config = load(name).config
    for key, field in config.model_fields.items():
        if isinstance(field.default, Section):
            assert field.default == type(field.default)(), key


@by_case
def test_one_step_moves_every_trained_weight_and_leaves_no_gradient(name, tmp_path):
    run = trainer(tiny(name, trainer__steps=1, trainer__precision="fp32"), tmp_path)
    before = {n: [p.clone() for p in run.bare_networks[n].parameters()] for n in run.bare_networks}
    frozen = {name: count_frozen(network) for name, network in run.bare_networks.items()}
    run.fit()
    for network, weights in before.items():
        after = run.bare_networks[network].named_parameters()
        pairs = [(p, n) for a, (n, p) in zip(weights, after, strict=True) if torch.equal(a, p)]
        assert sum(not p.requires_grad for p, _ in pairs) == frozen[network]
        still = [name for p, name in pairs if p.requires_grad]
        # A softmax takes no notice of what all keys share: their bias has no gradient.
        still = [name for name in still if not name.endswith(("to_k.bias", "k_proj.bias"))]
        # Nor does a difference of logits of what all of them share: AttGAN's critic ends so.
        if name == "attgan" and network == "critic":
            still.remove("to_logit.2.bias")
        # Within its margins a hinge pulls real and generated logits equally far: no bias moves.
        if name == "autoencoder" and network == "critic":
            still.remove("body.5.bias")
        still = [name for name in still if name not in unfelt(run.bare_networks[network])]
        assert not still, f"{network}: {len(still)} of {len(weights)} never moved: {still[:5]}"
    for network in run.bare_networks.values():
        assert all(p.grad is None for p in network.parameters())


def count_frozen(network: nn.Module) -> int:
    return sum(not parameter.requires_grad for parameter in network.parameters())


@by_case
def test_a_lent_network_collects_no_gradient(name, tmp_path):
    run = trainer(tiny(name), tmp_path)
    for network in run.bare_networks:
        before = [p.requires_grad for p in run.bare_networks[network].parameters()]
        with run.lend(network) as (lent,):
            assert not any(p.requires_grad for p in lent.parameters())
        assert [p.requires_grad for p in run.bare_networks[network].parameters()] == before


@by_case
def test_the_same_seed_gives_the_same_run(name, tmp_path):
    runs = [trainer(tiny(name), tmp_path / side) for side in "ab"]
    for run in runs:
        torch.manual_seed(hash(str(run.run_dir)) % 1000)  # the process-wide state plays no part
        run.fit()
    assert_same_state(state(runs[0]), state(runs[1]))
    other = trainer(tiny(name, trainer__seed=1), tmp_path / "c")
    other.fit()
    assert any(
        not torch.equal(a, b)
        for a, b in zip(state(runs[0]).values(), state(other).values(), strict=False)
    )


@by_case
def test_a_resumed_run_equals_the_unbroken_one_bit_for_bit(name, tmp_path):
    unbroken = trainer(tiny(name), tmp_path / "unbroken")
    unbroken.fit()
    trainer(tiny(name, trainer__steps=2), tmp_path / "broken").fit()
    resumed = trainer(tiny(name), tmp_path / "broken")
    resumed.resume()
    assert resumed.steps_done == 2
    resumed.fit()
    assert_same_state(state(unbroken), state(resumed))
    ours, theirs = (_numbers(tmp_path / side / "metrics.jsonl") for side in ("broken", "unbroken"))
    assert ours == theirs


def _numbers(path: Path) -> list[dict[str, float]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in row.items() if not any(part in k for part in TIMES)} for row in rows]


@pytest.mark.parametrize("name", OURS)
def test_every_family_starts_from_its_own_export(name, tmp_path):
    first, second = (
        trainer(tiny(name, trainer__seed=seed), tmp_path / str(seed)) for seed in (0, 1)
    )
    save_export(first.pipeline(), tmp_path / "export", provenance={}, config_yaml="")
    start = load_pipeline(tmp_path / "export")
    anew = second.learnt.take_weights(start)
    assert not {*second.averaged} & {*anew}, "what an export holds, it calls something else"
    for network in second.averaged:
        given = getattr(start, network).state_dict()
        assert_same_state(second.bare_networks[network].state_dict(), given)


@by_case
def test_a_rehearsed_step_leaves_weights_and_memory_alone(name, tmp_path):
    run = trainer(tiny(name, trainer__steps=2), tmp_path)
    run.fit()  # so that what is remembered is more than nothing
    before = {key: value.clone() for key, value in state(run).items()}
    steps = [optimizer.state_dict()["state"] for optimizer in run.optimizers.values()]
    kept = copy.deepcopy(steps)
    batches = next(run.loader.steps(3, accumulation=run.batches_per_step))
    with run.rehearsal():
        run.step(batches)
    assert_same_state(before, state(run))
    assert str(kept) == str([o.state_dict()["state"] for o in run.optimizers.values()])
    assert all(p.grad is None for n in run.bare_networks.values() for p in n.parameters())


@by_case
def test_a_checkpoint_holds_what_is_trained_and_remembered_and_nothing_frozen(name, tmp_path):
    run = trainer(tiny(name, trainer__steps=2), tmp_path)
    run.fit()
    saved, _ = checkpoints.load(tmp_path / "checkpoints", 2)
    for network in run.bare_networks:
        parameters = run.bare_networks[network].named_parameters()
        frozen = {key for key, p in parameters if not p.requires_grad}
        expected = run.bare_networks[network].state_dict().keys() - frozen
        assert saved["networks"].get(network, {}).keys() == expected  # frozen as a whole: not there
        if run.ema and network in run.ema.networks:
            assert saved["ema"][network].keys() == expected
            averages = dict(run.ema.networks[network].named_parameters())
            own = dict(run.bare_networks[network].named_parameters())
            assert all(averages[key] is own[key] for key in frozen)
    assert_same_state(saved["memory"], run.memory)


@by_case
def test_two_micro_batches_equal_one_batch_of_both(name, tmp_path):
    # Exempt by name, since they look at a micro-batch or a forward pass as a whole: batch norm and
    # spectral norm's power iteration (held in eval mode), and the average of the other kind.
    # The rest must agree to rounding, seen on gradients: Adam's first step would hide their scale.
    if "relativistic-average" in name:
        pytest.skip("the objective compares with the mean of a micro-batch")
    sizes = {"one": (8, 1), "two": (4, 2)}
    gradients = {}
    for side, (rows, parts) in sizes.items():
        config = tiny(
            name,
            data__batch_size=rows,
            trainer__grad_accumulation=parts,
            trainer__precision="fp32",
            trainer__steps=1,
        )
        run = trainer(config, tmp_path / side)
        for network in run.bare_networks.values():
            for module in network.modules():
                if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.Dropout | FullPrecision):
                    module.eval()
        gradients[side] = _gradients(run)
    assert gradients["one"].keys() == gradients["two"].keys()
    nothing = {f"{n}.{key}" for n, network in run.bare_networks.items() for key in unfelt(network)}
    for key, value in gradients["one"].items():
        if key in nothing:
            beside = gradients["one"][key.replace(".bias", ".weight")].norm()
            assert value.norm() <= 1e-4 * beside + 1e-7, f"{key}: felt behind its norm"
            continue
        error = (gradients["two"][key] - value).norm()
        assert error <= 2e-4 * value.norm() + 1e-7, f"{key}: off by {error / value.norm():.1e}"


def _gradients(run) -> dict[str, torch.Tensor]:
    """What every update of one step was given, network by network."""
    seen: dict[str, torch.Tensor] = {}
    update = run._update

    def record(names) -> None:
        for network in names:
            for key, parameter in run.bare_networks[network].named_parameters():
                if parameter.requires_grad:
                    seen[f"{network}.{key}"] = parameter.grad.clone()
        update(names)

    run._update = record
    batches = next(run.loader.steps(accumulation=run.batches_per_step))
    run.step(batches)
    return seen


@by_case
def test_an_export_gives_the_images_of_the_averaged_weights(name, tmp_path):
    run = trainer(tiny(name), tmp_path)
    run.fit()
    (tmp_path / "config.yaml").write_text(json.dumps(to_tree(run.config)))
    record = {"data": run.data.to_tree()}
    (tmp_path / "provenance.json").write_text(json.dumps(record))
    export(tmp_path)
    loaded, own = load_pipeline(tmp_path), run.pipeline()
    given = fed(loaded, 6)
    whole = loaded(6, seed=3, given=given, output="np", batch_size=6)
    parts = loaded(6, seed=3, given=given, output="np", batch_size=4)
    assert np.array_equal(whole, own(6, seed=3, given=given, output="np", batch_size=6))
    assert np.abs(whole.astype(int) - parts.astype(int)).max() <= 1


@by_case
def test_a_preview_is_a_sheet_of_images_of_the_run(name, tmp_path):
    run = trainer(tiny(name), tmp_path)
    sheets, again = run.preview(), run.preview()
    data = run.config.data
    for sheet, same in zip(sheets, again, strict=True):
        assert sheet.images.shape[1:] == (data.channels, data.image_size, data.image_size)
        assert sheet.images.abs().max() <= 1
        assert torch.equal(sheet.images, same.images)
    assert len({sheet.file_name(1) for sheet in sheets}) == len(sheets)


def few_rows(path: Path, root: Path) -> list[str]:
    """Settings by which a shipped config reads files of its kind that are small."""
    tree = read_tree(path)["data"]
    kind, needs = tree["kind"], load(path.parent.name).needs(load_config(path))
    if kind in sets_at_hand.FILES:
        if kind == "folder" and "attributes" in tree:
            root = root / "set"  # beside the run
            for part in (root / "train", root / "test"):
                sets_at_hand.FILES[kind](part)
                sets_at_hand.attributes(part, tree["attributes"])
        elif kind == "folder" and "label" in needs:
            root = root / "set"
            sets_at_hand.FILES[kind](root)
            sets_at_hand.classes(root, ["cat", "dog"])
        else:
            sets_at_hand.FILES[kind](root)
        if kind == "folder" and "caption" in needs:
            sets_at_hand.captions(root, ["a star", "two red rings", "a box"])
        return [f"data.root={root}"]
    drawn = "train_count" in type(load_config(path).data).model_fields
    return ["data.train_count=64", "data.test_count=32"] if drawn else []


def built_on(path: Path, folder: Path) -> list[str]:
    """Settings by which a config builds on exports that are there, in place of published ones."""
    model = read_tree(path).get("model", {})
    if "autoencoder" in model:
        small = tiny("autoencoder", data={"kind": "scenes", "train_count": 8, "batch_size": 4})
        vae = exported(small, folder / "vae")
        if "text" not in model:  # latents by class
            return [f"model.autoencoder={vae}", "data.image_size=32", "model.width=24"]
        words = exported(tiny("clip"), folder / "clip")
        sizes = ["data.image_size=32", "model.widths=[8,16]", "model.attention=[16]"]
        return [f"model.autoencoder={vae}", f"model.text={words}", "model.heads=2", *sizes]
    if path.parent.name == "stable_diffusion":
        settings = [f"model.source={stable_diffusion(folder / 'sd')}", "data.image_size=32"]
        full = [] if model["learn"]["kind"] == "full" else ["model.learn.base=fp32"]
        return [*settings, "trainer.precision=fp32", *full]
    if model.get("kind") == "pretrained":
        return [f"model.source={exported(tiny('clip'), folder)}", "data.image_size=32"]
    return []


def exported(config: RunConfig, folder: Path) -> Path:
    """The export of a run that has not begun."""
    pipeline = trainer(config, folder / "run").pipeline()
    return save_export(pipeline, folder / "export", provenance={}, config_yaml="")


def narrow(path: Path) -> list[str]:
    """Settings by which a translator is as narrow as in the tiny run of its family."""
    family = load(path.parent.name)
    model = family.tiny.get("model", {})
    narrows = family.task == "translation"
    return [f"model.{key}={model[key]}" for key in model if narrows and key.endswith("width")]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_shipped_config_takes_a_step(path, tmp_path):
    cheap = load(path.parent.name).tiny.get("preview", {})
    config = load_config(
        path,
        [
            "trainer.steps=1",
            "optim.warmup_steps=0",
            "data.batch_size=2",
            "trainer.log_every=1",
            "trainer.save_every=1",
            "trainer.preview_count=4",
            *(f"preview.{key}={value}" for key, value in cheap.items()),
            *few_rows(path, tmp_path),
            *built_on(path, tmp_path / "built-on"),
            *SMALLER.get(f"{path.parent.name}/{path.stem}", ()),
            *narrow(path),
        ],
    )
    run = trainer(config, tmp_path / "run")  # on the rows that its own reader makes of such files
    run.fit()
    assert checkpoints.steps(run.run_dir / "checkpoints") == [1]


@by_family
def test_the_needs_of_a_family_are_provided(name):
    config = tiny(name)
    assert load(name).needs(config) <= open_data(config.data, "train").columns.keys()
