"""The base of our networks: diffusers' own, which comes with the first network that is made.

Importing diffusers takes longer than importing torch, and the settings of a family are read by
importing its module, where its networks are at home. So its classes are plain modules until one of
them is needed; then `complete` gives `Network` the bases that it stands for. Whoever asks a class
for them, as pipelines do when they load one, calls `complete` first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn


class Network(nn.Module):
    """A network that is saved, loaded and sent to the Hub as diffusers' are: a `ModelMixin`.

    The arguments of `__init__` are its `config`; no decorator is needed for it.
    """

    def __new__(cls, *args: Any, **options: Any) -> Network:  # noqa: D102
        complete()
        return super().__new__(cls)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if _is_complete():
            _keep_arguments(cls)

    @classmethod
    def from_pretrained(cls, *args: Any, **options: Any) -> Any:
        """The network that a folder or the Hub holds; arguments are those of diffusers."""
        complete()
        return super().from_pretrained(*args, **options)  # type: ignore[misc]


def complete() -> None:
    """Make `Network` and all classes below it `ModelMixin`s; a second call changes nothing."""
    if _is_complete():
        return
    from diffusers.configuration_utils import ConfigMixin
    from diffusers.models.modeling_utils import ModelMixin

    Network.__bases__ = (ModelMixin, ConfigMixin)
    for kind in _below(Network):
        _keep_arguments(kind)


def _is_complete() -> bool:
    return Network.__bases__ != (nn.Module,)


def _keep_arguments(kind: type[nn.Module]) -> None:
    """Let a class keep the arguments of its `__init__` as `config`."""
    from diffusers.configuration_utils import register_to_config

    if "__init__" in vars(kind):
        kind.__init__ = register_to_config(kind.__init__)  # type: ignore[method-assign]


def _below(kind: type[nn.Module]) -> Iterator[type[nn.Module]]:
    for lower in kind.__subclasses__():
        yield lower
        yield from _below(lower)
