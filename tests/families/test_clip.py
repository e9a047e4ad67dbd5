"""CLIP: what is refused, what is remembered, what goes with the towers."""

from __future__ import annotations

import json
import logging
import math

import pytest
import torch
from families_at_hand import tiny, trainer
from PIL import Image as Pillow
from sets_at_hand import captions, pixels

from genkit.errors import ConfigError, DataError, PipelineError
from genkit.evaluation.tasks import find
from genkit.family import load_config, resolve
from genkit.nn.tokens import PUBLISHED, tokens
from genkit.pipelines import load_pipeline, save_export
from genkit.rows.base import MemoryRows
from genkit.rows.captions import captions_of
from genkit.rows.columns import Image, Text
from genkit.verbs.evaluate import evaluate_samples
from genkit.verbs.train import train


def config(**sections):
    return resolve({"family": "clip", **sections}, "test.yaml")


def pictures(root, count, size=16):
    root.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        Pillow.fromarray(pixels(size, size + i, 3).numpy()).save(root / f"{i}.png")
    return root


def captioned(root, texts, size=16):
    """A folder of pictures, each with one of the captions."""
    captions(pictures(root, len(texts), size), texts)
    return root


def of_folder(root, **changes):
    data = {"kind": "folder", "root": str(root), "image_size": 16, "batch_size": 4}
    return tiny("clip", data=data, **changes)


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """An export of a run on scenes, 4 steps old."""
    run = trainer(tiny("clip"), tmp_path_factory.mktemp("run"))
    run.fit()
    place = tmp_path_factory.mktemp("export") / "clip"
    return save_export(run.pipeline(), place, provenance={}, config_yaml="")


# -- settings --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"model": {"patch": 5}}, "32 x 32 px are not parted evenly into patches of model.patch=5"),
        ({"model": {"width": 130}}, "width=130 can't be shared among heads=4"),
        ({"model": {"vocabulary": 500}}, "greater than or equal to 514"),
        (
            {"model": {"tokenizer": "clip", "vocabulary": 600}},
            "vocabulary=600 says nothing to tokenizer=clip, which has 49,408 tokens",
        ),
        ({"data": {"batch_size": 1}}, "a picture is compared with others; give 2 or more"),
        ({"model": {"kind": "pretrained"}}, "source"),
        ({"model": {"kind": "pretrained", "source": "a/b", "patch": 4}}, "patch"),
    ],
)
def test_what_can_not_be_built_is_refused(sections, problem):
    with pytest.raises(ConfigError, match=problem):
        config(**sections)


def test_the_published_tokenizer_brings_its_own_vocabulary():
    assert config(model={"tokenizer": "clip"}).model.vocabulary == PUBLISHED


def test_the_published_recipe_has_the_published_weights():
    run = load_config("configs/clip/vit-b32.yaml")
    from genkit.nn.image_text import Tower
    from genkit.nn.image_text import towers as made

    model = run.model
    with torch.device("meta"):
        network = made(
            Tower(model.width, model.layers, model.heads),
            Tower(model.text_width, model.text_layers, model.text_heads),
            side=run.data.size[0],
            patch=model.patch,
            embed=model.embed,
            vocabulary=model.vocabulary,
            context=model.context,
        )
    assert sum(p.numel() for p in network.parameters()) == 151_277_313
    assert run.global_batch(64) == 32_768


# -- captions --------------------------------------------------------------------------------------


def test_missing_captions_name_the_family(tmp_path):
    pictures(tmp_path, 8)
    with pytest.raises(DataError, match=r"family 'clip' needs caption, .* write metadata\.jsonl"):
        trainer(of_folder(tmp_path), tmp_path / "run")


def test_empty_captions_are_counted_and_the_first_is_named(tmp_path, caplog):
    captioned(tmp_path / "set", ["a star", "  ", "a ring", ""] * 2)
    with pytest.raises(DataError, match="needs caption"):
        trainer(of_folder(tmp_path / "set"), tmp_path / "run")
    assert "4 of 8 images have no caption, the first is" in caplog.text
    assert "1.png" in caplog.text


def test_empty_captions_of_rows_from_python_are_counted_too():
    rows = MemoryRows(
        "mine",
        {"image": Image(), "caption": Text()},
        {"image": pixels(3, 3, 8, 8), "caption": ["a star", ["a ring", ""], " "]},
    )
    with pytest.raises(DataError, match="2 of 3 captions are empty, the first is that of row 1"):
        captions_of(rows)


def test_long_captions_are_counted_and_keep_their_end(tmp_path, caplog):
    captioned(tmp_path / "set", ["a star", "ring " * 60, "a box", "a disc"] * 2)
    with caplog.at_level(logging.WARNING, "genkit"):
        run = trainer(of_folder(tmp_path / "set", model__context=8), tmp_path / "run")
        run.wrap()
    assert "2 of 8 captions have more than the 8 tokens" in caplog.text
    (ids,) = tokens(run.tokenizer, ["ring " * 60], run.context).tolist()
    assert len(ids) == 8
    assert ids[-1] == run.tokenizer.eos_token_id


def test_equal_texts_and_equal_pictures_belong_together(tmp_path):
    captioned(tmp_path / "set", ["a star", "A  star", "a ring", "a disc"])
    run = trainer(of_folder(tmp_path / "set", trainer__precision="fp32"), tmp_path / "run")
    (batch,) = next(run.loader.steps())
    run.step([batch])
    assert run.seen["equal/clip"] == 0.5
    assert run.seen["guessing/clip"] == pytest.approx((4 + 2) / 16)


def test_captions_that_differ_behind_the_context_are_equal(tmp_path):
    captioned(tmp_path / "set", [f"{'red ' * 20} {end}" for end in ("star", "ring", "box", "disc")])
    run = trainer(of_folder(tmp_path / "set", model__context=8), tmp_path / "run")
    run.step(next(run.loader.steps()))
    assert run.seen["equal/clip"] == 1  # as the tower reads them


# -- training --------------------------------------------------------------------------------------


def test_the_inverse_temperature_is_held(tmp_path):
    run = trainer(tiny("clip", loss__largest_scale=14.0), tmp_path)
    with torch.no_grad():
        run.bare_networks["clip"].logit_scale.fill_(50.0)
    run.step(next(run.loader.steps()))
    assert run.bare_networks["clip"].logit_scale.item() == pytest.approx(math.log(14), rel=1e-6)


def test_first_temperatures_are_the_published_ones(tmp_path):
    plain = trainer(tiny("clip"), tmp_path / "a").bare_networks
    assert plain["clip"].logit_scale.item() == pytest.approx(2.6593, abs=1e-4)
    sigmoid = trainer(tiny("clip", loss__kind="sigmoid"), tmp_path / "b").bare_networks
    assert sigmoid["clip"].logit_scale.exp().item() == pytest.approx(10)
    assert sigmoid["bias"].value.item() == -10


def test_gains_biases_and_temperature_do_not_decay(tmp_path):
    run = trainer(tiny("clip"), tmp_path)
    decayed, still = run.optimizers["clip"].param_groups
    assert (decayed["weight_decay"], still["weight_decay"]) == (0.2, 0.0)
    assert all(p.dim() >= 2 for p in decayed["params"])
    assert all(p.dim() < 2 for p in still["params"])
    assert (decayed["betas"], decayed["eps"]) == ((0.9, 0.98), 1e-6)


def test_a_run_learns_and_is_judged_by_name(tmp_path):
    run = train(
        tiny("clip", trainer__steps=60, optim__lr=3e-3, data__batch_size=32), out=tmp_path / "run"
    )
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    first, last = (rows[i]["accuracy/clip"] for i in (0, -1))
    assert last > max(first, 3 / 32)
    found = evaluate_samples(run)
    names = {value.name for value in found.metrics}
    assert {"retrieval-1-by-text", "binding", "binding-unseen"} <= names


# -- starting from towers that are there -----------------------------------------------------------


def test_pretrained_towers_bring_weights_tokenizer_and_normalisation(towers, tmp_path):
    start = load_pipeline(towers)
    run = trainer(tiny("clip", model={"kind": "pretrained", "source": str(towers)}), tmp_path)
    for key, value in start.clip.state_dict().items():
        assert torch.equal(run.bare_networks["clip"].state_dict()[key], value)
    assert run.tokenizer.get_vocab() == start.tokenizer.get_vocab()
    assert run.normalisation == start.normalisation
    run.fit()
    after = run.bare_networks["clip"].state_dict()
    assert not torch.equal(after["visual_projection.weight"], start.clip.visual_projection.weight)


def test_a_locked_tower_of_pictures_stays(towers, tmp_path):
    model = {"kind": "pretrained", "source": str(towers), "lock_pictures": True}
    run = trainer(tiny("clip", model=model), tmp_path)
    before = {k: v.clone() for k, v in run.bare_networks["clip"].state_dict().items()}
    run.fit()
    after = run.bare_networks["clip"].state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert moved
    assert not any(key.startswith(("vision_model", "visual_projection")) for key in moved)
    assert {key.split(".")[0] for key in moved} == {"text_model", "text_projection", "logit_scale"}
    assert run.learnt.frozen["clip"]


def test_towers_of_another_size_are_refused(towers, tmp_path):
    model = {"kind": "pretrained", "source": str(towers)}
    with pytest.raises(ConfigError, match=r"takes 32 x 32; set data\.image_size=32"):
        trainer(tiny("clip", model=model, data__image_size=64), tmp_path)


def test_towers_that_are_not_there_are_said_so(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    model = {"kind": "pretrained", "source": "nobody/no-such-clip"}
    with pytest.raises(PipelineError, match="the Hub gave nothing"):
        trainer(tiny("clip", model=model), tmp_path)


def test_init_takes_the_tokenizer_with_the_weights(towers, tmp_path):
    # On other captions another tokenizer would be learnt, whose numbers mean other words there.
    captioned(tmp_path / "set", ["ein Stern", "ein Ring", "eine Scheibe", "ein Herz"] * 2, 32)
    run = trainer(of_folder(tmp_path / "set", data__image_size=32), tmp_path / "run")
    start = load_pipeline(towers)
    assert run.tokenizer.get_vocab() != start.tokenizer.get_vocab()
    assert run.start_from(start) == []
    assert run.tokenizer.get_vocab() == start.tokenizer.get_vocab()


def test_init_takes_the_bias_of_the_sigmoid_loss(tmp_path):
    sigmoid = tiny("clip", loss__kind="sigmoid")
    run = trainer(sigmoid, tmp_path / "a")
    torch.nn.init.constant_(run.bare_networks["bias"].value, -3.25)
    other = trainer(sigmoid, tmp_path / "b")
    assert other.start_from(run.pipeline()) == []
    assert other.bare_networks["bias"].value.item() == -3.25
    assert other.pipeline().config["logit_bias"] == -3.25


def test_the_tokenizer_is_resumed_and_exported_with_its_run(tmp_path):
    captioned(tmp_path / "set", ["a star", "a ring", "a disc", "a heart"] * 2)
    run = trainer(of_folder(tmp_path / "set"), tmp_path / "run")
    run.fit()
    again = trainer(of_folder(tmp_path / "set"), tmp_path / "run")
    again.memory["tokenizer"] = torch.zeros(0, dtype=torch.uint8)
    again.resume()
    assert again.tokenizer.get_vocab() == run.tokenizer.get_vocab()


def test_the_normalisation_of_an_init_is_resumed_and_exported(towers, tmp_path):
    start = load_pipeline(towers)
    start.image_processor.image_mean = [0.1, 0.2, 0.3]
    run = trainer(tiny("clip"), tmp_path / "run")
    run.start_from(start)
    assert run.normalisation.mean == pytest.approx((0.1, 0.2, 0.3))
    run.fit()
    again = trainer(tiny("clip"), tmp_path / "run")
    again.resume()
    assert again.pipeline().normalisation.mean == pytest.approx((0.1, 0.2, 0.3))


def test_a_run_is_measured_on_a_set_that_is_named(tmp_path):
    captioned(tmp_path / "set", ["a star", "a ring", "a disc", "a heart"] * 2, 32)
    run = train(tiny("clip", trainer__steps=2), out=tmp_path / "run")
    found = evaluate_samples(run, reference=str(tmp_path / "set"))
    assert "retrieval-1-by-text" in {value.name for value in found.metrics}


@pytest.mark.parametrize("best_by", ["retrieval-1-by-text", "frechet"])
def test_the_best_weights_of_a_small_set_are_chosen(tmp_path, best_by):
    for part in ("train", "test"):  # too few pictures for a hundred to be drawn of
        captioned(tmp_path / "set" / part, ["a star", "a ring", "a disc", "a heart"] * 2)
    evaluation = {"every": 2, "best_by": best_by}
    run = train(of_folder(tmp_path / "set", evaluation=evaluation), out=tmp_path / "run")
    best = json.loads((run / "best.json").read_text())
    assert best["metric"] == "retrieval-1-by-text"


def test_the_shipped_configs_choose_by_what_is_measured():
    chosen = load_config("configs/clip/folder.yaml").evaluation.best_by
    assert chosen in find("retrieval").values(None)
