"""docs/new-family.md: both families are built from the page's text, and do all that it says.

Each is built twice: as a module of genkit, in a copy of it, and as a package of somebody else's.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "new-family.md"
_BLOCK = re.compile(r"^```\w+ (file|run)=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FAMILIES = ("vae", "paired")


def pieces(kind: str) -> dict[str, str]:
    """The page's files, or commands, by name; pieces of one file are joined."""
    found: dict[str, list[str]] = {}
    for key, name, text in _BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if key == kind:
            found.setdefault(name, []).append(text)
    return {name: "\n\n".join(texts) for name, texts in found.items()}


def write(folder: Path, modules: Path) -> None:
    """The page's files: families go to `modules`, the rest to where the page says."""
    for name, text in pieces("file").items():
        path = (modules if name.removesuffix(".py") in FAMILIES else folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture(scope="module")
def inside(tmp_path_factory):
    """A copy of genkit that holds both families."""
    home = tmp_path_factory.mktemp("inside")
    shutil.copytree(ROOT / "genkit", home / "genkit", ignore=shutil.ignore_patterns("__pycache__"))
    write(home, home / "genkit" / "families")
    return home


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A package beside genkit that offers both, in a folder of its own."""
    home = tmp_path_factory.mktemp("package")
    write(home, home / "mypackage")
    (home / "mypackage" / "__init__.py").touch()
    about = home / "mypackage-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: mypackage\nVersion: 1.0\n")
    points = "".join(f"{name} = mypackage.{name}\n" for name in FAMILIES)
    (about / "entry_points.txt").write_text(f"[genkit.families]\n{points}")
    return home


def run(home: Path, script: str, *arguments: str) -> str:
    """What a Python script says in this home, whose packages it finds first."""
    path = os.pathsep.join([str(home), str(ROOT), str(ROOT / "tests")])
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=home,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


# Every command of a block in one process, as a shell would call them one after the other.
COMMANDS = """
import runpy, shlex, sys
from genkit.cli import main
for line in sys.argv[1].splitlines():
    program, *words = shlex.split(line)
    if program == "python":
        runpy.run_path(words[0])
        continue
    try:
        main(words)
    except SystemExit as end:
        if end.code:
            sys.exit(f"{line}: exit status {end.code}")
"""

# How far what a pipeline makes is from its target, and how far what it is compared with is.
ERRORS = """
import json, sys, torch
import genkit
from genkit.family import load_config
from genkit.images import to_unit
from genkit.rows.columns import Draws
config = load_config(f"runs/{sys.argv[1]}/config.yaml")
rows = config.data.open("test")
batch = {name: rows.columns[name].batch(raw, Draws())
         for name, raw in rows.read(range(len(rows))).items() if name in sys.argv[2:]}
given, target = (to_unit(batch[name]) for name in sys.argv[2:])
pipeline = genkit.load_pipeline(f"runs/{sys.argv[1]}")
made = pipeline(given=rows, output="tensor")
print(json.dumps({
    "made": (made - target).square().mean().item(),
    "given": (given - target).square().mean().item(),
    "mean": (target.mean(0) - target).square().mean().item(),
}))
"""


@pytest.fixture(scope="module")
def trained(inside):
    """The home inside genkit after every command of the page."""
    for commands in pieces("run").values():
        run(inside, COMMANDS, commands)
    return inside


def test_the_page_has_two_whole_families_and_their_configs():
    assert {f"{name}.py" for name in FAMILIES} < pieces("file").keys()
    assert set(pieces("run")) == set(FAMILIES)
    for name in FAMILIES:
        compile(pieces("file")[f"{name}.py"], name, "exec")


def test_no_file_of_genkit_is_touched(inside):
    ours = {path.relative_to(ROOT / "genkit") for path in (ROOT / "genkit").rglob("*.py")}
    theirs = {path.relative_to(inside / "genkit") for path in (inside / "genkit").rglob("*.py")}
    assert theirs - ours == {Path("families", f"{name}.py") for name in FAMILIES}
    for path in ours:
        assert (inside / "genkit" / path).read_bytes() == (ROOT / "genkit" / path).read_bytes()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_command_of_the_page_runs_and_leaves_what_it_says(trained, name):
    folder = trained / "runs" / name
    for made in ("config.yaml", "export/README.md", "evaluation.json", "report.html"):
        assert (folder / made).is_file(), made
    assert list((folder / "previews").glob("step-*.png"))


def test_the_vae_reconstructs_better_than_the_mean_picture(trained):
    found = json.loads(run(trained, ERRORS, "vae", "image", "image"))
    assert found["made"] < 0.7 * found["mean"]


def test_the_translator_ends_nearer_to_its_targets_than_its_inputs_are(trained):
    found = json.loads(run(trained, ERRORS, "paired", "source", "target"))
    assert found["made"] < 0.7 * found["given"]


def test_a_folder_of_pictures_comes_back_with_its_names(trained):
    given = sorted(path.name for path in (trained / "pairs" / "test" / "a").iterdir())
    made = sorted(path.name for path in (trained / "runs" / "paired" / "sharp").glob("*.png"))
    assert made == given


def test_both_do_the_same_as_a_package_of_somebody_else(package):
    for name, commands in pieces("run").items():
        short = re.sub(r"(genkit train \S+)", r"\1 trainer.steps=4 trainer.log_every=2 "
                       r"trainer.save_every=4 trainer.preview_every=4", commands)  # fmt: skip
        run(package, COMMANDS, short)
        index = json.loads((package / "runs" / name / "export" / "model_index.json").read_text())
        assert index["_class_name"][0] == f"mypackage.{name}"
        assert (package / "runs" / name / "report.html").is_file()


def test_both_keep_every_contract(package):
    run(package, pieces("file")["make_pairs.py"])
    contracts = str(ROOT / "tests" / "contracts")
    script = "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))"
    options = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-k", "vae or paired"]
    said = run(package, script, contracts, "-c", str(ROOT / "pyproject.toml"), *options)
    assert " passed" in said
    assert " failed" not in said
