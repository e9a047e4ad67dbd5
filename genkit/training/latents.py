"""Pictures as the latents of a frozen autoencoder: encoded once, drawn anew in each step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genkit.errors import ConfigError, TrainingError
from genkit.nn.autoencoders import factor
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.rows.cached import cached

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer


class Latents:
    """What an autoencoder makes of the pictures of a run.

    Args:
        trainer: The run, which has the autoencoder as its network "vae".
        vae: An `AutoencoderKL`, frozen.

    Raises:
        ConfigError: It doesn't take the pictures of the data.
    """

    def __init__(self, trainer: Trainer[Any], vae: Any) -> None:
        self._trainer, self._vae = trainer, vae
        channels, taken = trainer.data.channels, vae.config.get("in_channels")
        if taken != channels:
            raise ConfigError(
                f"model.autoencoder takes pictures of {taken} channels, and those of "
                f"{trainer.data.name} have {channels}; set data.channels={taken}, or name another "
                "one"
            )
        if odd := [side for side in trainer.data.size if side % factor(vae)]:
            raise ConfigError(
                f"model.autoencoder has one latent for {factor(vae)} x {factor(vae)} px, and "
                f"pictures have {odd[0]}; set data.image_size to a multiple of it"
            )

    def rows(self, rows: Rows) -> Rows:
        """Rows of latents: means and deviations of their distributions, encoded once and kept.

        Raises:
            TrainingError: The autoencoder makes numbers of a picture that are infinite or none.
        """
        vae, trainer = self._vae, self._trainer
        scale, shift = vae.config["scaling_factor"], vae.config.get("shift_factor") or 0.0

        def encode(images: Tensor) -> Tensor:
            found = vae.encode(images.to(trainer.device)).latent_dist
            if not bool(found.mean.isfinite().all()):
                raise TrainingError(
                    f"{rows.name}: the autoencoder makes latents that are not finite; it is "
                    "broken, or was saved in half precision: name another one"
                )
            return torch.cat([found.mean - shift, found.std], 1) * scale

        identity = f"AutoencoderKL {trainer.learnt.frozen['vae']} {scale}"
        if shift:
            identity += f" {shift}"
        with trainer.accelerator.local_main_process_first():
            return cached(rows, encode, identity=identity, mirrored=trainer.config.data.flip)

    def drawn(self, batch: Batch) -> Tensor:
        """The latents of a micro-batch, drawn from their distributions: (B, Z, h, w)."""
        mean, deviation = batch["latent"].chunk(2, dim=1)
        return mean + deviation * self._trainer.noise("latent", batch, mean.shape[1:])
