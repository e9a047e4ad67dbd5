import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from genkit.cli import main
from genkit.errors import ConfigError
from genkit.family import load_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text("family: dcgan\ndata:\n  kind: synthetic\n  image_size: 32\n")
    return path


def message(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What a failing command says; it must end with status 2 and print nothing else."""
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert "Traceback" not in err
    assert err.startswith("genkit: ")
    assert not out
    return err


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("data.batchsize=64", "data.batchsize: unknown key; did you mean 'batch_size'?"),
        ("optim.lr=fast", "optim.lr: "),
        ("trainer.steps=-1", "trainer.steps: "),
        ("data.kind=mnits", "data: no kind 'mnits'; did you mean 'mnist'?"),
        (
            "data={image_size: 4}",
            "data.image_size: Input should be greater than or equal to 8 (got 4)",
        ),
        (
            "data={image_size: [32, 4]}",
            "data.image_size.1: Input should be greater than or equal to 8",
        ),
        ("data.kind=folder", "data.root: missing"),
        ("trainer=5", "trainer: expected a section"),
        ("trainer.precision=fp64", "'bf16' or 'fp16' (got 'fp64')"),
        ("trainer.save_every=7", "must be a multiple of log_every"),
        ("family=dcgn", "did you mean 'dcgan'?"),
        ("steps", "write it as section.key=value"),
    ],
)
def test_a_wrong_setting_is_named_with_its_path_in_one_line(
    config: Path, capsys: pytest.CaptureFixture[str], override: str, said: str
) -> None:
    err = message(capsys, "config", "show", str(config), override)
    assert said in err
    assert len(err.splitlines()) == 1


def test_all_problems_are_listed_at_once(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong = ("data.batchsize=64", "optim.lr=fast", "trainer.steps=-1", "modle=3")
    lines = message(capsys, "config", "show", str(config), *wrong).splitlines()
    assert lines[0].endswith("4 problems")
    paths = {line.strip().partition(":")[0] for line in lines[1:]}
    assert paths == {"data.batchsize", "optim.lr", "trainer.steps", "modle"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("absent.yaml", None, "no such config file"),
        ("broken.yaml", "family: [dcgan", "not valid YAML"),
        ("list.yaml", "- dcgan\n", "expected `key: value` lines"),
        ("empty.yaml", "", "expected `key: value` lines"),
        ("latin.yaml", b"family: \xe9", "can't be read"),
        ("nameless.yaml", "data: {kind: synthetic}\n", "`family` is missing"),
    ],
)
def test_a_file_that_is_no_config_is_refused_by_name(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: str | bytes | None,
    said: str,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    err = message(capsys, "config", "show", str(path))
    assert said in err
    assert name in err


def test_check_reports_every_file_and_fails_if_one_is_wrong(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.yaml"
    other.write_text("family: dcgan\ndata: {kind: synthetic}\nmodle: {}\n")
    with pytest.raises(SystemExit) as stopped:
        main(["config", "check", str(other), str(config), str(tmp_path / "none.yaml")])
    out, err = capsys.readouterr()
    assert stopped.value.code == 2
    assert f"{config}: ok" in out
    assert "modle" in err
    assert "none.yaml" in err


def test_debug_shows_where_an_error_came_from() -> None:
    with pytest.raises(ConfigError, match="no such config file"):
        main(["--debug", "config", "show", "none.yaml"])


def test_no_name_in_a_message_moves_the_cursor(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = message(capsys, "export", str(tmp_path / "run\x1b[2J\rgenkit"))
    assert r"run\x1b[2J\rgenkit: not a run folder" in said
    assert "\x1b" not in said


@pytest.mark.parametrize("verb", ["train", "export", "sample", "report"])
def test_a_verb_without_its_argument_ends_with_status_2(verb: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([verb])
    assert stopped.value.code == 2


def test_training_with_a_typo_touches_no_folder(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    err = message(capsys, "train", str(config), "trainer.step=3", "--out", str(out))
    assert "did you mean 'steps'?" in err
    assert not out.exists()


def test_exporting_and_reporting_what_is_no_run_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "not a run folder" in message(capsys, "export", str(tmp_path))
    assert "not a run folder" in message(capsys, "report", str(tmp_path))


def test_show_prints_yaml_that_reads_back_as_the_same_config(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["config", "show", str(config), "optim.lr=1e-3", "optim.betas=[0.5, 0.9]"])
    assert stopped.value.code == 0
    shown = tmp_path / "shown.yaml"
    shown.write_text(capsys.readouterr().out)
    read = load_config(shown)
    assert read == load_config(config, ["optim.lr=1e-3", "optim.betas=[0.5, 0.9]"])
    assert read.optim.lr == pytest.approx(1e-3)


def test_nothing_heavy_is_imported_for_help() -> None:
    heavy = {"torch", "numpy", "pydantic", "diffusers", "matplotlib", "PIL"}
    code = (
        "import json, sys\n"
        "from genkit.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print(json.dumps(sorted({heavy!r} & sys.modules.keys())))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "The straight line" in done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_package_runs_as_a_module_and_a_broken_run_has_no_traceback() -> None:
    command = [sys.executable, "-m", "genkit", "config", "show", "none.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("genkit: none.yaml: no such config file")


@pytest.mark.parametrize(
    "words",
    [
        ("evaluate", ""),
        ("report", ""),
        ("compare", "", "run"),
        ("data", "check", ""),
        ("sample", ""),
        ("export", "", "--out", "x"),
        ("train", "tiny.yaml", "--out="),
    ],
    ids=" ".join,
)
def test_an_empty_word_is_no_current_folder(capsys, config, monkeypatch, words):
    monkeypatch.chdir(config.parent)
    assert "an empty word" in message(capsys, *words)


def test_the_current_folder_is_a_name_like_any_other(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "not a run folder" in message(capsys, "report", ".")
    assert "not a run folder" in message(capsys, "compare", ".", "..")
