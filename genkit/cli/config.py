"""`genkit config`: look at a config before it costs time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Show, describe and check configs.", no_args_is_help=True)


@app.command()
def show(
    config: Annotated[Path, typer.Argument(help="A YAML file.")],
    overrides: Annotated[
        list[str] | None,
        typer.Argument(metavar="a.b=value ...", help="Settings laid over the file."),
    ] = None,
) -> None:
    """Print every resolved value as YAML, defaults included.

    Behind a setting stands what it means and, in brackets, the words that it may be.

    Examples:
      [cyan]genkit config show configs/cgan/glyphs.yaml[/]
      [cyan]genkit config show configs/dcgan/mnist.yaml trainer.steps=2000 > mine.yaml[/]
    """
    from genkit.config import to_yaml
    from genkit.family import load_config
    from genkit.verbs.stages import is_staged, load_stages

    if is_staged(config):
        parts = ["stages:"]
        for stage in load_stages(config, overrides or ()):
            lines = to_yaml(stage.config).splitlines()
            parts += [f"  {stage.name}:", *(f"    {line}" if line else "" for line in lines)]
        typer.echo("\n".join(parts))
        return
    typer.echo(to_yaml(load_config(config, overrides or ())), nl=False)


@app.command()
def schema(family: Annotated[str, typer.Argument(help="A name of `genkit families`.")]) -> None:
    """Print the JSON schema of a family's configs.

    Editors complete and check with it.

    Examples:
      [cyan]genkit config schema cgan > cgan.schema.json[/]
    """
    from genkit.family import load

    tree = load(family).config.model_json_schema()
    tree = {"$schema": "https://json-schema.org/draft/2020-12/schema", **tree}
    typer.echo(json.dumps(tree, indent=1))


@app.command()
def check(configs: Annotated[list[Path], typer.Argument(help="YAML files.")]) -> None:
    """Check configs and report every problem of every file.

    Nothing is read but the files. Those of accelerate are not genkit's to check: they are named.

    Examples:
      [cyan]genkit config check configs/*/*.yaml[/]
    """
    from genkit.config import read_tree
    from genkit.errors import ConfigError, shown
    from genkit.family import load_config
    from genkit.verbs.stages import is_staged, load_stages

    problems = []
    for path in configs:
        try:
            tree = read_tree(path)
            if "distributed_type" in tree and "family" not in tree:
                typer.echo(f"{shown(path)}: how accelerate starts processes, not checked")
                continue
            if is_staged(path):
                load_stages(path)
            else:
                load_config(path)
        except ConfigError as error:
            problems.append(str(error))
        else:
            typer.echo(f"{shown(path)}: ok")
    if problems:
        raise ConfigError("\n".join(problems))
