"""What there is to name in advice: verbs with their options, and settings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import typer
from advice.find import Message

import genkit
from genkit.cli import app
from genkit.config.data import AnyData, kinds, reader
from genkit.config.sections import Section, sections_of
from genkit.family import load, names


@cache
def verbs() -> dict[str, frozenset[str]]:
    """The options of every verb; those of `genkit data pack` under "data pack"."""
    group: Any = typer.main.get_command(app)
    return {"": _options(group)} | dict(_verbs_of(group, ""))


def _verbs_of(group: Any, before: str) -> Iterator[tuple[str, frozenset[str]]]:
    for name, command in group.commands.items():
        yield before + name, _options(command)
        if hasattr(command, "commands"):
            yield from _verbs_of(command, f"{before}{name} ")


def _options(command: Any) -> frozenset[str]:
    named = (o for p in command.params for o in (*p.opts, *p.secondary_opts))
    return frozenset({"--help", "--debug"} | {name for name in named if name.startswith("--")})


@cache
def settings() -> frozenset[str]:
    """Every `section.key` of every family and reader, and longer ones."""
    return frozenset(name for family in names() for name in _settings_of(load(family).config, ""))


def _settings_of(section: type[Section], before: str) -> Iterator[str]:
    for name, field in section.model_fields.items():
        is_data = name == "data" or field.annotation is AnyData
        inner = [reader(k) for k in kinds()] if is_data else sections_of(field.annotation)
        for each in inner:
            yield from _settings_of(each, f"{before}{name}.")
        yield before + name


def unknown(message: Message) -> list[str]:
    """What a message names and genkit doesn't have."""
    named = message.names
    short = {name.rpartition(".")[2] for name in settings()}
    return [
        *(f"genkit {verb}" for verb in named["command"] if not _is_verb(verb)),
        *_unknown_options(message),
        *(f"{name}=" for name in named["setting"] if name not in settings() | _FORMS),
        *(name for name in named["mentioned"] if name not in settings()),
        *(f"{name}=" for name in named["short"] if name not in short | _ARGUMENTS),
        *(f"genkit.{name}" for name in named["call"] if not _is_public(name)),
    ]


_FORMS = {"section.key"}  # "write it as section.key=value"
_ARGUMENTS = {"dataset", "norm", "resume"}  # of functions, where settings have short names


def _is_verb(words: str) -> bool:
    return words in verbs() or words.split(" ")[0] in verbs()


def _is_public(dotted: str) -> bool:
    found: Any = genkit
    for name in dotted.split("."):
        found = getattr(found, name, None)
    return found is not None


def _unknown_options(message: Message) -> list[str]:
    """Options behind `genkit VERB` are that verb's, in `cli/VERB.py` too, others anybody's."""
    spoken = re.sub(r"^cli/(\w+)\.py$", r"\1", message.file)
    own = [options for verb, options in verbs().items() if verb.split(" ")[0] == spoken]
    missing = set(message.names["option"]) - frozenset().union(*(own or verbs().values()))
    for command in re.findall(r"genkit ((?:config |data |lora )?[a-z]+) ([^`;]*)", message.text):
        if command[0] in verbs():
            missing |= set(re.findall(r"--[a-z-]+", command[1])) - verbs()[command[0]]
    return sorted(missing)
