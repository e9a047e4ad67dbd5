"""Opening an export: a run folder, an export folder or a Hub id becomes a pipeline.

An export is data: JSON and safetensors, from anyone. It names classes, and those come only from
packages on an allow-list; nothing is unpickled, no training code or data set is touched.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Mapping
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import torch

from genkit.errors import GenkitError, PipelineError
from genkit.nn.network import complete
from genkit.pipelines.base import FORMAT_VERSION

INDEX = "model_index.json"
PACKAGES = frozenset({"genkit", "diffusers", "transformers"})  # that an export may name classes of
HUB_FILES = ["*.json", "*.safetensors", "*.md"]


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
    index = _read_json(folder / INDEX)
    _check_format(folder, index)
    kind = _pipeline_class(folder / INDEX, index)
    pipeline = _build(folder, kind, index)
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
    index = _read_json(folder / INDEX)
    _check_format(folder, index)
    parts = [key for key in index if _is_pair(index[key]) and (folder / key).is_dir()]
    networks = [key for key in parts if _is_network(folder, index[key])]
    chosen = [key for key in networks if key == (name or key)]
    if len(chosen) != 1:
        raise PipelineError(
            f"{reference}: name one of its networks behind #; there are: {_listed(networks)}"
        )
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
    return _download(str(source), revision)


def is_run(folder: Path) -> bool:
    """Whether training made this folder."""
    return (folder / "config.yaml").is_file() or (folder / "checkpoints").is_dir()


def hub_errors() -> tuple[type[Exception], ...]:
    """What huggingface_hub raises: no network, no such model, no right to it, no valid name."""
    from huggingface_hub.errors import HfHubHTTPError

    # Its base is the error class of the HTTP library in use, which differs between versions.
    return OSError, ValueError, HfHubHTTPError.__bases__[0]


def _download(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(hub_id, revision=revision, allow_patterns=HUB_FILES)
    except hub_errors() as error:
        raise PipelineError(
            f"{hub_id}: no such folder here, and the Hub gave nothing ({one_line(error)}); check "
            "the name, the network and, for a private model, `hf auth login`"
        ) from None
    if not (Path(folder) / INDEX).is_file():
        raise PipelineError(f"{hub_id}: this model on the Hub is no export (it has no {INDEX})")
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


# -- classes ---------------------------------------------------------------------------------------


def allowed_packages() -> frozenset[str]:
    """Top-level packages whose classes an export may name: ours, and those that offer families."""
    points = entry_points(group="genkit.families")
    return PACKAGES | {point.module.partition(".")[0] for point in points}


def _resolve(where: Path, module: str, name: str) -> Any:
    """The class `name` of `module`, if both the name and the class itself are allowed."""
    allowed = allowed_packages()
    package = module.partition(".")[0]
    if package not in allowed:
        raise PipelineError(
            f"{where}: names {module}.{name}, and classes are taken from {_listed(allowed)} only; "
            f"if you trust {package}, install it with an entry point in genkit.families"
        )
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PipelineError(
            f"{where}: {module}.{name} can't be imported ({one_line(error)}); "
            f"install {package}, or a newer version of it"
        ) from None
    # A module may hold what it imported itself: ask the class where it is at home.
    home = str(getattr(found, "__module__", "")).partition(".")[0]
    if not inspect.isclass(found) or home not in allowed or not hasattr(found, "from_pretrained"):
        raise PipelineError(f"{where}: {module}.{name} is no pipeline, network or scheduler class")
    return found


def _pipeline_class(where: Path, index: Mapping[str, Any]) -> Any:
    named = index.get("_class_name")
    if isinstance(named, str):
        return _resolve(where, *_home(named))
    if isinstance(named, list) and _is_pair(named):
        return _resolve(where, named[0], named[1])
    raise PipelineError(f"{where}: names no pipeline class; export again")


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


def _build(folder: Path, kind: Any, index: Mapping[str, Any]) -> Any:
    where = folder / INDEX
    accepted = inspect.signature(kind.__init__).parameters
    # Diffusers' rule: what a pipeline takes without a default is a component, the rest settings.
    required = {name for name, p in accepted.items() if p.default is p.empty} - {"self"}
    optional = set(kind._optional_components)
    named = {k: v for k, v in index.items() if k != "_class_name"}
    strange = sorted(k for k, v in named.items() if k not in accepted and _is_pair(v))
    if strange:
        raise PipelineError(f"{where}: {kind.__name__} takes no {strange[0]!r}; export again")
    given = {k: v for k, v in index.items() if k in accepted}
    left_out = {k: None for k, v in given.items() if k in optional and v == [None, None]}
    names = (required | optional) & given.keys() - left_out.keys()
    components = {name: _load_component(folder, name, given[name]) for name in names}
    try:
        return kind(**given | left_out | components)
    except (GenkitError, TypeError, ValueError) as error:
        raise PipelineError(
            f"{where}: {kind.__name__} can't be made of it ({one_line(error)}); export again"
        ) from None


# -- components ------------------------------------------------------------------------------------


def _is_pair(entry: Any) -> bool:
    """["module", "Class"]."""
    return isinstance(entry, list) and len(entry) == 2 and all(isinstance(x, str) for x in entry)


def _is_network(folder: Path, entry: Any) -> bool:
    return issubclass(_resolve(folder / INDEX, *entry), torch.nn.Module)


def _load_component(folder: Path, name: str, entry: Any) -> Any:
    if not _is_pair(entry):
        raise PipelineError(f"{folder / INDEX}: {name} is not [module, class]; export again")
    kind = _resolve(folder / INDEX, *entry)
    part = folder / name
    is_network = issubclass(kind, torch.nn.Module)
    _check_files(part, needs_weights=is_network)
    options: dict[str, Any] = {"use_safetensors": True} if is_network else {}
    reports = "output_loading_info" in inspect.signature(kind.from_pretrained).parameters
    try:
        if not is_network or not (reports or _is_diffusers(kind)):
            return kind.from_pretrained(str(part), **options)
        network, info = kind.from_pretrained(str(part), output_loading_info=True, **options)
    except (OSError, TypeError, ValueError, RuntimeError, KeyError, ArithmeticError) as error:
        raise PipelineError(
            f"{part}: {kind.__name__} can't be made of it ({one_line(error)}); "
            "export again, or download it again"
        ) from None
    _check_complete(part, info)
    return network.eval()


def _is_diffusers(kind: type) -> bool:
    from diffusers import ModelMixin

    complete()
    return issubclass(kind, ModelMixin)


def _check_files(part: Path, *, needs_weights: bool) -> None:
    """Every file that will be read is there and whole."""
    if not part.is_dir():
        raise PipelineError(f"{part}: missing; export again, or download it again")
    for path in sorted(part.glob("*.json")):
        _read_json(path)
    weights = sorted(part.glob("*.safetensors"))
    if needs_weights and not weights:
        raise PipelineError(
            f"{part}: no .safetensors file in it; export again (others aren't read)"
        )
    for path in weights:
        _check_weights(path)


def _check_weights(path: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt"):
            pass  # opening compares the header with the length of the file
    except (SafetensorError, OSError) as error:
        raise PipelineError(
            f"{path}: cut short or corrupt ({one_line(error)}); export again, or download it again"
        ) from None


def _check_complete(part: Path, info: Mapping[str, Any]) -> None:
    """Diffusers fills what the file lacks with random weights and goes on; that is no model."""
    for problem in ("missing_keys", "mismatched_keys", "unexpected_keys"):
        if info.get(problem):
            names = sorted(map(str, info[problem]))
            raise PipelineError(
                f"{part}: weights don't fit config.json ({problem.replace('_', ' ')}: "
                f"{_listed(names[:3])}); the files are of different models: export again"
            )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        tree = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PipelineError(
            f"{path}: can't be read ({one_line(error)}); export again, or download it again"
        ) from None
    if not isinstance(tree, dict):
        raise PipelineError(f"{path}: expected a JSON object; export again, or download it again")
    return tree


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))


def one_line(error: BaseException) -> str:
    """What another library says, fit for the middle of our message."""
    return " ".join(str(error).split())[:200] or type(error).__name__
