"""Families: one module each. The file name is the registry.

`load("dcgan")` imports `genkit/families/dcgan.py` and returns its `FAMILY`; `names()` lists the
folder and the families that other installed packages offer through the entry point group
`genkit.families` (`mygan = "mypackage.mygan"`).
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import logging
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genkit.config import code_in, laid_over, offered, read_tree, validate
from genkit.errors import ConfigError, shown
from genkit.training.config import RunConfig
from genkit.training.upgrade import upgraded, without_unknown

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer

log = logging.getLogger("genkit")

GROUP = offered.FAMILIES  # our own package, and the entry points of others


def image_alone(config: RunConfig) -> frozenset[str]:
    """What a family needs whose step reads pictures only."""
    return frozenset({"image"})


def image_and_label(config: RunConfig) -> frozenset[str]:
    """What a family needs whose step reads pictures and their classes."""
    return frozenset({"image", "label"})


@dataclass(frozen=True)
class Family:
    """What a family module offers to the rest of genkit.

    Attributes:
        config: Its settings, a subclass of `RunConfig`.
        trainer: Its trainer, a subclass of `Trainer`.
        needs: Tells of a config which columns of the data set its step reads; checked before the
            first batch.
        task: What its models are measured at: a file of `genkit/evaluation/tasks/`, or
            "module:TASK" of another package.
        tiny: Settings of a run that takes seconds; the contract tests over all families use it.
    """

    config: type[RunConfig]
    trainer: type[Trainer[Any]]
    needs: Callable[[Any], frozenset[str]] = image_alone
    task: str = "samples"
    tiny: Mapping[str, Any] = field(default_factory=dict)


def names() -> list[str]:
    """Every family that can be loaded, sorted."""
    return sorted(_own() | offered.names(GROUP))


def module_name(name: str) -> str:
    """The module of a family, not yet imported, or a `ConfigError` with the nearest name.

    A family of another package can't take the name of one of ours.
    """
    if name in _own():
        offered.say_hidden(GROUP, name, f"{GROUP}.{name}")
        return f"{GROUP}.{name}"
    if module := offered.module(GROUP, name):
        return module
    close = difflib.get_close_matches(name, names(), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names())}"
    raise ConfigError(f"family {shown(repr(name))}: no such family; {hint}")


def load(name: str) -> Family:
    """The family of that name, or a `ConfigError` with the nearest one."""
    module = module_name(name)
    loaded = importlib.import_module(module)
    if not isinstance(getattr(loaded, "FAMILY", None), Family):
        raise ConfigError(f"family {name!r}: module {module} has no `FAMILY = Family(...)`")
    family: Family = loaded.FAMILY
    return family


def load_config(
    config: Path | str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    where: str | None = None,
) -> RunConfig:
    """The config of a run: YAML, overrides, defaults of its family, everything checked.

    Args:
        config: A YAML file, or settings as nested dicts: `{"family": "dcgan", "data": {...}}`.
        overrides: `section.key=value` settings laid over it.
        where: What messages call a tree that a file holds; None = it was made in Python.

    Raises:
        ConfigError: It names every problem that there is.
    """
    of_file = where is not None or not isinstance(config, Mapping)
    tree = dict(config) if isinstance(config, Mapping) else read_tree(config)
    named = where or (shown(config) if of_file else "the settings given")
    laid, to_say = laid_over(tree, overrides, lambda laid: _kind_of(laid, named))
    found = resolve(laid, named)
    if of_file:
        found.came_from_file(_strange(code_in(found), overrides))
    for line in to_say:
        log.info(line)
    return found


def _strange(code: Mapping[str, str], overrides: Sequence[str]) -> dict[str, str]:
    """The settings that no override gave and whose code is of no package installed for genkit."""
    said = [override.partition("=")[0].strip() for override in overrides]
    return {
        dotted: name
        for dotted, name in code.items()
        if not any(dotted == each or dotted.startswith(each + ".") for each in said)
        and name.partition(":")[0].partition(".")[0] not in offered.packages()
    }


def resolve(tree: Mapping[str, Any], where: str) -> RunConfig:
    """A plain tree as the config class of the family that it names."""
    kind = _kind_of(tree, where)
    return validate(kind, upgraded(tree, kind), where)


def resolve_known(tree: Mapping[str, Any], where: str) -> tuple[RunConfig, dict[str, Any]]:
    """The same of what another version wrote: without settings that this one doesn't know, and
    those by their dotted names.
    """
    kind = _kind_of(tree, where)
    known, unknown = without_unknown(upgraded(tree, kind), kind)
    return validate(kind, known, where), unknown


def _kind_of(tree: Mapping[str, Any], where: str) -> type[RunConfig]:
    name = tree.get("family")
    if not isinstance(name, str):
        raise ConfigError(f"{where}: `family` is missing; there are: {', '.join(names())}")
    return load(name).config


def _own() -> set[str]:
    """The files of our folder, none of them imported."""
    folder = importlib.util.find_spec(GROUP)
    assert folder is not None
    return {module.name for module in pkgutil.iter_modules(folder.submodule_search_locations)}
