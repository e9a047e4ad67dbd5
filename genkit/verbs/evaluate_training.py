"""Metrics during training, and which weights were the best so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genkit import launch
from genkit.errors import ConfigError, DataError
from genkit.family import load
from genkit.training.config import RunConfig
from genkit.training.trainer import Evaluate
from genkit.verbs.real_images import further_parts, real_images

if TYPE_CHECKING:
    from genkit.evaluation import Extractor, Value


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


def during_training(
    config: RunConfig, keep: Callable[[Any, Best], None], before: Best | None
) -> Evaluate:
    """What the family's task measures, against the test part: for `evaluation.every`.

    Every process draws and looks at its share of the images.

    Args:
        config: Of the run.
        keep: Called by the first process with the pipeline, where it is the best so far.
        before: The best of an earlier part of the run.
    """
    from genkit.evaluation import processes as ranks
    from genkit.evaluation import tasks
    from genkit.evaluation.metrics import quick
    from genkit.evaluation.task import Asked
    from genkit.evaluation.usual import load_for

    if config.data.kind == "custom":
        raise ConfigError("evaluation.every: a data set handed over in Python has no test part")
    asked, task = config.evaluation, tasks.find(load(config.family).task)
    try:
        reference = real_images(config)
    except DataError as error:
        raise DataError(
            f"evaluation.every={asked.every} needs a test part, which was not found ({error}); "
            "evaluation.every=null trains without it"
        ) from None
    extractor, request = None, dict[str, Any]()
    if task.by_extractor:
        way_out = "evaluation.extractor=digits"
        extractor = load_for(asked.extractor, reference, way_out, device=launch.own_device())
        request = {"extractors": (extractor,), "metrics": [*quick(extractor), *task.quick]}
    parts = further_parts(config, task.parts)
    wanted = _chosen_by(asked.best_by, task.values(extractor), extractor)
    best = [before]

    def hook(pipeline: Any, step: int) -> dict[str, float]:
        how = Asked(
            count=asked.count,
            seed=config.trainer.seed,
            weights=f"step {step}",
            call=config.sampling_options,
            parts=parts,
            request=request,
            pictures=False,
        )
        values = {value.name: value for value in task.measure(pipeline, reference, how).metrics}
        now = Best(wanted, *_judged(wanted, values), step)
        if now.beats(best[0]):
            best[0] = now
            if ranks.rank() == 0:
                keep(pipeline, now)
        return {name: value.value for name, value in values.items() if value.part is None}

    return hook


def _judged(wanted: str, values: Mapping[str, Value]) -> tuple[float, str]:
    """The value that best/ is chosen by, and which way is good; of two ways the mean of both.

    Raises:
        ConfigError: It was not measured.
    """
    from genkit.evaluation.tasks.translation import WAYS

    ways = [values[name] for way in WAYS if (name := f"{wanted}-{way}") in values]
    found = [values[wanted]] if wanted in values else ways
    if not found:
        raise ConfigError(
            f"evaluation.best_by={wanted}: not measured here; there are {', '.join(values)}"
        )
    return sum(value.value for value in found) / len(found), found[0].better


def _chosen_by(asked: str, possible: list[str], extractor: Extractor | None) -> str:
    """The name of the value that best/ is chosen by."""
    usual = possible[0] if extractor is None else extractor.frechet_name
    name = usual if asked == "frechet" else asked
    if name not in possible:
        raise ConfigError(
            f"evaluation.best_by={name}: not measured during training; there are "
            f"{', '.join(possible)}"
        )
    return name
