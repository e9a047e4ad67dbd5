"""What a process says may find nobody who takes it; that is no failure of the work."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest

from genkit.launch.output import Printed, heard, printed

full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a disk that is full")


def run(command: list[str], **options) -> subprocess.CompletedProcess[str]:
    pipe = subprocess.PIPE
    options = {"stdout": pipe, "stderr": pipe, **options}
    return subprocess.run([sys.executable, *command], text=True, check=False, **options)


@full
def test_a_command_whose_results_lie_on_the_disk_ends_well_on_a_full_output(tmp_path):
    from PIL import Image

    for name in "ab":
        Image.new("RGB", (8, 8)).save(tmp_path / f"{name}.png")
    pack = ["-m", "genkit", "data", "pack", str(tmp_path), str(tmp_path / "shards")]
    with open("/dev/full", "w") as nowhere:
        done = run(pack, stdout=nowhere)
    assert (tmp_path / "shards").is_dir()
    assert done.returncode == 0
    assert done.stderr == (
        "genkit: standard output can't be written (No space left on device); "
        "the results themselves are complete\n"
    )


@full
def test_a_command_whose_result_is_what_it_prints_fails_in_one_line():
    with open("/dev/full", "w") as nowhere:
        done = run(["-m", "genkit", "families"], stdout=nowhere)
    assert done.returncode == 1
    assert done.stderr == (
        "genkit: standard output can't be written (No space left on device), and it is the result\n"
    )


def test_verbs_that_leave_files_are_those_that_end_well():
    from typer.main import get_command

    from genkit.cli import app
    from genkit.cli.kept import Kept

    kept = {name for name, verb in get_command(app).commands.items() if isinstance(verb, Kept)}
    assert {"train", "export", "sample", "evaluate", "frontier"} <= kept


def test_a_terminal_that_was_closed_takes_nothing_and_hurts_nobody():
    master, slave = os.openpty()
    with open(slave, "w") as terminal:
        stream = Printed(terminal)
        stream.write("seen\n")
        stream.flush()
        os.close(master)
        for _ in range(3):
            stream.write("not seen\n")
            stream.flush()
        assert stream.refused is not None
        assert stream.encoding == terminal.encoding  # it is a text stream in all else


@pytest.mark.parametrize(
    ("encoding", "text", "printed"),
    [
        ("utf-8", "runs/caf\udce9", b"runs/caf\\udce9"),
        ("ascii", "runs/caf\u00e9", b"runs/caf\\xe9"),
        ("utf-8", "runs/caf\u00e9", "runs/caf\u00e9".encode()),
    ],
)
def test_what_an_encoding_lacks_is_printed_as_escapes(tmp_path, encoding, text, printed):
    path = tmp_path / "printed"
    with path.open("w", encoding=encoding) as file:
        Printed(file).write(text)
    assert path.read_bytes() == printed


def test_no_file_takes_the_place_of_a_stream_that_is_closed(tmp_path):
    code = (
        "import os, sys\n"
        "from genkit.launch.output import printed\n"
        "with printed():\n"
        f"    number = os.open({str(tmp_path / 'file')!r}, os.O_CREAT | os.O_WRONLY)\n"
        "    os.write(1, b'of a library')\n"
        "    print('nobody reads it')\n"
        "    sys.exit(10 + number)\n"
    )
    done = run(["-c", code], stdout=None, preexec_fn=lambda: os.close(1))
    assert done.returncode > 12
    assert (tmp_path / "file").read_bytes() == b""


def test_streams_are_put_back():
    before = sys.stdout, sys.stderr
    with printed():
        assert isinstance(sys.stdout, Printed)
    assert (sys.stdout, sys.stderr) == before


def nobody_listens(monkeypatch) -> logging.Logger:
    """As in a script or a notebook: pytest adds handlers of its own before each test."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("genkit"), "handlers", [])
    logging.getLogger("genkit").setLevel(logging.NOTSET)
    return logging.getLogger("genkit")


def test_work_called_from_python_is_heard_as_on_the_command_line(monkeypatch, capsys):
    logger = nobody_listens(monkeypatch)
    with heard():
        logger.info("step 2 of 4")
    logger.info("later")
    err = capsys.readouterr().err
    assert err.endswith(" INFO step 2 of 4\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize("name", ["genkit", None])
def test_who_has_set_up_logging_hears_it_there_alone(monkeypatch, capsys, name):
    logger = nobody_listens(monkeypatch)
    seen = []

    class Own(logging.Handler):
        def emit(self, record):
            seen.append(record.getMessage())

    logging.getLogger(name).handlers = [Own()]
    with heard():
        logger.warning("once")
    assert seen == ["once"]
    assert capsys.readouterr().err == ""


def test_who_has_set_a_level_is_left_alone(monkeypatch, capsys):
    logger = nobody_listens(monkeypatch)
    logger.setLevel(logging.ERROR)
    try:
        with heard():
            logger.warning("nothing")
    finally:
        logger.setLevel(logging.NOTSET)
    assert capsys.readouterr().err == ""
