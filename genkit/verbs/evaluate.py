"""`genkit evaluate`: samples, runs and models become numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genkit import images, launch
from genkit.errors import EvaluationError, shown
from genkit.files import write_whole
from genkit.images import png_of
from genkit.launch.output import heard
from genkit.rows.base import Rows
from genkit.rows.files import open_path
from genkit.verbs.evaluation_files import (
    beside,
    file_of,
    nearest_beside,
    picture_beside,
    target_of,
    with_name,
)
from genkit.verbs.live import BATCH_SIZE, Drawing, is_ours, opened, refuse_prompts, samples_of
from genkit.verbs.partial import export_lag
from genkit.verbs.prompt_files import read_prompts, task_of_prompts
from genkit.verbs.real_images import (
    further_parts,
    is_run,
    named_set,
    path_and_split,
    real_images,
    some_of,
)

if TYPE_CHECKING:
    from genkit.evaluation import Evaluation, ReferenceStatistics
    from genkit.evaluation.prompts import Prompts

    Reference = str | Path | Rows | ReferenceStatistics

log = logging.getLogger("genkit")

LONGEST_WAIT = timedelta(hours=12)
STORED = ("samples.npz", "samples.zip", "samples.tar", "samples")  # of a run, as people name them


@heard()
def evaluate(
    samples: Any,
    reference: Reference | None = None,
    *,
    train: str | Path | Rows | None = None,
    task: str | None = None,
    count: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    prompts: Prompts | Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    root: Path | None = None,
    reference_count: int | None = None,
    **request: Any,
) -> Evaluation:
    """Metrics of samples, of a model, or of a plain diffusers pipeline; nothing is written.

        from diffusers import DDPMPipeline
        pipeline = DDPMPipeline.from_pretrained("google/ddpm-cifar10-32")
        found = genkit.evaluate(pipeline, "cifar10:train", extractors=["inception-v3"])
        print(found["fid"].value, found["fid"].low, found["fid"].high)

    With several processes all of them must call it; each draws and looks at its share.
    Images of a pipeline go from the network to the metrics without a file between. Each has a seed
    of its own, so neither the batch size nor the number of processes changes them.

    Args:
        samples: `Rows`; a folder, .npz, .tar or .zip of images; a run or export folder; or a
            pipeline of genkit or diffusers.
        reference: Real images as `genkit evaluate` names them, `Rows`, or statistics; None = the
            test images of the run that `samples` is or lies in.
        train: The images that the model was trained on: floors and near copies.
        task: What a pipeline of genkit is measured at, as `Family.task` names it; None = that of
            the family of a run, else "samples".
        count: Images to draw of a pipeline; None = 10,000, or one for each real image that it is
            given.
        seed: Of these images, and of the choice of subsets.
        batch_size: Images drawn at a time; None = 64.
        prompts: For pipelines from text: one for each image, or fewer that are repeated in turn.
            One of genkit is then measured at them, against real images only if some are named.
        options: Further arguments of the pipeline, such as {"num_inference_steps": 50}.
        root: Where `mnist` and `cifar10` lie; the user's cache by default.
        reference_count: Use so many reference images, drawn without replacement; None = all.
        request: The attributes of `genkit.evaluation.request.Request`: extractors, metrics, ...

    Raises:
        EvaluationError: The sets or the request don't fit each other; says what to change.
    """
    from genkit.evaluation import evaluate as measure
    from genkit.evaluation.prompts import Prompts
    from genkit.evaluation.statistics import NoReference

    where = Path(samples) if isinstance(samples, str | Path) else None
    given = samples if where is None else opened(where, request.get("device"))
    own = None if prompts is None else Prompts.of(prompts)
    how = Drawing(count, seed, batch_size, None if own is None else own.texts, options)
    if is_ours(given):
        refuse_prompts(given, how)
        if own is not None:
            task = task_of_prompts(task, reference, reference_count)
        made, shape = None, partial(_shape_of_pipeline, given)
    else:
        if task is not None:
            raise EvaluationError(
                f"task={task}: says what a pipeline of genkit is measured at, and these are images "
                "or a pipeline of another kind; leave it out"
            )
        made = samples_of(given, how)
        shape = partial(_shape_of_rows, made)
    if made is None and own is not None and reference is None:
        real: Rows | ReferenceStatistics = NoReference()
    else:
        real = _real(reference, where, shape, root)
    if reference_count is not None:
        real = some_of(real, reference_count)
    learned = None if train is None else _images(_named(train, shape, root), f"train={train!s}")
    if made is None:
        name = task or _task_of(where)
        parts = _parts(name, reference, where, root)
        return _by_task(given, real, name, how, own, learned, parts, request)
    return measure(made, real, train=learned, seed=seed, **request)


def evaluate_samples(
    samples: Path | str,
    reference: str | None = None,
    *,
    train: str | None = None,
    task: str | None = None,
    root: Path | None = None,
    reference_count: int | None = None,
    count: int | None = None,
    prompts: Path | str | None = None,
    out: Path | str | None = None,
    processes: int = 1,
    **request: Any,
) -> Evaluation:
    """Metrics of a run or of a folder, npz, tar or zip of samples, written beside them.

    Of a run that holds samples these are measured; of another one, and where the family's task
    needs the model itself, what the model makes.

    Args:
        samples: A run; a folder of images, .npz, .tar or .zip.
        reference: "synthetic:glyphs:test", "stacked:test", "mnist:test", "cifar10:test", a folder,
            npz, tar, zip, a run, or an npz of statistics (`mu`, `sigma`); None = the test images of
            the run that `samples` is or lies in.
        train: The same for the training images: adds near copies, floors and, of samples
            in files, a picture of nearest neighbours.
        task: What the model of a run or export is measured at: a file of
            `genkit/evaluation/tasks/`, or "module:TASK"; None = that of the run's family.
        root: Where `mnist` and `cifar10` lie; the user's cache by default.
        reference_count: Use so many reference images, drawn without replacement; None = all.
        count: Images to draw of a run's model; None = the usual number.
        prompts: A file of texts to draw them of, one in each line; None = the captions of the
            reference.
        out: A .json file; by default evaluation.json in the run folder that holds the samples, or
            NAME-evaluation.json beside them.
        processes: CPU processes that share the images; the numbers stay the same. On GPUs:
            `accelerate launch sample/evaluate.py ...`.
        request: The attributes of `genkit.evaluation.request.Request`: extractors, metrics, ...
    """
    from genkit.evaluation import processes as ranks

    samples = with_name(samples)
    read, weights = map(file_of, (reference, train, prompts)), request.get("weights") or {}
    inputs = [samples, *read, *weights.values()]
    target = target_of(None if out is None else Path(out), beside(samples), inputs)
    named = {"reference": reference, "train": train, "task": task, "root": root, "count": count,
             "prompts": prompts, "reference_count": reference_count, **request}  # fmt: skip
    if processes > 1:
        return launch.run_together(
            evaluate_samples, {"samples": samples, "out": target, **named}, processes
        )
    if launch.ranks().is_launched:
        launch.meet(LONGEST_WAIT)  # while the first process computes the metrics, the others wait
    if prompts is not None:
        named["prompts"] = read_prompts(Path(prompts))
    live = count is not None or prompts is not None
    measured = samples if live else _stored(samples, task)
    log.info("measuring %s", shown(measured))
    result = evaluate(measured, **named)
    more = [note for note in (_old_samples(measured), export_lag(measured)) if note is not None]
    result = replace(result, notes=(*result.notes, *more))
    if ranks.rank() == 0:
        result.save(target)
        _save_pictures(result, target)
        if train is not None and not is_run(measured):
            _show_nearest(measured, train, root, nearest_beside(target))
    return result


# -- which images ----------------------------------------------------------------------------------


def _stored(path: Path, task: str | None) -> Path:
    """The samples that a run holds, where the task is content with them."""
    from genkit.evaluation import tasks

    if not is_run(path) or not tasks.find(task or _task_of(path)).takes_files:
        return path
    return next((path / name for name in STORED if _is_whole(path / name)), path)


def _is_whole(samples: Path) -> bool:
    """Whether a file or folder of samples is there, and not only begun."""
    begun = (samples / "samples.json").is_file()
    return samples.exists() and (not begun or (samples / "metadata.jsonl").is_file())


def _old_samples(samples: Path) -> str | None:
    """A note where samples in a run are older than its export: they may be of other weights."""
    export = samples.parent / "export" / "model_index.json"
    if not is_run(samples.parent) or not export.is_file() or not samples.exists():
        return None
    if samples.stat().st_mtime >= export.stat().st_mtime:
        return None
    return (
        f"{samples.name} is older than the run's export and may be of other weights: delete "
        f"{shown(samples)} and run `genkit sample {shown(samples.parent)}`, or give --count"
    )


def _by_task(
    pipeline: Any,
    real: Rows | ReferenceStatistics,
    task: str,
    how: Drawing,
    prompts: Prompts | None,
    train: Rows | None,
    parts: Mapping[str, Rows],
    request: Mapping[str, Any],
) -> Evaluation:
    from genkit.evaluation import tasks
    from genkit.evaluation.task import Asked
    from genkit.pipelines.samples import weights_sha256

    asked = Asked(
        count=how.count,
        seed=how.seed,
        batch_size=BATCH_SIZE if how.batch_size is None else how.batch_size,
        weights=weights_sha256(pipeline),
        call=dict(how.options or {}),
        train=train,
        parts=parts,
        request=request,
        prompts=prompts,
    )
    return tasks.find(task).measure(pipeline, real, asked)


def _task_of(path: Path | None) -> str:
    """What the family of a run is measured at; of other folders "samples"."""
    from genkit.family import load
    from genkit.run_folder import open_run

    return load(open_run(path)[0].family).task if path is not None and is_run(path) else "samples"


def _parts(
    task: str, reference: Reference | None, samples: Path | None, root: Path | None
) -> dict[str, Rows]:
    """The further parts that a task measures by, of the run that the real images belong to."""
    from genkit.evaluation import tasks

    run = samples
    if reference is not None:
        run = path_and_split(str(reference))[0] if isinstance(reference, str | Path) else None
    if run is None or not is_run(run):
        return {}
    return further_parts(run, tasks.find(task).parts, root)


def _real(
    reference: Reference | None, samples: Path | None, shape: Shape, root: Path | None
) -> Rows | ReferenceStatistics:
    """The reference that was named, else the test images of the run of these samples."""
    if reference is not None:
        return _named(reference, shape, root)
    for folder in () if samples is None else (samples, samples.parent):
        if is_run(folder):
            return real_images(folder, root=root)
    raise EvaluationError(
        "no reference: name real images to measure against (--reference SET), or samples that lie "
        "in a run"
    )


Shape = Callable[[], tuple[int, tuple[int, int]]]  # C and (H, W), found where they are needed


def _named(given: Reference, shape: Shape, root: Path | None) -> Rows | ReferenceStatistics:
    return named_set(str(given), *shape(), root) if isinstance(given, str | Path) else given


def _images(found: Rows | ReferenceStatistics, what: str) -> Rows:
    if not isinstance(found, Rows):
        raise EvaluationError(f"{what}: these are statistics; images are needed")
    return found


def _shape_of_rows(rows: Rows) -> tuple[int, tuple[int, int]]:
    from genkit.evaluation.sets import shape_of

    channels, height, width = shape_of(rows)
    return channels, (height, width)


def _shape_of_pipeline(pipeline: Any) -> tuple[int, tuple[int, int]]:
    from genkit.evaluation.task import picture_of
    from genkit.rows.columns import Image

    given = [pipeline.gives, *pipeline.takes]  # what makes no pictures looks at some
    columns = next(each for each in given if any(isinstance(c, Image) for c in each.values()))
    column: Any = columns[picture_of(columns)]
    side = getattr(pipeline, "side", 32)
    return column.channels or 3, column.size or (side, side)


def _save_pictures(found: Evaluation, target: Path) -> None:
    """Pictures before and after beside the evaluation that names them."""
    from genkit.evaluation.results import writing

    for each in found.pictures:
        path = picture_beside(target, each.name)
        with writing(path):
            write_whole(path, png_of(each.picture))


def _show_nearest(samples: Path, train: str, root: Path | None, target: Path) -> None:
    from genkit.evaluation import nearest_pairs
    from genkit.evaluation.results import writing

    made = open_path(samples)
    learned = _images(_named(train, partial(_shape_of_rows, made), root), train)
    with writing(target):
        write_whole(target, images.png_bytes(nearest_pairs(made, learned)))
