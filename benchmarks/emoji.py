"""Emoji with captions, parted by their bases: skin tones of one drawing never lie on both sides.

    python -m benchmarks.emoji --data PATH --out DIR
    genkit train configs/clip/emoji.yaml data.root=DIR

PATH holds pictures and a metadata.jsonl with `file_name`, `text`, `keywords` and `base`: the Noto
set of googlefonts (SIL OFL 1.1) laid out so. DIR gets train/ and test/, links to the pictures
and a metadata.jsonl each: an eighth of the bases is held out, one drawing of each. A picture's
captions are its name, and its name with some of its keywords.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

from genkit import random

HELD_OUT = 8  # one base in so many
FEW = 4  # keywords of a caption


def captions(row: dict[str, Any]) -> list[str]:
    """The name, and the name with keywords, a few at a time."""
    name, known = str(row["text"]), [str(word) for word in row["keywords"]]
    others = [word for word in known if word not in name]
    parts = [others[i : i + FEW] for i in range(0, len(others), FEW)]
    return [name, *(f"{name}: {', '.join(words)}" for words in parts)]


def part_of(base: str) -> str:
    """Which part a base belongs to, whatever else there is."""
    return "test" if random.key(0, f"emoji/{base}") % HELD_OUT == 0 else "train"


def main() -> None:
    """Write both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    lines: dict[str, list[str]] = {"train": [], "test": []}
    seen: set[str] = set()
    source = options.data.resolve()
    for text in (source / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        part = part_of(row["base"])
        if part == "test" and row["base"] in seen:
            continue
        seen.add(row["base"])
        place = options.out / part / row["file_name"]
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_symlink():
            os.symlink(source / row["file_name"], place)
        line = {"file_name": row["file_name"], "caption": captions(row)}
        lines[part].append(json.dumps(line, ensure_ascii=False))
    for part, rows in lines.items():
        path = options.out / part / "metadata.jsonl"
        path.write_text("\n".join(rows) + "\n", encoding="utf-8")
        print(f"{part}: {len(rows):,} pictures")


if __name__ == "__main__":
    main()
