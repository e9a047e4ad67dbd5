"""`genkit train`: a config becomes a run folder, and at the end an export."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genkit import launch, run_folder
from genkit.config import to_tree, to_yaml
from genkit.data import check_needs, check_size, open_data
from genkit.data.loader import Loader
from genkit.errors import ConfigError, DataError, Unfinished, shown
from genkit.family import load, load_config, resolve
from genkit.files import write_whole
from genkit.launch import signals
from genkit.launch.output import heard
from genkit.machine import keep_freed_memory
from genkit.provenance import now, provenance
from genkit.rows.batch import DataInfo
from genkit.training import checkpoints, refusals
from genkit.training.casting import check_precision
from genkit.training.config import RunConfig
from genkit.training.diversity import Classify
from genkit.training.trackers import check_trackers
from genkit.training.trainer import Trainer
from genkit.verbs.evaluate_training import Best, during_training
from genkit.verbs.export import save_run_export

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from genkit.rows.base import Rows

log = logging.getLogger("genkit")


def train(
    config: Path | str | Mapping[str, Any] | RunConfig,
    overrides: Sequence[str] = (),
    *,
    out: Path | None = None,
    resume: bool = False,
    init: str | None = None,
    processes: int = 1,
    dataset: Dataset[Any] | None = None,
    overfit_batch: bool = False,
) -> Path:
    """Train one run and export it; returns the run folder.

    Args:
        config: A YAML file, a run folder, which stands for its own config, settings as nested
            dicts, or a config object.
        overrides: `section.key=value` settings laid over it.
        out: The run folder; by default the one that `config` is or lies in, else
            runs/<family>-<name of the file>, behind it the name of the data where an override
            gives data.root, and -overfit where `overfit_batch` is on.
        resume: Continue from the newest checkpoint in the folder; from the start if there is none.
        init: An export (run, folder or Hub id) whose weights the run starts from; one that goes on
            from its own checkpoint passes it over, and says so.
        processes: CPU processes to train with. On GPUs: `accelerate launch train/run.py CONFIG`.
        dataset: One's own data set, for `data.kind: custom`.
        overfit_batch: Every step sees the batch of step 0, neither flipped nor shifted: a first
            check, which says at each preview how near the samples are to that batch.

    Raises:
        Unfinished: A signal stopped it before its last step; all that was done is in a checkpoint.
        GenkitError: See `genkit/errors.py`; what was complete in the run folder stays usable.
    """
    name = "run"
    if isinstance(config, Path | str):
        file, of_run = run_folder.source(Path(config))
        if of_run is not None:
            run_folder.refuse_unknown(of_run)
        name, out, config = file.stem, out or of_run, load_config(file, overrides)
        name += _other_data(config, overrides)
    elif isinstance(config, Mapping):
        config = load_config(config, overrides)
    elif overrides:
        config.refuse_code_of_a_file()  # which the copy would not know to be a file's
        config = load_config(to_tree(config), overrides)
    config.refuse_code_of_a_file()
    if overfit_batch:
        config, name = _of_one_batch(config), f"{name}-overfit"
    run_dir = Path(out) if out is not None else Path("runs") / f"{config.family}-{name}"
    early = f"{shown(run_dir)}: stopped before a first step; the same command starts it again"
    with signals.unfinished(early), heard():
        if processes == 1:
            return _train(config, run_dir, resume=resume, init=init, dataset=dataset)
        return _train_together(
            config, run_dir, processes, resume=resume, init=init, dataset=dataset
        )


def _train_together(
    config: RunConfig,
    run_dir: Path,
    processes: int,
    *,
    resume: bool,
    init: str | None,
    dataset: Dataset[Any] | None,
) -> Path:
    launch.refuse_within_launched(processes)
    if dataset is not None:
        raise ConfigError(
            "processes: a data set handed over in Python trains in one process here; "
            "use `accelerate launch` on a script that calls genkit.train"
        )
    with run_folder.locked(run_dir):
        _check(config, run_dir, resume=resume, processes=processes)
    asked = {"config": config, "out": run_dir, "resume": resume, "init": init}
    return launch.run_together(train, asked, processes)


def _check(config: RunConfig, run_dir: Path, *, resume: bool, processes: int) -> None:
    """What can be refused without reading the data set."""
    run_folder.check(config, run_dir, resume=resume, processes=processes)
    check_trackers(config.trainer.trackers)
    check_precision(config.trainer.precision, launch.own_device())
    if launch.ranks().is_first:
        refusals.warn_of_warmup(config)


def _train(
    config: RunConfig,
    run_dir: Path,
    *,
    resume: bool,
    init: str | None,
    dataset: Dataset[Any] | None,
) -> Path:
    keep_freed_memory()
    family = load(config.family)
    processes = launch.ranks().world

    def check_rows(rows: Rows) -> None:
        check_needs(rows, family.needs(config), config.family)
        check_size(rows, config.global_batch(processes), config.batch_in_words(processes))

    with run_folder.locked(run_dir):
        _check(config, run_dir, resume=resume, processes=processes)
        goes_on = resume and checkpoints.steps(run_dir / "checkpoints")
        if init is not None and goes_on and launch.ranks().is_first:
            # No error: a job that begins and goes on by one command asks for both.
            text = "%s: goes on from its own checkpoint, so --init %s is passed over"
            log.info(text, shown(run_dir), shown(init))
        start = None if init is None or goes_on else _pipeline_of(init)
        hook = None
        if config.evaluation.every is not None:
            hook = during_training(
                config,
                lambda pipeline, best: _keep_best(pipeline, best, config, run_dir),
                _best_so_far(run_dir),
            )
        # The first process fills the cache for the others.
        with launch.meet().local_main_process_first():
            rows = open_data(config.data, "train", dataset=dataset, check=check_rows)
        info = DataInfo.of(rows)
        trainer = family.trainer(
            config,
            info,
            run_dir,
            examples=lambda: _to_show(config, rows),
            evaluate=hook,
            classify=_digits_classifier(info),
        )
        seed, device = config.trainer.seed, trainer.device
        trainer.loader = Loader(trainer.rows(rows), config.data, seed, device=device)
        if start is not None:
            refusals.other_attributes(start, info)
            refusals.other_autoencoder(trainer, start, str(init))
            _say_new(init, trainer.start_from(start))
        _resume(trainer, run_dir, asked=resume)
        record = _start_record(trainer, info)
        finished = trainer.fit()
        left = (
            f"{shown(run_dir)}: stopped at step {trainer.steps_done} of {config.trainer.steps}, "
            f"its checkpoint is written; {refusals.going_on(config, run_dir)} goes on"
        )
        with signals.unfinished(left):
            if trainer.accelerator.is_main_process:
                _finish(trainer, config, record, finished=finished)
            trainer.close()
    if not finished:
        raise Unfinished(left)
    return run_dir


def _say_new(init: str | None, names: Sequence[str]) -> None:
    """Say which networks an export does not hold, such as critics: they begin anew."""
    if names:
        what = ", ".join(names)
        log.info("%s holds no %s, which begin with first weights", shown(init), what)


def _pipeline_of(init: str) -> Any:
    from genkit.pipelines import load_pipeline  # which a run without --init does not need yet

    return load_pipeline(init)


def _other_data(config: RunConfig, overrides: Sequence[str]) -> str:
    """The end of a run's name where the command names the data, so that each has a run."""
    if not any(override.startswith("data.root=") for override in overrides):
        return ""
    root = Path(getattr(config.data, "root", ""))
    return "-" + re.sub(r"[^\w.-]+", "-", root.name).strip("-.")


def _to_show(config: RunConfig, rows: Rows) -> Rows:
    """The test part of the data set; where there is none, and that is said, the training rows."""
    if config.data.kind == "custom":
        log.info("previews show rows of %s: data from Python has no test part", rows.name)
        return rows
    try:
        return open_data(config.data, "test")
    except DataError as error:
        log.info("previews show rows of %s: no test part (%s)", rows.name, error)
        return rows


def _keep_best(pipeline: Any, best: Best, config: RunConfig, run_dir: Path) -> None:
    """The best weights so far as an export in best/, and what they were chosen by."""
    from genkit.pipelines.export import save_export

    record = json.loads((run_dir / "provenance.json").read_text()) | {"steps": best.step}
    with checkpoints.explained(f"export {run_dir / 'best'}"):
        save_export(
            pipeline,
            run_dir / "best",
            provenance={"family": config.family, **record},
            config_yaml=to_yaml(config),
        )
        write_whole(run_dir / "best.json", json.dumps(asdict(best), indent=1))
    log.info("step %d: the best so far, %s %.4g: kept in best/", best.step, best.metric, best.value)


def _best_so_far(run_dir: Path) -> Best | None:
    """What best.json says; None if there is none or it is of another version."""
    try:
        return Best(**json.loads((run_dir / "best.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _of_one_batch(config: RunConfig) -> RunConfig:
    """The config with what `overfit_batch` means: the run folder's config.yaml will say it."""
    tree = to_tree(config)
    tree["trainer"] |= {"overfit_batch": True}
    tree["data"] |= {"flip": False, "shift": 0}
    return resolve(tree, "overfit_batch")


def _digits_classifier(info: DataInfo) -> Classify | None:
    """The shipped classifier where the classes are the ten digits: for the entropy of previews."""
    if info.class_names != tuple("0123456789") or not launch.ranks().is_first:
        return None
    from genkit.evaluation.extractors.digits import load_digits

    digits = load_digits()
    return lambda pixels: digits.classify(digits.of(pixels))


def _resume(trainer: Trainer[Any], run_dir: Path, *, asked: bool) -> None:
    if not asked:
        return
    if not checkpoints.steps(run_dir / "checkpoints"):
        log.warning(
            "%s: no checkpoint there to resume, so this run starts at step 0", shown(run_dir)
        )
        if trainer.accelerator.is_main_process:
            (run_dir / "metrics.jsonl").unlink(missing_ok=True)
        return
    trainer.resume()
    log.info("resumed at step %d", trainer.steps_done)


def _start_record(trainer: Trainer[Any], info: DataInfo) -> dict[str, Any]:
    """Write `config.yaml` and `provenance.json`; a resumed run adds its seconds."""
    path = trainer.run_dir / "provenance.json"
    known = path.exists() and trainer.steps_done
    before = run_folder.read_record(trainer.run_dir) if known else {}
    if known and not before:
        log.warning("%s: held no record of the run, and is written anew", shown(path))
    record = provenance() | {
        "steps": trainer.steps_done,
        "seconds": round(trainer.seconds, 1),
        "processes": trainer.processes,
        "global_batch": trainer.global_batch,
        "precision": trainer.casting.precision if trainer.steps_done else None,
        "data": info.to_tree(),
        "parameters": {
            name: sum(p.numel() for p in network.parameters())
            for name, network in trainer.bare_networks.items()
        },
        "frozen": trainer.learnt.frozen,
    }
    record["started"] = before.get("started", record["started"])
    record["finished"] = before.get("finished")
    if trainer.accelerator.is_main_process:
        run_folder.write_config(trainer.config, trainer.run_dir)
        with checkpoints.explained(str(path)):
            write_whole(path, json.dumps(record, indent=1))
    return record


def _finish(
    trainer: Trainer[Any], config: RunConfig, record: dict[str, Any], *, finished: bool
) -> None:
    """Complete the provenance and, at the end of the run, export it."""
    record |= {
        "steps": trainer.steps_done,
        "seconds": round(trainer.seconds, 1),
        "precision": trainer.casting.precision,
        "finished": (record["finished"] or now()) if finished else None,
    }
    path = trainer.run_dir / "provenance.json"
    with checkpoints.explained(str(path)):
        write_whole(path, json.dumps(record, indent=1))
    if not finished:
        return
    from genkit.verbs.next_command import next_command  # imports pipelines, which no step needs

    pipeline = save_run_export(trainer, config, trainer.run_dir / "export", record)
    run = shown(trainer.run_dir)
    log.info("done: %s", run)
    if shown_last := sorted(trainer.run_dir.glob("previews/*.png")):
        log.info("its last pictures: %s/previews/%s", run, shown(shown_last[-1].name))
    log.info("next: %s", next_command(run, pipeline))
