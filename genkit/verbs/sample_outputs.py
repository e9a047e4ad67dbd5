"""Where `genkit sample` puts things: by default, and what it never writes over."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from genkit.errors import OutputError, shown
from genkit.files import check_output
from genkit.pipelines.loading import is_run

_PICTURES = {
    "grid": ("--grid", (".png",)),
    "interpolation": ("--interpolate", (".png", ".gif")),
    "trajectory": ("--trajectory", (".png",)),
}


def default_out(source: str, name: str, folder: str) -> Path:
    """Where results go that no one named a place for.

    Args:
        source: Run folder, export folder or Hub id.
        name: In a run folder.
        folder: Behind the name of anything else, in the folder that one is in.
    """
    if is_run(Path(source)):
        return Path(source) / name
    whole = Path(source).resolve() if Path(source).exists() else Path(source)
    named = [whole.name]
    if is_run(whole.parent):  # RUN/export is known by the run's name, RUN/best by both
        named = [whole.parent.name, *(["best"] if whole.name == "best" else [])]
    return Path("-".join([*named, folder]))


def check_outputs(
    out: Path | None,
    pictures: Mapping[str, Path],
    inputs: Iterable[Path | str | None],
    *,
    sheet: bool,
) -> None:
    """Raise where a result would go over what is read, over another result, or is misnamed.

    Args:
        out: Where samples or variants go; None = nowhere.
        pictures: Sheets and walks by kind.
        inputs: What is read; None and what doesn't exist is passed over.
        sheet: Whether `out` is a picture.
    """
    inputs = list(inputs)
    named = [
        (option, pictures[kind], ends)
        for kind, (option, ends) in _PICTURES.items()
        if kind in pictures
    ]
    if out is not None:
        named.append(("--out", out, (".png",) if sheet else ()))
    taken: dict[str, str] = {}
    for option, path, endings in named:
        if option != "--out" or not path.is_dir():
            check_output(path, option, endings=endings, inputs=inputs)
        place = os.path.realpath(path)
        if place in taken:
            raise OutputError(
                f"{option} {shown(path)}: {taken[place]} goes there too; give two names"
            )
        taken[place] = option
