"""Editing: the pipeline of models that change attributes of a picture and keep the rest.

A row of attributes is coded as He et al. 2019 (arXiv:1711.10678) do: +thres_int where one holds,
-thres_int where it doesn't; what is edited gets +-test_int, twice as much in the published tests.
Which attributes can't hold together is data of the column (`genkit.rows.flags`).

Legend: B batch, C channels, H W height and width in px, A attributes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from genkit.errors import PipelineError, shown
from genkit.nn.familiarity import appearance
from genkit.pipelines.base import FORMAT_VERSION, Pipeline
from genkit.pipelines.card import Card, card_of
from genkit.pipelines.edits import Edits, coded, edits_of
from genkit.pipelines.given import Takes, given_rows
from genkit.rows.columns import Columns, Flags, Image
from genkit.rows.flags import likely


@dataclass(frozen=True)
class Used:
    """What pictures of a batch were edited with.

    Attributes:
        shares: (B, A) in [0, 1], how sure the model is that each attribute holds; None where the
            attributes were given.
        before: (B, A) in {0, 1}, the attributes that the pictures were taken to have.
        after: (B, A) in {0, 1}, those that they were asked to have.
        code: (B, A), what the decoder was told.
    """

    shares: Tensor | None
    before: Tensor
    after: Tensor
    code: Tensor


class EditingPipeline(Pipeline):
    """A picture and its attributes to the same picture with others.

        pipeline(image=picture, set={"Eyeglasses": 1})
        pipeline(given=rows, flip="Smiling", strength=1.5)

    Args:
        encoder: Pictures to maps, such as an `EditEncoder`.
        decoder: Maps and codes to pictures, such as an `EditDecoder`.
        critic: Names the attributes of pictures, such as an `AttributeCritic`; None = they must be
            given.
        familiarity: A `Familiarity` by the `appearance` of pictures; None = nothing is said of it.
        attributes: A names.
        excludes: (name, the names that switching it on switches off).
        image_size: Side of square pictures in px, or [height, width].
        thres_int: What an attribute of the picture is coded by.
        test_int: What an edited one is coded by at strength 1.
        format_version: Of the export folder that this pipeline is saved as.

    Attributes:
        used: What the last batch was edited with; None before the first.
    """

    _optional_components = ["critic", "familiarity"]  # noqa: RUF012  (diffusers' name and type)
    used: Used | None = None

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        critic: Any = None,
        familiarity: Any = None,
        attributes: Sequence[str] | None = None,
        excludes: Sequence[Sequence[Any]] = (),
        image_size: int | Sequence[int] = 64,
        thres_int: float = 0.5,
        test_int: float = 1.0,
        format_version: int = FORMAT_VERSION,
    ) -> None:
        super().__init__()
        told = decoder.config["attributes"]
        if not attributes or len(attributes) != told:
            raise PipelineError(
                f"attributes: the decoder is told {told}, expected their names in order, got "
                f"{shown(list(attributes or ()))}"
            )
        self.register_modules(  # type: ignore[no-untyped-call]
            encoder=encoder, decoder=decoder, critic=critic, familiarity=familiarity
        )
        self.register_to_config(  # type: ignore[no-untyped-call]
            attributes=list(attributes),
            excludes=[[name, list(off)] for name, off in excludes],
            image_size=image_size if isinstance(image_size, int) else list(image_size),
            thres_int=thres_int,
            test_int=test_int,
            format_version=format_version,
        )

    # -- what it takes and gives -------------------------------------------------------------------

    @property
    def attributes(self) -> tuple[str, ...]:
        """The names of what it can edit, in the order of its rows of attributes."""
        return tuple(self.config["attributes"])

    @property
    def column(self) -> Flags:
        """Its attributes, and which of them can't hold together."""
        rules = tuple((name, tuple(off)) for name, off in self.config["excludes"])
        return Flags(self.attributes, rules, optional=self.critic is not None)

    @property
    def takes(self) -> Takes:
        """A picture and its attributes, which are guessed where they are not given."""
        return ({**self.gives, "attributes": self.column},)

    @property
    def gives(self) -> Columns:
        """A picture."""
        size = self.config["image_size"]
        height, width = (size, size) if isinstance(size, int) else size
        return {"image": Image((height, width), self.decoder.config["channels"])}

    def options(self, **asked: Any) -> Edits:
        """Options of a call, checked: see `Edits`."""
        return edits_of(self.column, asked)

    def describe(self, options: Edits, taken: Collection[str]) -> Mapping[str, Any]:
        """The edits, what they are coded by, and whether attributes were given or guessed."""
        codes = {key: self.config[key] for key in ("thres_int", "test_int")}
        return {
            "edit": options.to_tree() | codes,
            "attributes": "given" if "attributes" in taken else "guessed",
        }

    def card(self) -> Card:
        """An example call that switches one attribute, and the names of all."""
        card = card_of(self.takes, self.gives, options=f', set={{"{self.attributes[0]}": 1}}')
        return replace(card, facts={**card.facts, "Attributes": ", ".join(self.attributes)})

    # -- how ---------------------------------------------------------------------------------------

    def generate(self, begun: None, given: Mapping[str, Any], options: Edits) -> dict[str, Tensor]:
        """One batch: the edited pictures (B, C, H, W) in [-1, 1]; `used` says what with."""
        image, shares, attributes = given["image"], None, given.get("attributes")
        if attributes is None:
            shares = self.guess(image)
            attributes = likely(self.column, shares)
        before, after, code = coded(
            self.column,
            attributes,
            options,
            thres_int=self.config["thres_int"],
            test_int=self.config["test_int"],
        )
        self.used = Used(shares, before, after, code)
        made: Tensor = self.decoder(self.encoder(image.to(self.dtype)), code.to(self.dtype))
        return {"image": made.float()}

    def guess(self, images: Any) -> Tensor:
        """How sure it is that each attribute holds: (B, A) float32 in [0, 1].

        Args:
            images: A picture or several of the model's size, as a call takes them; or a float
                tensor (B, C, H, W) in [-1, 1], as networks take them.

        Raises:
            PipelineError: It has no critic, or pictures are of another size.
        """
        if self.critic is None:
            raise PipelineError(
                "attributes: this model has no critic to guess them by; give attributes="
            )
        with self.generating():
            verdict = self.critic(self._batch(images).to(self.dtype))
        return verdict.classes.float().sigmoid()

    def unfamiliarity(self, images: Any) -> Tensor:
        """How far pictures are from those that it was trained on: (B,) float32 from 0 on.

        Beyond `familiar_below` lie 1 % of pictures of the same kind that it never saw.

        Args:
            images: As `guess` takes them.

        Raises:
            PipelineError: It does not know what is familiar, or pictures are of another size.
        """
        if self.familiarity is None:
            raise PipelineError(
                "familiarity: this export does not know what is familiar to it; export its run "
                "again with this version of genkit"
            )
        with self.generating():
            found: Tensor = self.familiarity(appearance(self._batch(images)))
        return found

    def _batch(self, images: Any) -> Tensor:
        """Pictures (B, C, H, W) float32 in [-1, 1], on the device of the networks."""
        if isinstance(images, Tensor) and images.is_floating_point() and images.ndim == 4:
            return images.to(self.device)
        rows = given_rows((self.gives,), None, {"image": images})
        batch: Tensor = rows.batch(rows.read(range(rows.count)), self.device)["image"]
        return batch

    @property
    def familiar_below(self) -> float:
        """The `unfamiliarity` that 99 % of pictures like those of the training stay below; infinite
        if it does not know.
        """
        return float("inf") if self.familiarity is None else float(self.familiarity.below)
