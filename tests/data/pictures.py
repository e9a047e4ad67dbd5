"""Small picture files of known content for the tests of the readers."""

import json

from PIL import Image

COLORS = ["red", "lime", "blue", "yellow", "cyan", "magenta", "black", "gray", "orange", "navy"]


def write(path, color="red", size=(12, 12), mode="RGB"):
    """A picture of one colour; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).convert(mode).save(path)
    return path


def write_classes(root, **counts):
    """A sub-folder per class with so many pictures, each of another size."""
    for name, count in counts.items():
        for i in range(count):
            write(root / name / f"{i:03d}.png", COLORS[i % len(COLORS)], (12 + i, 12))
    return root


def write_metadata(root, rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (root / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def cut(path, keep=45):
    """Leave only the first bytes of a file."""
    path.write_bytes(path.read_bytes()[:keep])
    return path
