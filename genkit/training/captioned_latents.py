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
from genkit.rows.combine import with_cuts
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
        self._shown: list[Batch] | None = None  # latents and captions to test on, by shape

    def rows(self, rows: Rows) -> Rows:
        """Rows of latents: means and deviations of their distributions, encoded once and kept.

        Raises:
            DataError: A caption is empty.
            TrainingError: The autoencoder makes numbers of a picture that are infinite or none.
        """
        texts = captions_of(rows)
        cuts = self._way.reads_cuts
        if self._trainer.accelerator.is_main_process:
            self._way.say_too_long(texts, rows.name)
        with self._trainer.accelerator.local_main_process_first():
            self._keep_texts(texts)
        found = self._latents.rows(rows, cuts=cuts)
        if cuts and "cut" not in found.columns:
            log.info(
                "%s: they come from no files, so the network is told that each picture is whole "
                "and as large as it is trained on",
                rows.name,
            )
        return found

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
            self._shown = self._to_test_on()
        count = sum(len(batch["latent"]) for batch in self._shown)
        found = dict.fromkeys((f"held-out/{band}" for band in BANDS), 0.0)
        for batch in self._shown:
            words = self._told(self._way.words(batch["caption"]), batch)  # by towers that may learn
            for number, name in enumerate(found):
                u = (number + (batch["index"] + 0.5) / count) / len(BANDS)
                loss = self._held_out(network, batch, words, u)
                found[name] += loss * len(u) / count
        return found

    def _held_out(self, network: Any, batch: Batch, words: Any, u: Tensor) -> float:
        """The loss on test pictures of one shape at these levels (B,)."""
        trainer, x0 = self._trainer, batch["latent"]
        rows = batch["index"].tolist()
        eps = random.rows(trainer.config.trainer.seed, "held-out", rows, x0.shape[1:])

        def ask(x: Tensor, time: Tensor) -> Tensor:
            found: Tensor = self._way.ask(network, x, time, words)
            return found

        with trainer.casting.autocast():
            loss = self._diffusion.process.loss(ask, x0, eps.to(trainer.device), u)
        return float(loss)

    def _to_test_on(self) -> list[Batch]:
        """The latents of the first test pictures, a batch for each shape."""
        rows = self._trainer.to_show
        if self._way.reads_cuts:
            rows = rows.each_shape(lambda of: with_cuts(of, of))
        shapes = rows.by_shape(range(min(_HELD_OUT, len(rows))))
        batches = [batch_of(rows, one, self._trainer.device) for one in shapes]
        return [batch | {"latent": self._latents.encoded(batch["image"])[0]} for batch in batches]

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
        return self._told(self._read(self.texts(batch)), batch)

    def _told(self, words: Any, batch: Batch) -> Any:
        """Words beside how the pictures of a batch were cut, where the network is told that."""
        return self._way.told(words, batch["cut"]) if "cut" in batch else words

    def _read(self, texts: Sequence[str]) -> Any:
        """Texts as the network reads them."""
        if self._kept is None:
            return self._way.words(texts)
        flat = self._kept(texts).to(self._trainer.device)
        sizes = [shape.numel() for shape in self._shapes]
        parts = zip(flat.split(sizes, 1), self._shapes, strict=True)
        found = tuple(part.unflatten(1, shape) for part, shape in parts)
        return found[0] if len(found) == 1 else found


def _parts(words: Any) -> tuple[Tensor, ...]:
    return words if isinstance(words, tuple) else (words,)
