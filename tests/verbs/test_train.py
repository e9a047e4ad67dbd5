"""Runs: the folder's rules, provenance, export, evaluation of samples."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
import yaml
from families_at_hand import tiny
from pipelines_at_hand import Inverter, Painter

import genkit
from genkit.cli import main
from genkit.config import to_yaml
from genkit.data import open_data
from genkit.errors import UNFINISHED, CheckpointError, ConfigError, DataError, Unfinished
from genkit.run_folder import progress
from genkit.training import checkpoints
from genkit.verbs.export import export
from genkit.verbs.next_command import how_to_sample
from genkit.verbs.train import train


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))


def test_a_run_leaves_a_folder_that_describes_itself(tmp_path):
    run = train(tiny("cgan"), out=tmp_path / "run")
    record = json.loads((run / "provenance.json").read_text())
    assert record["steps"] == 4
    assert record["finished"]
    assert record["data"]["count"] == 64
    assert record["packages"]["torch"] == version("torch")
    assert record["parameters"].keys() == {"generator", "critic"}
    for name in ("config.yaml", "metrics.jsonl", "export/model_index.json"):
        assert (run / name).exists(), name


def test_a_second_run_in_the_folder_is_refused(tmp_path):
    run = train(tiny("dcgan"), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match="--resume to continue"):
        train(tiny("dcgan"), out=run)
    with pytest.raises(
        CheckpointError, match=r"another config(.|\n)*optim.lr: 0.0002 there, 0.1 here"
    ):
        train(tiny("dcgan", optim__lr=0.1), out=run)


def test_a_resume_may_lengthen_the_run_but_not_change_it(tmp_path):
    run = train(tiny("dcgan"), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"must keep its settings(.|\n)*trainer.seed"):
        train(tiny("dcgan", trainer__seed=3), out=run, resume=True)
    train(tiny("dcgan", trainer__steps=6), out=run, resume=True)
    assert checkpoints.steps(run / "checkpoints")[-1] == 6


def test_the_length_is_fixed_where_the_schedule_depends_on_it(tmp_path):
    run = train(tiny("dcgan", optim__schedule="cosine"), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"trainer.steps: 4 there, 6 here"):
        train(tiny("dcgan", optim__schedule="cosine", trainer__steps=6), out=run, resume=True)


def test_a_run_goes_on_with_its_own_config_however_it_is_named(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    run = train(tiny("dcgan", optim__lr=0.01), out=tmp_path / "run")
    with caplog.at_level("INFO", "genkit"):
        assert train(run, ["trainer.steps=6"], resume=True) == run
    assert "goes on with trainer.steps 6 instead of 4" in caplog.text
    assert train(run / "config.yaml", ["trainer.steps=8"], resume=True) == run
    assert checkpoints.steps(run / "checkpoints")[-1] == 8
    assert not (tmp_path / "runs").exists()
    for named in (run, run / "config.yaml"):
        with pytest.raises(CheckpointError, match="add --resume"):
            train(named)


def test_what_a_refused_resume_advises_goes_on_with_the_run(tmp_path):
    run = train(tiny("dcgan", optim__lr=0.01), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"`genkit train (.*) --resume`") as refused:
        train(tiny("dcgan"), out=run, resume=True)
    named = re.search(r"`genkit train (.*) --resume`", str(refused.value))[1]
    assert train(named, resume=True) == run


def test_a_run_is_named_by_its_data_where_the_command_gives_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("genkit.verbs.train._train", lambda config, run_dir, **how: run_dir)
    config = tmp_path / "mine.yaml"
    config.write_text("family: dcgan")
    root = f"data.root={tmp_path / 'red fruit'}"
    assert train(config, ["data.kind=folder", root]) == Path("runs/dcgan-mine-red-fruit")
    assert train(config) == Path("runs/dcgan-mine")


def test_the_last_lines_of_a_training_say_what_there_is_and_what_comes_next(tmp_path, caplog):
    with caplog.at_level("INFO", "genkit"):
        run = train(tiny("dcgan"), out=tmp_path / "run")
    last = [record.getMessage() for record in caplog.records][-3:]
    assert last[0] == f"done: {run}"
    assert (run / last[1].rpartition(f"{run}/")[2]).is_file()
    verb, path, *given = last[2].removeprefix("next: genkit ").split()
    assert (verb, path, given) == ("sample", str(run), ["--grid", "sheet.png"])


def test_a_run_that_makes_no_pictures_is_measured_next(tmp_path, caplog):
    with caplog.at_level("INFO", "genkit"):
        run = train(tiny("classifier", trainer__steps=2), out=tmp_path / "run")
    assert [record.getMessage() for record in caplog.records][-2:] == [
        f"done: {run}",
        f"next: genkit evaluate {run}",
    ]


def test_what_takes_pictures_is_looked_at_by_giving_it_some():
    assert how_to_sample(Inverter()) == "--given source=FOLDER"
    assert how_to_sample(Painter()) == '--prompt "TEXT" --grid sheet.png'


def test_a_run_can_not_become_shorter_than_it_is(tmp_path):
    run = train(tiny("dcgan"), out=tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"is at step 4.* trainer.steps=2"):
        train(run, ["trainer.steps=2"], resume=True)
    assert genkit.load_config(run / "config.yaml").trainer.steps == 4


def test_a_folder_that_is_no_run_s_is_no_config(tmp_path):
    with pytest.raises(CheckpointError, match=r"without config.yaml, so it is no run"):
        train(tmp_path, resume=True)


def test_a_resume_where_nothing_is_says_that_it_starts_at_0(tmp_path, caplog):
    train(tiny("dcgan"), out=tmp_path / "run", resume=True)
    assert [r.levelname for r in caplog.records if "starts at step 0" in r.message] == ["WARNING"]


def test_two_runs_at_once_in_one_folder_are_refused(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    handle = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(handle, fcntl.LOCK_EX)
    os.write(handle, b"4711")
    with pytest.raises(CheckpointError, match="process 4711 is training there"):
        train(tiny("dcgan"), out=folder)
    os.close(handle)


def test_a_set_smaller_than_a_batch_is_refused_before_the_first_step(tmp_path):
    with pytest.raises(DataError, match="64"):
        train(tiny("dcgan", data__batch_size=65), out=tmp_path / "run")
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


# -- a run that a signal stopped -------------------------------------------------------------------


@pytest.fixture
def stopped_after_two(monkeypatch):
    """Trainings get a SIGTERM in their second step."""
    from genkit.training.trainer import Trainer

    step = Trainer.train_step

    def interrupted(self, batches):
        if self.steps_done == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, batches)

    monkeypatch.setattr(Trainer, "train_step", interrupted)


def test_a_stopped_training_raises_and_says_how_it_goes_on(tmp_path, stopped_after_two):
    run = tmp_path / "run"
    said = rf"stopped at step 2 of 4.* written; `genkit train {run} --resume` goes on"
    with pytest.raises(Unfinished, match=said):
        train(tiny("dcgan", trainer__save_every=4), out=run)
    found = progress(run)
    assert (found.trained, found.exported, found.asked) == (2, None, 4)
    assert json.loads((run / "provenance.json").read_text())["finished"] is None
    train(tiny("dcgan", trainer__save_every=4), out=run, resume=True)
    assert progress(run).is_finished


def test_a_loop_over_trainings_ends_with_the_one_that_was_stopped(tmp_path, stopped_after_two):
    def three() -> None:
        for seed in range(3):
            train(tiny("dcgan", trainer__seed=seed), out=tmp_path / str(seed))

    with pytest.raises(KeyboardInterrupt):
        three()
    assert [folder.name for folder in tmp_path.iterdir() if folder.name.isdigit()] == ["0"]


def test_the_command_line_ends_with_the_status_of_an_unfinished_run(
    tmp_path, stopped_after_two, capsys
):
    config = tmp_path / "tiny.yaml"
    config.write_text(to_yaml(tiny("dcgan")))
    with pytest.raises(SystemExit) as ended:
        main(["train", str(config), "--out", str(tmp_path / "run")])
    assert ended.value.code == UNFINISHED == 75
    out, err = capsys.readouterr()
    assert not out
    assert "stopped at step 2 of 4" in err
    assert "Traceback" not in err


# -- exports ---------------------------------------------------------------------------------------


def test_an_export_of_an_older_checkpoint_holds_its_weights(tmp_path):
    run = train(tiny("dcgan"), out=tmp_path / "run")
    folder = export(run, step=2, out=tmp_path / "older")
    assert (folder / "model_index.json").exists()
    assert (folder / "generator").is_dir()
    saved = checkpoints.load(run / "checkpoints", 2)[0]["ema"]["generator"]
    from genkit.pipelines import load_pipeline

    weights = load_pipeline(folder).generator.state_dict()
    assert all(torch.equal(weights[key], saved[key]) for key in weights)


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="not a run folder"):
        export(tmp_path)


# -- evaluation during training --------------------------------------------------------------------


def evaluated(run):
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {row["step"]: row["eval/fd-digits"] for row in rows if "eval/fd-digits" in row}


def with_evaluation(name="cgan", **changes):
    return tiny(name, evaluation__every=1, evaluation__count=100, **changes)


def test_the_best_evaluated_weights_are_kept_beside_the_last(tmp_path):
    run = train(with_evaluation(), out=tmp_path / "run")
    values = evaluated(run)
    assert sorted(values) == [1, 2, 3, 4]
    best = json.loads((run / "best.json").read_text())
    assert best["value"] == min(values.values()) == values[best["step"]]
    assert (best["metric"], best["better"]) == ("fd-digits", "lower")
    found = genkit.evaluate(run / "best", run_reference(run), count=100)
    assert found["fd-digits"].value == pytest.approx(best["value"], rel=1e-4)


def run_reference(run):
    from genkit.data.readers.glyphs import GlyphsData

    config = yaml.safe_load((run / "config.yaml").read_text())
    return open_data(GlyphsData(**config["data"]), "test")


def test_a_resumed_run_keeps_a_better_one_from_before(tmp_path):
    run = train(with_evaluation(), out=tmp_path / "run")
    better = {"metric": "fd-digits", "value": 0.0, "better": "lower", "step": 2}
    (run / "best.json").write_text(json.dumps(better))
    train(with_evaluation(trainer__steps=6), out=run, resume=True)
    assert json.loads((run / "best.json").read_text()) == better
    later = better | {"step": 100}  # of weights that this run has not
    (run / "best.json").write_text(json.dumps(later))
    train(with_evaluation(trainer__steps=8), out=run, resume=True)
    assert json.loads((run / "best.json").read_text())["step"] in (7, 8)


def test_the_best_may_be_chosen_by_another_metric_but_not_by_one_that_is_not_measured(tmp_path):
    run = train(with_evaluation(evaluation__best_by="recall-digits"), out=tmp_path / "run")
    assert json.loads((run / "best.json").read_text())["better"] == "higher"
    with pytest.raises(ConfigError, match="best_by=fid: not measured during training"):
        train(with_evaluation(evaluation__best_by="fid"), out=tmp_path / "other")


def test_a_diffusion_run_is_evaluated_as_its_previews_are_sampled(tmp_path):
    preview = {"scheduler": "ddim", "steps": 3}
    run = train(with_evaluation("ddpm", preview=preview), out=tmp_path / "run")
    found = genkit.evaluate(run, run_reference(run), count=100, options=preview)
    assert found["fd-digits"].value == pytest.approx(evaluated(run)[4], rel=1e-4)


def test_two_processes_share_an_evaluation_and_find_what_one_finds(tmp_path):
    one = train(with_evaluation("ddpm", data__batch_size=8), out=tmp_path / "one")
    config = with_evaluation("ddpm", data__batch_size=4)
    two = train(config, out=tmp_path / "two", processes=2)
    values = evaluated(one), evaluated(two)
    assert values[0].keys() == values[1].keys()
    for step, value in values[0].items():
        assert values[1][step] == pytest.approx(value, rel=0.02)
    assert (two / "best" / "model_index.json").exists()


def test_an_extractor_without_classes_evaluates_during_training_too(tmp_path):
    config = with_evaluation(evaluation__extractor="extractor_of_ones_own:Corners")
    run = train(config, out=tmp_path / "run")
    assert json.loads((run / "best.json").read_text())["metric"] == "fd-corners"
