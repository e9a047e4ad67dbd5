"""`genkit data encode`: what frozen networks make of pictures and texts, before a training."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from genkit.data import check_needs, open_data
from genkit.errors import ConfigError
from genkit.family import load, load_config
from genkit.rows.batch import DataInfo
from genkit.training.trainer import Trainer


def encode(config: Path, overrides: Sequence[str] = ()) -> int:
    """Fill the user's cache with what a training of this configuration would encode first.

    Args:
        config: A configuration file.
        overrides: Settings laid over it, "a.b=value".

    Returns:
        How many rows of the train part are encoded afterwards.

    Raises:
        ConfigError: Nothing of this family is encoded before it trains.
        GenkitError: As in training: the data or what it builds on can't be opened.
    """
    run = load_config(config, overrides)
    family = load(run.family)
    if family.trainer.rows is Trainer.rows:
        raise _nothing(run.family)
    rows = open_data(run.data, "train")
    check_needs(rows, family.needs(run), run.family)
    with tempfile.TemporaryDirectory(prefix="genkit-") as folder:
        trainer = family.trainer(run, DataInfo.of(rows), Path(folder))
        found = trainer.rows(rows)
        trainer.close()
    if found is rows:
        raise _nothing(run.family)
    return len(found)


def _nothing(family: str) -> ConfigError:
    return ConfigError(
        f"family {family} encodes nothing before it trains; latent_diffusion and stable_diffusion "
        "do, and ddpm with model.autoencoder=RUN"
    )
