"""What signals and kill -9 cost: nothing that was complete, and the results are the unbroken ones.

    python -m benchmarks.kills signals [--times 10] [--out FOLDER]
    python -m benchmarks.kills kills [--times 50] [--only evaluation] [--out FOLDER]

`signals`: a training on 1 and 2 processes, with 0 and 2 workers of the loader, gets a signal after
a random while, sent to the process that was started or to every one there is; `--times` for each
combination, SIGTERM, SIGINT, SIGHUP and SIGUSR1 in turn. Each must end with the status of an
unfinished run, no traceback, and a checkpoint of the step that it names; the run goes on from there
each time, and ends with the weights of one that nothing stopped.

`kills`: training, export, sampling (folder, npz, tar), filling a cache and evaluation are killed at
random instants, together `--times` times, begun again with the same words, and end with the results
of the unbroken command. What was complete before a kill is so after it.

Neither measures time, so the machine may be busy.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from benchmarks.outcomes import Result, arrays, evaluation, files, members, training
from benchmarks.stops import signals

GENKIT = [sys.executable, "-m", "genkit"]
TREE = {
    "family": "cgan",
    "data": {"kind": "folder", "root": "pictures", "image_size": 16, "batch_size": 8},
    "model": {"width": 8, "latent_dim": 8},
    "trainer": {
        "steps": 100_000,
        "log_every": 5,
        "save_every": 100_000,
        "preview_every": 100_000,
        "preview_count": 4,
        "ema_decay": 0.9,
    },
}


def main() -> None:
    """Run one of the two, and say in a line what was seen of each case; status 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("signals", "kills"))
    parser.add_argument("--times", type=int)
    parser.add_argument("--only", default="", help="Kills of work that is called so alone.")
    parser.add_argument("--out", type=Path, help="Keep what was made here.")
    asked = parser.parse_args()
    folder = (asked.out or Path(tempfile.mkdtemp(prefix="genkit-kills-"))).resolve()
    pictures(folder / "pictures")
    os.chdir(folder)
    os.environ["GENKIT_CACHE"] = str(folder / "cache")
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # also where this runs under nohup
    if asked.what == "signals":
        lines = signals(config("signals.yaml"), asked.times or 10)
    else:
        lines = kills(asked.times or 50, asked.only)
    failed = 0
    for line, well in lines:
        failed += not well
        print("ok    " if well else "FAILED", line, flush=True)
    if asked.out is None:
        shutil.rmtree(folder)
    sys.exit(failed > 0)


def pictures(folder: Path) -> None:
    """Forty noise pictures in two classes, if they are not there."""
    for i in range(40):
        file = folder / "ab"[i % 2] / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(i).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)


def config(name: str, **trainer: Any) -> Path:
    """A config file of the tiny run."""
    path = Path(name)
    path.write_text(yaml.safe_dump(TREE | {"trainer": TREE["trainer"] | trainer}))  # type: ignore[operator]
    return path


@dataclass(frozen=True)
class Work:
    """Something that may be killed.

    Attributes:
        name: What it is.
        share: How many of a hundred kills it gets.
        command: What does it, given where its results go.
        result: What is to be equal, given the same; {} if there is none yet.
        clean: Whether each begins from nothing once it was complete; else it is done again.
    """

    name: str
    share: int
    command: Callable[[Path], list[str]]
    result: Callable[[Path], Result]
    clean: bool = True


def kills(times: int, only: str = "") -> Iterator[tuple[str, bool]]:
    """A line for each kind of work, and whether all went well."""
    run = Path("model")
    short = config("short.yaml", steps=4, save_every=4, log_every=2)
    if not run.exists():
        subprocess.run([*GENKIT, "train", str(short), "--out", str(run)], check=True)
    works = [work for work in all_works(run) if work.name.startswith(only)]
    shares = sum(work.share for work in works)
    for i, work in enumerate(works):
        number = times * work.share // shares
        times, shares = times - number, shares - work.share  # the last one gets what is left
        yield survives(work, max(1, number), random.Random(i))


def all_works(run: Path) -> Iterator[Work]:
    """The kinds of work, on a finished run."""
    file = config("killed.yaml", steps=300, save_every=10)
    train = [*GENKIT, "train", str(file), "--resume", "--out"]
    yield Work("training", 20, lambda out: [*train, str(out)], training, clean=False)
    two = ["--processes", "2"]
    yield Work("training, 2 processes", 16, lambda out: [*train, str(out), *two], training, False)
    export = [*GENKIT, "export", str(run), "--out"]
    yield Work("export", 12, lambda out: [*export, str(out)], files, clean=False)
    sample = [*GENKIT, "sample", str(run), "--count", "600", "--batch-size", "10", "--out"]
    yield Work("sampling, folder", 10, lambda out: [*sample, str(out)], files)
    yield Work("sampling, npz", 10, lambda out: [*sample, f"{out}.npz"], arrays)
    yield Work("sampling, tar", 10, lambda out: [*sample, f"{out}.tar"], members)
    subprocess.run([*sample, "measured.npz"], check=True, capture_output=True)
    drawn = (
        "import os, sys; os.environ['GENKIT_CACHE'] = sys.argv[1]\n"
        "from genkit.data import open_data; from genkit.data.readers.glyphs import GlyphsData\n"
        "open_data(GlyphsData(image_size=32, train_count=6000))"
    )
    yield Work("filling a cache", 10, lambda out: [sys.executable, "-c", drawn, str(out)], files)
    measure = [*GENKIT, "evaluate", "measured.npz", "--reference", "pictures", "--extractor"]
    measure += ["digits", "--metric", "fd", "--metric", "kid", "--out"]
    yield Work("evaluation", 12, lambda out: [*measure, f"{out}.json"], evaluation)


def survives(work: Work, times: int, chance: random.Random) -> tuple[str, bool]:
    """What became of a work that was killed so often, and whether it is the unbroken result."""
    name = re.sub(r"\W+", "-", work.name)
    begun = time.monotonic()
    subprocess.run(work.command(Path(f"{name}-whole")), check=True, capture_output=True)
    usual = time.monotonic() - begun
    wanted, out, killed, complete, problems = work.result(Path(f"{name}-whole")), None, 0, 0, []
    while killed < times:
        out = out or Path(f"{name}-{complete}")
        before = work.result(out)
        died, text = kill(work.command(out), out, usual, chance)
        killed += died
        after = work.result(out)
        lost = sorted(name for name, value in before.items() if after.get(name) != value)
        if lost and after != wanted:
            problems.append(f"of {len(before)} that were complete {len(lost)} are gone: {lost[:5]}")
        if not died:
            complete += 1
            if text:
                problems.append(text)
            elif work.result(out) != wanted:
                problems.append("another result")
            out = None if work.clean else out
            if complete > 20 * times:
                problems.append("too short to be killed")
                break
    out = out or Path(f"{name}-{complete}")
    last = subprocess.run(work.command(out), check=False, capture_output=True, text=True)
    same = last.returncode == 0 and work.result(out) == wanted
    said = f"{work.name}: killed {killed} times, {complete} ended before; equal: {same}"
    return f"{said} {problems or ''}{'' if same else last.stderr[-500:]}", same and not problems


def kill(command: list[str], out: Path, usual: float, chance: random.Random) -> tuple[bool, str]:
    """Kill a command while it works: whether it was in time, else what it said if it failed."""
    before, begun = traces(out), time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and traces(out) == before:  # until it writes: imports take long
        if time.monotonic() - begun > usual * chance.uniform(0.6, 1.0):
            break
        time.sleep(0.002)
    time.sleep(chance.choice((0.01, 0.1, 1.0)) * chance.random())
    process.kill()
    said = process.communicate()[1]
    time.sleep(0.1)  # ranks die with their launcher
    return process.returncode == -signal.SIGKILL, said[-500:] if process.returncode > 0 else ""


def traces(out: Path) -> set[tuple[str, int, int]]:
    """What lies where the results go, as far as one sees from outside."""
    found = [*out.parent.glob(f"*{out.name}*"), *out.rglob("*")]
    seen = set()
    for path in found:
        try:
            stat = path.lstat()
        except OSError:
            continue
        seen.add((str(path), stat.st_mtime_ns, stat.st_size))
    return seen


if __name__ == "__main__":
    main()
