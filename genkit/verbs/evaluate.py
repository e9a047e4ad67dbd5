"""Samples, runs and pipelines measured: the arrows of the straight line that end in numbers."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genkit import images, launch, random
from genkit.data import open_data, open_reference
from genkit.data.readers.glyphs import GlyphsData
from genkit.errors import ConfigError, EvaluationError
from genkit.files import write_whole
from genkit.rows.base import Rows
from genkit.rows.columns import Image, Raw, Text
from genkit.rows.combine import picked
from genkit.rows.drawn import Draw, DrawnRows, drawn
from genkit.rows.files import open_path
from genkit.rows.given import cycle
from genkit.training import checkpoints
from genkit.training.config import RunConfig
from genkit.training.trainer import Evaluate

if TYPE_CHECKING:
    from genkit.evaluation import Evaluation, ReferenceStatistics

log = logging.getLogger("genkit")

LONGEST_WAIT = timedelta(hours=12)
COUNT = 10_000  # images drawn of a pipeline


def evaluate(
    samples: Any,
    reference: str | Path | Rows | ReferenceStatistics,
    *,
    train: str | Path | Rows | None = None,
    count: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    prompts: Sequence[str] | None = None,
    options: Mapping[str, Any] | None = None,
    root: Path | None = None,
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
        reference: Real images as `genkit evaluate` names them, `Rows`, or statistics.
        train: The images that the model was trained on: floors and near copies.
        count: Images to draw of a pipeline; None = 10,000.
        seed: Of these images, and of the choice of subsets.
        batch_size: Images drawn at a time; None = 64.
        prompts: For pipelines from text: one for each image, or fewer that are repeated in turn.
        options: Further arguments of the pipeline, such as {"num_inference_steps": 50}.
        root: Where `mnist` and `cifar10` lie; the user's cache by default.
        request: The attributes of `genkit.evaluation.request.Request`: extractors, metrics, ...

    Raises:
        EvaluationError: The sets or the request don't fit each other; says what to change.
    """
    from genkit.evaluation import evaluate as measure

    if isinstance(samples, str | Path):
        samples = _opened(Path(samples), request.get("device"))
    made = _samples(samples, seed, count, batch_size, prompts, options)
    real = _named(reference, made, root)
    learned = None if train is None else _named(train, made, root)
    if learned is not None and not isinstance(learned, Rows):
        raise EvaluationError(f"train={train!s}: these are statistics; images are needed")
    return measure(made, real, train=learned, seed=seed, **request)


def evaluate_samples(
    samples: Path,
    reference: str,
    *,
    train: str | None = None,
    root: Path | None = None,
    reference_count: int | None = None,
    out: Path | None = None,
    processes: int = 1,
    **request: Any,
) -> Evaluation:
    """Metrics of a folder, npz, tar or zip of samples, written beside them; see `genkit evaluate`.

    Args:
        samples: Folder of images, .npz, .tar or .zip.
        reference: "synthetic:glyphs:test", "stacked:test", "mnist:test", "cifar10:test", a folder,
            npz, tar, zip, or an npz of statistics (`mu`, `sigma`).
        train: The same for the training images: adds near copies, floors and nearest neighbours.
        root: Where `mnist` and `cifar10` lie; the user's cache by default.
        reference_count: Use so many reference images, drawn without replacement; None = all.
        out: evaluation.json; by default in the run folder that holds the samples, or beside them.
        processes: CPU processes that share the images; the numbers stay the same. On GPUs:
            `accelerate launch sample/evaluate.py ...`.
        request: The attributes of `genkit.evaluation.request.Request`: extractors, metrics, ...
    """
    from genkit.evaluation import evaluate as measure
    from genkit.evaluation import nearest_pairs
    from genkit.evaluation import processes as ranks

    target = out or _beside(samples)
    if processes > 1:
        named = {"samples": samples, "reference": reference, "train": train, "root": root,
                 "reference_count": reference_count, "out": target, **request}  # fmt: skip
        return launch.run_together(evaluate_samples, named, processes)
    if launch.ranks().is_launched:
        from accelerate import PartialState

        # Meets the other processes; while the first one computes the metrics, they wait.
        PartialState(cpu=launch.on_cpu(), timeout=LONGEST_WAIT)
    made = open_path(samples)
    against = _named(reference, made, root)
    if reference_count is not None:
        against = _some(against, reference_count)
    learned = None if train is None else _named(train, made, root)
    if learned is not None and not isinstance(learned, Rows):
        raise EvaluationError(f"--train {train}: these are statistics; images are needed")
    result = measure(made, against, train=learned, **request)
    if ranks.rank() == 0:
        with checkpoints.explained(str(target)):
            result.save(target)
            if learned is not None:
                picture = images.png_bytes(nearest_pairs(made, learned))
                write_whole(target.with_name("nearest.png"), picture)
    return result


def compare_pairs(
    samples: Path, originals: Path, *, out: Path | None = None, **options: Any
) -> Evaluation:
    """PSNR, SSIM and LPIPS of each image against its original, written beside the samples.

    Args:
        samples: Folder of images, .npz, .tar or .zip.
        originals: The same, as many images in the same order.
        out: The JSON file; by default <samples>-pairs.json.
        options: Those of `genkit.evaluation.evaluate_pairs`.
    """
    from genkit.evaluation import evaluate_pairs

    found = evaluate_pairs(open_path(samples), open_path(originals), **options)
    target = out or samples.with_name(f"{samples.stem}-pairs.json")
    with checkpoints.explained(str(target)):
        found.save(target)
    return found


def named_set(
    name: str, channels: int, size: int, root: Path | None = None
) -> Rows | ReferenceStatistics:
    """A named set at the size of the samples, or what a path holds."""
    from genkit.evaluation import read_reference

    if Path(name).exists() or "*" in name:
        return read_reference(Path(name))
    like = GlyphsData(image_size=size, channels=1 if channels == 1 else 3)
    return open_reference(name, root=root, like=like)


def _named(
    given: str | Path | Rows | ReferenceStatistics, samples: Rows, root: Path | None
) -> Rows | ReferenceStatistics:
    if not isinstance(given, str | Path):
        return given
    from genkit.evaluation.sets import shape_of

    channels, size, _ = shape_of(samples)
    return named_set(str(given), channels, size, root)


def _some(reference: Rows | ReferenceStatistics, count: int) -> Rows:

    if not isinstance(reference, Rows) or not 1 <= count <= len(reference):
        have = f"{len(reference)} images" if isinstance(reference, Rows) else "statistics only"
        raise EvaluationError(f"--reference-count {count}: {reference.name} has {have}")
    chosen = random.permutation(0, 0, len(reference))[:count].sort().values
    return picked(reference, chosen)


def _beside(samples: Path) -> Path:
    if (samples.parent / "config.yaml").exists():
        return samples.parent / "evaluation.json"
    name = samples.stem
    if "*" in samples.name:  # shards
        name = samples.name.partition("*")[0].rstrip("-_.") or "samples"
    return samples.with_name(f"{name}-evaluation.json")


# -- images straight from a model ------------------------------------------------------------------


def _opened(path: Path, device: Any) -> Any:
    """A set of images, or the pipeline of a run or export folder."""
    from genkit.pipelines import load_pipeline

    if any((path / name).exists() for name in ("model_index.json", "config.yaml")):
        return load_pipeline(path, device=str(device or launch.own_device()))
    return open_path(path)


def _samples(
    given: Any,
    seed: int,
    count: int | None,
    batch_size: int | None,
    prompts: Sequence[str] | None,
    options: Mapping[str, Any] | None,
) -> Rows:
    """A set of images as it is, or those that a pipeline draws."""
    if isinstance(given, Rows):
        drawing = {"count": count, "batch_size": batch_size, "prompts": prompts, "options": options}
        if asked := [name for name, value in drawing.items() if value is not None]:
            raise EvaluationError(
                f"{asked[0]}: says how a pipeline draws, and {given.name} is a set of images; "
                "leave it out"
            )
        return given
    count = COUNT if count is None else count
    batch_size, options = 64 if batch_size is None else batch_size, dict(options or {})
    if hasattr(given, "stream"):
        if prompts is not None:
            raise EvaluationError(
                f"prompts: a {type(given).__name__} takes no text; leave them out, or name its "
                'classes by options={"label": ...}'
            )
        return pipeline_set(given, count, seed=seed, batch_size=batch_size, **options)
    if not (callable(given) and hasattr(given, "components")):
        raise EvaluationError(
            f"samples: a {type(given).__name__}, expected rows, a path, or a pipeline of "
            "genkit or diffusers"
        )
    words = None if prompts is None else cycle(columns={"caption": Text()}, caption=list(prompts))
    name, fingerprint = _identity(given, f"{seed} {batch_size} {prompts} {options}", count)
    draw = _of_diffusers(given, seed, batch_size, prompts, options)
    return DrawnRows(name, {"image": Image()}, draw, count, given=words, fingerprint=fingerprint)


def pipeline_set(
    pipeline: Any, count: int, *, seed: int = 0, batch_size: int = 64, **options: Any
) -> Rows:
    """The first `count` images of a seed by one of genkit's pipelines, drawn when asked for."""
    name, fingerprint = _identity(pipeline, f"{seed} {options}", count)
    return drawn(
        pipeline,
        seed=seed,
        count=count,
        batch_size=batch_size,
        name=name,
        fingerprint=fingerprint,
        **options,
    )


def _identity(pipeline: Any, how: str, count: int) -> tuple[str, str]:
    """What images of a pipeline are called, and what names weights, seed and options."""
    from genkit.pipelines.samples import weights_sha256

    identity = f"{weights_sha256(pipeline)} {how} {count}"
    name = f"{count:,} images of a {type(pipeline).__name__}"
    return name, hashlib.sha256(identity.encode()).hexdigest()


def _of_diffusers(
    pipeline: Any,
    seed: int,
    batch_size: int,
    prompts: Sequence[str] | None,
    options: dict[str, Any],
) -> Draw:
    """Images of a plain diffusers pipeline by position."""

    def call(places: Sequence[int]) -> Tensor:
        draws = [random.generator(seed, "sample", place) for place in places]
        asked = dict(options) | {"generator": draws, "output_type": "np"}
        if prompts is None:
            asked["batch_size"] = len(places)
        else:
            asked["prompt"] = [prompts[place % len(prompts)] for place in places]
        found = torch.as_tensor(pipeline(**asked).images)  # (B, H, W, C) in [0, 1]
        if bad := int((~found.isfinite().flatten(1).all(1)).sum()):
            raise EvaluationError(
                f"{bad} of {len(found)} images of the {type(pipeline).__name__} are not finite "
                "numbers (NaN); load it with torch_dtype=torch.float32"
            )
        return (found * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 3, 1, 2)

    def draw(places: list[int]) -> dict[str, Raw]:
        starts = range(0, len(places), batch_size)
        return {"image": torch.cat([call(places[i : i + batch_size]) for i in starts])}

    return draw


@dataclass(frozen=True)
class Best:
    """The best evaluation of a run so far; its weights are in best/, and best.json says this."""

    metric: str
    value: float
    better: str
    step: int

    def beats(self, other: Best | None) -> bool:
        """Whether it is better than another one, or the first by this metric and up to here."""
        if other is None or other.metric != self.metric or other.step >= self.step:
            return True
        ahead = other.value - self.value
        return ahead > 0 if self.better == "lower" else ahead < 0


# -- during training -------------------------------------------------------------------------------


def during_training(
    config: RunConfig, keep: Callable[[Any, Best], None], before: Best | None
) -> Evaluate:
    """Metrics of freshly drawn samples against the test part: for `evaluation.every`.

    Every process draws and looks at its share of the images.

    Args:
        config: Of the run.
        keep: Called by the first process with the pipeline, where it is the best so far.
        before: The best of an earlier part of the run.
    """
    from genkit.evaluation import evaluate as measure
    from genkit.evaluation import load_extractor
    from genkit.evaluation import processes as ranks
    from genkit.evaluation.metrics import quick

    if config.data.kind == "custom":
        raise ConfigError("evaluation.every: a data set handed over in Python has no test part")
    asked = config.evaluation
    extractor = load_extractor(asked.extractor, device=launch.own_device())
    metrics = quick(extractor)
    reference = open_data(config.data, "test")
    wanted = extractor.frechet_name if asked.best_by == "frechet" else asked.best_by
    possible = [extractor.frechet_name, "accuracy", "modes", "modes-kl"]
    possible += [
        f"{name}-{extractor.name}" for name in ("precision", "recall", "density", "coverage")
    ]
    if wanted not in possible:
        raise ConfigError(
            f"evaluation.best_by={wanted}: not measured during training; there are "
            f"{', '.join(possible)}"
        )
    best = [before]

    def hook(pipeline: Any, step: int) -> dict[str, float]:
        samples = pipeline_set(
            pipeline, asked.count, seed=config.trainer.seed, **config.sampling_options
        )
        found = measure(samples, reference, extractors=(extractor,), metrics=metrics)
        values = {metric.name: metric for metric in found.metrics}
        if wanted not in values:
            raise ConfigError(
                f"evaluation.best_by={wanted}: not measured here; there are {', '.join(values)}"
            )
        metric = values[wanted]
        now = Best(wanted, metric.value, metric.better, step)
        if now.beats(best[0]):
            best[0] = now
            if ranks.rank() == 0:
                keep(pipeline, now)
        return {name: metric.value for name, metric in values.items()}

    return hook
