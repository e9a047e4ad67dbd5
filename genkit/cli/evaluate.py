"""`genkit evaluate`: samples and real images become numbers that can be trusted."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genkit.errors import EvaluationError, shown

if TYPE_CHECKING:
    from rich.table import Table

    from genkit.evaluation import Evaluation, Value
    from genkit.report.by_part import ByPart

_LONGEST = 2000  # letters of a note that are printed
_COLUMNS = 4  # of a table by part, so that it fits a terminal

Samples = Annotated[
    Path,
    typer.Argument(help="A run; or a folder, .npz, .tar or .zip of generated images."),
]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="Real images; not trained on, unless a protocol says so. Default the test images of "
        "the run that the samples lie in.",
        show_default=False,
    ),
]
Train = Annotated[
    str | None,
    typer.Option(
        metavar="SET",
        help="Images trained on: floors, neighbours and, unless metrics are named, near copies.",
    ),
]
Task = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="What a model is measured at: samples, reconstruction, editing, translation or "
        "module:TASK. Default that of the run's family.",
        show_default=False,
    ),
]
Data = Annotated[
    Path | None, typer.Option(help="Folder of mnist or cifar10; default the user's cache.")
]
Extractor = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="digits, faces, scenes, inception-v3, inception-v3-torchscript, vgg16, dinov2-vitl14, "
        "clip-vitl14-336, clip-vitb32, a run of family classifier or clip, or "
        "module:Class; may be given several times. "
        "Default digits, faces or scenes where the real images are ten grey digits, drawn faces "
        "with attributes or drawn scenes with captions, else inception-v3.",
        show_default=False,
    ),
]
Metric = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Only this: fd, fd-infinity, fd-class, kid, cmmd, is, prdc, clip-score, "
        "prompt-retrieval, scene-score, "
        "detector-auc, train-gap, modes, accuracy, near-copies; of task editing attributes, "
        "regions, guesses too, of translation truth, retrieval, cycle, structure, copying; may be "
        "given several times. Default what is usual for the extractor.",
        show_default=False,
    ),
]
Weights = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PATH", help="Weights of an extractor; default the user's cache."),
]
Protocol = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Extractor, metrics and resize of a published protocol: clean-fid, pytorch-fid, "
        "torch-fidelity, ddpm-cifar10-train, edm, improved-precision-recall, fd-dinov2, cmmd.",
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        help="clean, legacy-pytorch or legacy-tensorflow, for Inception and VGG.  [default: clean]",
        show_default=False,
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        help="fp32, or bf16: a faster preview that is never called FID.  [default: fp32]",
        show_default=False,
    ),
]
Lpips = Annotated[
    list[str] | None,
    typer.Option(metavar="alex|vgg", help="Also LPIPS: of pairs, else how far samples are apart."),
]
Paired = Annotated[
    bool,
    typer.Option(
        "--paired",
        help="Each image against that of the same name in --reference: PSNR, SSIM, LPIPS.",
    ),
]
ByPosition = Annotated[
    bool,
    typer.Option("--by-position", help="Pair images in their order, whatever they are called."),
]
Workers = Annotated[int, typer.Option(min=0, help="Threads that read images ahead of the network.")]
Device = Annotated[
    str | None, typer.Option(help="E.g. cpu, cuda:1; default a GPU if there is one.")
]
Processes = Annotated[int, typer.Option(min=1, help="CPU processes that share the images.")]
ReferenceCount = Annotated[
    int | None, typer.Option(min=1, help="Use so many reference images; default all.")
]
Count = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Images to draw anew from a run's model. Default the samples that the run holds, else "
        "10,000, or one for each test image that the model is given.",
        show_default=False,
    ),
]
Prompts = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.txt",
        help="Texts to draw pictures of, one in each line, of a model that takes some. Scored by "
        "scene-score, clip-score and prompt-retrieval; against real images only with --reference.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(help="Of the images drawn, and of what is chosen at random.")]
BatchSize = Annotated[
    int | None,
    typer.Option(min=1, help="Images drawn of a model at a time; default 64.", show_default=False),
]
Parzen = Annotated[
    bool,
    typer.Option("--parzen", help="Also the Parzen log-likelihood; needs --train."),
]
Out = Annotated[
    Path | None,
    typer.Option(
        help="JSON file. Default evaluation.json where the samples lie in a run, else beside them: "
        "NAME-evaluation.json, with --paired NAME-pairs.json. Beside it, with --train, "
        "nearest.png or NAME-nearest.png."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def evaluate(
    samples: Samples,
    *,
    reference: Reference = None,
    train: Train = None,
    task: Task = None,
    data: Data = None,
    extractor: Extractor = None,
    metric: Metric = None,
    weights: Weights = None,
    protocol: Protocol = None,
    resize: Resize = None,
    precision: Precision = None,
    lpips: Lpips = None,
    paired: Paired = False,
    by_position: ByPosition = False,
    workers: Workers = 0,
    device: Device = None,
    processes: Processes = 1,
    reference_count: ReferenceCount = None,
    count: Count = None,
    prompts: Prompts = None,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    parzen: Parzen = False,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Measure samples against real images: quality, variety, copies, each with an interval.

    A SET is synthetic:glyphs:test, stacked:test, stacked:mnist:test, mnist:test, cifar10:test, a
    run (its own data), a folder, .npz, .tar, .zip or 'name-*.tar'; :train or :test behind a run or
    a folder names a part. Against stacked digits the modes that samples show are counted too.

    Examples:
      [cyan]genkit evaluate runs/a[/]
      [cyan]genkit evaluate runs/a --train runs/a:train[/]
      [cyan]genkit evaluate runs/glyphs/samples.npz --reference synthetic:glyphs:test[/]
      [cyan]genkit evaluate runs/a/samples.npz --reference mnist:test --train mnist:train[/]
      [cyan]genkit evaluate runs/stacked/samples.npz --reference stacked:test[/]
      [cyan]genkit evaluate samples/ --reference real/ --extractor inception-v3 --json[/]
      [cyan]genkit evaluate samples.zip --reference cifar10:train --protocol ddpm-cifar10-train[/]
      [cyan]genkit evaluate runs/scenes --prompts prompts.txt --extractor runs/clip[/]
      [cyan]genkit evaluate translated/ --reference originals/ --paired --lpips alex[/]

    On several GPUs: [cyan]accelerate launch sample/evaluate.py samples/ --reference real/ ...[/]
    """
    from genkit import launch
    from genkit.verbs.compare_pairs import compare_pairs
    from genkit.verbs.evaluate import evaluate_samples

    files = dict(_pair(text) for text in weights or ())
    chosen: dict[str, Any] = {"lpips": lpips or (), "weights": files, "device": device}
    asked = _given(
        train=train, task=task, data=data, extractor=extractor, metric=metric, protocol=protocol,
        resize=resize, precision=precision, reference_count=reference_count, count=count,
        prompts=prompts, seed=seed or None, batch_size=batch_size,
        parzen=parzen or None, workers=workers or None,
        processes=processes if processes > 1 else None,
    )  # fmt: skip
    if paired:
        originals = _check_pairs(reference, asked)
        by = "position" if by_position else "names"
        _show(compare_pairs(samples, originals, out=out, by=by, **chosen), as_json=as_json)
        return
    if by_position:
        raise EvaluationError("--by-position says what a pair is: add --paired, or leave it out")
    request = {_ARGUMENTS.get(name, name): value for name, value in asked.items()}
    found = evaluate_samples(samples, reference, out=out, **chosen, **request)
    if launch.ranks().is_first:
        _show(found, as_json=as_json)
    if launch.ranks().is_launched:
        launch.leave()


_ARGUMENTS = {"data": "root", "extractor": "extractors", "metric": "metrics"}  # of options


def _given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _check_pairs(reference: str | None, asked: Collection[str]) -> Path:
    from genkit.verbs.real_images import is_place

    if reference is None or not is_place(Path(reference)):
        named = "" if reference is None else f"--reference {reference}: "
        raise EvaluationError(f"{named}--paired needs a folder or file of images as --reference")
    given = [f"--{name.replace('_', '-')}" for name in asked]
    if given:
        raise EvaluationError(f"--paired compares pairs only: leave {', '.join(given)} out")
    return Path(reference)


def _show(found: Evaluation, *, as_json: bool) -> None:
    from rich.console import Console

    from genkit.report.by_part import by_part

    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=1))
        return
    console = Console(markup=False, emoji=False)  # folder:cat:test is a name
    console.print(_table(found))
    if (by := by_part(found.metrics)) is not None:
        for few in by.of_columns(_COLUMNS):
            console.print(_table_of_parts(few))
    for line in (*found.warnings, *found.notes):
        typer.echo(shown(line, _LONGEST))


def _pair(text: str) -> tuple[str, Path]:
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise EvaluationError(f"--weights {text}: expected NAME=PATH, as inception-v3=weights.pth")
    return name, Path(path).expanduser()


def _table(found: Evaluation) -> Table:
    from rich.table import Table

    from genkit.report.by_part import of_all
    from genkit.report.compare import aim
    from genkit.report.words import number

    sizes = f"{found.samples['count']:,} samples against {shown(found.reference['name'])}"
    values = of_all(found.metrics)
    copied = any(value.copying is not None for value in values)
    table = Table(title=sizes, title_justify="left")
    table.add_column("metric", overflow="fold")
    for name in ("value", "95 % interval", "floor", *(("copying",) if copied else ())):
        table.add_column(name, justify="right")
    table.add_column("better")
    for metric in values:
        ends = "–"
        if metric.low is not None:
            ends = f"{number(metric.low)} – {number(metric.high)}"
        row = [metric.name, number(metric.value), ends, number(metric.floor)]
        row += [number(metric.copying)] if copied else []
        right = aim(metric.name)
        table.add_row(*row, metric.better if right is None else f"at {right:g}")
    return table


def _table_of_parts(by: ByPart[Value]) -> Table:
    """Values of each attribute, in brackets those of copying the input."""
    from rich.table import Table

    from genkit.report.words import number

    title = "in brackets: giving the input back unchanged; a report has the intervals too"
    table = Table(title=title, title_justify="left")
    table.add_column("of", overflow="fold")
    for name in by.columns:
        table.add_column(name.replace("-", "-\n", 1), justify="right", overflow="fold")
    for part, values in by.rows:
        cells = ["–" if value is None else number(value.value) for value in values]
        for i, value in enumerate(values):
            if value is not None and value.copying not in (None, 0.0, 1.0):
                cells[i] += f" ({number(value.copying)})"
        table.add_row(part, *cells)
    return table
