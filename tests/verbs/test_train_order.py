"""What can be refused without a pixel is refused before the first one is decoded."""

from __future__ import annotations

import json

import pytest
import torch
from families_at_hand import tiny
from PIL import Image

import genkit.data.memory
from genkit import run_folder
from genkit.errors import CheckpointError, ConfigError, DataError, GenkitError
from genkit.family import load_config, resolve
from genkit.training import checkpoints
from genkit.training.trackers import check_trackers, start_trackers
from genkit.verbs.train import train


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder of twelve pictures, none of which may be decoded."""

    def decoded(*given, **named):
        raise AssertionError("a picture is decoded")

    monkeypatch.setattr(genkit.data.memory, "_decoded", decoded)
    monkeypatch.chdir(tmp_path)
    for i in range(12):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (20 * i, 0, 0)).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


def of(photos, name="dcgan", **changes):
    data = {"kind": "folder", "root": str(photos), "image_size": 16, "batch_size": 8}
    tree = {"family": name, "data": data} | changes
    tree["data"] = data | changes.get("data", {})
    return resolve(tree, "test")


def begun(config, folder, step=4, processes=1):
    """A run folder as a training leaves it, but for the weights."""
    run_folder.write_config(config, folder)
    kept = checkpoints.folder_of(folder / "checkpoints", step)
    kept.mkdir(parents=True)
    meta = {"step": step, "global_batch": config.global_batch(processes)}
    (kept / "meta.json").write_text(json.dumps(meta))
    return folder


def refused(config, out, match, kind=GenkitError, **how):
    with pytest.raises(kind, match=match):
        train(config, out=out, **how)


def test_a_run_folder_of_another_run_is_refused_before_any_pixel(photos, tmp_path):
    run = begun(of(photos), tmp_path / "run")
    refused(of(photos), run, "add --resume", CheckpointError)
    refused(of(photos, optim={"lr": 1.0}), run, r"lr: 0.0002 there", CheckpointError, resume=True)
    refused(of(photos, trainer={"steps": 3}), run, "at step 4", CheckpointError, resume=True)
    other = of(photos, data={"batch_size": 4})
    refused(other, run, r"8 images a step.* 4 = data.batch_size=4 x", CheckpointError, resume=True)
    assert load_config(run / "config.yaml") == of(photos)  # what was refused left no trace


def test_a_run_folder_that_can_t_be_written_is_refused_before_any_pixel(photos, tmp_path):
    (tmp_path / "file").write_text("")
    refused(of(photos), tmp_path / "file" / "run", "can't be written", CheckpointError)


def test_missing_weights_labels_and_images_are_refused_before_any_pixel(photos, tmp_path):
    run = tmp_path / "run"
    refused(of(photos), run, "nowhere", init=str(tmp_path / "nowhere"))
    refused(of(photos, "cgan"), run, "needs label.*one sub-folder per class", DataError)
    adversarial = {"adversarial": {"critic_steps": 5}}
    product = r"takes 40 \(data.batch_size=8 x .*accumulation=1 x adversarial.critic_steps=5 x 1 pr"
    refused(of(photos, **adversarial), run, product, DataError)
    assert not (run / "config.yaml").exists()


def test_weights_to_start_from_are_passed_over_by_a_run_that_goes_on(photos, tmp_path, caplog):
    run = begun(of(photos), tmp_path / "run")
    with caplog.at_level("INFO", "genkit"):
        refused(of(photos, "dcgan"), run, "a picture", AssertionError, resume=True, init="nowhere")
    assert "goes on from its own checkpoint, so --init nowhere is passed over" in caplog.text


@pytest.mark.parametrize("meta", ["[]", '{"step": "x"}', "{}", ""])
def test_a_checkpoint_whose_record_is_none_does_not_end_a_resume_in_a_traceback(
    photos, tmp_path, meta
):
    run = begun(of(photos), tmp_path / "run")
    (checkpoints.folder_of(run / "checkpoints", 4) / "meta.json").write_text(meta)
    run_folder.check(of(photos), run, resume=True)


def test_a_config_whose_name_is_too_long_is_refused_in_one_line():
    with pytest.raises(ConfigError, match=r"characters left out.*: File name too long$"):
        train("a" * 5_000)


def test_a_tracker_that_is_not_there_is_refused_though_its_folder_lies_about(photos, tmp_path):
    (tmp_path / "wandb").mkdir()
    refused(of(photos, trainer={"trackers": ["wandb"]}), tmp_path / "run", "wandb", ConfigError)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU has fp16")
def test_a_precision_that_the_device_lacks_is_refused_before_any_pixel(photos, tmp_path):
    refused(of(photos, trainer={"precision": "fp16"}), tmp_path / "new", "fp16 needs a GPU")


@pytest.mark.parametrize(("size", "accumulation", "processes"), [(4, 2, 1), (4, 1, 2), (2, 2, 2)])
def test_a_resume_may_share_out_the_same_batch_otherwise(photos, size, accumulation, processes):
    run = begun(of(photos), photos.parent / "run")
    changes = {"data": {"batch_size": size}, "trainer": {"grad_accumulation": accumulation}}
    run_folder.check(of(photos, **changes), run, resume=True, processes=processes)


def test_tensorboard_forgets_the_steps_that_a_resume_does_again(tmp_path):
    class Accelerator:
        logging_dir = tmp_path

        def init_trackers(self, name, config, init_kwargs):
            self.told = init_kwargs

    check_trackers(())
    for step, told in ((4, {"tensorboard": {"purge_step": 5}}), (0, {})):
        accelerator = Accelerator()
        start_trackers(accelerator, ("tensorboard",), {}, step=step)
        assert accelerator.told == told


def test_a_run_goes_on_with_half_the_batch_and_twice_the_accumulation(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    run = train(tiny("dcgan"), out=tmp_path / "run")
    size = load_config(run / "config.yaml").data.batch_size
    more = [f"data.batch_size={size // 2}", "trainer.grad_accumulation=2", "trainer.steps=6"]
    train(run, more, resume=True)
    assert checkpoints.steps(run / "checkpoints")[-1] == 6
    assert load_config(run / "config.yaml").data.batch_size == size // 2
