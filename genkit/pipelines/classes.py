"""Which classes an export may name: networks, schedulers and what reads texts and pictures.

A class that is named is imported and asked to load a folder. So it must be at home in a package on
the allow-list, and be of a kind that loads JSON and safetensors only: whole pipelines and the Auto
classes of diffusers and transformers load further classes by rules of their own, code included.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from genkit.errors import PipelineError, shown

PACKAGES = frozenset({"genkit", "diffusers", "transformers"})  # that an export may name classes of
_OF_TRANSFORMERS = (
    *("PreTrainedModel", "PreTrainedTokenizerBase"),
    *("ImageProcessingMixin", "FeatureExtractionMixin"),
)


def allowed_packages() -> frozenset[str]:
    """Top-level packages whose classes an export may name: ours, and those that offer families."""
    points = entry_points(group="genkit.families")
    return PACKAGES | {point.module.partition(".")[0] for point in points}


def component_class(where: Path, module: str, name: str) -> Any:
    """The class of a component that an export names.

    Args:
        where: The file that names it, for messages.
        module: As it stands there.
        name: As it stands there.

    Raises:
        PipelineError: It can't be imported, is not at home in an allowed package, or is of a kind
            that loads other classes by itself.
    """
    found = _resolve(where, module, name)
    if not _loads_data_only(found):
        raise PipelineError(
            f"{where}: {_named(module, name)} is no network, scheduler, tokenizer or processor, "
            "which is all that an export is made of; name the class itself, and no Auto class"
        )
    return found


def pipeline_class(where: Path, named: Any) -> Any:
    """The class of the pipeline that an export names, alone or with its module."""
    from diffusers import DiffusionPipeline

    module, name = _home(named) if isinstance(named, str) else named
    found = _resolve(where, module, name)
    if not issubclass(found, DiffusionPipeline):
        raise PipelineError(f"{where}: {_named(module, name)} is no pipeline class; export again")
    return found


def home_of(kind: type) -> str:
    """The top-level package of a class."""
    return str(getattr(kind, "__module__", "")).partition(".")[0]


def _resolve(where: Path, module: str, name: str) -> Any:
    """The class `name` of `module`, if both the name and the class itself are allowed."""
    allowed, named = allowed_packages(), _named(module, name)
    package = module.partition(".")[0]
    if package not in allowed:
        raise PipelineError(
            f"{where}: names {named}, and classes are taken from {', '.join(sorted(allowed))} "
            f"only; if you trust {shown(package, 60)}, install it with an entry point in "
            "genkit.families"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, RuntimeError, ValueError) as error:
        why = shown(" ".join(str(error).split()), 200) or type(error).__name__
        raise PipelineError(
            f"{where}: {named} can't be imported ({why}); "
            f"install {package}, or a newer version of it"
        ) from None
    # A module may hold what it imported itself: ask the class where it is at home.
    known = inspect.isclass(found) and home_of(found) in allowed
    if not known or not hasattr(found, "from_pretrained"):
        raise PipelineError(f"{where}: {named} is no pipeline, network or scheduler class")
    return found


def _named(module: str, name: str) -> str:
    return shown(f"{module}.{name}", 120)


def _loads_data_only(kind: type) -> bool:
    """Whether a class is of a kind whose `from_pretrained` makes nothing but that class."""
    from diffusers import DiffusionPipeline, ModelMixin, SchedulerMixin

    home = home_of(kind)
    if home == "diffusers":
        return issubclass(kind, ModelMixin | SchedulerMixin)
    if home == "transformers":
        transformers = importlib.import_module("transformers")
        return issubclass(kind, tuple(getattr(transformers, name) for name in _OF_TRANSFORMERS))
    return not issubclass(kind, DiffusionPipeline)  # ours, or of a package that the user installed


def _home(name: str) -> tuple[str, str]:
    """Module and name of a pipeline class that is named without its module.

    It is the class of a file in genkit.pipelines that has this name or says that it `opens` such
    exports; any other is one of diffusers.
    """
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        for node in ast.parse(text).body if name in text else ():
            if isinstance(node, ast.ClassDef) and name in {node.name, *_opened(node)}:
                return f"genkit.pipelines.{path.stem}", node.name
    return "diffusers", name


def _opened(kind: ast.ClassDef) -> tuple[str, ...]:
    """Classes of diffusers whose exports a pipeline opens: its attribute `opens`."""
    for line in kind.body:
        if isinstance(line, ast.AnnAssign) and ast.unparse(line.target) == "opens" and line.value:
            found: tuple[str, ...] = ast.literal_eval(line.value)
            return found
    return ()
