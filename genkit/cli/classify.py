"""`genkit classify`: which of one's own labels fits each picture."""

from __future__ import annotations

import json as json_format
from pathlib import Path
from typing import Annotated, Any

import typer

from genkit.cli.drawing import say_loading
from genkit.cli.translate import Device, Images
from genkit.errors import PipelineError, shown

Model = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="Run or export of family clip, folder or Hub id of a CLIPModel, or clip-vitb32, "
        "which is fetched once.",
    ),
]


def _option(kind: str, what: str, **rest: Any) -> Any:
    return typer.Option(metavar=kind, help=what, show_default=False, **rest)


def classify(
    images: Images,
    *,
    labels: Annotated[
        str, _option("WORDS|FILE.txt", "With commas between; or a file with one in each line.")
    ],
    model: Model = "clip-vitb32",
    template: Annotated[
        list[str] | None,
        _option(
            "TEXT",
            "With {} where the label goes, such as 'a photo of a {}'; repeatable: the mean is "
            "taken. Default the label alone, of clip-vitb32 seven of the paper.",
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        _option(
            "DIR",
            "A folder of pictures for each label, by which shares are made to say how often they "
            "are right.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels of each are printed.")] = 3,
    device: Device = None,
    json: Annotated[bool, typer.Option("--json", help="Print all labels as JSON.")] = False,
) -> None:
    """Say which of your own labels fits each picture.

    Printed are the likeliest labels with their shares, by the temperature that the model learnt;
    --calibrate fits it to pictures whose label is known. A picture that can't be read is named,
    the others are classified, and the exit status is 1.

    Examples:
      [cyan]genkit classify photos --labels "apple,tomato"[/]
      [cyan]genkit classify a.png b.png --labels "star,ring" --model runs/clip --json[/]
      [cyan]genkit classify photos --labels kinds.txt --template "a photo of a {}"[/]
    """
    say_loading(model)
    from genkit.verbs.classify import Request, classify

    words = _words(labels)
    found = classify(
        Request(images, words, model, template, calibrate, device), bar_of("embedding")
    )
    if json:
        typer.echo(json_format.dumps(found.to_tree()))
    else:
        for name, shares in zip(found.names, found.shares, strict=True):
            best = shares.topk(min(top, len(shares)))
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            said = "  ".join(f"{shown(found.labels[i])} {share:.3f}" for i, share in pairs)
            typer.echo(f"{name}: {said}")
    if found.failed:
        raise typer.Exit(1)


def bar_of(word: str) -> Any:
    """What shows how far the work is."""

    def made(count: int, missing: int, own: int, batch_size: int) -> Any:
        from genkit.cli.drawing import bar

        return bar(count, missing, own, batch_size, word)

    return made


def _words(given: str) -> list[str]:
    if not (given.lower().endswith(".txt") or Path(given).is_file()):
        return given.split(",")
    try:
        lines = Path(given).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PipelineError(
            f"--labels {shown(given)}: can't be read as text ({error}); give a file in UTF-8 with "
            "one label in each line"
        ) from None
    return [line for line in lines if line.strip()]
