"""A broken file in the middle of a run: nothing is lost, and each remedy that is named works."""

from __future__ import annotations

import pytest
from families_at_hand import tiny
from PIL import Image

from genkit.config import reader, to_tree
from genkit.data import open_data
from genkit.errors import CheckpointError, DataError
from genkit.family import resolve
from genkit.rows.batch import DataInfo
from genkit.training import checkpoints
from genkit.training.damage import Damage
from genkit.training.loop import Loop
from genkit.verbs.train import train


def streamed(root, **data):
    tree = to_tree(tiny("dcgan"))
    tree["data"] = {"kind": "folder", "root": str(root), "image_size": 16, "batch_size": 4} | data
    tree["data"] |= {"memory": "never"}
    tree["trainer"] |= {"steps": 8, "log_every": 8, "save_every": 8, "preview_every": 8}
    return resolve(tree, "test")


def noise(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise((24, 24), 90 + number).convert("RGB").save(path)


def cut(path):
    path.write_bytes(path.read_bytes()[:300])


@pytest.fixture
def failed(tmp_path):
    """A run that met a broken file after its first step, and where its pictures are."""
    root = tmp_path / "photos"
    for i in range(24):
        noise(root / f"{i:02d}.png", i)
    cut(root / "07.png")
    with pytest.raises(DataError, match=r"07.png.*data.on_error=skip.* step 3 is saved"):
        train(streamed(root), out=tmp_path / "run")
    return tmp_path / "run", root


def saved(run):
    return checkpoints.steps(run / "checkpoints")[-1]


def test_the_steps_before_a_broken_file_are_saved(failed):
    run, _ = failed
    assert 1 <= saved(run) < 6  # it is met in the first of the epochs of six batches


def test_each_remedy_that_a_broken_file_is_given_lets_the_run_go_on(failed):
    run, root = failed
    train(run, ["trainer.steps=9", "data.on_error=skip"], resume=True)  # leave it out
    (root / "07.png").unlink()  # delete it
    train(run, ["trainer.steps=10", "data.on_error=raise"], resume=True)
    noise(root / "07.png", 99)  # put another in its place
    train(run, ["trainer.steps=11"], resume=True)
    assert saved(run) == 11


def test_another_file_may_not_change_with_it(failed):
    run, root = failed
    (root / "07.png").unlink()
    noise(root / "08.png", 99)
    with pytest.raises(CheckpointError, match="other images"):
        train(run, resume=True)


def test_what_was_left_out_may_be_mended(tmp_path):
    root = tmp_path / "photos"
    for i in range(12):
        noise(root / f"{i:02d}.png", i)
    good = (root / "03.png").read_bytes()
    cut(root / "03.png")
    config = streamed(root, on_error="skip")
    run = train(config, out=tmp_path / "run")
    (root / "03.png").write_bytes(good)
    train(run, ["trainer.steps=9"], resume=True)
    assert saved(run) == 9


def test_an_evaluation_that_fails_costs_no_step(tmp_path, monkeypatch):
    def fails(self):
        raise OSError("no such weights")

    monkeypatch.setattr(Loop, "_evaluate", fails)
    config = tiny("dcgan", evaluation__every=3, evaluation__count=100, trainer__steps=9)
    with pytest.raises(OSError, match="no such weights"):
        train(config, out=tmp_path / "run")
    assert saved(tmp_path / "run") == 3


def test_damage_explains_nothing_of_a_set_whose_files_are_not_known(tmp_path):
    for side in "ab":
        for i in range(6):
            noise(tmp_path / "pairs" / side / f"{i}.png", i)
    cut(tmp_path / "pairs" / "a" / "3.png")
    section = reader("paired")(root=tmp_path / "pairs", image_size=16, on_error="skip")
    damage = Damage(DataInfo.of(open_data(section)), str(section.root))
    facts = damage.facts()
    assert facts["broken"] == ["a/3.png"]
    assert not damage.explains(facts | {"data": "of other images"})
