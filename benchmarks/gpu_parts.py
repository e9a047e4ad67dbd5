"""The parts of `benchmarks/gpu.py`: what each does, and how long it may take."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import gpu_run
from benchmarks.gpu_turns import ROOT, Player, play

REHEARSAL = os.environ.get("GPU_REHEARSAL") == "1"

Row = dict[str, Any]


@dataclass(frozen=True)
class Room:
    """Where a part may write, and until when it may work.

    Attributes:
        out: The folder of results.
        deadline: A time of `time.time`.
    """

    out: Path
    deadline: float

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - time.time()

    def play(self, *players: Player, rounds: int = 7, most_steps: int = 100) -> Iterator[Row]:
        """The rows of arms that take turns.

        Raises:
            SystemExit: None of them was measured, so that the part is one that failed.
        """
        measured = False
        lap_seconds = 0.7
        if REHEARSAL:
            rounds, most_steps, lap_seconds = 2, 1, 0.01
        with tempfile.TemporaryDirectory() as folder:
            for row in play(
                players,
                Path(folder),
                deadline=self.deadline - 2,
                rounds=rounds,
                lap_seconds=lap_seconds,
                most_steps=most_steps,
                settle=0 if most_steps == 1 else 2,  # a step that fills a lap needs none before
            ):
                measured = measured or bool(row.get("laps"))
                yield row
        if not measured:
            raise SystemExit("no arm was measured")


# -- the card and the tests ------------------------------------------------------------------------


def card(room: Room) -> Iterator[Row]:
    """Rates of this card, and what is installed."""
    from benchmarks.gpu_counts import ceilings
    from benchmarks.timing import this_device
    from genkit.provenance import provenance

    sizes = {"side": 256, "megabytes": 16} if REHEARSAL else {"side": 8192, "megabytes": 4096}
    yield {"kind": "card", **ceilings(this_device(), **sizes)}
    found = provenance()
    yield {"kind": "machine", **{key: found[key] for key in ("packages", "commit", "dirty")}}


def tests(room: Room) -> Iterator[Row]:
    """The tests marked `gpu`; fails if one of them does."""
    report = Path(tempfile.mkdtemp()) / "tests.xml"
    words = ["-m", "gpu", "tests/gpu", "-q", "-p", "no:cacheprovider", f"--junitxml={report}"]
    # Other versions than the pinned ones warn of other things, which is no error there.
    words += ["-o", "filterwarnings=default", "--tb=short", "--show-capture=no"]
    workers = [] if REHEARSAL else ["-n", "6", "--dist", "worksteal"]
    if REHEARSAL:  # those that start processes take a minute each on a busy CPU
        words += ["-k", "not deterministic and not group"]
    threads = "1" if REHEARSAL else "2"
    variables = {"OMP_NUM_THREADS": threads, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    status = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *workers],
        cwd=ROOT,
        env={**os.environ, **variables},
        timeout=max(5.0, room.left - 3),
    ).returncode
    yield {"kind": "tests", **summary(report), "status_of_pytest": status}
    if status:
        raise SystemExit(status)


def summary(report: Path) -> Row:
    """Counts, and the names and first words of what failed, from a JUnit report."""
    cases = list(ET.parse(report).getroot().iter("testcase"))
    outcomes = [next((c.tag for c in case if c.tag != "properties"), "passed") for case in cases]
    failed = [
        [case.get("name"), " ".join((case[0].get("message") or "").split())[:300]]
        for case, outcome in zip(cases, outcomes, strict=True)
        if outcome in ("failure", "error")
    ]
    return {
        "passed": outcomes.count("passed"),
        "skipped": outcomes.count("skipped"),
        "failed_tests": failed,
    }


# -- speed -----------------------------------------------------------------------------------------

COMPILED = {"trainer": {"compile": True}}
LAST = {"trainer": {"memory_format": "channels_last"}}
BOTH = {"trainer": {"compile": True, "memory_format": "channels_last"}}
FP32 = {"trainer": {"precision": "fp32"}}


def _denoiser(
    network: str, batch: int, label: str, settings: Any = None, extras: Sequence[str] = ()
) -> Player:
    # The networks of rehearsals are small, and `auto` would choose fp32 for them.
    asked = settings or {}
    asked = {**asked, "trainer": {"precision": "bf16", **asked.get("trainer", {})}}
    if REHEARSAL:
        network, batch = ("dit-tiny" if network.startswith("dit") else "tiny"), 4
    arguments = {"network": network, "batch_size": batch, "settings": asked}
    return Player(label, "denoiser", arguments, extras)


def _example(network: str, batch: int, label: str, *, compiled: bool = False) -> Player:
    if REHEARSAL:
        network, batch = ("dit-tiny" if network.startswith("dit") else "tiny"), 4
    arguments = {"network": network, "batch_size": batch, "compiled": compiled}
    return Player(label, "example", arguments)


def _compiled(*players: Player) -> tuple[Player, ...]:
    """Arms that compile: none in a rehearsal, where it takes minutes, but for one of each part."""
    return players if not REHEARSAL else ()


THEIRS, OURS = "diffusers' example loop, bf16", "genkit"


def ddpm_128(room: Room) -> Iterator[Row]:
    """The 35.7 M U-Net, batch 128: layouts, compilation, the loop's floor."""
    everything = ("count", "profile")
    for row in room.play(
        _example("cifar10", 128, THEIRS),
        _denoiser("cifar10", 128, OURS, extras=everything),
        _denoiser("cifar10", 128, f"{OURS}, channels last", LAST, ("profile",)),
        *_compiled(
            _denoiser("cifar10", 128, f"{OURS}, compiled", COMPILED, ("profile",)),
            _denoiser("cifar10", 128, f"{OURS}, compiled, channels last", BOTH, ("profile",)),
            _example("cifar10", 128, f"{THEIRS}, compiled", compiled=True),
        ),
    ):
        yield {"kind": "speed", "work": "DDPM step, 35.7 M weights, batch 128", **row}


def ddpm_large(room: Room) -> Iterator[Row]:
    """The same, batches of 256 and 512."""
    for batch in (256, 512):
        half = Room(room.out, time.time() + room.left / (2 if batch == 256 else 1))
        ours = _denoiser("cifar10", batch, OURS, extras=("count",))
        players = (_example("cifar10", batch, THEIRS), ours)
        more = [_denoiser("cifar10", batch, f"{OURS}, compiled, channels last", BOTH)]
        for row in half.play(*players, *_compiled(*more), rounds=5):
            yield {"kind": "speed", "work": f"DDPM step, 35.7 M weights, batch {batch}", **row}


def dit(room: Room) -> Iterator[Row]:
    """DiT-S against the example loop, and DiT-B."""
    for row in room.play(
        _example("dit-s", 256, THEIRS),
        _denoiser("dit-s", 256, OURS, extras=("count", "profile")),
        *_compiled(_denoiser("dit-s", 256, f"{OURS}, compiled", COMPILED, ("profile",))),
        rounds=5,
    ):
        yield {"kind": "speed", "work": "DiT-S step, batch 256", **row}
    if room.left < 25 and not REHEARSAL:
        return
    for row in room.play(
        _denoiser("dit-b", 256, OURS, extras=("count", "profile")),
        *_compiled(_denoiser("dit-b", 256, f"{OURS}, compiled", COMPILED, ("profile",))),
        rounds=5,
    ):
        yield {"kind": "speed", "work": "DiT-B step, batch 256", **row}


def _gan(size: int, label: str, settings: Any = None, extras: Any = (), **more: Any) -> Player:
    batch, width = (4, 8) if REHEARSAL else (128 if size == 64 else 64, 64)
    arguments = {"size": 32 if REHEARSAL else size, "batch_size": batch, "width": width, **more}
    return Player(label, "gan", {**arguments, "settings": settings or {}}, extras)


def gans(room: Room) -> Iterator[Row]:
    """DCGAN at 64 px against the public loop, SNGAN at 32 px."""
    half = Room(room.out, time.time() + 0.6 * room.left)
    plain = {"size": 32, "batch_size": 4, "width": 8} if REHEARSAL else {}
    plain = plain or {"size": 64, "batch_size": 128}
    for row in half.play(
        Player("the public loop, fp32", "plain_gan", plain),
        _gan(64, f"{OURS}, fp32", FP32),
        _gan(64, OURS, extras=("count", "profile")),
        *_compiled(_gan(64, f"{OURS}, compiled", COMPILED)),
        rounds=5,
    ):
        yield {"kind": "speed", "work": "DCGAN step, 64 px, batch 128", **row}
    sngan = {"residual": True}
    for row in room.play(
        _gan(32, f"{OURS}, fp32", FP32, **sngan),
        _gan(32, OURS, extras=("count", "profile"), **sngan),
        *_compiled(_gan(32, f"{OURS}, generator compiled", COMPILED, **sngan)),
        rounds=5,
    ):
        yield {"kind": "speed", "work": "SNGAN step, 32 px, 5 x 64 pictures", **row}


def loader(room: Room) -> Iterator[Row]:
    """The loader alone, to be set against the steps."""
    sizes = (16, 4, 4) if REHEARSAL else (32, 128, 512)
    players = [
        Player(f"batch {batch}", "loading", {"size": sizes[0], "batch_size": batch})
        for batch in sorted(set(sizes[1:]))
    ]
    for row in room.play(*players, most_steps=2000):
        yield {"kind": "speed", "work": "the loader alone, 32 px in colour, flipped", **row}


def sampling(room: Room) -> Iterator[Row]:
    """1,000 pictures by 20 DDIM steps of the 35.7 M U-Net."""
    sizes: dict[str, Any] = {"network": "cifar10", "count": 1000, "batch_size": 250, "steps": 20}
    if REHEARSAL:
        sizes = {"network": "tiny", "count": 4, "batch_size": 2, "steps": 2}

    def arm(label: str, library: str, precision: str, **more: Any) -> Player:
        return Player(
            label, "sampling", {**sizes, "library": library, "precision": precision, **more}
        )

    for row in room.play(
        arm("diffusers, fp32", "diffusers", "fp32"),
        arm("diffusers, bf16", "diffusers", "bf16"),
        arm("genkit, fp32", "genkit", "fp32"),
        arm("genkit, bf16", "genkit", "bf16"),
        *_compiled(arm("genkit, bf16, compiled", "genkit", "bf16", compiled=True)),
        rounds=2,
        most_steps=1,
    ):
        yield {"kind": "speed", "work": "1,000 pictures by 20 DDIM steps, 35.7 M weights", **row}


def features(room: Room) -> Iterator[Row]:
    """FID features of PNG files."""
    images = 4 if REHEARSAL else 1000

    def arm(label: str, library: str, precision: str) -> Player:
        arguments = {"images": images, "library": library, "precision": precision}
        return Player(label, "features", arguments)

    for row in room.play(
        *(() if REHEARSAL else (arm("clean-fid, fp32", "clean-fid", "fp32"),)),
        arm("genkit, fp32", "genkit", "fp32"),
        *(() if REHEARSAL else (arm("genkit, bf16, a preview", "genkit", "bf16"),)),
        rounds=3,
        most_steps=1,
    ):
        yield {"kind": "speed", "work": "features of PNG files of 32 px, at 299 px", **row}


# -- one real run ----------------------------------------------------------------------------------


def run(room: Room) -> Iterator[Row]:
    """A training for the time that is left, its pictures and their measures."""
    yield from gpu_run.run(room.out, room.deadline, tiny=REHEARSAL)


# -- the list --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """One part.

    Attributes:
        name: For `--only`.
        planned: Seconds that it should take.
        most: Seconds that it may take.
        work: Gives its rows.
        takes_the_rest: Whether it has whatever is left.
    """

    name: str
    planned: float
    most: float
    work: Callable[[Room], Iterator[Row]]
    takes_the_rest: bool = False

    @property
    def what(self) -> str:
        """What it does, in a line."""
        return (self.work.__doc__ or "").splitlines()[0]


PARTS = (
    Part("card", 15, 45, card),
    Part("tests", 75, 110, tests),
    Part("ddpm-128", 120, 190, ddpm_128),
    Part("dit", 70, 90, dit),
    Part("ddpm-large", 75, 130, ddpm_large),
    Part("sampling", 40, 75, sampling),
    Part("loader", 15, 25, loader),
    Part("features", 25, 40, features),
    Part("gans", 35, 60, gans),
    Part("run", 60, 540, run, takes_the_rest=True),
)
