"""Runs: the parts put together. Each function here is one arrow of the straight line.

train -> run folder; export -> export folder; evaluate_samples -> evaluation.json.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from genkit import images, launch, random, run_folder
from genkit.config import RunConfig, SyntheticData, to_tree, to_yaml
from genkit.data import check_needs, open_reference, open_source
from genkit.data.batch import DataInfo
from genkit.data.loader import Loader
from genkit.errors import ConfigError, EvaluationError
from genkit.family import load, load_config, resolve
from genkit.files import write_whole
from genkit.machine import keep_freed_memory
from genkit.provenance import now, provenance
from genkit.training import checkpoints
from genkit.training.diversity import Classify
from genkit.training.trainer import Evaluate, Trainer

if TYPE_CHECKING:
    from torch.utils.data import Dataset

    from genkit.data.sources import Source
    from genkit.evaluation import Evaluation, ImageSet, ReferenceStatistics

log = logging.getLogger("genkit")


# -- train -----------------------------------------------------------------------------------------


def train(
    config: Path | str | RunConfig,
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
        config: A YAML file, or a config object.
        overrides: `section.key=value` settings laid over the file.
        out: The run folder; runs/<family>-<name of the file> by default, with -overfit behind it
            where `overfit_batch` is on.
        resume: Continue from the newest checkpoint in the folder; from the start if there is none.
        init: An export (run, folder or Hub id) whose weights the run starts from.
        processes: CPU processes to train with. On GPUs: `accelerate launch train/run.py CONFIG`.
        dataset: One's own data set, for `data.kind: custom`.
        overfit_batch: Every step sees the batch of step 0, neither flipped nor shifted: a first
            check, which says at each preview how near the samples are to that batch.

    Raises:
        GenkitError: See `genkit/errors.py`; what was complete in the run folder stays usable.
    """
    name = "run" if isinstance(config, RunConfig) else Path(config).stem
    if not isinstance(config, RunConfig):
        config = load_config(config, list(overrides))
    if overfit_batch:
        config, name = _of_one_batch(config), f"{name}-overfit"
    run_dir = Path(out) if out is not None else Path("runs") / f"{config.family}-{name}"
    if processes > 1 and launch.is_launched():
        raise ConfigError(
            f"--processes {processes}: this is already one of several processes; "
            "leave --processes out under a launcher"
        )
    if processes == 1:
        return _train(config, run_dir, resume=resume, init=init, dataset=dataset)
    if dataset is not None:
        raise ConfigError(
            "processes: a data set handed over in Python trains in one process here; "
            "use `accelerate launch` on a script that calls genkit.train"
        )
    with run_folder.locked(run_dir):
        run_folder.prepare(config, run_dir, resume=resume)
    options = ["--resume"] * resume + (["--init", init] if init else [])
    launch.launch(["genkit.worker", str(run_dir), *options], processes)
    return run_dir


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
    on_cpu = parse_flag_from_env("ACCELERATE_USE_CPU")
    with PartialState(cpu=on_cpu).local_main_process_first():  # it fills the cache for the others
        source = open_source(config.data, "train", dataset=dataset)
    check_needs(source, family.needs, config.family)
    info = describe(source)
    with run_folder.locked(run_dir):
        run_folder.prepare(config, run_dir, resume=resume)
        loader = Loader(source, config.data, config.trainer.seed)
        hook = None
        if config.evaluation.every is not None and launch.is_main():
            hook = _evaluation_hook(config)
        trainer = family.trainer(
            config, info, run_dir, loader=loader, evaluate=hook, classify=_digits_classifier(info)
        )
        loader.device = trainer.device
        if init is not None:
            from genkit.pipelines import load_pipeline

            trainer.warm_start(load_pipeline(init))
        _resume(trainer, run_dir, asked=resume)
        record = _start_record(trainer, info)
        finished = trainer.fit()
        if trainer.accelerator.is_main_process:
            _finish(trainer, config, record, finished=finished)
        trainer.close()
    return run_dir


def _of_one_batch(config: RunConfig) -> RunConfig:
    """The config with what `overfit_batch` means: the run folder's config.yaml will say it."""
    tree = to_tree(config)
    tree["trainer"] |= {"overfit_batch": True}
    tree["data"] |= {"flip": False, "shift": 0}
    return resolve(tree, "overfit_batch")


def _digits_classifier(info: DataInfo) -> Classify | None:
    """The shipped classifier where the classes are the ten digits: for the entropy of previews."""
    if info.class_names != tuple("0123456789") or not launch.is_main():
        return None
    from genkit.evaluation.digits import load_digits

    digits = load_digits()
    return lambda pixels: digits.classify(digits.features(pixels))


def describe(source: Source) -> DataInfo:
    """What a data set says of itself, as networks, exports and reports need it."""
    return DataInfo(
        name=source.name,
        count=len(source),
        fingerprint=source.fingerprint,
        image_size=source.image_size,
        channels=source.channels,
        num_classes=source.num_classes,
        class_names=source.class_names,
    )


def _resume(trainer: Trainer[Any], run_dir: Path, *, asked: bool) -> None:
    if not asked:
        return
    if not checkpoints.steps(run_dir / "checkpoints"):
        log.info("%s: no checkpoint yet, so the run starts from step 0", run_dir)
        if trainer.accelerator.is_main_process:
            (run_dir / "metrics.jsonl").unlink(missing_ok=True)
        return
    trainer.resume()
    log.info("resumed at step %d", trainer.steps_done)


def _start_record(trainer: Trainer[Any], info: DataInfo) -> dict[str, Any]:
    """Write `provenance.json`; a resumed run keeps its first start and adds its seconds."""
    path = trainer.run_dir / "provenance.json"
    before = json.loads(path.read_text()) if path.exists() and trainer.steps_done else {}
    record = provenance() | {
        "steps": trainer.steps_done,
        "seconds": round(trainer.seconds, 1),
        "processes": trainer.processes,
        "global_batch": trainer.global_batch,
        "precision": trainer.precision if trainer.steps_done else None,
        "data": asdict(info),
        "parameters": {
            name: sum(p.numel() for p in network.parameters())
            for name, network in trainer.bare_networks.items()
        },
    }
    record["started"] = before.get("started", record["started"])
    record["finished"] = before.get("finished")
    if trainer.accelerator.is_main_process:
        with checkpoints.explained(str(path)):
            write_whole(path, json.dumps(record, indent=1))
    return record


def _finish(
    trainer: Trainer[Any], config: RunConfig, record: dict[str, Any], *, finished: bool
) -> None:
    """Complete the provenance and, at the end of the run, export it."""
    rows = trainer.run_dir / "metrics.jsonl"
    record |= {
        "steps": trainer.steps_done,
        "seconds": round(trainer.seconds, 1),
        "precision": trainer.precision,
        "finished": (record["finished"] or now()) if finished else None,
    }
    path = trainer.run_dir / "provenance.json"
    with checkpoints.explained(str(path)):
        write_whole(path, json.dumps(record, indent=1))
    if not finished:
        log.info("stopped at step %d; continue with --resume", trainer.steps_done)
        return
    _save_export(trainer, config, trainer.run_dir / "export", record)
    log.info("done: %s and %s", rows.parent / "export", rows)


def _evaluation_hook(config: RunConfig) -> Evaluate:
    """Metrics of freshly drawn samples against the test part: for `evaluation.every`."""
    from genkit.evaluation import ImageSet, evaluate

    if config.data.kind == "custom":
        raise ConfigError("evaluation.every: a data set handed over in Python has no test part")
    reference = image_set(open_source(config.data, "test"))
    count = config.evaluation.count

    def hook(pipeline: Any, step: int) -> dict[str, float]:
        batches = list(pipeline.stream(range(count), seed=config.trainer.seed))
        pixels = torch.cat([images for _, images, _ in batches])
        labels = [labels for *_, labels in batches if labels is not None]
        samples = ImageSet.from_arrays(
            f"step-{step}", f"step-{step}", pixels, torch.cat(labels) if labels else None
        )
        found = evaluate(
            samples,
            reference,
            extractors=(config.evaluation.extractor,),
            resamples=0,
            device=pipeline.device,
        )
        return {metric.name: metric.value for metric in found.metrics}

    return hook


# -- evaluate --------------------------------------------------------------------------------------


def evaluate_samples(
    samples: Path,
    reference: str,
    *,
    train: str | None = None,
    root: Path | None = None,
    extractors: Sequence[str] = ("digits",),
    inception: Path | None = None,
    reference_count: int | None = None,
    parzen: bool = False,
    out: Path | None = None,
) -> Evaluation:
    """Metrics of a folder, npz or tar of samples, written beside them; see `genkit evaluate`.

    Args:
        samples: PNG folder, .npz or .tar.
        reference: "synthetic:glyphs:test", "stacked:test", "mnist:test", "cifar10:test", a folder,
            npz, tar, or an npz of statistics (`mu`, `sigma`).
        train: The same for the training images: adds near copies, floors and nearest neighbours.
        root: Where `mnist` and `cifar10` lie; the user's cache by default.
        extractors: "digits", "inception".
        inception: The Inception file; the user's cache by default.
        reference_count: Use so many reference images, drawn without replacement; None = all.
        parzen: Also the Parzen window log-likelihood; needs `train`.
        out: evaluation.json; by default in the run folder that holds the samples, or beside them.
    """
    from genkit.evaluation import ImageSet, evaluate, nearest_pairs

    drawn = ImageSet.from_path(samples)
    channels, size = drawn.shape[0], drawn.shape[1]
    against = named_set(reference, channels, size, root)
    if reference_count is not None:
        against = _some(against, reference_count)
    learned = None if train is None else named_set(train, channels, size, root)
    if learned is not None and not isinstance(learned, ImageSet):
        raise EvaluationError(f"--train {train}: these are statistics; images are needed")
    result = evaluate(
        drawn,
        against,
        train=learned,
        extractors=extractors,
        inception=inception,
        parzen=parzen,
    )
    target = out or _beside(samples)
    with checkpoints.explained(str(target)):
        result.save(target)
        if learned is not None:
            picture = images.png_bytes(nearest_pairs(drawn, learned))
            write_whole(target.with_name("nearest.png"), picture)
    return result


def named_set(
    name: str, channels: int, size: int, root: Path | None = None
) -> ImageSet | ReferenceStatistics:
    """A named set at the size of the samples, or what a path holds."""
    from genkit.evaluation import read_reference

    if Path(name).exists():
        return read_reference(Path(name))
    like = SyntheticData(image_size=size, channels=1 if channels == 1 else 3)
    return image_set(open_reference(name, root=root, like=like))


def _some(reference: ImageSet | ReferenceStatistics, count: int) -> ImageSet:
    from genkit.evaluation import ImageSet

    if not isinstance(reference, ImageSet) or not 1 <= count <= len(reference):
        have = f"{len(reference)} images" if isinstance(reference, ImageSet) else "statistics only"
        raise EvaluationError(f"--reference-count {count}: {reference.name} has {have}")
    chosen = random.permutation(0, 0, len(reference))[:count].sort().values
    return reference.pick(chosen)


def image_set(source: Source) -> ImageSet:
    """A data set as evaluation takes it."""
    from genkit.evaluation import ImageSet

    pixels = source.images(torch.arange(len(source)))
    return ImageSet.from_arrays(
        source.name, source.fingerprint, pixels, source.labels, source.class_names
    )


def _beside(samples: Path) -> Path:
    if (samples.parent / "config.yaml").exists():
        return samples.parent / "evaluation.json"
    return samples.with_name(f"{samples.stem}-evaluation.json")


# -- export ----------------------------------------------------------------------------------------


def export(
    run: Path, *, step: int | None = None, out: Path | None = None, push: str | None = None
) -> Path:
    """The averaged weights of a run's checkpoint as an export folder; returns the folder.

    Args:
        run: A run folder.
        step: Which checkpoint; the newest whole one by default.
        out: The export folder; `export/` in the run folder by default.
        push: A Hub id to upload it to.
    """
    run = Path(run)
    config, record = run_folder.open_run(run)
    data = record["data"]
    info = DataInfo(**{**data, "class_names": data["class_names"] and tuple(data["class_names"])})
    trainer = load(config.family).trainer(config, info, run)
    trainer.resume(step)
    record |= {"steps": trainer.steps_done}
    folder = _save_export(trainer, config, out or run / "export", record)
    if push is not None:
        from genkit.pipelines.export import push as upload

        upload(folder, push)
    return folder


def _save_export(
    trainer: Trainer[Any], config: RunConfig, folder: Path, record: Mapping[str, Any]
) -> Path:
    from genkit.pipelines.export import save_export

    with checkpoints.explained(f"export {folder}"):
        save_export(
            trainer.pipeline(),
            folder,
            provenance={"family": config.family, **record},
            config_yaml=to_yaml(config),
        )
    return folder
