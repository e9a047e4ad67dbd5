"""Stable Diffusion taught pictures of several shapes, and told how each was cut."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from families_at_hand import assert_same_state, state, trainer
from PIL import Image as Pillow
from rank_at_work import work
from sets_at_hand import captions, pixels
from stable_diffusion_at_hand import TEXTS, stable_diffusion, stable_diffusion_xl

from genkit.config import to_tree
from genkit.errors import ConfigError
from genkit.family import resolve
from genkit.launch import run_together
from genkit.rows.buckets import BucketRows
from genkit.verbs.real_images import real_images

SIZES = [(40, 40), (36, 60), (60, 36), (40, 41), (40, 64), (40, 42), (64, 40)]  # of pictures
SHAPES = {(32, 32), (24, 40), (40, 24)}


@pytest.fixture(autouse=True)
def _a_cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A model, and pictures with captions: seven to learn from and five to test on."""
    place = tmp_path_factory.mktemp("world")
    for part, sizes in (("train", SIZES), ("test", SIZES[:5])):
        (place / "set" / part).mkdir(parents=True)
        for i, size in enumerate(sizes):
            Pillow.fromarray(pixels(*size, 3).numpy()).save(place / "set" / part / f"{i}.png")
        captions(place / "set" / part, TEXTS)
    return {"source": stable_diffusion(place / "sd"), "root": str(place / "set")}


@pytest.fixture(scope="module")
def xl(tmp_path_factory, world):
    return {**world, "source": stable_diffusion_xl(tmp_path_factory.mktemp("xl") / "xl")}


def config(world, **changes):
    tree = {
        "family": "stable_diffusion",
        "data": {"root": world["root"], "image_size": 32, "batch_size": 2,
                 "buckets": {"step": 8, "ratio": 2.0}},
        "model": {"source": world["source"], "learn": {"kind": "lora", "rank": 2}},
        "optim": {"lr": 1e-3},
        "preview": {"steps": 1},
        "trainer": {"steps": 4, "log_every": 1, "save_every": 2, "preview_every": 100,
                    "precision": "fp32", "preview_count": 2},
    }  # fmt: skip
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        tree[section][key] = value
    return resolve(tree, "test.yaml")


def run_of(world, folder, **changes):
    return trainer(config(world, **changes), folder)


def seen_by(run, steps=6):
    """The rows and the shape of the latents of each step."""
    return [(batch["index"].tolist(), tuple(batch["latent"].shape[2:]))
            for (batch,) in islice(run.loader.steps(), steps)]  # fmt: skip


def test_a_step_has_one_shape_and_each_picture_its_own(world, tmp_path):
    run = run_of(world, tmp_path, data__flip=True)
    assert isinstance(run.loader.rows, BucketRows)
    shapes = {}
    for index, shape in seen_by(run, 12):
        shapes |= dict.fromkeys(index, (2 * shape[0], 2 * shape[1]))
    assert {*shapes.values()} == SHAPES
    wide = [(32, 32), (24, 40), (40, 24), (32, 32), (24, 40), (32, 32), (40, 24)]
    assert [shapes[i] for i in range(7)] == wide


def test_latents_are_those_of_the_cropped_picture_and_its_mirror(world, tmp_path):
    run = run_of(world, tmp_path, data__flip=True)
    rows = run.data.rows
    for index in (0, 1, 2):
        image = rows.read([index], ("image",))["image"].float() / 127.5 - 1
        both = run.loader.rows.read([index], ("latent",))["latent"][0]
        for side, latent in zip((image, image.flip(3)), both, strict=True):
            expected = run.bare_networks["vae"].encode(side).latent_dist.mean[0]
            scale = run.start.vae.config["scaling_factor"]
            torch.testing.assert_close(latent[:4], expected * scale, atol=1e-4, rtol=1e-4)


def test_latents_are_kept_and_other_buckets_are_encoded_anew(world, tmp_path, monkeypatch):
    from genkit.training.latents import Latents

    encoded = []
    encode = Latents.encoded

    def noted(self, images):
        encoded.append(tuple(images.shape))
        return encode(self, images)

    monkeypatch.setattr(Latents, "encoded", noted)
    for folder in "ab":
        run_of(world, tmp_path / folder)
        assert sum(shape[0] for shape in encoded) == 7
    run_of(world, tmp_path / "c", data__buckets={"step": 8, "ratio": 1.0})
    assert sum(shape[0] for shape in encoded) == 7 + 4  # those that were no squares
    assert encoded[-1] == (4, 3, 32, 32)


def test_a_resumed_run_equals_the_unbroken_one(world, tmp_path):
    unbroken = run_of(world, tmp_path / "a")
    unbroken.fit()
    run_of(world, tmp_path / "b", trainer__steps=2).fit()
    resumed = run_of(world, tmp_path / "b")
    resumed.resume()
    assert resumed.steps_done == 2
    resumed.fit()
    assert_same_state(state(unbroken), state(resumed))


def test_two_micro_batches_equal_one(world, tmp_path):
    found, shapes = [], []
    for rows, count in ((2, 1), (1, 2)):
        run = run_of(world, tmp_path / str(count), data__batch_size=rows,
                     trainer__grad_accumulation=count)  # fmt: skip
        gradients = {}

        def record(names, run=run, gradients=gradients):
            named = run.bare_networks["unet"].named_parameters()
            gradients.update({k: p.grad.clone() for k, p in named if p.requires_grad})
            for optimizer in run.optimizers.values():
                optimizer.zero_grad()

        run._update = record
        sets = []
        for batches in islice(run.loader.steps(accumulation=count), 4):
            run._draws.clear()
            run.step(batches)
            sets.append(dict(gradients))
            shapes.append(batches[0]["latent"].shape[2:])
        found.append(sets)
    assert len({*shapes}) > 1
    for one, other in zip(*found, strict=True):
        largest = max(value.abs().max().item() for value in one.values())
        assert largest > 0
        for key, value in one.items():
            assert (value - other[key]).abs().max() <= 1e-5 * largest, key


def test_two_processes_learn_what_one_does(world, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(__file__).rsplit("/families/", 1)[0])
    found = {}
    for count in (1, 2):
        (tmp_path / str(count)).mkdir()
        tree = to_tree(config(world, data__batch_size=2 // count))
        run_together(work, {"folder": tmp_path / str(count), "tree": tree}, count)
        files = [tmp_path / str(count) / f"rank-{rank}.pt" for rank in range(count)]
        found[count] = [torch.load(file) for file in files]
    (one,), (first, second) = found[1], found[2]
    alone = [index.tolist() for index, _, _ in one["seen"]]
    pairs = zip(first["seen"], second["seen"], strict=True)
    both = [[*a[0].tolist(), *b[0].tolist()] for a, b in pairs]
    assert alone == both
    moved = _far(one["state"], one["begun"])
    assert moved > 0
    assert _far(first["state"], second["state"]) == 0
    assert _far(one["state"], first["state"]) < 1e-2 * moved


def _far(one, other):
    keys = [key for key in one if ".lora_" in key]
    return sum((one[key] - other[key]).double().square().sum().item() for key in keys) ** 0.5


def test_test_pictures_of_several_shapes_are_judged_and_previews_are_squares(world, tmp_path):
    run = run_of(world, tmp_path)
    (sheet,) = run.preview()
    assert sheet.images.shape == (2, 3, 32, 32)
    bands = {"held-out/little", "held-out/middle", "held-out/much"}
    assert sheet.numbers.keys() == bands | {"near-copies/rate"}
    latents = [batch["latent"] for batch in run.given._shown]
    assert {tuple(each.shape[2:]) for each in latents} == {(16, 16), (12, 20), (20, 12)}
    assert sum(map(len, latents)) == 5
    again = run.given.held_out(run.averaged_network("unet"))
    assert again == {name: sheet.numbers[name] for name in bands}


def test_an_evaluation_sees_squares(world, caplog):
    caplog.set_level("INFO", "genkit")
    rows = real_images(config(world))
    assert rows.columns["image"].size == (32, 32)
    assert "real pictures are cropped to squares of 32 px" in caplog.text


def test_a_step_that_the_model_does_not_take_is_refused(world, tmp_path):
    run = run_of(world, tmp_path)
    run.start.unet.register_to_config(block_out_channels=(8,) * 4)
    with pytest.raises(ConfigError, match=r"step=8: .* a place for 16 x 16 px; give a multiple"):
        run._check_shapes(run.start)


# -- Stable Diffusion XL ---------------------------------------------------------------------------


@pytest.mark.parametrize("flip", [False, True])
def test_xl_is_told_the_size_and_corner_of_each_picture(xl, tmp_path, flip):
    run = run_of(xl, tmp_path, data__flip=flip, model__caption_drop=0.5)
    told = {}
    asked = run.start.ask

    def noted(network, x, time, words):
        told.update(shape=x.shape[2:], sizes=words[2])
        return asked(network, x, time, words)

    run.start.ask = noted
    seen = {}
    for (batch,) in islice(run.loader.steps(), 12):
        run._draws.clear()
        run.loss(batch)
        for index, sizes in zip(batch["index"].tolist(), told["sizes"].tolist(), strict=True):
            seen[index] = sizes
            assert sizes[4:] == [2 * side for side in told["shape"]]
    assert seen.keys() == {*range(7)}
    cut = {index: [*sizes[:2], *sizes[4:]] for index, sizes in seen.items()}
    assert cut == {i: [*SIZES[i], *shape] for i, shape in enumerate(
        [(32, 32), (24, 40), (40, 24), (32, 32), (24, 40), (32, 32), (40, 24)])}  # fmt: skip
    assert seen[4][2:4] == [1, 0]  # 38 of 40 lines are left, and 1 is cut off above
    assert seen[6][2:4] == [0, 1]
    assert run.preview()[0].numbers.keys() >= {"held-out/much"}


def test_xl_is_told_so_without_buckets_too(xl, tmp_path):
    run = run_of(xl, tmp_path, data__buckets=None)
    seen = {}
    for (batch,) in islice(run.loader.steps(), 6):
        sizes = run.words(batch)[2]
        seen |= dict(zip(batch["index"].tolist(), sizes.tolist(), strict=True))
    assert seen[0] == [40, 40, 0, 0, 32, 32]
    assert seen[1] == [36, 60, 0, round(12 * 32 / 36), 32, 32]
    assert seen[6] == [64, 40, round(12 * 32 / 40), 0, 32, 32]


def test_what_xl_is_told_matters(xl, tmp_path):
    run = run_of(xl, tmp_path)
    (batch,) = next(run.loader.steps())
    first = run.loss(batch).item()
    batch["cut"] = batch["cut"] * 4
    assert run.loss(batch).item() != first
