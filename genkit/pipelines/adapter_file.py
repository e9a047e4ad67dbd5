"""Files of adapters: one safetensors file, as diffusers writes it or as kohya's scripts do.

diffusers' `load_lora_weights` reads both; ComfyUI and the web interfaces read kohya's. Here alpha
is multiplied into the weights, so it equals the rank in every file that is written, and readers
that know no alpha are right too.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from genkit.errors import PipelineError, shown
from genkit.files import write_whole
from genkit.pipelines.export_files import one_line

FILE = "pytorch_lora_weights.safetensors"  # where diffusers looks for it in a folder
PARTS = ("unet", "text_encoder", "text_encoder_2")
Form = Literal["diffusers", "kohya"]
Adapter = Mapping[str, Mapping[str, Tensor]]  # of each part, as nn/adapters.py has it

_UP = ".lora_B.weight"


def write_adapter(
    path: Path,
    adapter: Adapter,
    *,
    form: Form = "diffusers",
    facts: Mapping[str, str] | None = None,
) -> None:
    """Write an adapter, whole or not at all.

    Args:
        path: The file, which ends in .safetensors; its folder is there.
        adapter: Tensors by part; none of them infinite.
        form: Whose names its tensors have.
        facts: Words that stand in the file's head.

    Raises:
        PipelineError: A tensor holds numbers that are infinite or none.
    """
    from safetensors.torch import save

    flat = {f"{part}.{key}": value for part, held in adapter.items() for key, value in held.items()}
    for key, value in flat.items():
        if not bool(value.isfinite().all()):
            raise PipelineError(
                f"{shown(path)}: {key} is not finite, and pictures would be black; nothing was "
                "written: resume from an earlier checkpoint with a lower optim.lr"
            )
    head = {"format": "pt"} | dict(facts or {})
    if form == "kohya":
        from diffusers import utils

        names: Any = utils
        flat = names.convert_state_dict_to_kohya(flat)
        if "text_encoder_2" not in adapter:  # of one tower they leave the number out
            flat = {key.replace("lora_te1_", "lora_te_"): value for key, value in flat.items()}
    content = save({key: value.contiguous() for key, value in flat.items()}, head)
    write_whole(path, content)


def read_adapter(path: Path) -> tuple[Adapter, dict[str, str]]:
    """An adapter in either form, and the words in the head of its file.

    Args:
        path: The file, or a folder that holds one as diffusers calls it.

    Raises:
        PipelineError: Nothing is there, it is broken, or holds no adapter of these models.
    """
    from diffusers import loaders
    from safetensors import SafetensorError, safe_open

    theirs: Any = loaders
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise PipelineError(f"{shown(file)}: no such file; name an adapter's .safetensors")
    alphas: Mapping[str, float] | None = None
    try:
        with safe_open(str(file), "pt") as opened:
            facts = opened.metadata() or {}
            flat = {key: opened.get_tensor(key) for key in [*opened.keys()]}
        if flat:
            flat, alphas = theirs.StableDiffusionLoraLoaderMixin.lora_state_dict(dict(flat))
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise PipelineError(f"{shown(file)}: holds no adapter ({one_line(error)})") from None
    strange = [key for key in flat if key.partition(".")[0] not in PARTS]
    if strange or not flat:
        first = f", such as {shown(strange[0])}" if strange else ""
        raise PipelineError(
            f"{shown(file)}: {len(strange)} of its {len(flat)} tensors belong to no adapter of "
            f"{', '.join(PARTS)}{first}; adapters of other models are not read"
        )
    parts = _parts(_with_alphas(flat, alphas or {}))
    return _scaled(parts, facts), facts


def _parts(flat: Mapping[str, Any]) -> dict[str, dict[str, Tensor]]:
    from diffusers import utils

    names: Any = utils
    found: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
    for key, value in flat.items():
        part, _, rest = key.partition(".")
        found[part][rest] = value.float()
    for part, held in found.items():
        if not any("lora_A" in key for key in held):
            kind = "unet_state_dict" if part == "unet" else "state_dict"
            found[part] = getattr(names, f"convert_{kind}_to_peft")(held)
    return dict(found)


def _scaled(
    parts: Mapping[str, Mapping[str, Tensor]], facts: Mapping[str, str]
) -> dict[str, dict[str, Tensor]]:
    """The same with alpha multiplied into B, where the head of the file tells one."""
    told = json.loads(facts.get("lora_adapter_metadata") or "{}")
    found: dict[str, dict[str, Tensor]] = {}
    for part, held in parts.items():
        if told.get(f"{part}.alpha_pattern"):
            raise PipelineError(
                f"the adapter gives layers of {part} alphas of their own (alpha_pattern in its "
                "head), which are not read here, and it would change too much or too little"
            )
        alpha = told.get(f"{part}.lora_alpha")
        found[part] = dict(held)
        for key in held if alpha is not None else ():
            if key.endswith(_UP):
                found[part][key] = held[key] * (float(alpha) / held[key].shape[1])
    return found


def _with_alphas(flat: Mapping[str, Tensor], alphas: Mapping[str, float]) -> dict[str, Tensor]:
    """Tensors in diffusers' old names with the alphas of kohya's file multiplied into B."""
    found = dict(flat)
    for key, alpha in alphas.items():
        down = key.removesuffix(".alpha")
        up = down.replace(".down.", ".up.")
        found[up] = flat[up].float() * (float(alpha) / flat[down].shape[0])
    return found


def ranks(held: Mapping[str, Tensor]) -> list[int]:
    """The ranks that occur in the adapter of a part, in order."""
    return sorted({int(value.shape[1]) for key, value in held.items() if key.endswith(_UP)})


def changes(held: Mapping[str, Tensor]) -> dict[str, float]:
    """How much an adapter adds to each layer: the Frobenius norm of B A."""
    found = {}
    for key, up in held.items():
        if key.endswith(_UP):
            layer = key.removesuffix(_UP)
            down = held[f"{layer}.lora_A.weight"].flatten(1)
            found[layer] = float(torch.linalg.matrix_norm(up.flatten(1) @ down))
    return found
