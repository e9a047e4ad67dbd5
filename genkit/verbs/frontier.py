"""Quality against speed: one export under every scheduler, number of steps, guidance and precision.

frontier.json holds a row for each setting, frontier.png draws them. A row is in the Pareto set if
no other is at least as good and as fast, and better in one of the two.

Speed is that of the whole pipeline. All settings draw one batch in turn, each round begun by
another one, so that a machine that slows down slows all of them; the first round is left out as
warm-up, and the median of the others counts. Quality is measured as `genkit evaluate` does.
"""

from __future__ import annotations

import itertools
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from genkit.errors import ConfigError, PipelineError
from genkit.pipelines import schedulers
from genkit.provenance import hardware, now, provenance
from genkit.verbs.frontier_files import Content, Row, write_frontier

if TYPE_CHECKING:
    from genkit.evaluation import Extractor, ReferenceStatistics
    from genkit.rows.base import Rows

log = logging.getLogger("genkit")

FORMAT = 1
ROUNDS = 3  # timed, after one that is not
STEPS = (5, 10, 20, 50)
GUIDANCE = (1.0, 2.0)  # where there are classes
SCHEDULERS: dict[schedulers.Kind, tuple[str, ...]] = {
    "timesteps": ("ddim", "dpmsolver++", "unipc"),
    "edm": ("edm_euler", "edm_heun", "edm_dpmsolver++"),
    "flow": ("flow_euler", "flow_heun"),
}
HOW = (
    "images/s of the whole pipeline: every setting draws one batch in turn, each round begun by "
    f"another one; the first round is left out, the median of {ROUNDS} more counts"
)

Progress = Callable[[int, int], None]  # evaluations of the network done, and all


@dataclass(frozen=True)
class Setting:
    """One way to sample.

    Attributes:
        scheduler: One of `schedulers.SOLVERS`.
        steps: Of the scheduler.
        guidance: Scale; 1 = none.
        precision: "fp32" or "bf16".
    """

    scheduler: str
    steps: int
    guidance: float
    precision: str

    @property
    def evaluations(self) -> int:
        """Of the network for one image; guidance needs it with the label and without."""
        each = 1 if self.guidance in (0, 1) else 2
        return each * schedulers.evaluations(self.scheduler, self.steps)

    @property
    def name(self) -> str:
        """In short: "ddim 10, guidance 2, bf16"."""
        guided = "" if self.guidance == 1 else f", guidance {self.guidance:g}"
        return f"{self.scheduler} {self.steps}{guided}, {self.precision}"

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Setting:
        """That of a row."""
        return cls(**{field.name: row[field.name] for field in fields(cls)})


def measure_frontier(
    run: Path,
    *,
    solvers: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    guidance: Sequence[float] | None = None,
    precision: Sequence[str] | None = None,
    count: int = 2000,
    seed: int = 0,
    batch_size: int = 64,
    reference: str | None = None,
    root: Path | None = None,
    extractor: str = "auto",
    device: str | None = None,
    progress: Progress | None = None,
) -> Content:
    """Measure the settings that frontier.json lacks, write it and frontier.png; what it holds.

    Rows of the same weights, images and extractor are kept; where there is a new one, or another
    machine, device or batch size, the speed of all of them is measured again: it is of one sitting.

    Args:
        run: A run or export folder; both files are written there.
        solvers: Names of schedulers; by default those of `SCHEDULERS` for the kind of the model.
        steps: Of each scheduler; by default `STEPS`, up to what the model has.
        guidance: Scales; by default `GUIDANCE` with classes, 1 without.
        precision: "fp32", "bf16"; by default both where bf16 is faster.
        count: Images per setting.
        seed: Names their noise: the same for every setting.
        batch_size: Images made at a time.
        reference: Real images as `genkit evaluate` names them; by default the run's test part.
        root: Where `mnist` and `cifar10` lie; the user's cache by default.
        extractor: One of those of `genkit evaluate`; "auto" = what suits the real images.
        device: Of the networks; None = the CPU.
        progress: Called after each batch.

    Raises:
        PipelineError: The export is no diffusion model, or a setting does not fit it.
    """
    from genkit.evaluation.usual import load_for

    pipeline = _pipeline(run, device)
    asked = settings_of(pipeline, solvers, steps, guidance, precision)
    real = _real(run, pipeline, reference, root)
    seen_by = load_for(extractor, real, "--extractor digits", device=pipeline.device)
    sweep = _Sweep(pipeline, real, seen_by, count, seed, batch_size, progress)
    content = sweep.begin(run / "frontier.json")
    missing = {*asked} - {Setting.of(row) for row in content["rows"]}
    if missing or not sweep.is_timed(content):
        for _ in sweep.fill(content, sorted(missing, key=lambda s: (s.evaluations, s.name))):
            write_frontier(run, content)
    write_frontier(run, content)
    return content


# -- what is swept ---------------------------------------------------------------------------------


def settings_of(
    pipeline: Any,
    solvers: Sequence[str] | None = None,
    steps: Sequence[int] | None = None,
    guidance: Sequence[float] | None = None,
    precision: Sequence[str] | None = None,
) -> list[Setting]:
    """Every combination, once; None = what suits the model.

    Raises:
        PipelineError: One of them does not fit the model.
    """
    if precision is None:
        auto = pipeline.options().precision
        precision = ("fp32",) if auto == "fp32" else ("fp32", auto)
    if guidance is None:
        guidance = GUIDANCE if pipeline.can_be_guided else (1.0,)
    if solvers is None:
        fitting = schedulers.names_for(pipeline.scheduler)
        usual = SCHEDULERS[schedulers.kind_of(pipeline.scheduler)]
        solvers = [name for name in usual if name in fitting]
    if steps is None:
        most = pipeline.scheduler.config.get("num_train_timesteps") or STEPS[-1]
        steps = [n for n in STEPS if n <= most] or [most]
    settings = []
    for name, number, scale, kind in itertools.product(solvers, steps, guidance, precision):
        checked = pipeline.options(scheduler=name, steps=number, guidance=scale, precision=kind)
        settings.append(Setting(name, number, float(scale), checked.precision))
    if not settings:
        raise ConfigError("frontier: nothing to measure; give at least one value of each option")
    return list(dict.fromkeys(settings))


def _pipeline(run: Path, device: str | None) -> Any:
    from genkit.pipelines import load_pipeline

    if not run.is_dir():
        raise PipelineError(f"{run}: no such folder; give a run or an export folder")
    pipeline = load_pipeline(run, device=device)
    if not pipeline.in_steps:
        raise PipelineError(
            f"{run}: a {type(pipeline).__name__} makes images in one step, so there is nothing to "
            "choose between speed and quality; give a diffusion model"
        )
    return pipeline


def _real(
    run: Path, pipeline: Any, reference: str | None, root: Path | None
) -> Rows | ReferenceStatistics:
    """The images to measure against."""
    from genkit.verbs.real_images import named_set, real_images

    if reference is None:
        return real_images(run, root=root)
    image = pipeline.gives["image"]
    return named_set(reference, image.channels, image.size, root)


# -- measuring -------------------------------------------------------------------------------------


@dataclass
class _Sweep:
    """One sitting: what is measured, against what, and how far it is."""

    pipeline: Any
    real: Rows | ReferenceStatistics
    extractor: Extractor
    count: int
    seed: int
    batch_size: int
    progress: Progress | None
    total: int = 0  # evaluations of the network
    done: int = 0

    def begin(self, file: Path) -> Content:
        """What a file holds of the same weights, images and extractor; without rows if nothing."""
        from genkit.pipelines.samples import weights_sha256

        head = {
            "format": FORMAT,
            "weights": weights_sha256(self.pipeline),
            "count": self.count,
            "seed": self.seed,
            "quality": self.extractor.frechet_name,
            "extractor_sha256": self.extractor.sha256,
            "reference": {"name": self.real.name, "sha256": self.real.fingerprint},
        }
        held: Content = {}
        with suppress(OSError, ValueError):
            held = json.loads(file.read_text(encoding="utf-8"))
        differing = [key for key, value in head.items() if held.get(key) != value]
        if not differing:
            return held
        if held:
            log.warning("%s: of other %s, so it is begun anew", file, ", ".join(differing))
        return {**head, "rows": []}

    def fill(self, content: Content, missing: Sequence[Setting]) -> Iterator[None]:
        """Time every setting, then add the missing rows; a pause after each."""
        rows: list[Row] = content["rows"]
        settings = [*(Setting.of(row) for row in rows), *missing]
        self.total = (ROUNDS + 1) * self.batch_size * sum(s.evaluations for s in settings)
        self.total += self.count * sum(s.evaluations for s in missing)
        seconds = self.time(settings)
        content |= {"speed": self.speed(), "machine": machine(self.pipeline)}
        for row in rows:
            row |= _speed(seconds[Setting.of(row)], self.batch_size)
        for setting in missing:
            rows.append(self.row(setting, seconds[setting]))
            yield

    def time(self, settings: Sequence[Setting]) -> dict[Setting, list[float]]:
        """Seconds of a batch under each setting, one per round, all settings by turns."""
        seconds: dict[Setting, list[float]] = {setting: [] for setting in settings}
        for turn in range(ROUNDS + 1):
            first = turn % len(settings)
            for setting in (*settings[first:], *settings[:first]):
                begun = time.perf_counter()
                for _ in self._batches(setting, self.batch_size):
                    pass
                if turn:
                    seconds[setting].append(time.perf_counter() - begun)
        return seconds

    def row(self, setting: Setting, seconds: Sequence[float]) -> Row:
        """One setting's row: its speed from the seconds of its batches, its quality measured."""
        from genkit.evaluation import evaluate
        from genkit.evaluation.metrics import quick
        from genkit.rows.base import image_rows

        batches = list(self._batches(setting, self.count))
        pixels = torch.cat([images for images, _ in batches])
        labels = [label for _, label in batches if label is not None]
        samples = image_rows(setting.name, pixels, torch.cat(labels) if labels else None)
        metrics = quick(self.extractor)
        found = evaluate(samples, self.real, extractors=(self.extractor,), metrics=metrics)
        row = {
            **asdict(setting),
            "evaluations": setting.evaluations,
            **_speed(seconds, self.batch_size),
            "metrics": [asdict(metric) for metric in found.metrics],
            "measured": now(),
        }
        first = found.metrics[0]
        log.info("%s: %.3g images/s, %s %.4g", setting.name, row["images_per_s"], *_named(first))
        return row

    def _batches(self, setting: Setting, count: int) -> Iterator[tuple[Any, Any]]:
        """Images 0..count-1 with their labels, batch by batch."""
        stream = self.pipeline.stream(
            range(count), seed=self.seed, batch_size=self.batch_size, **asdict(setting)
        )
        for part, made in stream:
            self.done += len(part) * setting.evaluations
            if self.progress is not None:
                self.progress(self.done, self.total)
            yield made["image"], made.get("label")

    def is_timed(self, content: Content) -> bool:
        """Whether the speeds of a file are of this batch size, device and hardware."""
        now, held = machine(self.pipeline), content.get("machine", {})
        same = all(held.get(key) == now[key] for key in ("device", "threads", *hardware()))
        return same and content["speed"]["batch_size"] == self.batch_size

    def speed(self) -> dict[str, Any]:
        """How speed was measured."""
        return {"how": HOW, "batch_size": self.batch_size, "rounds": ROUNDS, "measured": now()}


def _speed(seconds: Sequence[float], batch_size: int) -> dict[str, Any]:
    return {
        "images_per_s": batch_size / statistics.median(seconds),
        "batch_seconds": [round(each, 6) for each in seconds],
    }


def _named(metric: Any) -> tuple[str, float]:
    return metric.name, metric.value


def machine(pipeline: Any) -> dict[str, Any]:
    """Where and with what speed was measured."""
    found = provenance()
    return {
        **hardware(),
        "device": str(pipeline.device),
        "threads": torch.get_num_threads(),
        **{name: found[name] for name in ("packages", "commit", "dirty")},
    }
