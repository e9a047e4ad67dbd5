"""Every message of genkit that gives advice by name, read from the syntax trees.

Advice is a command (`genkit VERB`), an option (`--name`), a setting (`a.b=value`; `b=value` where
sections of settings speak) or a call (`genkit.name(...)`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import genkit

ROOT = Path(genkit.__file__).parent
SECTIONS = ("config", "families", "noise", "training", "nn")  # where settings have short names

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
_SETTING = re.compile(r"(?<![\w./])([a-z_]+\.[a-z_0-9]+)=")
_SHORT = re.compile(r"(?<![\w.(])([a-z_][a-z_0-9]*)=(?=[\w\[\"'])")
_COMMAND = re.compile(
    r"(?:(?<=`)|(?<=: )|(?<=; )|^(?=genkit [a-z ]+(?::|\{\}|$)))"
    r"genkit ((?:config |data |lora )?[a-z]+)\b"
)
_MENTIONED = re.compile(
    r"\b((?:adversarial|data|evaluation|model|noise|optim|preview|trainer)\.(?!jsonl?\b|yaml\b)"
    r"[a-z_0-9]+)\b(?![.(])"
)
_CALL = re.compile(r"\bgenkit\.([a-z_.]+)\(")
_OF_OTHERS = re.compile(r"pip install --[a-z-]+|accelerate launch")
_DECLARE = {"option", "argument", "field", "typer"}  # their words are help, not messages


@dataclass(frozen=True)
class Message:
    """A string of the source; `{}` stands for what is filled in."""

    file: str
    line: int
    text: str

    @property
    def pattern(self) -> re.Pattern[str]:
        """Matches the message as it is printed, within other text."""
        parts = re.split(r"\{\w*\}|%[ds]|%\.\d+f", self.text.replace("%%", "%"))
        return re.compile(
            r"[\s\S]*?".join(r"\s+".join(map(re.escape, re.split(r"\s+", p))) for p in parts)
        )

    def holds(self, key: str) -> bool:
        """Whether a key names it: words that it has, or "file.py: words"."""
        file, colon, words = key.partition(".py: ")
        if not colon:
            return key in self.text
        return words in self.text and f"/{self.file}".endswith(f"/{file}.py")

    @property
    def names(self) -> dict[str, list[str]]:
        """All commands, options, settings and calls of it."""
        text = _OF_OTHERS.sub("", self.text)
        short = self.file.split("/")[0] in SECTIONS
        return {
            "command": _COMMAND.findall(text),
            "option": _OPTION.findall(text),
            "setting": _SETTING.findall(text),
            "short": _SHORT.findall(text) if short else [],
            "mentioned": _MENTIONED.findall(text),
            "call": _CALL.findall(text),
        }

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text!r}"


@cache
def messages() -> tuple[Message, ...]:
    """Those that name anything, in the order of files and lines."""
    found = [m for path in sorted(ROOT.rglob("*.py")) for m in _messages_of(path)]
    return tuple(m for m in found if any(v for k, v in m.names.items() if k != "mentioned"))


def _messages_of(path: Path) -> Iterator[Message]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    passed = set(_help_and_docs(tree))
    for node in ast.walk(tree):  # outer nodes come first
        if id(node) in passed:
            continue
        text = _text(node)
        if text is None:
            continue
        passed |= {
            id(part) for part in ast.walk(node) if _text(part) is not None and _joined(node, part)
        }
        if " " in text.strip() or re.search(r"[a-z_]\.[a-z_0-9]+=.", text):
            yield Message(str(path.relative_to(ROOT)), node.lineno, text)


def _joined(node: ast.AST, part: ast.AST) -> bool:
    """Whether a string is a piece of another, and not what is filled in, a message of its own."""
    return isinstance(part, ast.Constant) or part is node


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(v) or "{}" for v in node.values)
    return None


def _help_and_docs(tree: ast.AST) -> Iterator[int]:
    said_as_help = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield id(node.value)
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name.strip("_").lower() in _DECLARE:
                yield from (id(part) for part in ast.walk(node))
                said_as_help |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and said_as_help & {
            target.id for target in node.targets if isinstance(target, ast.Name)
        }:
            yield from (id(part) for part in ast.walk(node))
