"""`genkit sample`: images from a run, an export folder or a model on the Hub."""

from __future__ import annotations

import json as json_format
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from genkit.cli.diffusion import Options
from genkit.cli.drawing import say_loading
from genkit.errors import PipelineError

if TYPE_CHECKING:
    from genkit.verbs.sample import Request

_DIFFUSION, _PICTURES, _EDITING = "Diffusion models", "Pictures", "Editing a picture (diffusion)"
_TEXT = "Text to image"


def _option(kind: str, what: str, panel: str | None = None, **rest: Any) -> Any:
    return typer.Option(metavar=kind, help=what, rich_help_panel=panel, show_default=False, **rest)


Count = Annotated[
    int | None,
    _option(
        "N",
        "Images in all; default 10000, as many as are given, of variants 8, of an export "
        "without --out 64.",
        min=1,
    ),
]
Labels = Annotated[
    str | None,
    _option(
        "CLASSES",
        "By name or number, e.g. apple,tomato or 0-9 or 1,3,5-7; default all in turn. Where names "
        "are whole numbers, these are names.",
    ),
]
Out = Annotated[
    Path | None,
    _option(
        "DIR|FILE.npz|FILE.tar",
        "Where they go; default RUN/samples.npz, of --given RUN/made; of an export NAME-samples "
        "or NAME-made here. Variants also as a sheet: FILE.png; default RUN/variants.png.",
    ),
]
Given = Annotated[
    list[str] | None,
    _option(
        "FOLDER",
        "Pictures to make others of, one of each and named like it; also COLUMN=FOLDER or "
        "COLUMN=TEXT; repeatable.",
    ),
]
Prompt = Annotated[
    list[str] | None,
    _option("TEXT", "What the pictures show; repeatable: one picture of each, in turn.", _TEXT),
]
Prompts = Annotated[
    Path | None, _option("FILE.txt", "The same from a file, one in each line.", _TEXT)
]
Negative = Annotated[
    str | None, _option("TEXT", "What they don't: guidance leads away from it.", _TEXT)
]
Device = Annotated[str | None, _option("NAME", "E.g. cpu, cuda:1; default a GPU if there is one.")]
Grid = Annotated[Path | None, _option("FILE.png", "A sheet, a named row per class.", _PICTURES)]
Walk = Annotated[
    Path | None,
    _option(
        "FILE.png|FILE.gif",
        "A walk between samples, or from --prompt to --prompt: strip or film.",
        _PICTURES,
    ),
]
Way = Annotated[
    Path | None,
    _option(
        "FILE.png",
        "Of a few images (or --labels) three strips: into the noise, out of it, and what the "
        "network sees in it, with its timesteps. Diffusion models only.",
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
    _option("SHARE", "Share of the steps; default 0.6, with a mask 1.", _EDITING),
]
Inpaint = Annotated[Path | None, _option("IMAGE", "Variants of a part of this picture.", _EDITING)]
Mask = Annotated[Path | None, _option("IMAGE", "Which part: white = make anew.", _EDITING)]
Invert = Annotated[
    bool,
    typer.Option(
        "--invert",
        help="Begin with the noise that --init, or each picture of --given, comes from; says how "
        "nearly it comes back.",
        rich_help_panel=_EDITING,
    ),
]
Shows = Annotated[
    list[str] | None,
    _option(
        "TEXT|CLASS",
        "What pictures to --invert show; repeatable, in turn. --prompt or --labels says what is "
        "made of their noise.",
        _EDITING,
    ),
]


def sample(
    source: Annotated[
        str, typer.Argument(metavar="RUN", help="Run folder, export folder or Hub id.")
    ],
    *,
    count: Count = None,
    seed: Annotated[int, typer.Option(help="Names the noise of every image.")] = 0,
    labels: Labels = None,
    given: Given = None,
    prompt: Prompt = None,
    prompts: Prompts = None,
    negative: Negative = None,
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
    invert: Invert = False,
    shows: Shows = None,
    describe: Annotated[
        bool,
        typer.Option(
            "--describe", help="Draw nothing; say what RUN is: classes, sizes, steps, origin."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> None:
    """Draw samples. Image i of a seed is the same whatever the count, batch size or processes.

    An interrupted run goes on where it stopped: give the same command again.
    With --grid, --interpolate or --trajectory, and neither --count nor --out, only those are made.

    Examples:
      [cyan]genkit sample runs/glyphs --describe[/]
      [cyan]genkit sample runs/glyphs --count 10000 --labels 0-9[/]
      [cyan]genkit sample runs/glyphs --count 500 --labels 3,7 --out threes-and-sevens[/]
      [cyan]genkit sample runs/fruit --count 100 --labels apple,tomato --out fruit[/]
      [cyan]genkit sample runs/glyphs --out samples.tar --processes 2[/]
      [cyan]genkit sample runs/glyphs --grid sheet.png --interpolate walk.gif[/]
      [cyan]genkit sample runs/ddpm --scheduler dpmsolver++ --steps 20 --guidance 2 --labels 7[/]
      [cyan]genkit sample runs/ddpm --option use_karras_sigmas=true --trajectory way.png[/]
      [cyan]genkit sample runs/ddpm --init seven.png --strength 0.6 --out variants.png[/]
      [cyan]genkit sample runs/ddpm --given photos --strength 0.4 --out changed[/]
      [cyan]genkit sample runs/scenes --prompt "a red star" --guidance 4 --count 8 --out stars[/]
      [cyan]genkit sample runs/scenes --prompt "a star" --prompt "a ring" --interpolate a.gif[/]
      [cyan]genkit sample runs/scenes --init a.png --invert --shows "a star" --prompt "a ring"[/]
      [cyan]genkit sample runs/ddpm --inpaint seven.png --mask white-is-new.png --out variants[/]

    On several GPUs: [cyan]accelerate launch sample/run.py RUN --count 50000[/]
    """
    from genkit import launch

    if describe:
        _describe(source, as_json=json)
        return
    say_loading(source)
    from genkit.verbs.sample import Edit, Request

    named = {"grid": grid, "interpolation": interpolate, "trajectory": trajectory}
    guided = (guidance, guidance_interval, guidance_rescale)
    options = Options(scheduler, steps, *guided, eta, precision, option).of_call()
    request = Request(
        source,
        count=count,
        seed=seed,
        given=given or (),
        out=out,
        batch_size=batch_size,
        device=device,
        pictures={name: path for name, path in named.items() if path is not None},
        options=options,
        labels=labels,
        prompts=_prompts(prompt or (), prompts),
        negative=negative,
        edit=Edit(init, inpaint, mask, strength, invert, tuple(shows or ())),
        compile=compile,
    )
    _check(request, processes)
    if processes > 1:
        on_gpus = device is None or device.startswith("cuda")
        done = launch.run_together(work, {"request": request}, processes, on_gpus=on_gpus)
    else:
        done = work(request)
    if json and done:
        typer.echo(json_format.dumps(done))
    elif done:
        typer.echo("\n".join(done[name] for name in ("out", *named) if name in done))


def work(request: Request) -> dict[str, Any]:
    """What one process does of a request; {} if it is not the first."""
    from genkit.cli.drawing import bar
    from genkit.verbs.sample import sample

    return sample(request, bar)


def _prompts(words: Sequence[str], file: Path | None) -> tuple[str, ...]:
    """The prompts that are given, those of a file behind them."""
    from genkit.verbs.prompt_files import read_prompts

    return tuple(words) if file is None else (*words, *read_prompts(file).texts)


def _describe(source: str, *, as_json: bool) -> None:
    from genkit.verbs.describe import describe, in_words

    facts = describe(source)
    typer.echo(json_format.dumps(facts) if as_json else in_words(facts))


def _check(request: Request, processes: int) -> None:
    """Raise unless the parts of a request go together."""
    edit = request.edit
    if edit.init is not None and edit.inpaint is not None:
        raise PipelineError("--init and --inpaint: give one picture to begin with, not two")
    if edit.inpaint is not None and edit.mask is None:
        raise PipelineError(
            "--inpaint: needs --mask FILE, a picture that is white where to make anew"
        )
    if edit.mask is not None and edit.inpaint is None:
        raise PipelineError("--mask: says where to change a picture; give it with --inpaint")
    if edit.strength is not None and not (edit.is_asked or request.given):
        raise PipelineError("--strength: says how much of a picture to change; give --init")
    if edit.is_asked and request.given:
        raise PipelineError("--given and --init: give pictures to begin with by one of the two")
    if (edit.is_asked or request.given) and request.pictures:
        raise PipelineError(
            "--grid, --interpolate and --trajectory: show samples, not what is made of pictures; "
            "leave them out, and for a sheet of variants give --out FILE.png"
        )
    if edit.inverts and processes > 1:
        raise PipelineError(f"--processes {processes}: --invert is work of one; leave it out")
    if request.is_sheet and processes > 1:
        raise PipelineError(
            f"--processes {processes}: a sheet is made by one process; leave it out, or "
            "let the variants go to a folder: --out DIR"
        )
