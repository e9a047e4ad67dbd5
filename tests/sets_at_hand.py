"""Files of the published data sets, with a few random pictures in them."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor


def pixels(*shape: int) -> Tensor:
    """Random bytes, the same for the same shape."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randint(0, 256, shape, generator=generator).to(torch.uint8)


def mnist(root: Path) -> None:
    """The four IDX files."""
    for part, count in (("train", 40), ("t10k", 20)):
        for kind, values in (
            ("images-idx3", pixels(count, 28, 28)),
            ("labels-idx1", torch.arange(count, dtype=torch.uint8) % 10),
        ):
            head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            (root / f"{part}-{kind}-ubyte").write_bytes(head + values.numpy().tobytes())


def cifar10(root: Path) -> None:
    """The six binary files."""
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        table = pixels(20, 3073)
        table[:, 0] = torch.arange(20) % 10
        (root / f"{name}.bin").write_bytes(table.numpy().tobytes())


def folder(root: Path, channels: int | None = None) -> None:
    """Plain pictures of several sizes, as anyone may have: coloured, or grey without channels."""
    shape = () if channels is None else (channels,)
    root.mkdir(parents=True, exist_ok=True)
    for i in range(24):
        Image.fromarray(pixels(40, 30 + i, *shape).numpy()).save(root / f"{i:02}.png")


def classes(root: Path, names: Sequence[str]) -> None:
    """The pictures of a folder in sub-folders, one of each class in turn."""
    for name in names:
        (root / name).mkdir()
    for i, path in enumerate(sorted(root.glob("*.png"))):
        path.rename(root / names[i % len(names)] / path.name)


def attributes(root: Path, names: Sequence[str]) -> None:
    """What metadata.jsonl says of the pictures of a folder: yes and no of each name."""
    files = sorted(path.name for path in root.iterdir())
    rows = [
        {"file_name": file} | {name: bool((i >> (k % 3)) & 1) for k, name in enumerate(names)}
        for i, file in enumerate(files)
    ]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def captions(root: Path, texts: Sequence[str]) -> None:
    """What metadata.jsonl says of the pictures of a folder: texts in turn, in their order."""
    files = sorted(path.name for path in root.iterdir())
    rows = [{"file_name": file, "caption": texts[i % len(texts)]} for i, file in enumerate(files)]
    (root / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def shards(root: Path) -> None:
    """Two shards of coloured pictures with captions."""
    for number in range(2):
        with tarfile.open(root / f"{number}.tar", "w") as tar:
            for i in range(12):
                buffer = io.BytesIO()
                Image.fromarray(pixels(40, 30 + i, 3).numpy()).save(buffer, "png")
                text = f"picture {i} of {number}".encode()
                for ending, content in (("png", buffer.getvalue()), ("txt", text)):
                    member = tarfile.TarInfo(f"{number}-{i:02}.{ending}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))


ATTRIBUTES = (
    *("Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bushy_Eyebrows", "Eyeglasses"),
    *("Male", "Mouth_Slightly_Open", "Mustache", "No_Beard", "Pale_Skin", "Smiling", "Young"),
)


def celeba(root: Path, count: int = 12, size: tuple[int, int] = (178, 218)) -> None:
    """Pictures of CelebA's size with attributes: the first two thirds train, the others test."""
    (root / "img_align_celeba").mkdir(parents=True)
    rows, parts = [], []
    for i in range(count):
        name = f"{i + 1:06}.jpg"
        Image.fromarray(pixels(*size[::-1], 3).numpy()).save(root / "img_align_celeba" / name)
        flags = [1 if (i >> (k % 3)) & 1 else -1 for k in range(len(ATTRIBUTES))]
        rows.append(" ".join([name, *(f"{flag:2}" for flag in flags)]))
        parts.append(f"{name} {0 if 3 * i < 2 * count else 2}")
    head = [str(count), " ".join(ATTRIBUTES) + " "]
    (root / "list_attr_celeba.txt").write_text("\n".join([*head, *rows]) + "\n")
    (root / "list_eval_partition.txt").write_text("\n".join(parts) + "\n")


def unpaired(root: Path) -> None:
    """Two folders of coloured pictures, as CycleGAN's sets have them."""
    for part in ("trainA", "trainB", "testA", "testB"):
        (root / part).mkdir()
        folder(root / part, 3)
        for extra in range(part.endswith("B")):  # so that the sides differ
            Image.fromarray(pixels(50, 50 + extra, 3).numpy()).save(root / part / "more.png")


def paired(root: Path) -> None:
    """Pairs in folders of both parts; as wide as files of two pictures side by side may be."""
    for part, count in (("train", 12), ("test", 6)):
        for side in "ab":
            (root / part / side).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                picture = Image.fromarray(pixels(20 + i, 40, 3).numpy())
                picture.save(root / part / side / f"{i:02}.png")


FILES = {
    "celeba": celeba,
    "cifar10": cifar10,
    "folder": partial(folder, channels=3),
    "mnist": mnist,
    "paired": paired,
    "shards": shards,
    "unpaired": unpaired,
}
