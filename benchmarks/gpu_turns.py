"""Arms that take turns on one GPU, each in a process that stays.

All of them start at once, since importing and compiling leave the GPU idle, and say when they are
ready. (At a batch of 512 the 35.7 M U-Net keeps 12 GB for its backward pass.) From then on one
works at a time: laps of a few steps, in an order that moves on by one each round. Between its laps
an arm gives its memory back.

A line of JSON on an arm's input asks for something, a line on its output answers.
"""

from __future__ import annotations

import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import torch

from benchmarks.bench import order
from benchmarks.timing import now

ROOT = Path(__file__).resolve().parent.parent
Answer = dict[str, Any]


# -- in the arm's process --------------------------------------------------------------------------


def turns(
    device: torch.device,
    facts: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
    *,
    warmup: int,
    others: Mapping[str, Callable[[], Answer]] | None = None,
) -> Iterator[None]:
    """Yields once for each step that is to be done; what it asks for is one step of the arm.

    Args:
        device: Where the steps run.
        facts: What is said of the arm once it is ready, such as "images", those of a step.
        warmup: Steps before it is.
        others: What else can be asked for, by its name; called between steps.
    """
    said = _own_output()
    yield from itertools.repeat(None, warmup)
    now(device)
    _give_back(device)
    _say(said, {"ready": True, **(facts() if callable(facts) else facts)})
    for line in sys.stdin:
        asked = json.loads(line)
        if asked["do"] == "lap":
            yield from itertools.repeat(None, asked["settle"])
            begun = now(device)
            yield from itertools.repeat(None, asked["steps"])
            _say(said, {"seconds": (now(device) - begun) / asked["steps"]})
        elif asked["do"] == "profile":
            from benchmarks.gpu_counts import profiled

            yield from itertools.repeat(None, asked["settle"])
            found: Answer = {}
            with profiled(device, asked["steps"], found):
                yield from itertools.repeat(None, asked["steps"])
            _say(said, found)
        else:
            _say(said, (others or {})[asked["do"]]())
        _give_back(device)


def _own_output() -> TextIO:
    """The true output; what libraries print goes to the errors from now on."""
    kept = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return kept


def _give_back(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _say(where: TextIO, answer: Mapping[str, Any]) -> None:
    where.write(json.dumps(answer) + "\n")
    where.flush()


# -- in the process that asks ----------------------------------------------------------------------


@dataclass(frozen=True)
class Player:
    """An arm.

    Attributes:
        label: What the table calls it.
        function: Of `gpu_arms`.
        arguments: Its keyword arguments.
        extras: What else it is asked for once, besides its laps: "count", "profile".
    """

    label: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    extras: Sequence[str] = ()


class Lost(Exception):
    """An arm has ended or does not answer; says why."""


class Process:
    """An arm's process.

    Args:
        player: The arm.
        log: Where its errors go.
    """

    def __init__(self, player: Player, log: Path) -> None:
        self.player, self._log = player, log
        words = json.dumps({"function": player.function, "arguments": dict(player.arguments)})
        self._errors = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu_arms", words],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def answer(self, deadline: float) -> Answer:
        """Its next answer, by a time of `time.time`.

        Raises:
            Lost: There is none.
        """
        try:
            line = self._lines.get(timeout=max(0.1, deadline - time.time()))
        except queue.Empty:
            raise Lost("no answer in time") from None
        if line is None:
            tail = [line for line in self._log.read_text().splitlines() if line.strip()][-40:]
            print(f"-- {self.player.label}", *tail, sep="\n", file=sys.stderr)
            raise Lost(" | ".join(tail[-3:])[-400:] or "it ended without a word")
        found: Answer = json.loads(line)
        return found

    def ask(self, deadline: float, **command: Any) -> Answer:
        """What it answers to a command.

        Raises:
            Lost: It does not.
        """
        assert self._process.stdin is not None
        with suppress(OSError):  # it ended: its answer says why
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
        return self.answer(deadline)

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._errors.close()


@contextmanager
def started(players: Sequence[Player], folder: Path) -> Iterator[list[Process]]:
    """The processes of arms, ended afterwards."""
    folder.mkdir(parents=True, exist_ok=True)
    processes = [Process(player, folder / f"arm-{i}.log") for i, player in enumerate(players)]
    try:
        yield processes
    finally:
        for process in processes:
            process.end()


def play(
    players: Sequence[Player],
    folder: Path,
    *,
    deadline: float,
    rounds: int,
    lap_seconds: float,
    most_steps: int = 100,
    settle: int = 2,
) -> Iterator[Answer]:
    """One row for each arm, as soon as all rounds are over: "seconds" of a step and more.

    Args:
        players: The arms.
        folder: For their logs.
        deadline: When all must be over, a time of `time.time`.
        rounds: Laps of every arm.
        lap_seconds: What a lap should take.
        most_steps: In a lap.
        settle: Steps at the start of each lap that are not timed.
    """
    with started(players, folder) as processes:
        ready = deadline - 10 - 1.5 * lap_seconds * rounds * len(processes)
        ready = max(ready, time.time() + 5)
        rows = {process: _first_row(process, ready) for process in processes}
        alive = [process for process in processes if "failed" not in rows[process]]
        steps = dict.fromkeys(processes, 1)
        for process in list(alive) if most_steps > 1 else ():
            trial = _asked(rows, alive, process, deadline, do="lap", settle=settle, steps=2)
            steps[process] = max(1, min(most_steps, round(lap_seconds / trial.get("seconds", 1))))
        laps: dict[Process, list[float]] = {process: [] for process in alive}
        for turn in range(rounds):
            now_alive = list(alive)
            for i in order(len(now_alive), turn):
                process = now_alive[i]
                if laps[process] and time.time() + 2 * lap_seconds > deadline:
                    continue
                lap = {"do": "lap", "settle": settle, "steps": steps[process]}
                found = _asked(rows, alive, process, deadline, **lap)
                if "seconds" in found:
                    laps[process].append(found["seconds"])
        for process in processes:
            if process in alive:
                rows[process]["laps"] = laps[process]
            for extra in process.player.extras if process in alive else ():
                more = {"settle": 1, "steps": 3} if extra == "profile" else {}
                found = _asked(rows, alive, process, deadline, do=extra, **more)
                rows[process][extra] = found
            yield rows[process]


def _first_row(process: Process, deadline: float) -> Answer:
    """What an arm says of itself once it is ready, or why it has failed."""
    row: Answer = {"arm": process.player.label}
    try:
        facts = process.answer(deadline)
    except Lost as why:
        return row | {"failed": str(why)}
    return row | {name: fact for name, fact in facts.items() if name != "ready"}


def _asked(
    rows: dict[Process, Answer],
    alive: list[Process],
    process: Process,
    deadline: float,
    **command: Any,
) -> Answer:
    """An arm's answer; one that is lost is noted, and takes no further turns."""
    try:
        return process.ask(deadline, **command)
    except Lost as why:
        rows[process]["failed"] = f"{command['do']}: {why}"
        alive.remove(process)
        return {}
