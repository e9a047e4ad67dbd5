"""Pictures for people: sheets of samples and of variants, walks, and the way out of the noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from genkit.errors import PipelineError
from genkit.files import write_whole
from genkit.images import sheets, to_uint8
from genkit.images.sheets import Line
from genkit.pipelines.given import Given, class_of, renamed
from genkit.pipelines.walks import FromNoise

_COLUMNS = 9  # of a sheet of variants
_SIDE = 64  # px; smaller images are enlarged by a whole factor towards it


def save_grid(
    pipeline: Any,
    path: Path | str,
    *,
    rows: int | None = None,
    columns: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    **asked: Any,
) -> Path:
    """The path of a sheet of samples: one row per class or text, named, or 8 rows without.

    Args:
        pipeline: A `Pipeline` whose images come from noise.
        path: A .png file.
        rows: Rows of an unconditional sheet (8), or classes or texts to show (all of them).
        columns: Images per row; 10 with classes, else 8.
        seed: As in a call of the pipeline.
        batch_size: Images made at a time.
        asked: As in a call of the pipeline; `label` names the class of each row.
    """
    path = _checked(path, (".png",))
    asked, cycle = _classes(pipeline, asked)
    said = asked.pop("caption", None)
    texts = [said] if isinstance(said, str) else said
    kinds = cycle or texts
    rows = rows or (8 if kinds is None else len(kinds))
    columns = columns or (8 if cycle is None else 10)
    if rows < 1 or columns < 1:
        raise PipelineError(f"{path}: a grid of {rows} x {columns}; both must be at least 1")
    # Each row is one class or text; the noise goes on from row to row, so no two images share it.
    each: Any = kinds and [kinds[r % len(kinds)] for r in range(rows) for _ in range(columns)]
    classes, captions = (None, each) if cycle is None else (each, None)
    drawing = {"seed": seed, "label": classes, "caption": captions, "batch_size": batch_size}
    parts = pipeline.stream(range(rows * columns), **drawing, **asked)
    images = torch.cat([made["image"] for _, made in parts])
    told = captions and [sheets.in_lines(text) for text in captions]
    names = told if classes is None else _words(pipeline, classes)
    title = f"seed {seed}, images 0 to {len(images) - 1}"
    return _save(path, [_sheet(sheets.lines_of(images, columns, names), title)])


def save_interpolation(
    pipeline: Any,
    path: Path | str,
    *,
    length: int | None = None,
    keys: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    **asked: Any,
) -> Path:
    """The path of a walk through the latents of images 0, 1, ...: a strip, or a GIF that loops.

    A .png has one row per class, from image 0 to image 1; a .gif shows the classes side by side and
    comes back to where it began. Given several captions the walk leads from text to text, with the
    noise of image 0: a .png has a row from each to the next.

    Args:
        pipeline: A `Pipeline` whose images come from noise.
        path: A .png or .gif file.
        length: Images from one key image to the next; 10 in a strip, 15 in a GIF.
        keys: Key images that a GIF passes through; 4, and with several captions each of these.
        seed: As in a call of the pipeline.
        batch_size: Images made at a time.
        asked: As in a call of the pipeline; `label` names the classes to show, all by default.
    """
    path = _checked(path, (".png", ".gif"))
    moving = path.suffix == ".gif"
    length = length or (15 if moving else 10)
    said = asked.get("caption")
    if said is not None and not isinstance(said, str) and len(said) > 1:
        drawing = {"seed": seed, "batch_size": batch_size, **asked}
        return _save(path, _between_texts(pipeline, moving, length, keys, drawing))
    stops = [*range(keys or 4), 0] if moving else [0, 1]
    asked, cycle = _classes(pipeline, asked)
    walks = []
    for label in [None] if cycle is None else cycle:
        legs = [
            _walk(
                *(pipeline, first, second, length),
                seed=seed,
                label=label,
                batch_size=batch_size,
                **asked,
            )
            for first, second in pairwise(stops)
        ]
        # In a loop each leg leaves its last image to the next one.
        walks.append(torch.cat([leg[:-1] for leg in legs] if moving else legs))
    names = [""] if cycle is None else _words(pipeline, cycle)
    title = f"seed {seed}"
    if not moving:
        ends = ["image 0", *[""] * (length - 2), "image 1"]
        walked = enumerate(zip(walks, names, strict=True))
        lines = [Line(walk, name, () if i else ends) for i, (walk, name) in walked]
        return _save(path, [_sheet(lines, title)])
    starts = range(0, len(walks), 10)
    frames = torch.stack(walks, dim=1)  # (T, K, C, H, W)
    films = [[Line(f[i : i + 10], above=names[i : i + 10]) for i in starts] for f in frames]
    return _save(path, [_sheet(lines, title) for lines in films])


def save_variants(
    pipeline: Any,
    image: Tensor,
    path: Path | str,
    *,
    count: int = 8,
    seed: int = 0,
    batch_size: int = 64,
    **asked: Any,
) -> Path:
    """The path of a sheet with a picture and then its variants 0..count-1.

    Args:
        pipeline: A `Pipeline` that takes a picture.
        image: (C, H, W) uint8.
        path: A .png file.
        count: Variants in all.
        seed: As in a call of the pipeline.
        batch_size: Images made at a time.
        asked: As in a call of the pipeline.
    """
    path = _checked(path, (".png",))
    if count < 1:
        raise PipelineError(f"count: must be at least 1, got {count}")
    drawing = {"seed": seed, "image": image, "batch_size": batch_size}
    parts = pipeline.stream(range(count), **drawing, **asked)
    images = torch.cat([image[None], *(made["image"] for _, made in parts)])
    above = ["given", *map(str, range(count))]
    lines = [
        Line(images[i : i + _COLUMNS], above=above[i : i + _COLUMNS])
        for i in range(0, len(images), _COLUMNS)
    ]
    return _save(path, [_sheet(lines, f"seed {seed}")])


def save_inverted(
    pipeline: Any, path: Path | str, before: Tensor, back: str, made: Tensor, asked: Given
) -> Path:
    """The path of a sheet: a picture, what its noise gives again, and what else is made of it.

    Args:
        pipeline: It made them.
        path: A .png file.
        before: (2, C, H, W) uint8, the picture and what comes back.
        back: What to write beside the second.
        made: (N, C, H, W) uint8.
        asked: What each of `made` was made of: its texts or classes stand beside them.
    """
    path = _checked(path, (".png",))
    names = [""] * len(made)
    if "caption" in asked.taken:
        texts = asked.read(range(len(made)), ("caption",))["caption"]
        names = [sheets.in_lines(text) for text in texts]
    elif "label" in asked.taken:
        labels = torch.as_tensor(asked.read(range(len(made)), ("label",))["label"])
        names = _words(pipeline, labels.tolist())
    words = ["given", back, *names]
    images = torch.cat([before, made])
    return _save(path, [_sheet([Line(images[i : i + 1], w) for i, w in enumerate(words)], "")])


def save_trajectory(
    pipeline: Any,
    path: Path | str,
    *,
    count: int | None = None,
    frames: int = 10,
    seed: int = 0,
    **asked: Any,
) -> Path:
    """The path of strips that show how images 0, 1, ... come out of the noise, three for each.

    The first goes from the finished image into the noise, as in training; the second from the noise
    to the image, as in sampling; the third is what the network takes the second for.

    Args:
        pipeline: A `Denoising`.
        path: A .png file.
        count: Images to show; one per class of `label`, else 4.
        frames: Columns.
        seed: As in a call of the pipeline.
        asked: As in a call of the pipeline.
    """
    path = _checked(path, (".png",))
    if pipeline.in_steps and not hasattr(pipeline, "trajectory"):
        raise PipelineError(
            f"{path}: a {type(pipeline).__name__} shows no way out of the noise, which is of "
            "latents and not of pictures; leave --trajectory out"
        )
    if not pipeline.in_steps:
        raise PipelineError(
            f"{path}: this generator makes images in one pass, there is no way to show; "
            "use an export of a diffusion model"
        )
    asked = renamed(asked)
    count = count or (4 if asked.get("label") is None else len(asked["label"]))
    _, cycle = _classes(pipeline, asked)
    labels = [] if cycle is None else [cycle[i % len(cycle)] for i in range(count)]
    words = [f"{word}, " for word in _words(pipeline, labels)] or [""] * count
    way = pipeline.trajectory(count, frames, seed=seed, **asked)
    lines = []
    for i, word in enumerate(words):
        noised, noisy, predicted = (
            to_uint8(row[:, i]) for row in (way.noised, way.noisy, way.predicted)
        )
        lines += [
            Line(noised, f"{word}{i}:\ninto noise", way.noised_at),
            Line(noisy, "out of noise", way.noisy_at),
            Line(predicted, "what it is\ntaken for"),
        ]
    return _save(path, [_sheet(lines, f"seed {seed}; above the pictures: {way.unit}")])


def _classes(
    pipeline: Any, asked: Mapping[str, Any]
) -> tuple[dict[str, Any], Sequence[int] | None]:
    """Keywords without `label`, and the classes that they name: all by default, None without."""
    asked = renamed(asked)
    rows, _ = pipeline.asked(None, **asked)
    asked.pop("label", None)
    return asked, rows.describe()["labels"]


def _between_texts(
    pipeline: Any, moving: bool, length: int, keys: int | None, drawing: Mapping[str, Any]
) -> list[Image.Image]:
    """A walk through texts: a sheet with a row from each to the next, or the sheets of a film."""
    texts, title = list(drawing["caption"]), f"seed {drawing['seed']}, image 0"
    if keys is not None:
        raise PipelineError("keys: a walk through several captions has these; leave keys out")
    if not moving:
        lines = [
            Line(
                _walk(pipeline, 0, None, length, **{**drawing, "caption": [text, following]}),
                f"{sheets.in_lines(text)}\nto\n{sheets.in_lines(following)}",
            )
            for text, following in pairwise(texts)
        ]
        return [_sheet(lines, title)]
    stops = texts if texts[0] == texts[-1] else [*texts, texts[0]]
    count = (len(stops) - 1) * (length - 1) + 1
    frames = _walk(pipeline, 0, None, count, **{**drawing, "caption": stops})
    name = "\n".join(map(sheets.in_lines, texts))
    return [_sheet([Line(frame[None], name)], title) for frame in frames[:-1]]


def _walk(pipeline: Any, first: int, second: int | None, length: int, **options: Any) -> Tensor:
    """(length, C, H, W) uint8."""
    if not isinstance(pipeline, FromNoise):
        raise PipelineError(
            f"interpolate: a {type(pipeline).__name__} has no walk between its samples "
            "(`between` of genkit.pipelines.walks.FromNoise); leave --interpolate out"
        )
    unit = pipeline.interpolate(first, second, length, output="tensor", **options)
    return to_uint8(unit * 2 - 1)


def _words(pipeline: Any, labels: Sequence[int]) -> list[str]:
    """What a sheet calls the classes with these numbers."""
    column = class_of(pipeline)
    names = None if column is None else column.names
    return [sheets.word_for(label, names) for label in labels]


def _sheet(lines: Sequence[Line], title: str) -> Image.Image:
    scale = max(1, _SIDE // lines[0].images.shape[-1])
    return sheets.sheet(lines, scale=scale, title=title)


def _checked(path: Path | str, suffixes: tuple[str, ...]) -> Path:
    path = Path(path)
    if path.suffix not in suffixes:
        raise PipelineError(f"{path}: must end in {' or '.join(suffixes)}")
    return path


def _save(path: Path, pictures: Sequence[Image.Image]) -> Path:
    """One sheet as PNG, several as GIF, renamed into place."""
    rest: dict[str, Any] = {}
    if len(pictures) > 1:
        rest = {"save_all": True, "append_images": pictures[1:], "duration": 60, "loop": 0}
    form = path.suffix.removeprefix(".")
    try:
        write_whole(path, lambda file: pictures[0].save(file, form, **rest))
    except OSError as error:
        raise PipelineError(
            f"{path}: can't be written ({error.strerror or error}); free some space or choose a "
            "writable folder"
        ) from None
    return path
