import json
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from pydantic import TypeAdapter

from genkit import family
from genkit.cli import app, main
from genkit.config import Section, comments_of, to_yaml, validate
from genkit.errors import ConfigError
from genkit.training.config import RunConfig


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    code = stopped.value.code
    return code if isinstance(code, int) else 0


def verbs() -> list[tuple[str, ...]]:
    """Every command of the tree, e.g. ("config", "show")."""

    def walk(command: Any, path: tuple[str, ...]) -> list[tuple[str, ...]]:
        inner = getattr(command, "commands", None)
        if inner is None:
            return [] if command.hidden else [path]
        return [found for name in inner for found in walk(inner[name], (*path, name))]

    return walk(typer.main.get_command(app), ())


def test_the_verbs_are_those_of_the_straight_line_and_its_helpers() -> None:
    first = {path[0] for path in verbs()}
    assert first >= {"train", "export", "sample", "evaluate", "report"}
    assert first >= {"machine", "config", "data", "families"}


@pytest.mark.parametrize("path", verbs(), ids=" ".join)
def test_the_help_of_every_verb_shows_examples(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*path, "--help") == 0
    out = capsys.readouterr().out
    assert "Examples:" in out
    assert f"genkit {' '.join(path)}" in out.partition("Examples:")[2]


def test_families_lists_every_family_with_a_line_about_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # no line is wrapped
    assert run("families") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.strip()] == family.names()
    assert all(len(line.split()) > 2 for line in lines if line.strip())


def resolves(schema: dict[str, Any], node: Any) -> bool:
    """Whether every `$ref` below the node leads to a definition."""
    if isinstance(node, dict):
        target = node.get("$ref")
        found = target is None or target.removeprefix("#/$defs/") in schema["$defs"]
        return found and all(resolves(schema, value) for value in node.values())
    return all(resolves(schema, item) for item in node) if isinstance(node, list) else True


@pytest.mark.parametrize("name", family.names())
def test_the_schema_of_a_family_is_json_schema_that_refuses_unknown_keys(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("config", "schema", name) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert {"family", "data", "optim", "trainer", "model"} <= schema["properties"].keys()
    assert resolves(schema, schema)
    (steps,) = (d for key, d in schema["$defs"].items() if key.endswith("TrainerConfig"))
    assert steps["properties"]["keep_last"]["description"] == "checkpoints kept"


def test_a_shown_config_says_what_its_settings_mean_and_is_a_config(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["data.kind=folder", "data.root='my: #pictures'", "data.label='null'"]
    assert run("config", "show", "configs/ddpm/glyphs.yaml", *given) == 0
    shown = capsys.readouterr().out
    assert "  keep_last: 3                    # checkpoints kept\n" in shown
    (tmp_path / "mine.yaml").write_text(shown)
    mine = family.load_config(tmp_path / "mine.yaml")
    assert mine == family.load_config("configs/ddpm/glyphs.yaml", given)


class Awkward(Section):
    """Comments that are code's or a tool's, and a setting over two lines."""

    mark: str = "a  # b"  # a sign
    tool: int = 1  # type: ignore
    long: tuple[int, ...] = (1,)  # several # signs
    plain: int = 1
    empty: tuple[str, ...] = ()  # nothing

    @property
    def local(self) -> int:
        plain: int = 2  # not a setting
        return plain


def test_comments_are_those_beside_the_settings() -> None:
    assert comments_of(Awkward) == {"mark": "a sign", "long": "several # signs", "empty": "nothing"}
    described = Awkward.model_json_schema()["properties"]
    assert {name for name in described if "description" in described[name]} == {
        *comments_of(Awkward)
    }


class Nothing(Section):
    """A model without settings."""


class OfNothing(RunConfig):
    """A family of such a model."""

    model: Nothing = Nothing()


def test_a_section_without_settings_is_written_as_one() -> None:
    config = OfNothing(family="nothing")
    assert validate(OfNothing, yaml.safe_load(to_yaml(config)), "here") == config


def test_a_section_without_source_has_no_comments() -> None:
    scope: dict[str, Any] = {"__name__": "typed"}
    exec("from genkit.config import Section\nclass Typed(Section):\n    x: int = 1  # one", scope)
    assert comments_of(scope["Typed"]) == {}


def test_version_is_the_one_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    from importlib.metadata import version

    assert run("--version") == 0
    assert capsys.readouterr().out.strip() == f"genkit {version('genkit')}"


def test_machine_prints_json_with_a_state_for_every_check(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("machine", "doctor"):
        code = run(name, "--json")
        out, said = capsys.readouterr()
        found = json.loads(out)
        states = [check["status"] for check in found["checks"]]
        assert code == (1 if "fail" in states else 0)
        assert found["ok"] == ("fail" not in states)
        TypeAdapter(list[dict[str, str]]).validate_python(found["checks"])
        assert ("its name is now `genkit machine`" in said) == (name == "doctor")
        assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind


def test_machine_prints_a_line_for_every_check(capsys: pytest.CaptureFixture[str]) -> None:
    run("machine")
    out = capsys.readouterr().out
    for name in ("python", "packages", "devices", "precision", "memory", "folders"):
        assert name in out


def test_debug_may_stand_behind_the_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ("--debug", "config", "show", "no.yaml"),
        ("config", "show", "no.yaml", "--debug"),
    ):
        with pytest.raises(ConfigError, match="no such config file"):
            main(words)
    assert run("config", "show", "no.yaml", "--", "--debug") == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("words", [["~/mine.yaml"], ["~/mine.yaml", "data.root=~/x"]])
def test_a_path_may_begin_with_the_users_folder(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.yaml").write_text("family: dcgan\ndata: {kind: folder, root: ~/y}\n")
    assert run("config", "show", *words) == 0
    assert f"root: {tmp_path}/{'x' if words[1:] else 'y'}" in capsys.readouterr().out


def test_a_shell_leaves_the_users_folder_to_genkit_behind_an_equals_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Path] = []
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(
        "genkit.verbs.train.train", lambda *given, out, **named: seen.append(out) or out
    )
    assert run("train", "mine.yaml", "--out=~/runs/a") == 0
    assert run("train", "mine.yaml", "--out", "a~b") == 0
    assert seen == [tmp_path / "runs" / "a", Path("a~b")]


@pytest.mark.parametrize("path", verbs(), ids=" ".join)
def test_examples_are_indented_in_every_help(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    run(*path, "--help")
    examples = capsys.readouterr().out.partition("Examples:")[2].splitlines()
    assert examples[1].startswith("   genkit ")


def test_families_and_their_modules_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("families", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in found] == family.names()
    assert all(each["module"].endswith(each["name"]) and each["about"] for each in found)


def test_files_of_accelerate_are_named_and_not_checked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("config", "check", "configs/accelerate/one-gpu.yaml", "configs/cgan/mnist.yaml") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("how accelerate starts processes, not checked")
    assert lines[1:] == ["configs/cgan/mnist.yaml: ok"]


def test_a_shown_config_says_which_words_a_setting_may_be(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("config", "show", "configs/cgan/glyphs.yaml") == 0
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert f"{'kind: conv':<30}  # (conv, residual, mlp)" in lines
    assert f"{'kind: adam':<30}  # (adam, rmsprop, sgd)" in lines
    assert f"{'trackers: []':<30}  # get the metrics too (tensorboard, wandb)" in lines
    assert any(line.startswith("kind: glyphs") and "unpaired)" in line for line in lines)
    assert not [line for line in lines if "None" in line]
