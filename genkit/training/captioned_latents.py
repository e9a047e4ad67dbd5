"""Captioned pictures as a network meets them that makes latents of texts: both read by frozen
networks, once.

Legend: B batch, Z latent channels, S side of a latent.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from genkit import random
from genkit.nn.tokens import packed
from genkit.rows.base import Rows
from genkit.rows.batch import Batch, batch_of
from genkit.rows.cached import CachedTexts
from genkit.rows.captions import captions_of
from genkit.training.latents import Latents
from genkit.training.near_copies import FEWEST, NearCopies

if TYPE_CHECKING:
    from genkit.training.diffusion import Diffusion
    from genkit.training.trainer import Trainer

KeepTexts = Literal["auto", "always", "never"]

log = logging.getLogger("genkit")

BANDS = ("little", "middle", "much")  # of the noise
_HELD_OUT = 32  # test pictures, at most, of which the loss is looked at
_MOST = 2e9  # bytes of texts that are kept by "auto", as `data.memory` has it of pictures


class CaptionedLatents:
    """Latents and words for the rows of a run.

    Args:
        trainer: The run, which has the autoencoder as its network "vae".
        way: The pipeline that is trained: how its network reads words, and by what its latents are
            shifted and scaled.
        diffusion: Whose draws hide captions.
        drop: The share of captions that are hidden.
        keep_texts: Whether what the towers make of captions is kept on the disk; "auto" = up to
            2 GB.
    """

    def __init__(
        self,
        trainer: Trainer[Any],
        way: Any,
        diffusion: Diffusion,
        *,
        drop: float,
        keep_texts: KeepTexts,
    ) -> None:
        self._trainer, self._way, self._diffusion = trainer, way, diffusion
        self._drop, self._keep = drop, keep_texts
        self._latents = Latents(trainer, way.shift)
        self._shapes: list[torch.Size] = []  # of the parts of what is said of one text
        self._kept: CachedTexts | None = None
        self._copies: NearCopies | None = None  # made with the first preview
        self._shown: tuple[Tensor, list[str]] | None = None  # latents and captions to test on

    def rows(self, rows: Rows) -> Rows:
        """Rows of latents: means and deviations of their distributions, encoded once and kept.

        Raises:
            DataError: A caption is empty.
            TrainingError: The autoencoder makes numbers of a picture that are infinite or none.
        """
        texts = captions_of(rows)
        if self._trainer.accelerator.is_main_process:
            self._way.say_too_long(texts, rows.name)
        with self._trainer.accelerator.local_main_process_first():
            self._keep_texts(texts)
        return self._latents.rows(rows)

    def _keep_texts(self, texts: Sequence[str]) -> None:
        """Read all captions once, if that is asked for or they are few."""
        if self._keep == "never":
            return
        with torch.no_grad():
            self._shapes = [part.shape[1:] for part in _parts(self._way.words([""]))]
        size = 4 * len({*texts}) * sum(shape.numel() for shape in self._shapes)
        if self._keep == "auto" and size > _MOST:
            log.info(
                "texts: %s captions would take %.1f GB, so the towers read them anew in each step; "
                "model.keep_texts=always keeps them",
                *(f"{len({*texts}):,}", size / 1e9),
            )
            return

        def encode(some: Sequence[str]) -> Tensor:
            return torch.cat([part.float().flatten(1) for part in _parts(self._way.words(some))], 1)

        self._kept = CachedTexts([*texts, ""], encode, identity=self._reader())

    def _reader(self) -> str:
        """Names what reads texts: towers, tokenizers and how they are joined."""
        parts = self._way.components
        frozen = self._trainer.learnt.frozen
        towers = [f"{name} {frozen.get(name)}" for name in parts if name.startswith("text_enc")]
        words = [
            hashlib.sha256(packed(part).numpy().tobytes()).hexdigest()
            for name, part in parts.items()
            if name.startswith("tokenizer") and part is not None
        ]
        zeros = self._way.config.get("force_zeros_for_empty_prompt")
        return " ".join([type(self._way).__name__, *towers, *words, str(zeros)])

    @torch.no_grad()
    def held_out(self, network: Any) -> dict[str, float]:
        """The loss on test pictures at little, middle and much noise; {} where there are none.

        Pictures, noise and levels are the same at every step, so values differ by what was learnt.

        Args:
            network: In place of the one that learns, in eval mode.
        """
        trainer = self._trainer
        if trainer.to_show is trainer.data.rows:
            return {}
        if self._shown is None:
            rows = trainer.to_show
            batch = batch_of(rows, rows.first(_HELD_OUT), trainer.device)
            self._shown = self._latents.encoded(batch["image"])[0], batch["caption"]
        x0, captions = self._shown
        words = self._way.words(captions)  # by towers that may be learning
        eps = random.rows(trainer.config.trainer.seed, "held-out", range(len(x0)), x0.shape[1:])
        places = (torch.arange(len(x0)) + 0.5) / len(x0)
        found = {}
        for number, band in enumerate(BANDS):
            u = ((number + places) / len(BANDS)).to(trainer.device)

            def ask(x: Tensor, time: Tensor) -> Tensor:
                return self._way.ask(network, x, time, words)

            with trainer.casting.autocast():
                loss = self._diffusion.process.loss(ask, x0, eps.to(trainer.device), u)
            found[f"held-out/{band}"] = float(loss)
        return found

    def near_copies(self, images: Tensor) -> dict[str, float]:
        """The share of pictures (M, C, H, W) in [-1, 1] that are near copies of training pictures;
        {} where these are fewer than 3."""
        trainer = self._trainer
        rows = trainer.data.rows
        if rows is None or len(rows) < FEWEST:
            return {}
        if self._copies is None:
            seed = trainer.config.trainer.seed
            self._copies = NearCopies(rows, seed, mirrored=trainer.config.data.flip)
        return {"near-copies/rate": self._copies.rate(images)}

    def latents(self, batch: Batch) -> Tensor:
        """The latents of a micro-batch, drawn from their distributions: (B, Z, S, S)."""
        return self._latents.drawn(batch)

    def texts(self, batch: Batch) -> list[str]:
        """The captions of a micro-batch, some hidden: those are ""."""
        hidden = self._diffusion.hidden(batch, self._drop)
        pairs = zip(batch["caption"], hidden.tolist(), strict=True)
        return ["" if hides else text for text, hides in pairs]

    @torch.no_grad()
    def words(self, batch: Batch) -> Any:
        """The captions of a micro-batch as the network reads them, some hidden."""
        texts = self.texts(batch)
        if self._kept is None:
            return self._way.words(texts)
        flat = self._kept(texts).to(self._trainer.device)
        sizes = [shape.numel() for shape in self._shapes]
        parts = zip(flat.split(sizes, 1), self._shapes, strict=True)
        found = tuple(part.unflatten(1, shape) for part, shape in parts)
        return found[0] if len(found) == 1 else found


def _parts(words: Any) -> tuple[Tensor, ...]:
    return words if isinstance(words, tuple) else (words,)
