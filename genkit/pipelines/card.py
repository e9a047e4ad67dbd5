"""The model card of an export: README.md with front matter, as the Hub shows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from genkit.pipelines.recipe import in_plain_diffusers

LOADING = """\
import genkit
pipeline = genkit.load_pipeline("PATH_OR_HUB_ID")
{call}
"""


def model_card(pipeline: Any, provenance: Mapping[str, Any], config_yaml: str) -> str:
    """Markdown: front matter, three lines that load it, where it comes from, its training config.

    Args:
        pipeline: A diffusers pipeline; image size, channels and classes are in its config.
        provenance: As in a run's provenance.json, with "family"; what it lacks is left out.
        config_yaml: The resolved training config.
    """
    front = yaml.safe_dump(_front(pipeline, provenance), sort_keys=False)
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in _rows(pipeline, provenance))
    title = f"{provenance.get('family', type(pipeline).__name__)} on {_data(provenance)}"
    return (
        f"---\n{front}---\n\n# {title}\n\n"
        f"```python\n{LOADING.format(call=_call(pipeline))}```\n\n"
        "Image i of a seed is the same whatever the count and the batch size.\n\n"
        f"{in_plain_diffusers(pipeline)}"
        f"## Where it comes from\n\n| | |\n| --- | --- |\n{rows}\n\n"
        f"## Training config\n\n```yaml\n{config_yaml.rstrip()}\n```\n"
    )


def _front(pipeline: Any, provenance: Mapping[str, Any]) -> dict[str, Any]:
    conditional = _facts(pipeline).get("num_classes") is not None
    family = [str(provenance["family"])] if "family" in provenance else []
    task = "class-conditional-image-generation" if conditional else "unconditional-image-generation"
    front = {"library_name": "genkit", "tags": ["genkit", *family, task]}
    return front if conditional else {**front, "pipeline_tag": "unconditional-image-generation"}


def _call(pipeline: Any) -> str:
    options = []
    if _facts(pipeline).get("num_classes") is not None:
        options.append("labels=[0]")
    if hasattr(pipeline, "denoiser"):
        options.append("steps=20")
        options += ["guidance=2.0"] if len(options) == 2 else []
    given = "".join(f", {option}" for option in options)
    return f"images = pipeline(16, seed=0{given})  # a list of PIL images"


def _facts(pipeline: Any) -> Mapping[str, Any]:
    """What one of our pipelines says of itself; of others, their config."""
    facts: Mapping[str, Any] = getattr(pipeline, "facts", pipeline.config)
    return facts


def _data(provenance: Mapping[str, Any]) -> str:
    data = provenance.get("data") or {}
    return str(data.get("name", "images"))


def _rows(pipeline: Any, provenance: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of what is known."""
    data = provenance.get("data") or {}
    facts = _facts(pipeline)
    side = facts.get("image_size")
    yield "Pipeline", type(pipeline).__name__
    if side is not None:
        yield "Images", f"{facts.get('channels')} x {side} x {side}"
    yield (
        "Classes",
        ", ".join(map(str, facts.get("class_names") or ())) or facts.get("num_classes"),
    )
    yield "Family", provenance.get("family")
    yield "Optimizer steps", provenance.get("steps")
    yield "Training data", data.get("name")
    yield "Training images", data.get("count")
    yield "Data fingerprint", data.get("fingerprint")
    yield "Parameters", _pairs(provenance.get("parameters"))
    yield "Commit", _commit(provenance)
    yield "Packages", _pairs(provenance.get("packages"))


def _commit(provenance: Mapping[str, Any]) -> str | None:
    commit = provenance.get("commit")
    return f"{commit}, with local changes" if commit and provenance.get("dirty") else commit


def _pairs(values: Mapping[str, Any] | None) -> str | None:
    if not values:
        return None
    return ", ".join(f"{k} {v:,}" if isinstance(v, int) else f"{k} {v}" for k, v in values.items())


def _cell(value: Any) -> str:
    return "not recorded" if value is None else str(value).replace("|", "\\|").replace("\n", " ")
