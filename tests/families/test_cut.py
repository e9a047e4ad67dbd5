"""CUT: patches told apart by the generator's own features, heads and all in the checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sets_at_hand
import torch
from families_at_hand import tiny, trainer

from genkit.errors import ConfigError
from genkit.families.cut import Heads
from genkit.family import load_config
from genkit.losses.contrast import patch_contrast, patches_at
from genkit.training import checkpoints


def one_step(tmp_path, **changes):
    run = trainer(tiny("cut", **changes), tmp_path)
    (batch,) = next(run.loader.steps())
    run.step([batch])
    return run, batch


def test_the_checkpoint_holds_the_heads_and_their_optimizer(tmp_path):
    trainer(tiny("cut", trainer__steps=2), tmp_path).fit()
    saved, _ = checkpoints.load(tmp_path / "checkpoints", 2)
    assert saved["networks"].keys() == {"a_to_b", "heads", "critic"}
    assert saved["optimizers"]["heads"]["state"]


def test_the_contrast_of_the_step_after_a_resume_is_that_of_the_unbroken_run(tmp_path):
    trainer(tiny("cut"), tmp_path / "unbroken").fit()
    trainer(tiny("cut", trainer__steps=2), tmp_path / "broken").fit()
    resumed = trainer(tiny("cut"), tmp_path / "broken")
    resumed.resume()
    resumed.fit()
    series = [
        [
            (row["step"], row["loss/contrast"], row["loss/identity"])
            for row in map(json.loads, (tmp_path / side / "metrics.jsonl").read_text().splitlines())
            if "loss/contrast" in row
        ]
        for side in ("unbroken", "broken")
    ]
    assert series[0] == series[1]
    assert [step for step, *_ in series[0]] == [1, 2, 3, 4]


def test_of_a_map_of_8_x_8_not_more_than_its_64_places_are_compared(tmp_path):
    run, batch = one_step(tmp_path, model__patches=256)
    maps = torch.zeros(4, 5, 8, 8)
    places = run.places("down2", maps, batch)
    assert places.shape == (4, 64)
    assert all(sorted(row) == list(range(64)) for row in places.tolist())


def test_pictures_of_a_step_are_compared_at_places_of_their_own_drawn_anew(tmp_path):
    run, batch = one_step(tmp_path)
    maps = torch.zeros(4, 5, 8, 8)
    places = run.places("down2", maps, batch)
    assert len({tuple(row) for row in places.tolist()}) == 4
    run.steps_done += 1
    run._draws.clear()
    assert not torch.equal(places, run.places("down2", maps, batch))


def test_one_pass_for_both_kinds_gives_the_contrast_of_the_papers_four(tmp_path):
    run, batch = one_step(tmp_path, trainer__precision="fp32")
    generator, heads = run.bare_networks["a_to_b"], run.bare_networks["heads"]
    layers, count = run.config.model.layers, len(batch["image_a"])
    made = run.translate(batch)
    found = run.contrast(made, batch)
    for i, kind in enumerate(("image_a", "image_b")):
        rows = slice(i * count, (i + 1) * count)
        torch.testing.assert_close(generator(batch[kind]), made[rows], atol=1e-5, rtol=0)
        source, target = generator(batch[kind], layers), generator(made[rows], layers)
        each = []
        for place, name in enumerate(layers):
            at = run.places(name, torch.cat([target[name]] * 2), batch)[rows]
            query, key = (
                heads([patches_at(maps[n], at if n == name else at * 0) for n in layers])[place]
                for maps in (target, source)
            )
            each.append(patch_contrast(query, key, run.config.model.temperature))
        expected = torch.stack(each).mean(0)
        torch.testing.assert_close(found[rows], expected, atol=1e-4, rtol=1e-4)


def test_with_equivariance_some_inputs_are_mirrored_and_compared_unmirrored(tmp_path):
    run, batch = one_step(
        tmp_path,
        model__flip_equivariance=True,
        model__identity_weight=0.0,
        data__batch_size=8,
    )
    given, plain = run.inputs(batch), run.inputs(batch, mirrored=False)
    assert torch.equal(plain, batch["image_a"])
    flipped = [torch.equal(a, b.flip(2)) for a, b in zip(given, plain, strict=True)]
    assert {*flipped} == {True, False}
    assert torch.equal(run.turned(given, batch), plain)
    run.translate(batch)
    features = run.bare_networks["a_to_b"](plain, run.config.model.layers)
    for key, name in zip(run.keys, run.config.model.layers, strict=True):
        assert torch.equal(key, features[name])


def test_the_heads_give_features_of_length_1_for_each_layer():
    heads = Heads([3, 5], 7)
    found = heads([torch.randn(2, 4, 3), torch.randn(2, 6, 5)])
    assert [tuple(each.shape) for each in found] == [(2, 4, 7), (2, 6, 7)]
    for each in found:
        torch.testing.assert_close(each.norm(dim=-1), torch.ones(each.shape[:2]))


def test_five_layers_of_the_papers_generator_are_compared():
    model = load_config(Path("configs/cut/horse2zebra.yaml"), ["data.root=x"]).model
    assert model.layers == ("image", "down1", "down2", "block1", "block5")
    assert (model.patches, model.temperature, model.features) == (256, 0.07, 256)
    assert (model.contrast_weight, model.identity_weight) == (1.0, 1.0)
    fast = load_config(Path("configs/cut/horse2zebra-fast.yaml"), ["data.root=x"]).model
    assert (fast.contrast_weight, fast.identity_weight, fast.flip_equivariance) == (10, 0, True)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["model.layers=[block7]", "model.blocks=6"], "no block7; there are image, first, down1"),
        (["model.contrast_weight=0", "model.identity_weight=0"], "nothing would bind a picture"),
        (["model.contrast_weight=0", "model.identity_weight=1"], ""),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, words):
    tree = {"family": "cut", "data": {"kind": "unpaired", "root": "x", "image_size": 32}}
    if not words:
        assert load_config(tree, settings).model.identity_weight == 1
        return
    with pytest.raises(ConfigError, match=words):
        load_config(tree, settings)


def test_sides_of_other_channels_are_refused_since_one_network_sees_both():
    data = {"kind": "unpaired", "root": "x", "image_size": 32, "channels": 3}
    tree = {"family": "cut", "data": data}
    words = r"data.channels_a=1 and data.channels_b=3: .* set data.channels_a=3, or train cyclegan"
    with pytest.raises(ConfigError, match=words):
        load_config(tree, ["data.channels_a=1"])
    assert load_config(tree, ["data.channels_a=1", "data.channels_b=1"]).model.layers


def test_grey_pictures_of_both_kinds_are_trained_on(tmp_path):
    sets_at_hand.unpaired(tmp_path)
    data = {"kind": "unpaired", "root": str(tmp_path), "image_size": 16, "batch_size": 2}
    greys = data | {"channels_a": 1, "channels_b": 1}
    run, _ = one_step(tmp_path / "run", data=greys, model__critic_layers=1)
    assert next(iter(run.pipeline().takes[0].values())).channels == 1


def test_the_published_rate_falls_once_an_epoch():
    for name in ("horse2zebra", "horse2zebra-fast"):
        config = load_config(Path(f"configs/cut/{name}.yaml"), ["data.root=x"])
        assert config.optim.stair_steps == 1_334
        assert config.trainer.steps % config.optim.stair_steps == 0
