"""The model card of an export: README.md with front matter, as the Hub shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from genkit.errors import shown
from genkit.rows.columns import Class, Columns, Image, Text

LOADING = """\
import genkit
pipeline = genkit.load_pipeline("PATH_OR_HUB_ID")
{call}
"""


_PRIVATE = re.compile(r"[/~\\]|[A-Za-z]:[/\\]|\.\.([/\\]|$)")  # how a path of one machine begins
_ORIGIN, _UNKNOWN = "## Where it comes from", "not recorded"
_PATHS = "Folders are named by their last part.\n\n"


@dataclass(frozen=True)
class Card:
    """What a pipeline says of itself on its model card.

    Attributes:
        call: Python that makes something with `pipeline`.
        task: A tag that says what for.
        facts: Rows of the table, such as the size of its images.
        plain: Markdown with code that does the same without genkit, or "".
    """

    call: str
    task: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    plain: str = ""


def card_of(takes: tuple[Columns, ...], gives: Columns, *, options: str = "") -> Card:
    """The card of a pipeline by what it takes and gives.

    Args:
        takes: Alternatives, the first the default.
        gives: What it makes.
        options: Further arguments of the example call, as in ", steps=20".
    """
    kinds = {type(column) for column in takes[0].values() if not column.optional}
    made = "images" if any(isinstance(c, Image) for c in gives.values()) else "found"
    given = "".join(f", {n}={_example(c)}" for n, c in takes[0].items() if not c.optional)
    if kinds & {Image, Text}:
        call = f"{made} = pipeline({(given + options).removeprefix(', ')})"
    else:
        call = f"{made} = pipeline(16, seed=0{given}{options})  # a list of PIL images"
    if Image in kinds:
        call = f"from PIL import Image\n{call}"
    images = [f"{c.channels} x {c.size[0]} x {c.size[1]}" for c in _sized(gives)]
    classes = [c for c in takes[0].values() if isinstance(c, Class)]
    facts: dict[str, Any] = {"Images": ", ".join(images)} if images else {}
    facts["Classes"] = ", ".join(classes[0].names or ()) or classes[0].count if classes else None
    return Card(call, _task(kinds), facts)


def _example(column: Any) -> str:
    if isinstance(column, Text):
        return '"a red circle"'
    return 'Image.open("PICTURE")' if isinstance(column, Image) else "[0]"


def _sized(gives: Columns) -> list[Any]:
    return [c for c in gives.values() if isinstance(c, Image) and c.size is not None]


def _task(kinds: set[Any]) -> str:
    for kind, task in (
        (Image, "image-to-image"),
        (Text, "text-to-image"),
        (Class, "class-conditional-image-generation"),
    ):
        if kind in kinds:
            return task
    return "unconditional-image-generation"


def model_card(
    pipeline: Any,
    provenance: Mapping[str, Any],
    config_yaml: str,
    *,
    picture: str | None = None,
    license: str | None = None,
) -> str:
    """Markdown: front matter, three lines that load it, where it comes from, its training config.

    Args:
        pipeline: One of genkit's, which has a `card`, or of diffusers.
        provenance: As in a run's provenance.json, with "family"; what it lacks is left out.
        config_yaml: The resolved training config.
        picture: A file beside the card to show.
        license: Its name on the Hub, such as "mit"; None = nothing is said of one.
    """
    card = pipeline.card() if hasattr(pipeline, "card") else card_of(({},), {"image": Image()})
    front = yaml.safe_dump(_front(card, provenance, license), sort_keys=False)
    found = {"Pipeline": type(pipeline).__name__, **card.facts, **dict(_rows(provenance))}
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in found.items())
    title = f"{provenance.get('family', type(pipeline).__name__)} on {_data(provenance)}"
    shown_picture = "" if picture is None else f"![What it makes]({picture})\n\n"
    return (
        f"---\n{front}---\n\n# {title}\n\n"
        f"{shown_picture}"
        f"```python\n{LOADING.format(call=card.call)}```\n\n"
        "Image i of a seed is the same whatever the count and the batch size.\n\n"
        f"{card.plain}"
        f"{_ORIGIN}\n\n| | |\n| --- | --- |\n{rows}\n\n"
        f"## Training config\n\n{_PATHS}```yaml\n{without_folders(config_yaml).rstrip()}\n```\n"
    )


def origin(card: str) -> dict[str, str]:
    """What a model card says of where its model comes from, by name; what it lacks is left out."""
    part = card.partition(_ORIGIN)[2].partition("\n#")[0]
    rows = re.findall(r"^\| ([A-Z].*?) \| (.*) \|$", part, re.MULTILINE)
    return {name: shown(value.replace("\\|", "|")) for name, value in rows if value != _UNKNOWN}


def _front(card: Card, provenance: Mapping[str, Any], license: str | None) -> dict[str, Any]:
    family = [str(provenance["family"])] if "family" in provenance else []
    front: dict[str, Any] = {} if license is None else {"license": license}
    front |= {"library_name": "genkit", "tags": ["genkit", *family, card.task]}
    # The Hub has no task for drawing by class; this is where people look for such models.
    tag = card.task.replace("class-conditional-", "unconditional-")
    return {**front, "pipeline_tag": tag}


def without_folders(config_yaml: str) -> str:
    """A config in which paths of this machine are cut to their last part.

    Absolute paths, those from the home folder and those that lead upwards name people, clients and
    disks, and a model card is made to be published.
    """
    found = [yaml.compose(config_yaml)] if config_yaml.strip() else []
    texts: list[yaml.ScalarNode] = []
    while found:
        node = found.pop()
        if isinstance(node, yaml.MappingNode):
            found += [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            found += node.value
        elif isinstance(node, yaml.ScalarNode) and _PRIVATE.match(node.value):
            texts.append(node)
    for node in sorted(texts, key=lambda node: -node.start_mark.index):
        last = re.split(r"[/\\]", node.value.rstrip("/\\"))[-1]
        before, after = config_yaml[: node.start_mark.index], config_yaml[node.end_mark.index :]
        config_yaml = before + json.dumps(last, ensure_ascii=False) + after
    return config_yaml


def _data(provenance: Mapping[str, Any]) -> str:
    data = provenance.get("data") or {}
    return str(data.get("name", "images"))


def _rows(provenance: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Name and value of what is known of the run."""
    data = provenance.get("data") or {}
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
    return _UNKNOWN if value is None else str(value).replace("|", "\\|").replace("\n", " ")
