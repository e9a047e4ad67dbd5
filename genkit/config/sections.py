"""What a group of settings is: frozen, unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler

from genkit.config.comments import comments_of

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Section(BaseModel):
    """A group of settings: frozen, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @classmethod
    def section_of(cls, name: str, tree: Any) -> type[Section] | None:
        """Which section a setting is in this tree, where its type alone doesn't say."""
        return None

    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> dict[str, Any]:
        schema: dict[str, Any] = handler.resolve_ref_schema(handler(core))
        for name, comment in comments_of(cls).items():
            if name in schema["properties"]:
                schema["properties"][name].setdefault("description", comment)
        return schema

    def settle(self, **values: Any) -> None:
        """Fill in settings whose default follows from others; for validators of this very section.

        A section within this one may be shared with other configs: put a copy in its place.
        """
        self.__dict__.update(values)

    def was_given(self, name: str) -> bool:
        """Whether a tree or a call named that setting, rather than its default."""
        return name in self.model_fields_set


@dataclass(frozen=True)
class ByKind:
    """Marks a setting that is one of several sections, told apart by a field of theirs.

        model: Annotated[UNet | DiT, ByKind("unet")] = UNet()

    Attributes:
        default: What a tree that leaves the field out means.
        key: The field; each section has it as a `Literal`.
    """

    default: str
    key: str = "kind"

    def __get_pydantic_core_schema__(self, union: Any, handler: GetCoreSchemaHandler) -> Any:
        told = Field(discriminator=self.key)
        return handler.generate_schema(Annotated[union, told, BeforeValidator(self._named)])

    def _named(self, tree: Any) -> Any:
        return {self.key: self.default, **tree} if isinstance(tree, Mapping) else tree


@dataclass(frozen=True)
class _MayChange:
    pass


# Marks a setting that a resumed run may change, since it alters nothing of what was computed:
#     log_every: MayChange[Positive] = 50
T = TypeVar("T")
MayChange = Annotated[T, _MayChange()]

# A trained network that a run builds on and leaves as it is: a run folder, an export folder or a
# Hub id, and behind # the name of the component where there are several: runs/vae, org/model#vae.
# It may lie elsewhere when a run is resumed: the run knows its weights again.
ComponentRef = MayChange[Annotated[str, Field(pattern=r"^[^#]+(#\w+)?$")]]


def may_change(section: Section, dotted: str) -> bool:
    """Whether the setting `a.b` of a config is marked so, or its section is."""
    name, _, rest = dotted.partition(".")
    field = type(section).model_fields.get(name)
    if field is None:
        return False
    inner = getattr(section, name)
    marked = _MayChange() in field.metadata
    if marked or not isinstance(inner, Section):
        return marked
    return may_change(inner, rest)
