"""The commands in the documents, the configs and the help texts are such as genkit takes."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from genkit.cli import app
from genkit.evaluation import metrics
from genkit.evaluation.protocols import PRESETS
from genkit.family import load_config
from genkit.pipelines.schedulers import SOLVERS
from genkit.verbs.stages import is_staged, load_stages

ROOT = Path(__file__).parent.parent
PLACES = [
    ROOT / "README.md",
    # test_new_family.py builds what that page's commands need, and runs them.
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.name != "new-family.md"),
    *sorted((ROOT / "configs").rglob("*.yaml")),
    *sorted((ROOT / "genkit" / "cli").glob("*.py")),
]
VERBS = (
    "train|export|sample|translate|edit|again|classify|search|evaluate|frontier|report|compare|"
    "config [a-z]+|data [a-z]+|import [a-z]+|lora [a-z]+"
)
COMMAND = re.compile(rf"genkit ({VERBS}) (?! )((?:\\\n|[^`\n#>])+)")
CONFIGS = ("configs/cgan/glyphs.yaml", "configs/dcgan/glyphs.yaml")  # for the word CONFIG


def commands() -> list[str]:
    """Each once, without what is left open as `...`."""
    found = []
    for place in PLACES:
        text = place.read_text()
        if place.suffix == ".py":  # examples of a help text
            text = "\n".join(re.findall(r"\[cyan\](.*?)\[/\]", text))
        for verb, rest in COMMAND.findall(text):
            words = [word for word in shlex.split(rest.replace("\\\n", " ")) if "..." not in word]
            for config in CONFIGS if "CONFIG" in words else CONFIGS[:1]:
                found.append(shlex.join([verb, *(config if w == "CONFIG" else w for w in words)]))
    return list(dict.fromkeys(found))


def test_there_are_commands_of_every_verb() -> None:
    assert {shlex.split(command)[0].split()[0] for command in commands()} == {
        verb.split()[0] for verb in VERBS.split("|")
    }


@pytest.mark.parametrize("command", commands())
def test_a_command_parses_and_its_config_loads(command: str) -> None:
    verb, *arguments = shlex.split(command)
    parser = typer.main.get_command(app)
    for part in verb.split():
        parser = parser.commands[part]  # type: ignore[attr-defined]
    given = parser.make_context(verb, arguments).params
    assert given.get("scheduler") in (None, *SOLVERS)
    assert given.get("protocol") in (None, *PRESETS)
    if verb == "evaluate":
        assert {*(given["metric"] or ())} <= {metric.name for metric in metrics.every()}
    if "config" in given and not given.get("resume"):  # a run that goes on has its own config
        config = ROOT / given["config"]
        load = load_stages if is_staged(config) else load_config
        load(config, given["overrides"] or ())
