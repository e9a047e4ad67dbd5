"""What pipelines share that make pictures of texts by way of latents, whatever network does it.

Legend: B batch, C channels, H W size of a picture in px, Z latent channels, S side of a latent.
"""

from __future__ import annotations

import inspect
import logging
from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor
from typing_extensions import Self

from genkit.errors import PipelineError
from genkit.nn.autoencoders import factor, from_latents, to_latents
from genkit.nn.tokens import longest_read, misfit, too_long
from genkit.pipelines import stepping
from genkit.pipelines.adapted import Base
from genkit.pipelines.denoise import (
    Begin,
    Condition,
    Noise,
    Predict,
    begun_with,
    denoise,
    gaussian,
    gaussian_between,
    guided,
    invert,
)
from genkit.pipelines.denoising import precision_of
from genkit.pipelines.given import Takes
from genkit.pipelines.inversion import Inverted, inverted
from genkit.pipelines.sampling import Sampling, complete
from genkit.pipelines.walks import FromNoise
from genkit.rows.base import Rows
from genkit.rows.columns import Columns, Image, Latent, Mask, Text

log = logging.getLogger("genkit")

_MEASURED: set[tuple[int, str]] = set()  # longest text that is read, and texts held against it


class FromText(FromNoise):
    """Pictures of what a text says: noise and words become a latent, and that a picture.

    A pipeline registers `vae`, `scheduler` and its network, hands the network to `_set_network`,
    and writes how words are read and the network is asked.

    Attributes:
        shift: What latents have been lowered by before they were scaled.
        base: The model that its adapter changes; None = there is no adapter.
        reads_cuts: Whether its network is told how pictures were cut.
    """

    in_steps: ClassVar[bool] = True
    shift: float = 0.0
    base: Base | None = None
    reads_cuts: ClassVar[bool] = False

    # -- what a pipeline writes --------------------------------------------------------------------

    @abstractmethod
    def words(self, texts: Sequence[str]) -> Condition:
        """Texts as the network reads them; "" stands for no text."""

    @abstractmethod
    def ask(self, network: Any, x: Tensor, time: Tensor, words: Any) -> Tensor:
        """What the network, compiled or not, gives for x (B, Z, S, S) at times (B,)."""

    def told(self, words: Any, cuts: Tensor) -> Any:
        """Words beside which the network is told how pictures were cut, where it reads that.

        Args:
            words: As the network reads them.
            cuts: Of B pictures, (B, 6): see `FileRows.cuts`.
        """
        return words

    # -- what it is --------------------------------------------------------------------------------

    def _set_network(self, network: Any) -> None:
        self._network = self._forward = network

    def with_parts(self, **parts: Any) -> Self:
        """The same pipeline with other networks under these names."""
        taken = inspect.signature(type(self).__init__).parameters
        held = self.components
        settings = {key: self.config[key] for key in taken if key in self.config}
        return type(self)(**{**settings, **held, **parts})

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(Z, S, S)."""
        side = self._network.config["sample_size"]
        return int(self._network.config["in_channels"]), int(side), int(side)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of its pictures."""
        side = self.latent_shape[1] * factor(self.vae)
        return int(self.vae.config["out_channels"]), side, side

    @property
    def takes(self) -> Takes:
        """A text, and what is not wanted; or a picture to begin from besides, and a mask that is 1
        where to change; or the noise to begin with."""
        words: Columns = {"caption": Text(), "negative": Text(optional=True)}
        mask = Mask(self.shape[1:], optional=True)
        image: Columns = {"image": self.gives["image"], "mask": mask, **words}
        return words, image, {"noise": Latent(self.latent_shape), **words}

    @property
    def gives(self) -> Columns:
        """Pictures."""
        return {"image": Image(self.shape[1:], self.shape[0])}

    def options(self, **asked: Any) -> Sampling:
        """Options of a call, checked and completed: see `Sampling`."""
        found = complete(asked, self.scheduler, 1)
        made = found.make(self.scheduler)
        channels = self.latent_shape[0]
        stepping.check_options(made, found, channels, channels)
        return replace(found, precision=precision_of(found.precision, self._network))

    def describe(self, options: Sampling, taken: Collection[str]) -> Mapping[str, Any]:
        """The sampling options that were used, defaults included."""
        return {"sampling": options.to_tree(with_picture="image" in taken)}

    def compile(self) -> None:
        """Sample through `torch.compile` from now on: the first batch of each size takes longer."""
        self._forward = torch.compile(self._network)

    # -- how ---------------------------------------------------------------------------------------

    def begin(
        self, indices: Sequence[int], seed: int, given: Mapping[str, Any], options: Any
    ) -> Noise:
        """Noise of latents; schedulers that add some on the way go on from it."""
        return begun_with(gaussian(indices, seed, self.latent_shape), given)

    def between(self, first: int, second: int, t: Tensor, seed: int) -> Noise:
        """Noise on the arc from that of image `first` to that of image `second`."""
        return gaussian_between(first, second, t, seed, self.latent_shape)

    def between_texts(self, texts: Sequence[str], places: Tensor, options: Sampling) -> Condition:
        """Words of N places on the straight way from text to text, as the network reads them."""
        if options.guidance == 0:
            raise PipelineError(
                "guidance: 0 passes over what captions say, so between them nothing changes; leave "
                "guidance out"
            )
        with self.generating():
            words = self.words(texts)
        before = places.long().clamp(max=len(texts) - 2)

        def on_the_way(part: Tensor) -> Tensor:
            share = (places - before).to(part).view(-1, *[1] * (part.ndim - 1))
            return part[before].lerp(part[before + 1], share)

        return on_the_way(words) if isinstance(words, Tensor) else tuple(map(on_the_way, words))

    def invert(self, given: Rows | None = None, **asked: Any) -> Inverted:
        """Pictures as the noise that they come from: see `inversion.inverted`."""
        return inverted(self, given, **asked)

    def noise_of(self, given: Mapping[str, Any], options: Sampling) -> Tensor:
        """The noise (B, Z, S, S) of which pictures are made again, nearly."""
        return invert(
            options.make(self.scheduler),
            self._predictor(given, options),
            self._encoded(given["image"]),
            steps=options.steps,
            on_step=self.on_step,
        )

    def generate(
        self, begun: Noise, given: Mapping[str, Any], options: Sampling
    ) -> dict[str, Tensor]:
        """One batch: pictures (B, C, H, W) in [-1, 1]."""
        latents = denoise(
            options.make(self.scheduler),
            self._predictor(given, options),
            begun.x.to(self.device),
            begun.generators,
            steps=options.steps,
            eta=options.step_eta,
            begin=self._begin(given, options),
            on_step=self.on_step,
        )
        images = from_latents(self.vae, latents.float(), self.shift)
        return {"image": images.float().clamp(-1, 1)}

    def _begin(self, given: Mapping[str, Any], options: Sampling) -> Begin | None:
        if "image" not in given:
            if options.strength != Sampling.strength:
                raise PipelineError(
                    "strength: says how much of a picture to change; give image too"
                )
            return None
        mask = given.get("mask")
        if mask is not None:
            mask = torch.nn.functional.max_pool2d(mask, factor(self.vae))
        return Begin(self._encoded(given["image"]), options.strength, mask)

    def _encoded(self, images: Tensor) -> Tensor:
        """Pictures (B, C, H, W) in [-1, 1] as latents (B, Z, S, S)."""
        return to_latents(self.vae, images, self.shift)[0]

    @property
    def longest(self) -> int:
        """Tokens of a text that are read at most."""
        return longest_read(self.tokenizer, self.text_encoder.config)

    def _measure(self, texts: Sequence[str]) -> None:
        """Say of texts of a call, once in a process, how many are too long."""
        new = {(self.longest, text) for text in texts} - _MEASURED
        _MEASURED.update(new)
        self.say_too_long([text for _, text in new], "caption")

    def say_too_long(self, texts: Sequence[str], where: str) -> None:
        """Say how many texts, each once, have more tokens than are read.

        Args:
            texts: Any number.
            where: What they are of, such as a data set.
        """
        each_once = sorted({*texts})
        tokenizers = [p for n, p in self.components.items() if n.startswith("tokenizer") and p]
        read = self.longest
        cut = max(too_long(each, each_once, read) for each in tokenizers)
        if cut:
            log.warning(
                "%s: %d of %d texts have more than the %d tokens that are read; what is behind is "
                "left out",
                *(where, cut, len(each_once), read),
            )

    def _predictor(self, given: Mapping[str, Any], options: Sampling) -> Predict:
        """The network, guided away from what is not wanted: by default from no text at all."""

        halves = {p.dtype for p in self._network.parameters()} & {torch.bfloat16, torch.float16}
        half = next(iter(halves), None)  # the frozen weights below an adapter may be so
        casts = options.precision == "bf16" or half is not None

        def network(x: Tensor, time: Tensor, words: Any) -> Tensor:
            with torch.autocast(x.device.type, half or torch.bfloat16, enabled=casts):
                return self.ask(self._forward, x, time.expand(len(x)), words).float()

        said = given["caption"]
        texts = isinstance(said[0], str)  # on a walk words come as the network reads them
        self._measure([*(said if texts else ()), *(given.get("negative") or ())])
        wanted: Condition = self.words(said) if texts else said
        count = len(wanted) if isinstance(wanted, Tensor) else len(wanted[0])
        without = self.words(given.get("negative") or [""] * count)
        return guided(network, wanted, without, **options.guiding)


def check_latents(vae: Any, network: Any, name: str, patch_size: int = 1) -> None:
    """Raise unless a network, a pipeline's component of that name, takes an autoencoder's latents.

    Args:
        vae: An `AutoencoderKL`.
        network: That takes noise off latents, by its config.
        name: Of the component.
        patch_size: P, of a network that sees P x P latents as channels of one.

    Raises:
        PipelineError: They have other channels.
    """
    latent = vae.config["latent_channels"]
    seen = network.config["in_channels"] // patch_size**2
    if latent != seen:
        raise PipelineError(
            f"vae and {name} don't fit: latents have {latent} channels, the network takes "
            f"{seen}; take both from one model"
        )


def check_tokens(tokenizer: Any, tower: Any) -> None:
    """Raise unless a tower of texts reads what a tokenizer makes.

    Raises:
        PipelineError: It does not.
    """
    if problem := misfit(tokenizer, tower.config):
        raise PipelineError(
            f"tokenizer and text_encoder don't fit: {problem}; take both from one model"
        )
