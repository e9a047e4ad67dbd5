"""Low-rank adapters: two thin matrices beside a layer that stays as it is.

Hu et al. 2022 (arXiv:2106.09685), section 4.1: W x becomes W x + (alpha / r) B A x, where A has r
rows and B, which begins as 0, r columns. The layers are those of the library peft, which take the
place of the layers that they adapt. As tensors, an adapter has alpha multiplied into B, so that
alpha is r whoever reads it.

Legend: r rank, of a layer with a inputs and b outputs A is (r, a) and B is (b, r).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from genkit.errors import CheckpointError

NAME = "default"  # what peft calls the one adapter of a network
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_LAST = re.compile(r"[A-Za-z_]\w*(\.\d+)*$")  # of the name of a layer


def adapt(
    network: nn.Module, rank: int, alpha: float, targets: Sequence[str], dropout: float = 0.0
) -> None:
    """Give layers of a network an adapter that changes nothing yet, and freeze all else.

    Args:
        network: Is changed in place. Its weights may have any precision; the adapter has float32.
        rank: r.
        alpha: What B A is multiplied by, times r.
        targets: Ends of the names of layers, such as "to_q" or "attn1.to_q".
        dropout: Share of the inputs of A that are dropped in training.

    Raises:
        CheckpointError: No layer is called so.
    """
    from peft import LoraConfig

    names = [name for name, layer in network.named_modules() if _can_be_adapted(layer)]
    missing = [end for end in targets if not any(_ends_with(name, end) for name in names)]
    if missing:
        ends = dict.fromkeys(_LAST.search(name)[0] for name in names)  # type: ignore[index]
        raise CheckpointError(f"no layer is called {missing[0]!r}; there are {', '.join(ends)}")
    settings: dict[str, Any] = {"r": rank, "lora_alpha": alpha, "lora_dropout": dropout}
    config = LoraConfig(target_modules=[*targets], **settings)
    _inject(network, config)


def weights_of(network: nn.Module | None) -> dict[str, Tensor]:
    """The adapter of a network, float32 on the CPU: NAME.lora_A.weight and NAME.lora_B.weight of
    each adapted layer NAME, alpha multiplied into B; {} where there is none."""
    found: dict[str, Tensor] = {}
    for name, layer in () if network is None else _adapted(network):
        down, up = layer.lora_A[NAME].weight, layer.lora_B[NAME].weight
        found[name + _DOWN] = down.detach().float().cpu().clone()
        found[name + _UP] = (up.detach().float() * layer.scaling[NAME]).cpu()
    return found


def put_on(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give a network the adapter that `weights_of` or a file gave; nothing of it learns.

    Raises:
        CheckpointError: Tensors are of layers that the network lacks, or of other shapes.
    """
    from peft import LoraConfig, set_peft_model_state_dict

    layers = {key.removesuffix(_UP): value for key, value in tensors.items() if key.endswith(_UP)}
    there = {name for name, layer in network.named_modules() if _can_be_adapted(layer)}
    strange = sorted(layers.keys() - there)
    if strange or not layers:
        raise CheckpointError(
            f"of {len(layers)} layers of the adapter the model has {len(layers) - len(strange)}; "
            f"it lacks {strange[0] if strange else 'all'}: the adapter is of another model"
        )
    ranks = {name: up.shape[1] for name, up in layers.items()}
    usual = Counter(ranks.values()).most_common(1)[0][0]
    others = {f"^{name}$": rank for name, rank in ranks.items() if rank != usual}
    config = LoraConfig(
        r=usual,
        lora_alpha=usual,
        rank_pattern=others,
        alpha_pattern=dict(others),
        target_modules=sorted(layers),
    )
    _inject(network, config)
    try:
        found: Any = set_peft_model_state_dict(network, dict(tensors), NAME)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the adapter is of another model ({reason})") from None
    if found.unexpected_keys:
        raise CheckpointError(
            f"{len(found.unexpected_keys)} of {len(tensors)} tensors of the adapter have no place, "
            f"the first is {found.unexpected_keys[0]}"
        )
    network.requires_grad_(False)


def strengthen(network: nn.Module, strength: float) -> None:
    """Let the adapter change a network so many times as much: 0 is the network without it."""
    for _, layer in _adapted(network):
        layer.set_scale(NAME, strength)


def merge(network: nn.Module) -> int:
    """Add the adapter to the weights, and be done with it; returns how many layers it changed.

    The network has plain layers afterwards, under their old names.
    """
    places = list(_adapted(network))
    for name, layer in places:
        plain = layer.get_base_layer()
        with torch.no_grad():
            change = layer.get_delta_weight(NAME).float()
            plain.weight.copy_((plain.weight.float() + change).to(plain.weight.dtype))
        parent, _, last = name.rpartition(".")
        setattr(network.get_submodule(parent), last, plain)
    for name in ("peft_config", "_hf_peft_config_loaded"):
        network.__dict__.pop(name, None)
    return len(places)


def _inject(network: nn.Module, config: Any) -> None:
    from peft import inject_adapter_in_model

    inject_adapter_in_model(config, network, adapter_name=NAME)
    for _, layer in _adapted(network):  # peft gives them the precision of what they adapt
        layer.lora_A[NAME].float()
        layer.lora_B[NAME].float()


def _adapted(network: nn.Module) -> Iterator[tuple[str, Any]]:
    """Layers with an adapter, by their names."""
    from peft.tuners.lora import LoraLayer

    for name, layer in network.named_modules():
        if isinstance(layer, LoraLayer):
            yield name, layer


def _can_be_adapted(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Linear | nn.Conv2d)


def _ends_with(name: str, end: str) -> bool:
    return name == end or name.endswith(f".{end}")
