"""The loop: what it logs, refuses, survives and leaves behind."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from dataclasses import replace

import pytest
import torch
from families_at_hand import assert_same_state, state, tiny, trainer

from genkit.errors import CheckpointError, DataError, TrainingError
from genkit.launch.signals import STOPPING
from genkit.training import checkpoints
from genkit.training.estimate import WORTH_CASTING, choose_precision, rehearse

CPU = torch.device("cpu")


def rows(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_every_log_step_has_a_line_and_every_interval_its_files(tmp_path):
    run = trainer(tiny("dcgan"), tmp_path)
    assert run.fit()
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4]
    assert rows(tmp_path)[-1]["images"] == 4 * 8
    assert {"loss/critic", "loss/generator", "lr", "images_per_s"} <= rows(tmp_path)[0].keys()
    previews = sorted(p.name for p in (tmp_path / "previews").iterdir())
    assert previews == ["step-0000002.png", "step-0000004.png"]
    assert checkpoints.steps(tmp_path / "checkpoints") == [2, 4]


def test_a_logged_loss_is_the_mean_over_its_window(tmp_path):
    fine = trainer(tiny("dcgan"), tmp_path / "fine")
    fine.fit()
    coarse = trainer(tiny("dcgan", trainer__log_every=2), tmp_path / "coarse")
    coarse.fit()
    ones = [row["loss/critic"] for row in rows(tmp_path / "fine")]
    pairs = [row["loss/critic"] for row in rows(tmp_path / "coarse")]
    assert pairs == pytest.approx([(ones[0] + ones[1]) / 2, (ones[2] + ones[3]) / 2])


def test_a_loss_that_is_not_finite_names_network_and_step_and_spares_the_checkpoint(tmp_path):
    run = trainer(tiny("dcgan"), tmp_path)
    honest = run.generator_loss

    def poisoned(batch):
        return honest(batch) * (float("nan") if run.steps_done == 2 else 1)

    run.generator_loss = poisoned
    with pytest.raises(TrainingError, match=r"since step 3: network 'generator'.*step 2 is intact"):
        run.fit()
    restored = trainer(tiny("dcgan"), tmp_path)
    restored.resume()
    assert restored.steps_done == 2
    assert all(t.isfinite().all() for t in state(restored).values())


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_ends_the_run_with_a_checkpoint_of_its_step(tmp_path, number):
    rare = {"trainer__save_every": 4, "trainer__preview_every": 4}
    run = trainer(tiny("dcgan", **rare), tmp_path)
    step = run.step

    def interrupted(batches):
        if run.steps_done == 1 and not run.rehearsing:
            os.kill(os.getpid(), number)
        return step(batches)

    run.step = interrupted
    assert not run.fit()
    assert checkpoints.steps(tmp_path / "checkpoints") == [2]
    assert not (tmp_path / "previews").exists()  # there may be little time
    resumed = trainer(tiny("dcgan", **rare), tmp_path)
    resumed.resume()
    assert resumed.fit()
    unbroken = trainer(tiny("dcgan", **rare), tmp_path / "unbroken")
    unbroken.fit()
    assert_same_state(state(resumed), state(unbroken))


def test_a_signal_during_the_rehearsal_is_heeded_after_the_first_step(tmp_path):
    run = trainer(tiny("dcgan", trainer__save_every=4), tmp_path)
    step = run.step

    def interrupted(batches):
        if run.rehearsing:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(batches)

    run.step = interrupted
    assert not run.fit()
    assert checkpoints.steps(tmp_path / "checkpoints") == [1]


def test_workers_that_end_with_what_stops_a_run_are_no_error(tmp_path):
    settings = {"data__memory": "never", "data__workers": 1, "trainer__save_every": 4}
    run = trainer(tiny("dcgan", **settings), tmp_path)
    step = run.step

    def stopped(batches):
        if run.steps_done == 1 and not run.rehearsing:
            os.kill(os.getpid(), signal.SIGTERM)
            for worker in multiprocessing.active_children():
                worker.kill()
                worker.join()
        return step(batches)

    run.step = stopped
    watched = signal.getsignal(signal.SIGCHLD)
    assert not run.fit()
    assert checkpoints.steps(tmp_path / "checkpoints") == [2]
    assert callable(signal.getsignal(signal.SIGCHLD)) or watched == signal.SIG_DFL


class Ending:
    """A loader whose workers are gone after two steps; before that a signal may come."""

    def __init__(self, loader, number=None):
        self.loader, self.number = loader, number

    def steps(self, *arguments, **named):
        steps = self.loader.steps(*arguments, **named)
        yield from (next(steps) for _ in range(2))
        if self.number is not None:
            os.kill(os.getpid(), self.number)
        raise RuntimeError("DataLoader worker (pid 77) is killed by signal: Killed. \nMore.")


def test_workers_that_end_before_their_next_batch_lose_no_step_of_a_stopped_run(tmp_path):
    run = trainer(tiny("dcgan", trainer__save_every=4), tmp_path)
    run.loader = Ending(run.loader, signal.SIGTERM)
    assert not run.fit()
    assert checkpoints.steps(tmp_path / "checkpoints") == [2]


def test_a_lost_worker_is_told_with_a_way_to_go_on(tmp_path):
    run = trainer(tiny("dcgan"), tmp_path)
    run.loader = Ending(run.loader)
    said = (
        r"step 3: .* gone \(DataLoader worker \(pid 77\) is killed by signal: Killed\.\);.*"
        rf"`genkit train {tmp_path} --resume data.workers=0`"
    )
    with pytest.raises(DataError, match=said):
        run.fit()


def test_a_checkpoint_that_a_kill_left_too_many_is_dropped_by_the_resume(tmp_path):
    config = tiny("dcgan", trainer__keep_last=1)
    trainer(config, tmp_path).fit()
    root = tmp_path / "checkpoints"
    shutil.copytree(checkpoints.folder_of(root, 4), checkpoints.folder_of(root, 2))
    resumed = trainer(config, tmp_path)
    resumed.resume()
    assert checkpoints.steps(root) == [4]


def test_the_rehearsal_leaves_no_trace(tmp_path):
    run = trainer(tiny("dcgan"), tmp_path)
    before = {key: value.clone() for key, value in state(run).items()}
    estimate = rehearse(run, next(run.loader.steps()))
    assert_same_state(before, state(run))
    assert not any(optimizer.state for optimizer in run.optimizers.values())
    assert estimate.flops > 0
    assert estimate.activation_bytes > 0


def test_the_rehearsal_counts_the_operations_of_a_step(tmp_path):
    # DCGAN 32 px, batch 64: 26.9 GFLOP for two critic passes forward and backward, one of the
    # generator, and the critic once more for the generator's gradient (PyTorch's own counter).
    config = tiny(
        "dcgan", data__channels=3, data__batch_size=8, model__width=64, model__latent_dim=100
    )
    run = trainer(config, tmp_path)
    estimate = rehearse(run, next(run.loader.steps()))
    assert estimate.flops * 8 / 1e9 == pytest.approx(26.9, rel=0.12)


def test_auto_takes_bf16_only_where_it_is_fast_and_worth_it(monkeypatch):
    monkeypatch.setattr("genkit.training.estimate.has_fast_bf16", lambda device: True)
    assert choose_precision("auto", None, CPU, WORTH_CASTING) == "bf16"
    assert choose_precision("auto", None, CPU, WORTH_CASTING / 2) == "fp32"
    assert choose_precision("auto", "fp16", CPU, 0) == "fp16"
    assert choose_precision("fp32", "bf16", CPU, 1e15) == "fp32"
    monkeypatch.setattr("genkit.training.estimate.has_fast_bf16", lambda device: False)
    assert choose_precision("auto", "no", CPU, 1e15) == "fp32"


def test_bf16_trains_and_keeps_weights_in_fp32(tmp_path):
    run = trainer(tiny("dcgan", trainer__precision="bf16"), tmp_path)
    run.fit()
    assert run.casting.precision == "bf16"
    assert all(p.dtype == torch.float32 for n in run.bare_networks.values() for p in n.parameters())


def test_fp16_on_a_cpu_is_refused(tmp_path):
    with pytest.raises(TrainingError, match="fp16 needs a GPU"):
        trainer(tiny("dcgan", trainer__precision="fp16"), tmp_path).fit()


def test_clipping_bounds_the_gradient_that_an_update_sees(tmp_path):
    run = trainer(tiny("dcgan", trainer__grad_clip=1e-3, trainer__steps=1), tmp_path)
    norms = []
    step = run.optimizers["critic"].step
    parameters = list(run.bare_networks["critic"].parameters())

    def seen(*arguments):
        norms.append(torch.cat([p.grad.flatten() for p in parameters]).norm().item())
        return step(*arguments)

    run.optimizers["critic"].step = seen
    run.fit()
    assert norms == [pytest.approx(1e-3, rel=1e-3)]


def test_the_learning_rate_follows_the_schedule(tmp_path):
    run = trainer(tiny("dcgan", optim__schedule="linear", optim__lr=1e-3), tmp_path)
    run.fit()
    assert [row["lr"] for row in rows(tmp_path)] == pytest.approx([1e-3, 7.5e-4, 5e-4, 2.5e-4])


def test_a_resume_with_another_global_batch_is_refused(tmp_path):
    trainer(tiny("dcgan"), tmp_path).fit()
    other = trainer(tiny("dcgan", data__batch_size=4), tmp_path)
    with pytest.raises(CheckpointError, match="8 images a step, this would be 4"):
        other.resume()


def test_a_resume_on_other_images_is_refused(tmp_path):
    trainer(tiny("dcgan"), tmp_path).fit()
    other = trainer(tiny("dcgan"), tmp_path)
    other.data = replace(other.data, fingerprint="0" * 64)
    with pytest.raises(CheckpointError, match=r"was trained on other images.*--init"):
        other.resume()


def test_a_resumed_run_keeps_its_precision_and_adds_its_seconds(tmp_path, monkeypatch):
    first = trainer(tiny("dcgan", trainer__precision="bf16", trainer__steps=2), tmp_path)
    first.fit()
    resumed = trainer(tiny("dcgan"), tmp_path)  # auto would choose fp32 for so small a step
    resumed.resume()
    resumed.fit()
    assert resumed.casting.precision == "bf16"
    assert resumed.seconds > first.seconds > 0


def test_a_warm_start_takes_the_weights_of_an_export(tmp_path):
    first = trainer(tiny("dcgan"), tmp_path / "first")
    first.fit()
    second = trainer(tiny("dcgan", trainer__seed=5), tmp_path / "second")
    second.learnt.take_weights(first.pipeline())
    ours, theirs = second.bare_networks["generator"], first.ema.networks["generator"]
    assert_same_state(ours.state_dict(), theirs.state_dict())
    misfit = trainer(tiny("dcgan", model__width=8), tmp_path / "third")
    with pytest.raises(CheckpointError, match="does not fit this config"):
        misfit.learnt.take_weights(first.pipeline())


def test_a_component_that_an_export_leaves_out_begins_with_first_weights(tmp_path):
    one_way = trainer(tiny("cut", model__blocks=1), tmp_path / "first").pipeline()
    assert one_way.b_to_a is None
    run = trainer(tiny("cyclegan"), tmp_path / "second")
    assert run.learnt.take_weights(one_way) == ["b_to_a", "critic_a", "critic_b"]
    assert_same_state(run.bare_networks["a_to_b"].state_dict(), one_way.a_to_b.state_dict())
    editor = trainer(tiny("attgan"), tmp_path / "third")
    pipeline = editor.pipeline()
    pipeline.register_modules(critic=None, familiarity=None)
    assert "critic" in editor.learnt.take_weights(pipeline)


def test_without_averages_the_raw_weights_are_exported(tmp_path):
    run = trainer(tiny("dcgan", trainer__ema_decay=None), tmp_path)
    run.fit()
    exported = run.pipeline().generator.state_dict()
    assert_same_state(exported, run.bare_networks["generator"].state_dict())


def test_an_evaluation_hook_is_called_at_its_interval_and_logged(tmp_path):
    config = tiny("dcgan", evaluation__every=2)
    run = trainer(config, tmp_path, evaluate=lambda pipeline, step: {"fd-x": step / 2})
    run.fit()
    found = {row["step"]: row["eval/fd-x"] for row in rows(tmp_path) if "eval/fd-x" in row}
    assert found == {2: 1.0, 4: 2.0}


def test_tensorboard_gets_the_numbers_when_asked(tmp_path):
    pytest.importorskip("tensorboard")
    run = trainer(tiny("dcgan", trainer__trackers=["tensorboard"]), tmp_path)
    run.fit()
    run.close()
    assert list(tmp_path.rglob("events.out.tfevents.*"))


def test_memory_that_runs_out_gives_advice(tmp_path):
    run = trainer(tiny("dcgan"), tmp_path)
    step = run.step

    def hungry(batches):
        if run.rehearsing:
            return step(batches)
        return torch.empty(2**60)

    run.step = hungry
    with pytest.raises(TrainingError, match=r"halve data.batch_size and double"):
        run.fit()


def test_memory_that_runs_out_before_the_first_step_gives_advice_too(tmp_path):
    run = trainer(tiny("dcgan"), tmp_path)
    run.step = lambda batches: torch.empty(2**60)
    with pytest.raises(TrainingError, match=r"step 1: memory ran out"):
        run.fit()
