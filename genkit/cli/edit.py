"""`genkit edit`: attributes of one's own pictures, switched on and off."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer

from genkit.cli.drawing import say_loading
from genkit.cli.translate import Device, Images
from genkit.errors import PipelineError, shown

_STATES = {"1": 1, "on": 1, "0": 0, "off": 0}


def _option(kind: str, what: str, **rest: Any) -> Any:
    return typer.Option(metavar=kind, help=what, show_default=False, **rest)


def edit(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder, export folder or Hub id.")
    ],
    images: Images,
    *,
    set: Annotated[
        list[str] | None,
        _option("NAME=1|0", "An attribute to switch on or off; repeatable."),
    ] = None,
    strength: Annotated[
        float,
        typer.Option(min=0, help="How strongly: 1 as published, 0 neither on nor off."),
    ] = 1.0,
    have: Annotated[
        list[str] | None,
        _option(
            "NAME=1|0",
            "What the pictures have or don't, whatever the model guesses; repeatable.",
        ),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        _option(
            "NAME",
            "A strip with this attribute from -2 to 2, of the picture as --set "
            "changes it; repeatable.",
        ),
    ] = None,
    crop: Annotated[
        str | None,
        _option(
            "TOP,LEFT,SIDE|training",
            "Part that the model sees, in px, or that of the run's own pictures; default the "
            "largest in the middle.",
        ),
    ] = None,
    model_size: Annotated[
        bool,
        typer.Option(
            "--model-size",
            help="What the model made itself, of its own size, not the change laid on the picture.",
        ),
    ] = False,
    out: Annotated[
        Path | None,
        _option(
            "DIR",
            "Where results go, NAME-Eyeglasses_on.png and .json; default RUN/edited, of an export "
            "NAME-edited here.",
        ),
    ] = None,
    grid: Annotated[
        Path | None,
        _option("FILE.png", "A sheet: each picture with every attribute switched."),
    ] = None,
    device: Device = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Switch attributes of pictures, such as glasses, and keep the rest.

    What a picture has already is guessed by the model, shown, and kept in the .json file beside
    each result. A picture unlike those that the model learnt is said to be so.

    Examples:
      [cyan]genkit edit runs/faces photo.png --set Eyeglasses=1 --out edited[/]
      [cyan]genkit edit runs/faces photos --set Smiling=0 --set Bald=1 --strength 1.5[/]
      [cyan]genkit edit runs/faces photo.png --have Wearing_Hat=0 --sweep Smiling[/]
      [cyan]genkit edit runs/celeba photos --crop 26,3,170 --grid sheet.png[/]
    """
    say_loading(source)
    from genkit.verbs.edit import Request
    from genkit.verbs.edit import edit as make

    request = Request(
        source,
        images,
        out,
        _states("--set", set or []),
        strength,
        _states("--have", have or []),
        sweep or [],
        None if crop is None else _crop(source, crop),
        model_size,
        grid,
        device,
    )
    outcomes = make(request, _bar)
    failed = any(outcome.failed for outcome in outcomes)
    for outcome in outcomes:
        outcome.say()
    if json:
        typer.echo(json_format.dumps([outcome.to_tree() for outcome in outcomes]))
    else:
        made = (str(outcome.out) for outcome in outcomes if outcome.written or outcome.kept)
        for path in dict.fromkeys(made):
            typer.echo(path)
    if failed:
        raise typer.Exit(1)


def _states(option: str, words: list[str]) -> dict[str, int]:
    """Attributes and states as a person writes them."""
    found: dict[str, int] = {}
    for word in words:
        name, equals, state = word.rpartition("=")
        if "," in word and all("=" in part for part in word.split(",")):
            each = " ".join(f"{option} {part.strip()}" for part in word.split(","))
            raise PipelineError(f"{option} {shown(word)}: takes one each; write {shown(each)}")
        if not equals or state.lower() not in _STATES:
            raise PipelineError(
                f"{option} {shown(word)}: write NAME=1 (on) or NAME=0 (off), such as Smiling=1"
            )
        if name in found:
            raise PipelineError(f"{option} {shown(name)}: is given twice; leave one out")
        found[name] = _STATES[state.lower()]
    return found


def _crop(source: str, text: str) -> tuple[int, int, int]:
    """(top, left, side) as a person writes it."""
    if text == "training":
        from genkit.verbs.edit import training_crop

        return training_crop(source)
    parts = text.split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() for part in parts):
        raise PipelineError(
            f"--crop {shown(text)}: write TOP,LEFT,SIDE in px, such as 26,3,170, or training"
        )
    top, left, side = map(int, parts)
    if not side:
        raise PipelineError(f"--crop {shown(text)}: the side must be at least 1 px")
    return top, left, side


def _bar(count: int, missing: int, own: int, batch_size: int) -> Any:
    from genkit.cli.drawing import bar

    return bar(count, missing, own, batch_size, "editing")
