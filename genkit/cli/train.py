"""`genkit train`: a config becomes a run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from genkit.errors import ConfigError


def train(
    config: Annotated[
        Path, typer.Argument(help="A YAML file, e.g. configs/cgan/glyphs.yaml, or a run.")
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="a.b=value ...", help="Settings laid over the file."),
    ] = None,
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Run folder; default runs/FAMILY-FILE, or -FILE-DATA where data.root is given.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the newest whole checkpoint, if there is one."),
    ] = False,
    init: Annotated[
        str | None, typer.Option(help="Start from the weights of this export, run or Hub id.")
    ] = None,
    overfit_batch: Annotated[
        bool, typer.Option("--overfit-batch", help="Train on the first batch alone, as a check.")
    ] = False,
    processes: Annotated[int, typer.Option(min=1, help="CPU processes on this machine.")] = 1,
) -> None:
    """Train a model and export it; of a file with stages several, each built on those before.

    Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 let it write a checkpoint after the step and stop. Exit
    status: 0 done, 75 stopped before its last step (`--resume` goes on), 2 refused, 130 ended at
    once by a second Ctrl-C. docs/stopping.md has the rest, and a job for SLURM.

    Examples:
      [cyan]genkit train configs/cgan/glyphs.yaml[/]
      [cyan]genkit train configs/dcgan/mnist.yaml trainer.steps=2000 optim.lr=1e-4 --out runs/a[/]
      [cyan]genkit train runs/a --resume[/]
      [cyan]genkit train configs/text-to-image/scenes.yaml diffusion.trainer.steps=2000[/]
      [cyan]genkit train configs/dcgan/mnist.yaml --overfit-batch trainer.steps=1000[/]

    On several GPUs: [cyan]accelerate launch train/run.py configs/dcgan/cifar10.yaml[/]
    """
    from genkit import launch
    from genkit.verbs.stages import is_staged, train_stages
    from genkit.verbs.train import train as run_verb

    if is_staged(config):
        if init is not None or overfit_batch:
            raise ConfigError(
                "--init and --overfit-batch are of one run, and this file has several; leave them "
                "out, or name the config of one"
            )
        folder = train_stages(config, overrides or (), out=out, resume=resume, processes=processes)
        typer.echo(folder)
        return
    folder = run_verb(
        config,
        overrides or (),
        out=out,
        resume=resume,
        init=init,
        processes=processes,
        overfit_batch=overfit_batch,
    )
    if launch.ranks().is_first:
        typer.echo(folder)
    if launch.ranks().is_launched:
        launch.leave()
