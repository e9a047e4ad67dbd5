"""What an export is: what it takes and makes, its classes, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genkit.pipelines import load_pipeline
from genkit.pipelines.card import card_of, origin
from genkit.pipelines.export import CARD
from genkit.pipelines.given import class_of
from genkit.pipelines.loading import find_export, is_run
from genkit.rows.columns import Columns
from genkit.run_folder import progress


def describe(source: str) -> dict[str, Any]:
    """Facts of a run, an export folder or a model on the Hub, by name, as JSON.

    Args:
        source: Run folder, export folder or Hub id.
    """
    folder = find_export(source)
    pipeline = load_pipeline(folder)
    takes: tuple[Columns, ...] = getattr(pipeline, "takes", ({},))
    gives: Columns = getattr(pipeline, "gives", {})
    column, card = class_of(pipeline), folder / CARD
    facts: dict[str, Any] = {"pipeline": type(pipeline).__name__}
    facts["takes"] = [_kinds(each) for each in takes]
    facts["makes"] = _kinds(gives)
    facts["images"] = card_of(takes, gives).facts.get("Images")
    if column is not None:
        names = column.names or [None] * column.count
        facts["classes"] = {str(number): name for number, name in enumerate(names)}
    if getattr(pipeline, "in_steps", False):
        sampling = pipeline.options()
        facts["sampling"] = {"scheduler": sampling.scheduler, "steps": sampling.steps}
        trained = pipeline.scheduler.config.get("num_train_timesteps")
        facts["trained on"] = {"scheduler": type(pipeline.scheduler).__name__, "steps": trained}
    facts["origin"] = _origin(card) if card.is_file() else {}
    if is_run(Path(source)):
        facts["note"] = progress(source).lag
    return {name: value for name, value in facts.items() if value is not None}


def in_words(facts: Mapping[str, Any]) -> str:
    """Facts for a person, one a line."""
    lines: list[tuple[str, str]] = []
    for name, value in facts.items():
        if name == "origin":
            lines += [(key.lower(), text) for key, text in value.items()]
        else:
            lines.append((name, _words(name, value)))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def _origin(card: Path) -> dict[str, str]:
    """What the model card knows beside what the pipeline itself says."""
    known = origin(card.read_text(encoding="utf-8"))
    return {
        key: text for key, text in known.items() if key not in ("Pipeline", "Images", "Classes")
    }


def _kinds(columns: Columns) -> dict[str, str]:
    return {n: f"{c.kind}, optional" if c.optional else c.kind for n, c in columns.items()}


def _words(name: str, value: Any) -> str:
    if name == "classes":
        return ", ".join(n if word is None else f"{n} {word}" for n, word in value.items())
    if name == "takes":
        return " or ".join(_listed(each) for each in value)
    return _listed(value) if isinstance(value, Mapping) else str(value)


def _listed(value: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} ({each})" for key, each in value.items()) or "nothing"
