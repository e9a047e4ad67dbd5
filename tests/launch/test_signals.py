"""What asks a process to end, and what becomes of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from genkit.errors import Unfinished
from genkit.launch import signals
from genkit.launch.signals import STOPPING, StopRequest, handled, unfinished


@pytest.fixture
def clock(monkeypatch):
    times = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: times[0])
    return times


def test_the_signals_of_schedulers_and_terminals_are_taken():
    assert {n.name for n in STOPPING} == {"SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1"}


def test_what_is_sent_to_a_process_and_to_its_group_asks_once(clock):
    stop = StopRequest()
    assert not stop
    for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
        stop.take(number)
    assert stop.asked == signal.SIGINT


@pytest.mark.parametrize("first", STOPPING)
def test_only_a_second_interrupt_insists(clock, first):
    stop = StopRequest()
    stop.take(first)
    clock[0] += 5
    if first != signal.SIGINT:
        stop.take(signal.SIGINT)  # the first one of its kind
        clock[0] += 5
    for number in set(STOPPING) - {signal.SIGINT}:
        stop.take(number)
    with pytest.raises(KeyboardInterrupt):
        stop.take(signal.SIGINT)


@pytest.mark.parametrize("number", STOPPING)
def test_outside_of_steps_a_signal_ends_a_run_at_once_and_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with pytest.raises(Unfinished, match="nothing to save"), unfinished("nothing to save"):
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with unfinished("never"):
            os.kill(os.getpid(), signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)


def test_shells_ignore_interrupts_of_what_they_start_behind_but_they_are_taken():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with pytest.raises(Unfinished), unfinished("asked"):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_wait_while_they_are_held():
    came = []
    with handled(lambda number, frame: came.append(number)):
        with signals.held():  # by this thread: others of the process would take what is sent to it
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
            assert not came
        assert came == [signal.SIGTERM]


def test_a_helper_outlives_what_is_sent_to_its_group():
    read, write = os.pipe()
    with signals.held():
        child = os.fork()
        if child == 0:
            signals.ignore()
            for number in STOPPING:
                os.kill(os.getpid(), number)
            os.write(write, b"lives")
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 5) == b"lives"
    os.close(read)
    os.close(write)


@pytest.mark.parametrize("number", STOPPING)
def test_what_comes_again_while_work_ends_does_not_end_it_otherwise(number):
    """As when a scheduler signals a launcher, which passes it on, and its ranks."""
    code = (
        "import os, sys\n"
        "from genkit.errors import Unfinished\n"
        "from genkit.launch.signals import end_with_work, unfinished\n"
        f"again = lambda: os.kill(os.getpid(), {int(number)})\n"
        "end_with_work()\n"
        "try:\n"
        "    with unfinished('once'):\n"
        "        try:\n"
        "            again()\n"
        "        finally:\n"
        "            again()\n"
        "except Unfinished:\n"
        "    again()\n"
        "    sys.exit(75)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (75, b"")


def test_a_request_that_inner_work_has_taken_is_no_new_one_for_the_outer():
    with unfinished("early"):
        stop = signals.request()
        with handled(lambda number, frame: stop.take(number)):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # the same one, passed on late
        with unfinished("late"):
            os.kill(os.getpid(), signal.SIGTERM)
    assert stop
    assert not signals.request()
