"""Several runs by one command, each built on those before it.

    stages:
      clip: ../clip/scenes.yaml          # a file, from where this one lies
      picture:                           # or the settings themselves
        family: latent_diffusion
        model: {text: "stage:clip"}      # the run of that stage

Every stage is a run of its own in OUT/NAME, resumable by itself; `stage:NAME` in a setting means
the run of a stage before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genkit import launch, run_folder
from genkit.config import read_tree, to_tree
from genkit.errors import ConfigError, Unfinished, shown
from genkit.family import load_config
from genkit.training.config import RunConfig

log = logging.getLogger("genkit")

_REFERENCE = "stage:"


@dataclass(frozen=True)
class Stage:
    """One run of several.

    Attributes:
        name: As the file calls it: the folder of its run.
        config: Its settings.
        out: Its run folder.
    """

    name: str
    config: RunConfig
    out: Path


def is_staged(path: Path) -> bool:
    """Whether a file is a list of stages, rather than the config of one run."""
    return path.is_file() and "stages" in read_tree(path)


def load_stages(path: Path, overrides: Sequence[str] = (), out: Path | None = None) -> list[Stage]:
    """The stages of a file, in order, each checked.

    Args:
        path: A YAML file with `stages`.
        overrides: `STAGE.section.key=value` settings laid over them.
        out: Where their runs lie; None = runs/ and the names of the file and its folder.

    Raises:
        ConfigError: A stage is no config, or builds on one that isn't before it.
    """
    tree, where = read_tree(path), shown(path)
    root = out or Path("runs") / f"{path.resolve().parent.name}-{path.stem}"
    named = tree.get("stages")
    if tree.keys() != {"stages"} or not isinstance(named, Mapping) or not named:
        raise ConfigError(f"{where}: expected `stages:` alone, with a config for each name below")
    own = _by_stage(overrides, [*map(str, named)])
    found: list[Stage] = []
    for name, given in named.items():
        text = f"{where}: stage {name}"
        settings = _settings(path, given, text)
        before = {stage.name: stage.out for stage in found}
        laid = _referred(settings, before, text)
        config = load_config(laid, _referred(own[str(name)], before, text), where=text)
        found.append(Stage(str(name), config, root / str(name)))
    return found


def train_stages(
    path: Path,
    overrides: Sequence[str] = (),
    *,
    out: Path | None = None,
    resume: bool = False,
    processes: int = 1,
) -> Path:
    """Train every stage of a file and export it; returns the folder of their runs.

    A stage that is finished is passed over when they go on.

    Args:
        path: As `load_stages` takes it.
        overrides: Likewise.
        out: Likewise.
        resume: Go on where they stopped.
        processes: CPU processes to train with.

    Raises:
        Unfinished: A signal stopped one of them.
    """
    from genkit.verbs.train import train  # which looking at configs does not need

    if launch.ranks().is_launched:
        raise ConfigError(
            f"{shown(path)}: has several runs, and a launcher's processes train one; launch the "
            "config of each stage by itself"
        )
    stages = load_stages(path, overrides, out)
    root = stages[0].out.parent
    for number, stage in enumerate(stages, 1):
        if resume and _is_finished(stage):
            log.info("stage %s: finished already", stage.name)
            continue
        log.info("stage %s, %d of %d: %s", stage.name, number, len(stages), shown(stage.out))
        try:
            begun = (stage.out / "config.yaml").is_file()
            train(stage.config, out=stage.out, resume=resume and begun, processes=processes)
        except Unfinished as stopped:
            raise Unfinished(
                f"{stopped}; the stages behind it too: genkit train {shown(path)} --out "
                f"{shown(root)} --resume"
            ) from stopped
    return root


def to_plain(stages: Sequence[Stage]) -> dict[str, Any]:
    """All settings of all stages, as the file could have them."""
    return {"stages": {stage.name: to_tree(stage.config) for stage in stages}}


def _is_finished(stage: Stage) -> bool:
    """Whether its run has come to the end with these settings and is exported."""
    if not (stage.out / "export").is_dir() or not (stage.out / "config.yaml").is_file():
        return False
    if run_folder.read_record(stage.out).get("finished") is None:
        return False
    run_folder.check(stage.config, stage.out, resume=True)
    return run_folder.progress(stage.out).trained >= stage.config.trainer.steps


def _by_stage(overrides: Sequence[str], names: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {name: [] for name in names}
    for override in overrides:
        name, dot, rest = override.partition(".")
        if name not in found or not dot:
            raise ConfigError(
                f"override {shown(override)}: begins with none of the stages; write "
                f"{names[0]}.trainer.steps=..., or another of: {', '.join(names)}"
            )
        found[name].append(rest)
    return found


def _settings(path: Path, given: Any, where: str) -> dict[str, Any]:
    if isinstance(given, str):
        return read_tree(path.parent / given)
    if isinstance(given, Mapping):
        return dict(given)
    raise ConfigError(f"{where}: expected the name of a config file, or settings")


def _referred(value: Any, before: Mapping[str, Path], where: str) -> Any:
    """The same settings with the folders of stages in place of their names."""
    if isinstance(value, Mapping):
        return {key: _referred(each, before, where) for key, each in value.items()}
    if isinstance(value, list):
        return [_referred(each, before, where) for each in value]
    text = value if isinstance(value, str) else ""
    head, mark, name = text.partition(_REFERENCE)
    if not mark or (head and not head.endswith("=")):
        return value
    if name not in before:
        known = ", ".join(before) or "none"
        raise ConfigError(
            f"{where}: {shown(text)} names no stage before this one; there are: {known}"
        )
    return f"{head}{before[name]}"
