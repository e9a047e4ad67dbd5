"""Generators of CycleGAN and pix2pix as their authors' PyTorch code saves them.

Files such as `latest_net_G.pth`: a plain state dict that names layers by their place. A ResNet has
"model.1.weight" first, two strided convolutions (model.4, .7), blocks "model.10.conv_block.1" and
".5" (".6" with dropout), two transposed convolutions (model.19 and .22 behind 9 blocks) and the
output (model.26). A U-Net has one level within the other: "model.model.1.model.3. ...".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from genkit.errors import WeightsError, shown
from genkit.nn.pretrained.weights import read_state
from genkit.nn.translation_layers import Norm
from genkit.nn.translators import ResnetTranslator, Translator, UNetTranslator

log = logging.getLogger("genkit")

_WRAPPED = "module."  # before every key of what several GPUs have trained
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_FIRST_BLOCK = re.compile(r"model\.(\d+)\.conv_block\.")


def read_generator(path: Path) -> Translator:
    """The generator that a file holds, in eval mode; nothing in the file is executed.

    Raises:
        WeightsError: The file can't be read, or holds no generator of such a layout.
    """
    if not path.is_file():
        raise WeightsError(f"{shown(path)}: no such file; give one such as latest_net_G.pth")
    state = {key.removeprefix(_WRAPPED): value for key, value in read_state(path).items()}
    where = shown(path)
    try:
        if "model.1.weight" in state:
            network, layers = _resnet(state)
        elif "model.model.0.weight" in state:
            network, layers = _unet(state)
        else:
            raise _strange(where, state)
        renamed = dict(_renamed(state, layers))
        left = sorted(state.keys() - {old for old, _ in renamed.values()})
        left = _said(where, left, keeps=_norm(state) == "batch")
        weights = {new: value for new, (_, value) in renamed.items()}
        if left or (missing := network.state_dict().keys() - weights.keys()):
            raise _other(where, left, sorted(missing) if not left else [])
        network.load_state_dict(weights)
        _say_at_test(where, network, batch=_norm(state) == "batch")
    except (KeyError, ValueError, RuntimeError, AttributeError, IndexError) as error:
        raise WeightsError(
            f"{where}: its keys are those of a generator, but what they hold is not "
            f"({shown(' '.join(str(error).split()), 120)}); download it again"
        ) from None
    return network.eval()


def _resnet(state: Mapping[str, Tensor]) -> tuple[Translator, dict[str, str]]:
    """The network of such weights without them, and the names of its layers by the file's."""
    places = {int(found[1]) for key in state if (found := _FIRST_BLOCK.match(key))}
    start, norm, blocks = min(places), _norm(state), len(places)
    levels = (start - 4) // 3  # behind the first convolution, its norm and its activation
    dropout = any(".conv_block.6.weight" in key for key in state) and norm == "instance"
    dropout = dropout or any(".conv_block.7.weight" in key for key in state)
    second = 6 if dropout else 5
    end = start + blocks
    layers = {"model.1": "stages.first.0", "model.2": "stages.first.1"}
    for i in range(levels):
        layers[f"model.{4 + 3 * i}"] = f"stages.down{i + 1}.0"
        layers[f"model.{5 + 3 * i}"] = f"stages.down{i + 1}.1"
        layers[f"model.{end + 3 * i}"] = f"stages.up{levels - i}.0"
        layers[f"model.{end + 1 + 3 * i}"] = f"stages.up{levels - i}.1"
    for i in range(blocks):
        ours, theirs = f"stages.block{i + 1}.inner", f"model.{start + i}.conv_block"
        layers |= {f"{theirs}.1": f"{ours}.0", f"{theirs}.2": f"{ours}.1"}
        layers |= {f"{theirs}.{second}": f"{ours}.{3 + dropout}"}
        layers |= {f"{theirs}.{second + 1}": f"{ours}.{4 + dropout}"}
    last = f"model.{end + 3 * levels + 1}"
    layers[last] = "stages.last.0"
    (width, channels), made = state["model.1.weight"].shape[:2], len(state[f"{last}.weight"])
    share = 0.5 if dropout else 0.0
    return ResnetTranslator(
        channels, made, width=width, blocks=blocks, norm=norm, dropout=share, levels=levels
    ), layers


def _unet(state: Mapping[str, Tensor]) -> tuple[Translator, dict[str, str]]:
    """As `_resnet`, of the U-Net."""
    norm, prefix, levels = _norm(state), "model.model.", 1
    layers = {f"{prefix}0": "stages.down1.0", f"{prefix}3": "stages.last.1"}
    last, inner = f"{prefix}3", f"{prefix}1.model."
    while f"{inner}1.weight" in state:
        levels += 1
        innermost = f"{inner}3.model.1.weight" not in state
        layers[f"{inner}1"] = f"stages.down{levels}.1"
        up, up_norm = ("3", "4") if innermost else ("5", "6")
        if not innermost:
            layers[f"{inner}2"] = f"stages.down{levels}.2"
        layers |= {
            f"{inner}{up}": f"stages.up{levels}.1",
            f"{inner}{up_norm}": f"stages.up{levels}.2",
        }
        inner = f"{inner}3.model."
    (width, channels), made = (
        state["model.model.0.weight"].shape[:2],
        state[f"{last}.weight"].shape[1],
    )
    return UNetTranslator(channels, made, width=width, levels=levels, norm=norm), layers


def _norm(state: Mapping[str, Tensor]) -> Norm:
    """Instance norm has no weights; batch norm has one for each channel."""
    return (
        "batch"
        if any(v.ndim == 1 and k.endswith(".weight") for k, v in state.items())
        else "instance"
    )


def _renamed(
    state: Mapping[str, Tensor], layers: Mapping[str, str]
) -> Iterator[tuple[str, tuple[str, Tensor]]]:
    """Our name of each value that has one, with the file's."""
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        if layer in layers and not (kind in _STATISTICS and _norm(state) == "instance"):
            yield f"{layers[layer]}.{kind}", (key, value)


def _said(where: str, left: list[str], *, keeps: bool) -> list[str]:
    """What is left over, without the statistics of instance norms, which is said."""
    passed = [key for key in left if not keeps and key.rpartition(".")[2] in _STATISTICS]
    if passed:
        log.info(
            "%s: %d statistics of instance norms are left out; such a norm looks at each picture "
            "by itself",
            where,
            len(passed),
        )
    return [key for key in left if key not in passed]


def _say_at_test(where: str, network: Translator, *, batch: bool) -> None:
    """Where the authors' script tests a U-Net, pix2pix's, otherwise than an export does."""
    if isinstance(network, UNetTranslator):
        theirs = f"dropout on{' and batch norms by the picture' if batch else ''}"
        ours = f"no dropout{' and the running averages of batch norms' if batch else ''}"
        log.info(
            "%s: a U-Net as pix2pix has it is tested by its authors' script with %s, where it was "
            "trained so; this export has %s (.eval()), so its pictures differ from theirs",
            *(where, theirs, ours),
        )


def _strange(where: str, state: Mapping[str, Any]) -> WeightsError:
    keys = ", ".join(shown(key, 60) for key in [*state][:3]) or "none"
    return WeightsError(
        f"{where}: no generator of CycleGAN's authors: expected keys such as model.1.weight "
        f"(ResNet) or model.model.0.weight (U-Net), found {keys}; of a run's files take "
        "latest_net_G_A.pth or another that is called G"
    )


def _other(where: str, left: list[str], missing: list[str]) -> WeightsError:
    what = f"has {left[0]} besides" if left else f"lacks {missing[0]}"
    return WeightsError(
        f"{where}: nearly a generator of CycleGAN's authors, but it {shown(what, 80)}; only their "
        "ResNet and U-Net are read"
    )
