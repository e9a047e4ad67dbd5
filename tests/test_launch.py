"""Functions run by several processes, and how these share this machine's cores."""

import os
import signal
import subprocess
import sys

import pytest

from genkit.errors import ConfigError, LaunchError
from genkit.family import load
from genkit.launch import Ranks, core_shares, ranks, run_together

linux = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux binds to cores")


@linux
def test_ranks_have_cores_of_their_own_and_as_many_each(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 5, 6})
    assert core_shares(1) == [{0, 1, 2, 5, 6}]
    assert core_shares(2) == [{0, 1}, {2, 5}]
    assert core_shares(5) == [{0}, {1}, {2}, {5}, {6}]


@linux
def test_more_ranks_than_cores_are_bound_to_none(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1})
    assert core_shares(3) == [set(), set(), set()]


def test_what_the_first_rank_returns_comes_back():
    assert run_together(ranks, {}, 3) == Ranks(0, 3, 0)
    assert run_together(os.getenv, {"key": "ACCELERATE_USE_CPU"}, 2) == "true"
    assert run_together(os.getenv, {"key": "ACCELERATE_USE_CPU"}, 2, on_gpus=True) is None


def test_a_users_mistake_in_a_rank_is_raised_here(capfd):
    with pytest.raises(ConfigError, match="family 'dcgam': no such family; did you mean 'dcgan'"):
        run_together(load, {"name": "dcgam"}, 2)
    assert capfd.readouterr().err == ""  # said once, by whoever catches it


def test_a_rank_that_ends_otherwise_says_why_itself(capfd):
    with pytest.raises(LaunchError, match="of 2 ended with exit status 1 "):
        run_together(divmod, {}, 2)
    assert "TypeError: divmod" in capfd.readouterr().err
    with pytest.raises(LaunchError, match="ended with exit status 7 "):
        run_together(os._exit, {"status": 7}, 2)


def test_one_of_several_processes_starts_none(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LaunchError, match="already one of 2 processes; leave --processes out"):
        run_together(ranks, {}, 2)


def test_an_interrupt_reaches_the_ranks_and_comes_back_as_one(tmp_path):
    script = tmp_path / "waits.py"
    script.write_text("import time\nprint('ready', flush=True)\ntime.sleep(100)\n")
    code = (
        "import runpy, signal; from genkit.launch import run_together;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # ignored in the background
        f"run_together(runpy.run_path, {{'path_name': {str(script)!r}}}, 2)"
    )
    command, pipe = [sys.executable, "-c", code], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as launcher:
        assert [launcher.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
        launcher.send_signal(signal.SIGINT)
        said = launcher.communicate(timeout=60)[1]
    assert said.count("Traceback") == 1  # the launcher's own: Python's answer to Ctrl-C
    assert said.endswith("KeyboardInterrupt\n")
