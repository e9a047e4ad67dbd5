"""Pictures as latents of a frozen autoencoder, for what is trained on those: encoded once.

Legend: B batch, C channels, H W size in px, Z latent channels, S side of a latent.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genkit.errors import ConfigError, TrainingError
from genkit.nn.autoencoders import factor, pictures_problem, to_latents
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.rows.cached import cached
from genkit.rows.combine import with_cuts

if TYPE_CHECKING:
    from genkit.training.trainer import Trainer

log = logging.getLogger("genkit")

_FIRST = 64  # rows whose latents are looked at
_LARGEST = 3.0  # deviation of latents, or 1 over it, beyond which it is said

# What every family refuses that is trained on latents.
MOVED = "data.shift: pictures are encoded once, and their latents are not moved; leave it out"


def latent_size(vae: Any, side: int, channels: int) -> tuple[int, int]:
    """Side and channels of the latents of pictures of that side and of so many channels.

    Raises:
        ConfigError: It is no autoencoder, or does not take such pictures.
    """
    from diffusers import AutoencoderKL

    if not isinstance(vae, AutoencoderKL):
        raise ConfigError(
            f"model.autoencoder is a {type(vae).__name__}; name a run of family autoencoder, or an "
            "export, folder or Hub id with an AutoencoderKL: NAME#vae"
        )
    if problem := pictures_problem(vae, channels, side):
        raise ConfigError(f"model.autoencoder {problem}")
    config: Any = vae.config  # type: ignore[attr-defined]  # of diffusers' ConfigMixin
    return side // factor(vae), config["latent_channels"]


class Latents:
    """Latents for the rows of a run.

    Args:
        trainer: The run, which has the autoencoder as its network "vae".
        shift: What latents are lowered by before they are scaled.
    """

    def __init__(self, trainer: Trainer[Any], shift: float = 0.0) -> None:
        self._trainer, self._shift = trainer, shift

    def rows(self, rows: Rows, *, cuts: bool = False) -> Rows:
        """Rows of latents: means and deviations of their distributions, encoded once and kept.

        Args:
            rows: Pictures, of one shape or of several.
            cuts: Whether each has beside it how it was cut, where that is known.

        Raises:
            TrainingError: The autoencoder makes numbers of a picture that are infinite or none.
        """
        trainer = self._trainer

        def encode(images: Tensor) -> Tensor:
            mean, deviation = self.encoded(images)
            if not bool(mean.isfinite().all()):
                raise TrainingError(
                    f"{rows.name}: the autoencoder makes latents that are not finite; it is "
                    "broken, or was saved in half precision: name another one"
                )
            return torch.cat([mean, deviation], 1)

        vae: Any = trainer.bare_networks["vae"]
        scale, weights = vae.config["scaling_factor"], trainer.learnt.frozen["vae"]
        identity = f"AutoencoderKL {weights} {scale} {self._shift}"
        mirrored = trainer.config.data.flip

        def as_latents(some: Rows) -> Rows:
            found = cached(some, encode, identity=identity, mirrored=mirrored)
            return with_cuts(found, some) if cuts else found

        with trainer.accelerator.local_main_process_first():
            found = rows.each_shape(as_latents)
        self._say_scale(found, scale)
        return found

    def _say_scale(self, rows: Rows, scale: float) -> None:
        """Say where the first latents are much larger or smaller than the noise that is laid on
        them: every level of it then means another one."""
        first, *_ = rows.by_shape(range(min(len(rows), _FIRST)))
        found = rows.read(first, ("latent",))["latent"]
        mean, deviation = torch.as_tensor(found).float().chunk(2, dim=-3)
        spread = float((mean.var() + deviation.square().mean()).sqrt())
        usual = _LARGEST > spread > 1 / _LARGEST
        if not usual and self._trainer.accelerator.is_main_process:
            log.warning(
                "%s: latents have a deviation of %.3g, and noise has 1: the autoencoder's "
                "scaling_factor of %g fits neither it nor these pictures",
                *(rows.name, spread, scale),
            )

    def encoded(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Means and deviations of the latents of pictures (B, C, H, W), each (B, Z, S, S)."""
        trainer = self._trainer
        return to_latents(trainer.bare_networks["vae"], images.to(trainer.device), self._shift)

    def drawn(self, batch: Batch) -> Tensor:
        """The latents of a micro-batch, drawn from their distributions: (B, Z, S, S)."""
        mean, deviation = batch["latent"].chunk(2, dim=1)
        return mean + deviation * self._trainer.noise("latent", batch, mean.shape[1:])
