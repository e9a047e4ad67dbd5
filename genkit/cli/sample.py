"""`genkit sample`: images from a run, an export folder or a model on the Hub."""

from __future__ import annotations

import json as json_format
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from genkit.cli.diffusion import STRENGTH, Edit, Options
from genkit.cli.drawing import Job, Ranks, draw, usable_device
from genkit.errors import PipelineError

COUNT = 10_000
SPEED_FROM = 100  # samples: fewer say little of the speed
VARIANTS = 8
_DIFFUSION, _PICTURES, _EDITING = "Diffusion models", "Pictures", "Editing a picture (diffusion)"


def _option(kind: str, what: str, panel: str | None = None, **rest: Any) -> Any:
    return typer.Option(metavar=kind, help=what, rich_help_panel=panel, show_default=False, **rest)


Count = Annotated[
    int | None,
    _option("N", f"Images in all; default {COUNT}, of variants {VARIANTS}.", min=1),
]
Labels = Annotated[str | None, _option("CLASSES", "E.g. 3 or 0-9 or 1,3,5-7; default all in turn.")]
Out = Annotated[
    Path | None,
    _option(
        "DIR|FILE.npz|FILE.tar",
        "Where they go; default RUN/samples.npz. Variants also as a sheet: FILE.png; default "
        "RUN/variants.png.",
    ),
]
Device = Annotated[str | None, _option("NAME", "E.g. cpu, cuda:1; default a GPU if there is one.")]
Grid = Annotated[Path | None, _option("FILE.png", "A sheet, one row per class.", _PICTURES)]
Walk = Annotated[
    Path | None,
    _option("FILE.png|FILE.gif", "A walk between samples: strip or film.", _PICTURES),
]
Way = Annotated[
    Path | None,
    _option(
        "FILE.png",
        "Of a few images (or --labels) three strips: into the noise, out of it, and what the "
        "network sees in it. Diffusion models only.",
        _PICTURES,
    ),
]
Scheduler = Annotated[
    str | None,
    _option(
        "NAME",
        "By name; default dpmsolver++, edm_dpmsolver++ or flow_euler, as the model predicts. One "
        "that doesn't fit lists those that do.",
        _DIFFUSION,
    ),
]
Steps = Annotated[
    int | None,
    _option("N", "Of the scheduler; default 20, with ddpm as many as trained.", _DIFFUSION),
]
Guidance = Annotated[
    float | None,
    _option("W", "Classifier-free: 1 = the label alone (default), 0 = without.", _DIFFUSION),
]
Interval = Annotated[
    str | None,
    _option("LOW,HIGH", "Part of the steps with guidance; 0 = noise, 1 = image.", _DIFFUSION),
]
Rescale = Annotated[
    float | None,
    _option("PHI", "How far guidance's gain in contrast is taken back, 0 to 1.", _DIFFUSION),
]
Eta = Annotated[float | None, _option("ETA", "Noise of ddim: 0 none, 1 as ddpm.", _DIFFUSION)]
SchedulerOption = Annotated[
    list[str] | None,
    _option("NAME=VALUE", "Further arguments of the scheduler; repeatable.", _DIFFUSION),
]
Precision = Annotated[
    str | None, _option("auto|fp32|bf16", "Of the network's pass; default auto.", _DIFFUSION)
]
Compile = Annotated[
    bool,
    typer.Option(
        "--compile",
        help="Faster after the first batch, by torch.compile.",
        rich_help_panel=_DIFFUSION,
    ),
]
Init = Annotated[Path | None, _option("IMAGE", "Variants of this picture.", _EDITING)]
Strength = Annotated[
    float | None,
    _option("SHARE", f"Share of the steps; default {STRENGTH}, with a mask 1.", _EDITING),
]
Inpaint = Annotated[Path | None, _option("IMAGE", "Variants of a part of this picture.", _EDITING)]
Mask = Annotated[Path | None, _option("IMAGE", "Which part: white = make anew.", _EDITING)]


@dataclass(frozen=True)
class _Request:
    """What one command asks for, as the user gave it."""

    source: str
    count: int | None
    seed: int
    labels: str | None
    out: Path | None
    batch_size: int
    processes: int
    device: str | None
    pictures: dict[str, Path]
    options: Options
    edit: Edit

    def check(self) -> None:
        """Raise unless its parts go together."""
        self.edit.check()
        if self.edit.is_asked and self.pictures:
            raise PipelineError(
                "--grid, --interpolate and --trajectory: show samples, not variants of a picture; "
                "leave them out, and for a sheet of variants give --out FILE.png"
            )
        if self.is_sheet and self.processes > 1:
            raise PipelineError(
                f"--processes {self.processes}: a sheet is made by one process; leave it out, or "
                "let the variants go to a folder: --out DIR"
            )

    @property
    def is_sheet(self) -> bool:
        """Whether it is for variants that go into one picture."""
        return self.edit.is_asked and (self.out is None or self.out.suffix == ".png")

    @property
    def target(self) -> Path | None:
        """Where samples or variants go; None if only pictures are asked for."""
        if self.pictures and self.count is None and self.out is None:
            return None
        name = "variants.png" if self.edit.is_asked else "samples.npz"
        return self.out or _default_out(self.source, name)


def sample(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder, export folder or Hub id.")
    ],
    *,
    count: Count = None,
    seed: Annotated[int, typer.Option(help="Names the noise of every image.")] = 0,
    labels: Labels = None,
    out: Out = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Images made at a time.")] = 64,
    processes: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    device: Device = None,
    grid: Grid = None,
    interpolate: Walk = None,
    trajectory: Way = None,
    scheduler: Scheduler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    guidance_interval: Interval = None,
    guidance_rescale: Rescale = None,
    eta: Eta = None,
    option: SchedulerOption = None,
    precision: Precision = None,
    compile: Compile = False,
    init: Init = None,
    strength: Strength = None,
    inpaint: Inpaint = None,
    mask: Mask = None,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Draw samples. Image i of a seed is the same whatever the count, batch size or processes.

    An interrupted run goes on where it stopped: give the same command again.
    With --grid, --interpolate or --trajectory, and neither --count nor --out, only those are made.

    Examples:
      [cyan]genkit sample runs/glyphs --count 10000 --labels 0-9[/]
      [cyan]genkit sample runs/glyphs --count 500 --labels 3,7 --out threes-and-sevens[/]
      [cyan]genkit sample runs/glyphs --out samples.tar --processes 2[/]
      [cyan]genkit sample runs/glyphs --grid sheet.png --interpolate walk.gif[/]
      [cyan]genkit sample runs/ddpm --scheduler dpmsolver++ --steps 20 --guidance 2 --labels 7[/]
      [cyan]genkit sample runs/ddpm --option use_karras_sigmas=true --trajectory way.png[/]
      [cyan]genkit sample runs/ddpm --init seven.png --strength 0.6 --out variants.png[/]
      [cyan]genkit sample runs/ddpm --inpaint seven.png --mask white-is-new.png --out variants[/]

    On several GPUs: [cyan]accelerate launch sample/run.py RUN --count 50000[/]
    """
    named = {"grid": grid, "interpolation": interpolate, "trajectory": trajectory}
    pictures = {name: path for name, path in named.items() if path is not None}
    guided = (guidance, guidance_interval, guidance_rescale)
    options = Options(scheduler, steps, *guided, eta, precision, option, compile)
    edit, place = Edit(init, inpaint, mask, strength), (batch_size, processes, device)
    done = _run(_Request(source, count, seed, labels, out, *place, pictures, options, edit))
    if json and done:
        typer.echo(json_format.dumps(done))
    elif done:
        typer.echo("\n".join(done[name] for name in ("out", *named) if name in done))


def _run(request: _Request) -> dict[str, Any]:
    """What was done; nothing to say of a process that is not the first."""
    from genkit.machine import keep_freed_memory
    from genkit.pipelines import load_pipeline, parse_labels

    keep_freed_memory()
    ranks = Ranks.seen(request.processes)
    request.check()
    target = request.target
    classes = None if request.labels is None else parse_labels(request.labels)
    options = request.options.of_call()
    pipeline = load_pipeline(request.source, device=usable_device(request.device, ranks.rank))
    request.options.prepare(pipeline)
    result: dict[str, Any] = {"source": request.source, "seed": request.seed, "labels": classes}
    drawing = {"seed": request.seed, "label": classes, "batch_size": request.batch_size}
    edit = request.edit.asked(pipeline)
    if target is not None and not request.is_sheet:
        result |= draw(pipeline, _job(request, target, classes, options | edit), ranks)
    if not ranks.is_first:
        return {}
    if "images_per_s" in result:
        _keep_speed(result, request, ranks.count)
    if target is not None and request.is_sheet:
        count = request.count or VARIANTS
        sheet = _sheet(pipeline, target, count=count, **drawing, **edit, **options)
        result |= {"out": sheet, "count": count}
    return result | _pictures(pipeline, request.pictures, **drawing, **options)


def _keep_speed(result: dict[str, Any], request: _Request, processes: int) -> None:
    """Leave the speed in the run folder, for the report, if all samples were made in this go."""
    from genkit.files import write_whole
    from genkit.pipelines.loading import is_run
    from genkit.provenance import hardware

    whole = result["written"] == result["count"] >= SPEED_FROM
    if not is_run(Path(request.source)) or request.edit.is_asked or not whole:
        return
    kept = {key: result[key] for key in ("count", "seconds", "images_per_s")}
    kept |= {"batch_size": request.batch_size, "processes": processes, "hardware": hardware()}
    kept |= {"options": {k: str(v) for k, v in request.options.of_call().items()}}
    with suppress(OSError):  # a run folder that can only be read
        write_whole(Path(request.source) / "sampling.json", json_format.dumps(kept, indent=1))


def _job(
    request: _Request, target: Path, classes: list[int] | None, options: dict[str, Any]
) -> Job:
    return Job(
        request.source,
        target,
        request.count or (VARIANTS if request.edit.is_asked else COUNT),
        request.seed,
        classes,
        request.batch_size,
        request.device,
        options=options,
        words=[*request.options.words(), *request.edit.words()],
    )


def _sheet(pipeline: Any, path: Path, *, image: Any, **drawing: Any) -> str:
    from genkit.pipelines import save_variants

    return str(save_variants(pipeline, image, path, **drawing))


def _pictures(pipeline: Any, paths: dict[str, Path], **drawing: Any) -> dict[str, str]:
    """Where the asked pictures are, after they were made."""
    from genkit.pipelines import save_grid, save_interpolation, save_trajectory

    made: dict[str, Path] = {}
    if "grid" in paths:
        made["grid"] = save_grid(pipeline, paths["grid"], **drawing)
    if "interpolation" in paths:
        made["interpolation"] = save_interpolation(pipeline, paths["interpolation"], **drawing)
    if "trajectory" in paths:
        del drawing["batch_size"]  # a few images, all at once
        made["trajectory"] = save_trajectory(pipeline, paths["trajectory"], **drawing)
    return {name: str(path) for name, path in made.items()}


def _default_out(source: str, name: str) -> Path:
    from genkit.pipelines.loading import is_run

    if not is_run(Path(source)):
        raise PipelineError(f"{source}: not a run folder, so say where samples go: --out DIR")
    return Path(source) / name
