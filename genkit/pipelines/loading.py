"""Opening an export: a run folder, an export folder or a Hub id becomes a pipeline.

An export is data: JSON and safetensors, from anyone. It names classes, and those come only from
packages on an allow-list; nothing is unpickled, no training code or data set is touched.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from genkit.errors import GenkitError, PipelineError
from genkit.nn.network import complete
from genkit.pipelines.adapted import open_adapted
from genkit.pipelines.base import FORMAT_VERSION
from genkit.pipelines.classes import component_class, home_of, pipeline_class
from genkit.pipelines.export_files import (
    INDEX,
    check_complete,
    check_files,
    is_pair,
    one_line,
    read_json,
    without_bars,
)

_HUB_FILES = ["*.json", "*.safetensors", "*.md", "*.txt", "*.model"]
# What libraries raise on JSON that is well formed and says what makes no sense to them.
_CHOKES = (
    *(OSError, TypeError, ValueError, RuntimeError, LookupError, ArithmeticError, AttributeError),
    *(AssertionError, MemoryError, ImportError),
)


def load_pipeline(
    source: str | Path,
    *,
    device: str | torch.device | None = None,
    revision: str | None = None,
) -> Any:
    """The pipeline of a run folder, an export folder or a Hub id, ready to be called.

    Args:
        source: A run folder (its `export/` is taken), an export folder, or a Hub id `name/model`.
        device: Where its networks go; None = the CPU.
        revision: Branch, tag or commit of a Hub id.

    Raises:
        PipelineError: Nothing is there, it is broken, of a newer format, or names classes from
            packages that are not on the allow-list.
    """
    folder = find_export(source, revision)
    index = read_json(folder / INDEX)
    _check_format(folder, index)
    if isinstance(index.get("base"), str):
        pipeline = open_adapted(folder, index)
    else:
        pipeline = _build(folder, _pipeline_class(folder / INDEX, index), index)
    return pipeline if device is None else pipeline.to(device)


def load_component(
    reference: str,
    *,
    device: str | torch.device | None = None,
    revision: str | None = None,
) -> Any:
    """One network of an export, in eval mode and frozen: what another model builds on.

        vae = genkit.load_component("runs/vae")

    Args:
        reference: As `load_pipeline` takes it, and behind # the name of the component where there
            are several networks, such as "org/model#vae".
        device: Where it goes; None = the CPU.
        revision: Branch, tag or commit of a Hub id.

    Raises:
        PipelineError: As `load_pipeline` does; or there is no such network, or several and no name.
    """
    source, _, name = reference.partition("#")
    folder = find_export(source, revision)
    index = read_json(folder / INDEX)
    _check_format(folder, index)
    parts = [key for key in index if is_pair(index[key]) and (folder / key).is_dir()]
    networks = [key for key in parts if _is_network(folder, index[key])]
    chosen = [key for key in networks if key == (name or key)]
    if len(chosen) != 1:
        there = ", ".join(sorted(networks))
        raise PipelineError(f"{reference}: name one of its networks behind #; there are: {there}")
    network = _load_component(folder, chosen[0], index[chosen[0]]).requires_grad_(False)
    return network if device is None else network.to(device)


def find_export(source: str | Path, revision: str | None = None) -> Path:
    """The export folder of a run folder, of itself, or of a Hub id (downloaded once)."""
    folder = Path(source)
    if (folder / INDEX).is_file():
        return folder
    if (folder / "export" / INDEX).is_file():
        return folder / "export"
    if is_run(folder):
        raise PipelineError(f"{folder}: this run has no export; make one: genkit export {folder}")
    if folder.exists():
        raise PipelineError(
            f"{folder}: neither a run folder nor an export (no config.yaml, no {INDEX}); "
            "give a folder that `genkit train` or `genkit export` made"
        )
    # runs/digits beside a folder runs/ is a slip of the pen, not a model on the Hub.
    named_beside = folder.parent != Path() and folder.parent.exists()
    if named_beside or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)):
        raise PipelineError(
            f"{source}: no such folder; give a run folder, an export folder or a Hub id "
            "`name/model`"
        )
    folder = hub_folder(str(source), revision)
    if not (folder / INDEX).is_file():
        raise PipelineError(f"{source}: this model on the Hub is no export (it has no {INDEX})")
    return folder


def is_run(folder: Path) -> bool:
    """Whether training made this folder."""
    return (folder / "config.yaml").is_file() or (folder / "checkpoints").is_dir()


def hub_errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises: no network, no such model, no right to it, no valid name."""
    from huggingface_hub.errors import HfHubHTTPError

    # Its base is the error class of the HTTP library in use, which differs between versions.
    return OSError, ValueError, HfHubHTTPError.__bases__[0]


def hub_folder(hub_id: str, revision: str | None = None) -> Path:
    """JSON, safetensors and words of a model on the Hub, downloaded once.

    Raises:
        PipelineError: There is no network, no such model, or no right to it.
    """
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(hub_id, revision=revision, allow_patterns=_HUB_FILES)
    except hub_errors() as error:
        raise PipelineError(
            f"{hub_id}: no such folder here, and the Hub gave nothing ({one_line(error)}); check "
            "the name, the network and, for a private model, `hf auth login`"
        ) from None
    return Path(folder)


def _check_format(folder: Path, index: Mapping[str, Any]) -> None:
    found = index.get("format_version", 1)  # plain diffusers folders state none
    if not isinstance(found, int) or found < 1:
        raise PipelineError(
            f"{folder / INDEX}: format_version {found!r} is no version; export again"
        )
    if found > FORMAT_VERSION:
        raise PipelineError(
            f"{folder}: export of format {found}; genkit {version('genkit')} reads formats up to "
            f"{FORMAT_VERSION}: install a newer genkit (pip install --upgrade genkit)"
        )


# -- building --------------------------------------------------------------------------------------


def _pipeline_class(where: Path, index: Mapping[str, Any]) -> Any:
    named = index.get("_class_name")
    if isinstance(named, str) or is_pair(named):
        return pipeline_class(where, named)
    raise PipelineError(f"{where}: names no pipeline class; export again")


def _build(folder: Path, kind: Any, index: Mapping[str, Any]) -> Any:
    where = folder / INDEX
    accepted = inspect.signature(kind.__init__).parameters
    # Diffusers' rule: what a pipeline takes without a default is a component, the rest settings.
    required = {name for name, p in accepted.items() if p.default is p.empty} - {"self"}
    optional = set(kind._optional_components)
    named = {k: v for k, v in index.items() if k != "_class_name"}
    strange = sorted(k for k, v in named.items() if k not in accepted and is_pair(v))
    if strange:
        raise PipelineError(f"{where}: {kind.__name__} takes no {strange[0]!r}; export again")
    given = {k: v for k, v in index.items() if k in accepted}
    left_out = {k: None for k, v in given.items() if k in optional and v == [None, None]}
    names = (required | optional) & given.keys() - left_out.keys()
    components = {name: _load_component(folder, name, given[name]) for name in names}
    try:
        return kind(**given | left_out | components)
    except (GenkitError, *_CHOKES) as error:
        raise PipelineError(
            f"{where}: {kind.__name__} can't be made of it ({one_line(error)}); export again"
        ) from None


# -- components ------------------------------------------------------------------------------------


def _is_network(folder: Path, entry: Any) -> bool:
    return issubclass(component_class(folder / INDEX, *entry), torch.nn.Module)


def _load_component(folder: Path, name: str, entry: Any) -> Any:
    if not is_pair(entry):
        raise PipelineError(f"{folder / INDEX}: {name} is not [module, class]; export again")
    kind = component_class(folder / INDEX, *entry)
    part = folder / name
    is_network = issubclass(kind, torch.nn.Module)
    check_files(part, needs_weights=is_network)
    options: dict[str, Any] = {"use_safetensors": True} if is_network else {}
    if home_of(kind) == "transformers":  # which would ask whether to run code, or fetch it
        options |= {"trust_remote_code": False, "local_files_only": True}
    reports = "output_loading_info" in inspect.signature(kind.from_pretrained).parameters
    try:
        with without_bars():
            if not is_network or not (reports or _is_diffusers(kind)):
                return kind.from_pretrained(str(part), **options)
            network, info = kind.from_pretrained(str(part), output_loading_info=True, **options)
    except _CHOKES as error:
        raise PipelineError(
            f"{part}: {kind.__name__} can't be made of it ({one_line(error)}); "
            "export again, or download it again"
        ) from None
    check_complete(part, info)
    return network.eval()


def _is_diffusers(kind: type) -> bool:
    from diffusers import ModelMixin

    complete()
    return issubclass(kind, ModelMixin)
