"""Functions run by several processes, and how these share this machine's cores."""

import logging
import os
import re
import runpy
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
    with pytest.raises(LaunchError, match=r"of 2 ended with an error \(it is above\)"):
        run_together(divmod, {}, 2)
    assert "TypeError: divmod" in capfd.readouterr().err
    with pytest.raises(LaunchError, match="ended with exit status 7;"):
        run_together(os._exit, {"status": 7}, 2)


def test_one_of_several_processes_starts_none(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(LaunchError, match="already one of 2 processes; leave --processes out"):
        run_together(ranks, {}, 2)


SAY = "import os, signal, sys, time\nsys.stdout.write('ready\\n')\nsys.stdout.flush()\n"


def script(folder, code):
    path = folder / "script.py"
    path.write_text(SAY + code)
    return {"path_name": str(path)}


def launched(arguments, folder):
    """A process that lets two ranks run a script, once both have begun."""
    code = (
        "import runpy, signal; from genkit.launch import run_together;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # ignored in the background
        f"run_together(runpy.run_path, {arguments}, 2)"
    )
    launcher = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TMPDIR": str(folder)},
    )
    assert [launcher.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    return launcher


def test_an_interrupt_reaches_the_ranks_and_comes_back_as_one(tmp_path):
    with launched(script(tmp_path, "time.sleep(100)"), tmp_path) as launcher:
        launcher.send_signal(signal.SIGINT)
        said = launcher.communicate(timeout=60)[1]
    assert said.count("Traceback") == 1  # the launcher's own: Python's answer to Ctrl-C
    assert said.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_that_ranks_do_not_take_ends_their_launcher_too(tmp_path, number):
    (tmp_path / "left").mkdir()
    with launched(script(tmp_path, "time.sleep(100)"), tmp_path / "left") as launcher:
        launcher.send_signal(number)
        said = launcher.communicate(timeout=60)[1]
    assert launcher.returncode == -number
    assert said == ""
    assert not list((tmp_path / "left").iterdir())


@linux
def test_ranks_die_with_a_launcher_that_is_killed(tmp_path):
    code = "open(sys.argv[0] + str(os.getpid()), 'w').close(); time.sleep(100)"
    with launched(script(tmp_path, code), tmp_path) as launcher:
        launcher.kill()
        assert launcher.communicate(timeout=10)[0] == ""  # their ends of the pipe are closed


@linux
def test_a_rank_whose_launcher_died_before_it_looked_does_nothing(tmp_path):
    gone = 2**22 + 1  # no process has such a number
    command = [sys.executable, "-m", "genkit.launch", str(tmp_path), str(gone)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "")


def test_a_rank_that_the_system_killed_is_said_to_be_out_of_memory(tmp_path):
    # The other one fails after it, as when its collective breaks.
    code = (
        "os.kill(os.getpid(), 9) if os.environ['RANK'] == '1' else time.sleep(.3)\nraise ValueError"
    )
    said = r"process 1 of 2 was killed \(SIGKILL\), as Linux does where memory runs out; give small"
    with pytest.raises(LaunchError, match=said):
        run_together(runpy.run_path, script(tmp_path, code), 2)


def test_a_rank_that_crashed_is_told_by_its_signal(tmp_path):
    code = "os.kill(os.getpid(), signal.SIGSEGV)"
    with pytest.raises(LaunchError, match="of 2 ended with SIGSEGV; the others were stopped"):
        run_together(runpy.run_path, script(tmp_path, code), 2)


@linux
def test_a_rank_that_somebody_stopped_is_named_with_what_lets_it_go_on(monkeypatch):
    said = []

    class Follows(logging.Handler):
        def emit(self, record):
            said.append(record.getMessage())
            subprocess.run(re.search("`(.*)`", said[-1])[1], shell=True, check=True)

    monkeypatch.setattr("genkit.launch.together.STOPPED_S", 0.2)
    handler = Follows()
    logging.getLogger("genkit").addHandler(handler)
    stop = "test $RANK = 0 || kill -STOP $PPID"
    assert run_together(subprocess.getoutput, {"cmd": stop}, 2) == ""
    logging.getLogger("genkit").removeHandler(handler)
    assert len(said) == 1
    assert said[0].startswith("process 1 of 2 has been stopped for 0 s, and the others wait for it")


def test_threads_are_those_that_the_user_asked_for(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert run_together(os.getenv, {"key": "OMP_NUM_THREADS"}, 2) == "3"
    monkeypatch.delenv("OMP_NUM_THREADS")
    share = max(1, len(core_shares(2)[0]) or (os.cpu_count() or 1) // 2)
    assert run_together(os.getenv, {"key": "OMP_NUM_THREADS"}, 2) == str(share)
