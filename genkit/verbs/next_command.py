"""What a finished training says to do next: the verb that its pictures come from."""

from __future__ import annotations

from typing import Any

from genkit.errors import shown
from genkit.pipelines.base import Pipeline
from genkit.pipelines.given import needed
from genkit.rows.columns import Image, Text
from genkit.verbs.translate import translates


def next_command(run: str, pipeline: Pipeline) -> str:
    """The command that shows first what a run's pipeline makes.

    Args:
        run: The run folder, as it is shown.
        pipeline: That of its export.
    """
    attributes: Any = getattr(pipeline, "attributes", ())
    if attributes:
        return f"genkit edit {run} PICTURES --set {shown(attributes[0])}=1"
    if translates(pipeline):
        return f"genkit translate {run} PICTURES"
    if any(isinstance(column, Image) for column in pipeline.gives.values()):
        return f"genkit sample {run} {how_to_sample(pipeline)}"
    return f"genkit evaluate {run}"


def how_to_sample(pipeline: Pipeline) -> str:
    """The options of `genkit sample` for a first look at what a pipeline makes."""
    taken = pipeline.takes[0]
    if needed(taken) == {"caption"}:
        return '--prompt "TEXT" --grid sheet.png'
    words = {name: "TEXT" if isinstance(taken[name], Text) else "FOLDER" for name in needed(taken)}
    given = [f"--given {name}={word}" for name, word in sorted(words.items())]
    of_pictures = "FOLDER" in words.values()  # which are seen beside what was made of them
    return " ".join(given if of_pictures else [*given, "--grid sheet.png"])
