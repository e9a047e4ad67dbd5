"""Sections of networks that translate pictures and of their critics, by kind.

Which networks these are: `genkit/nn/translators.py`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from typing_extensions import Self

from genkit.config import Fraction, NonNegative, Positive, Section
from genkit.errors import DataError
from genkit.losses.adversarial import Objective
from genkit.nn.critics import Verdict
from genkit.nn.translation_layers import Norm, Upsampling
from genkit.nn.translators import (
    Output,
    PatchCritic,
    ResnetTranslator,
    Translator,
    UNetTranslator,
    smallest_side,
)
from genkit.rows.base import Rows
from genkit.rows.batch import Batch
from genkit.rows.combine import UnpairedRows
from genkit.training.adversarial import AdversarialOptimConfig
from genkit.training.adversary import AdversaryConfig

_DEEPEST = 8  # levels of the U-Net of the paper, for 256 px


class Resnet(Section):
    """Residual blocks at a quarter of the size: Zhu et al. 2017, appendix 7.2."""

    kind: Literal["resnet"] = "resnet"
    width: Positive = 64  # channels at full size, twice as many at each level below
    blocks: NonNegative = 9  # residual ones; the paper has 6 for 128 px and 9 from 256 px on
    levels: Annotated[int, Field(ge=0, le=6)] = 2  # how often a side is halved
    norm: Norm = "instance"  # batch: translations then differ between training and use
    upsampling: Upsampling = "transposed"  # resize: no checkerboard
    dropout: Fraction = 0.0  # share dropped within each block
    output: Output = "picture"  # change: what is made is added to the picture that came in

    @property
    def stride(self) -> int:
        """What the sides of pictures are multiples of, in px."""
        return 2**self.levels

    @property
    def smallest(self) -> int:
        """The smallest side of pictures, in px."""
        return max(4, 2 * self.stride)

    def at(self, sides: tuple[int, int]) -> Self:
        """These settings: none follows from the sides of the pictures."""
        return self

    def make(self, in_channels: int, out_channels: int) -> Translator:
        """The network, with first weights."""
        return ResnetTranslator(
            in_channels,
            out_channels,
            width=self.width,
            blocks=self.blocks,
            norm=self.norm,
            upsampling=self.upsampling,
            dropout=self.dropout,
            levels=self.levels,
            output=self.output,
        )


class UNet(Section):
    """Halved down to a few pixels, each level joined to its mirror image: Isola et al. 2017."""

    kind: Literal["unet"] = "unet"
    width: Positive = 64  # channels of the first level, at most 8 times as many below
    levels: Annotated[int, Field(ge=2, le=10)] = 8  # unless given: down to 1 px, at most 8
    norm: Norm = "instance"  # batch: translations then differ between training and use
    upsampling: Upsampling = "transposed"  # resize: no checkerboard
    dropout: Fraction = 0.0  # share dropped in the three innermost layers; the paper has 0.5

    @property
    def stride(self) -> int:
        """What the sides of pictures are multiples of, in px."""
        return 2**self.levels

    @property
    def smallest(self) -> int:
        """The smallest side of pictures, in px."""
        return self.stride

    def at(self, sides: tuple[int, int]) -> Self:
        """These settings, with what follows from the sides (H, W) of the pictures in px."""
        if self.was_given("levels"):
            return self
        halvings = min((side & -side).bit_length() - 1 for side in sides)
        return self.model_copy(update={"levels": max(2, min(halvings, _DEEPEST))})

    def make(self, in_channels: int, out_channels: int) -> Translator:
        """The network, with first weights."""
        return self.network(
            in_channels,
            out_channels,
            width=self.width,
            levels=self.levels,
            norm=self.norm,
            upsampling=self.upsampling,
            dropout=self.dropout,
        )

    @property
    def network(self) -> type[UNetTranslator]:
        """The class of the network."""
        return UNetTranslator


class PatchCritics(Section):
    """Critics of patches, beside the settings of a translator."""

    critic_width: Positive = 64  # channels of its first layer
    critic_layers: Annotated[int, Field(ge=0, le=5)] = 3  # patches of 1, 16, 34, 70, 142, 286 px
    critic_norm: Norm = "instance"

    def make_critic(self, channels: int) -> PatchCritic:
        """The network for pictures of so many channels, with first weights."""
        return PatchCritic(channels, self.critic_width, self.critic_layers, self.critic_norm)


class TranslatorOptim(AdversarialOptimConfig):
    """Adam for all networks; the rate falls to 0 over the second half of the run."""

    schedule: Literal["constant", "linear", "cosine", "exponential"] = "linear"  # of lr
    constant: Fraction = 0.0  # share of trainer.steps at full rate; 0.5 unless given

    @model_validator(mode="after")
    def _falls_over_the_second_half(self) -> Self:
        said = self.was_given("constant") or self.constant_steps or self.schedule == "constant"
        if not said:
            self.settle(constant=0.5)
        return self


class LeastSquares(AdversaryConfig):
    """The objective of the papers on translation, and what keeps the critics in check."""

    objective: Objective = "least-squares"  # see docs/objectives.md


def verdict_weight(objective: Objective) -> float:
    """What a critic's verdict counts in a translator's loss as its paper has it.

    Zhu et al. 2017, section 4, minimise (D(G(x)) - 1)^2; the formula of least squares here has half
    of that, as Mao et al. 2017 have it.
    """
    return 2.0 if objective == "least-squares" else 1.0


def critic_weight(objective: Objective) -> float:
    """What the objective counts in the loss of a translator's critic as the papers have it.

    Isola et al. 2017, section 3.3, and Zhu et al. 2017, appendix 7.1, halve it; the formula of
    least squares here has the half already.
    """
    return 1.0 if objective == "least-squares" else 0.5


def fitted(model: Any, adversary: AdversaryConfig, sides: tuple[int, int]) -> Any:
    """The settings of a translator and its critics, with what follows from the rest filled in.

    Args:
        model: A `Resnet` or `UNet` that is `PatchCritics` too and has a `verdict_weight`.
        adversary: What its critics are trained by.
        sides: (H, W) of the pictures in px.

    Raises:
        ValueError: Networks, pictures and critics don't go together.
    """
    model = model.at(sides)
    if not model.was_given("verdict_weight"):
        counts = verdict_weight(adversary.objective)
        model = model.model_copy(update={"verdict_weight": counts})
    for wrong in (
        sides_problem(sides, model, model.critic_layers),
        norm_problem(model.critic_norm, adversary),
    ):
        if wrong:
            raise ValueError(wrong)
    return model


def sides_problem(sides: tuple[int, int], model: Resnet | UNet, critic_layers: int) -> str | None:
    """Why these networks don't suit pictures of (H, W) px, or None."""
    height, width = sides
    size = height if height == width else [height, width]
    if not _takes(model, sides):
        up = [max(model.smallest, side + -side % model.stride) for side in sides]
        near = up[0] if height == width else f"[{up[0]},{up[1]}]"
        tried = (model.model_copy(update={"levels": n}) for n in range(model.levels - 1, -1, -1))
        fewer = next((each.levels for each in tried if _takes(each, sides)), -1)
        there = fewer >= (2 if isinstance(model, UNet) else 0)
        return (
            f"data.image_size={size}: with model.levels={model.levels} a side is halved so often; "
            f"give multiples of {model.stride}, from {model.smallest} px on, such as "
            f"data.image_size={near}" + (f", or set model.levels={fewer}" if there else "")
        )
    if min(sides) < (least := smallest_side(critic_layers)):
        fits = max(n for n in range(critic_layers) if smallest_side(n) <= min(sides))
        return (
            f"model.critic_layers={critic_layers} sees pictures from {least} px on, and "
            f"data.image_size={size}; set model.critic_layers={fits}"
        )
    return None


def _takes(model: Resnet | UNet, sides: tuple[int, int]) -> bool:
    return not any(side % model.stride or side < model.smallest for side in sides)


def channels_of(data: Any, side: str) -> int:
    """Channels of the pictures of a side, "a" or "b", as the settings of a data set have them."""
    return getattr(data, f"channels_{side}", None) or data.channels


def judge(critic: nn.Module, images: Tensor, batch: Batch) -> Verdict:
    """Whether each patch is of a real picture, of which a critic sees nothing else."""
    verdict: Verdict = critic(images)
    return verdict


def needs(config: Any) -> frozenset[str]:
    """Pictures of both kinds: for families that learn without pairs."""
    return frozenset({"image_a", "image_b"})


def refuse_one_kind(rows: Rows) -> Rows:
    """The rows, unless both of their sides hold the same pictures.

    Raises:
        DataError: They do, so there is nothing to translate.
    """
    if isinstance(rows, UnpairedRows) and rows.a.fingerprint == rows.b.fingerprint:
        raise DataError(
            f"{rows.name}: both sides hold the same pictures, so there is nothing to translate; "
            "put the other kind into one of them, or name it with data.a or data.b"
        )
    return rows


def norm_problem(norm: Norm, adversary: AdversaryConfig) -> str | None:
    """Why a critic with such a norm can't be held in check as that asks, or None."""
    if adversary.penalized and norm == "batch":
        return (
            "penalizing a critic of patches needs model.critic_norm=instance or none: under batch "
            "norm its gradient at one picture depends on the others, and means something else"
        )
    if adversary.spectral_norm and norm != "none":
        return (
            "adversary.spectral_norm with a critic of patches needs model.critic_norm=none: a norm "
            "divides by the spread of what the bounded weights give, and so undoes the bound"
        )
    return None
