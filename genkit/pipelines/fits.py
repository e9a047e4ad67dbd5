"""Whether what a denoising pipeline says of its network is what the network is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def problems(
    network: Any, *, num_classes: int | None, patch_size: Any, null_label: bool
) -> Iterator[str]:
    """What does not fit, in words.

    Args:
        network: A U-Net or transformer of diffusers, by its config.
        num_classes: K; None = unconditional.
        patch_size: P; the network sees patches of P x P px as channels.
        null_label: Whether one label more than K means none.
    """
    config = network.config
    if not _is_whole(patch_size):
        yield f"patch_size: must be a whole number from 1 on, got {patch_size!r}"
        return
    size = config.get("sample_size")
    sides = size if isinstance(size, list | tuple) and len(size) == 2 else [size]
    if not all(map(_is_whole, sides)):
        yield f"sample_size of the network: must be a whole number or two of them, got {size!r}"
    seen, given = (int(config.get(name) or 0) for name in ("in_channels", "out_channels"))
    if seen < 1 or seen % patch_size**2:
        yield (
            f"patch_size: {patch_size} takes {patch_size**2} channels for each of an image, and "
            f"the network has {seen}"
        )
    if given not in (seen, 2 * seen):
        yield (
            f"out_channels of the network: must be its in_channels, {seen}, or with variances "
            f"twice that, got {given}"
        )
    labels = _labels(config)
    if num_classes is not None and labels is None:
        yield f"num_classes: {num_classes}, but the network knows no classes"
    elif num_classes is not None and labels is not None and num_classes + null_label > labels:
        none = ", one of which means none" if null_label else ""
        yield f"num_classes: {num_classes}, but the network knows {labels} labels{none}"


def _labels(config: Any) -> int | None:
    """Labels that a network can be given, with that which means none; None without classes."""
    if config.get("num_embeds_ada_norm") is not None:
        return int(config["num_embeds_ada_norm"]) + 1
    return config.get("num_class_embeds")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
