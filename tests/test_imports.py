"""Who may import whom: the arrows of the design, read from the syntax trees."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import genkit

ROOT = Path(genkit.__file__).parent

# Parts of genkit that each part may import, beside itself.
MAY = {
    "errors": set(),
    "launch": {"errors"},
    "config": {"errors"},
    "random": set(),
    "images": {"errors"},
    "files": {"errors"},
    "machine": {"errors"},
    "family": {"config", "errors", "training"},
    "rows": {"errors", "images", "random", "files"},
    "nn": {"errors", "random", "files"},
    "losses": {"errors"},
    "noise": {"config", "errors"},
    "data": {"rows", "config", "random", "errors", "images", "files", "launch"},
    "training": {
        "rows", "config", "random", "errors", "images", "files", "machine", "launch", "losses",
        "nn", "noise",
    },
    "pipelines": {
        "rows", "nn", "noise", "machine", "random", "config", "errors", "images", "files",
    },
    "evaluation": {
        "rows", "nn", "config", "errors", "random", "images", "files", "machine", "launch",
        "data.scenes",
    },
    "families": {
        "config", "nn", "losses", "noise", "random", "images", "files", "training", "pipelines",
        "rows", "family", "errors",
    },
    "report": {
        "config", "errors", "files", "evaluation.metrics", "rows.left_out", "training.diagnosis",
    },
}  # fmt: skip
# These put the parts together and may import any of them, but not the command line.
TOP = {"verbs", "run_folder", "provenance"}
CLI = {"cli", "__main__"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def part(dotted: str) -> str:
    """The part that a module belongs to: "genkit.rows.batch" -> "data"."""
    names = dotted.split(".")
    return names[1] if len(names) > 1 else "genkit"


def own_name(path: Path) -> str:
    names = ["genkit", *path.relative_to(ROOT).with_suffix("").parts]
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def imported(path: Path) -> Iterator[str]:
    """Every module of genkit that a file imports, inside functions too, but not for types only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in _at_run_time(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            for alias in node.names:
                yield from _target(node.module or "", alias.name)


def _at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _at_run_time(child)


def is_ours(name: str) -> bool:
    return name == "genkit" or name.startswith("genkit.")


def _target(module: str, name: str) -> Iterator[str]:
    if not is_ours(module):
        return
    inner = ROOT.joinpath(*module.split(".")[1:], name)
    exists = inner.with_suffix(".py").exists() or (inner / "__init__.py").exists()
    yield f"{module}.{name}" if exists else module


def is_allowed(importer: str, target: str) -> bool:
    source, wanted = part(importer), part(target)
    if wanted == "genkit":  # the version, or a name that is imported when first used
        return source in CLI | TOP | {"pipelines", "report"}
    if source in CLI or source == "genkit":
        return True
    if source in TOP:
        return wanted not in CLI
    if source == wanted and source != "families":
        return True
    inner = ".".join(target.split(".")[1:])
    return wanted in MAY[source] or any(
        inner == m or inner.startswith(f"{m}.") for m in MAY[source]
    )


def test_every_part_of_the_package_has_a_rule() -> None:
    parts = {part(own_name(path)) for path in modules()} - {"genkit"}
    assert parts == MAY.keys() | TOP | CLI


@pytest.mark.parametrize("path", modules(), ids=own_name)
def test_a_module_imports_only_what_its_part_may(path: Path) -> None:
    importer = own_name(path)
    assert [t for t in imported(path) if not is_allowed(importer, t)] == []


def test_a_family_never_imports_another_family() -> None:
    for path in (ROOT / "families").glob("*.py"):
        assert [t for t in imported(path) if part(t) == "families" and t != own_name(path)] == []


def test_nothing_but_the_command_line_imports_the_command_line() -> None:
    for path in modules():
        if part(own_name(path)) not in CLI:
            assert [t for t in imported(path) if part(t) in CLI] == [], path


def test_the_variables_of_launchers_are_read_in_one_file() -> None:
    variables = ("RANK", "WORLD_SIZE", "ACCELERATE_USE_CPU")
    named = {p for p in modules() if any(v in p.read_text("utf-8") for v in variables)}
    assert named == {ROOT / "launch" / "ranks.py"}


def test_the_rules_catch_what_they_forbid() -> None:
    assert not is_allowed("genkit.families.cgan", "genkit.families.dcgan")
    assert not is_allowed("genkit.pipelines.noise", "genkit.training.trainer")
    assert not is_allowed("genkit.training.trainer", "genkit.data.loader")
    assert not is_allowed("genkit.nn.critics", "genkit.config")
    assert not is_allowed("genkit.files", "genkit.config")
    assert not is_allowed("genkit.verbs.train", "genkit.cli.train")
    assert is_allowed("genkit.training.trainer", "genkit.rows.batch")
    assert is_allowed("genkit.verbs.train", "genkit.evaluation")


def test_importing_genkit_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'pydantic', 'diffusers', 'typer', 'PIL'}"
    code = f"import sys, genkit; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_reports_and_configs_are_read_without_torch() -> None:
    code = "import sys, genkit.report, genkit.config; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
