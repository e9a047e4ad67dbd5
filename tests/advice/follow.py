"""How advice is followed: a command leads to a message, what it says is done, nothing is refused.

Commands are typed as after `genkit`, in a folder with tiny configs, pictures and runs; a run is
trained when it is first named: `{dcgan}`, `{cgan}`, `{guided}`, `{plain}` are copies of them that
a case may change, `{bare}` is one without an export, `{new}` and `{other}` are names that
are not taken.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from advice.find import Message, messages
from PIL import Image
from typer.testing import CliRunner

from genkit.cli import app
from genkit.family import load

FAMILIES = ("attgan", "autoencoder", "clip", "cyclegan", "dcgan", "cgan", "ddpm")
SHORT = "trainer.steps=2"


@dataclass(frozen=True)
class Case:
    """One message and what comes of its advice.

    Attributes:
        key: What of the source's text names the message: words, or "file.py: words".
        command: What leads to it.
        takes: A pattern of what is followed, looked for in the text as it is printed: a whole
            command (`genkit ...`), or options and settings that are added to the command or put
            in the place of its own.
        leaves: Options or settings that are left out of the command.
        then: What the text says in other words, added as `takes` is, or a whole command.
        says: These words, which must be in the text as it is printed.
        fill: What stands for SET, FILE, RUN in what is taken.
        section: That of settings which the text calls by their short names.
        status: The exit status of the command that leads to the message.
        before: Prepares the folder.
        again: The exit status where it was followed.
        same: Whether the message may be there again, as where nothing is wrong.
    """

    key: str
    command: str
    takes: str = ""
    leaves: str = ""
    then: str = ""
    says: str = ""
    fill: Mapping[str, str] = field(default_factory=dict)
    section: str = ""
    status: int = 2
    before: Callable[[World], object] | None = None
    again: int = 0
    same: bool = False

    def __str__(self) -> str:
        return re.sub(r"[^\w=.-]+", "-", f"{self.key}-{self.takes or self.leaves or self.then}")


@dataclass(frozen=True)
class Call:
    """The same for what Python says, or what takes more than a command.

    Attributes:
        key: See `Case`.
        says: Makes the text.
        follow: Does what it says; raises where that is refused.
    """

    key: str
    says: Callable[[World], str]
    follow: Callable[[World, str], object]

    def __str__(self) -> str:
        return re.sub(r"[^\w=.-]+", "-", self.key)


class World:
    """A folder with tiny configs, pictures, and runs that are trained when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._taken = 0
        for name in FAMILIES:
            tree = {"family": name, **load(name).tiny}
            tree["trainer"] = {**tree["trainer"], "preview_every": 1000, "steps": 2}
            self.write(f"{name}.yaml", tree)
        data = {"kind": "folder", "root": "pictures", "image_size": 16, "channels": 1}
        conditional = {**tree["model"], "conditional": True}
        self.write("guided.yaml", tree | {"model": conditional})
        self.write("plain.yaml", tree | {"data": data | {"batch_size": 8}})
        custom = {"kind": "custom", "image_size": 16, "channels": 1, "batch_size": 8}
        self.write("custom.yaml", tree | {"data": custom})
        self.write("parted.yaml", tree | {"data": data | {"batch_size": 8, "root": "parted"}})
        for name in ("parted/train", "parted/test", "pictures", "others"):
            self.pictures(name, 40)
        self.pictures("few", 12)
        Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(folder / "mask.png")
        shutil.copy(folder / "pictures/0.png", folder / "seven.png")

    def write(self, name: str, tree: Mapping[str, Any]) -> None:
        """A config."""
        (self.folder / name).write_text(yaml.safe_dump(dict(tree)))

    def pictures(self, name: str, count: int, side: int = 16) -> None:
        """A folder of noise."""
        (self.folder / name).mkdir(parents=True, exist_ok=True)
        drawn = np.random.default_rng(abs(hash(name)) % 1000)
        for i in range(count):
            noise = drawn.integers(0, 256, (side, side), dtype=np.uint8)
            Image.fromarray(noise).save(self.folder / name / f"{i}.png")

    def run(self, words: list[str] | str) -> tuple[int, str]:
        """The exit status and all that is printed; other errors than genkit's own are raised."""
        words = shlex.split(words) if isinstance(words, str) else words
        done = CliRunner().invoke(app, words)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output

    def ok(self, words: list[str] | str) -> str:
        """What a command prints that has to succeed."""
        status, text = self.run(words)
        assert status == 0, f"genkit {words}: refused\n{text}"
        return text

    def new(self) -> str:
        """A name that is not taken."""
        self._taken += 1
        return f"new-{self._taken}"

    def copy(self, name: str) -> str:
        """A run of its own to change."""
        if name == "bare":
            own = self.copy("dcgan")
            shutil.rmtree(self.folder / own / "export")
            return own
        kept = self.folder / "kept" / name
        if not kept.exists():
            self.ok(f"train {name}.yaml --out kept/{name}")
        own = self.new()
        shutil.copytree(kept, self.folder / own)
        return own

    def named(self, command: str) -> str:
        """A command with its names filled in."""
        names = set(re.findall(r"\{(\w+)\}", command)) - {"new", "other"}
        own = {name: self.copy(name) for name in names}
        return command.format(**own, new=self.new(), other=self.new())


def the(key: str) -> tuple[Message, ...]:
    """The message that a key names; it may stand in several places of a file."""
    found = [message for message in messages() if message.holds(key)]
    words = key.partition(".py: ")[2] or key
    found = [message for message in found if message.text == words] or found
    assert len({(message.file, message.text) for message in found}) == 1, (
        f"{key!r} names {len(found)} messages with advice, expected 1: its text has changed, or "
        "others have it too; mend the key in tests/advice/"
    )
    return tuple(found)


def follow(case: Case | Call, world: World) -> None:
    """Come to the message and do what it says; an `AssertionError` where that is refused."""
    message = the(case.key)[0]
    if isinstance(case, Call):
        text = case.says(world)
        assert message.pattern.search(text), f"expected {message}, got:\n{text}"
        case.follow(world, text)
        return
    if case.before is not None:
        case.before(world)
    command, _, done_then = world.named(f"{case.command}\0{case.then}").partition("\0")
    words = shlex.split(command)
    status, text = world.run(words)
    assert message.pattern.search(text), f"genkit {words}\nexpected {message}, got:\n{text}"
    assert status == case.status, text
    assert case.says in " ".join(text.split()), text
    again = _advised(case, words, text, done_then)
    status, now = world.run(again)
    assert status == case.again, f"the advice of {message} is refused: genkit {again}\n{now}"
    is_said = message.pattern.search(now)
    assert case.same or not is_said, f"genkit {again} says the same again:\n{now}"


def _advised(case: Case, words: list[str], text: str, then: str) -> list[str]:
    """The command that the text asks for."""
    for name in case.leaves.split():
        assert case.says or re.split(r"[.]|--", name)[-1] in text, text
        words = _without(words, name)
    taken: list[str] = []
    if case.takes:
        found = re.search(case.takes, " ".join(text.split()))
        assert found, f"no {case.takes!r} in:\n{text}"
        advised = found[found.re.groups and 1]
        for name, value in case.fill.items():
            advised = re.sub(rf"\b{name}\b", value, advised)
        taken = [word.rstrip(",;.") for word in shlex.split(advised)]
    if taken[:1] == ["genkit"]:
        return taken[1:] + shlex.split(then)
    if then.startswith("genkit "):
        return shlex.split(then)[1:]
    for word in (*taken, *shlex.split(then)):
        name, _, value = word.partition("=")
        if case.section and value and "." not in name:
            name, word = f"{case.section}.{name}", f"{case.section}.{word}"
        kept = _without(words, name) if value and "." in name else words
        words = [*kept, word]
    return words


def _without(words: list[str], name: str) -> list[str]:
    """A command without a setting, or without an option and its value."""
    kept, passing = [], False
    for word in words:
        if passing and not word.startswith("--"):
            passing = False
            continue
        passing = word == name
        if not passing and word.partition("=")[0] != name:
            kept.append(word)
    return kept
