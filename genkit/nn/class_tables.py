"""The table of classes of a diffusion transformer, made larger or smaller.

Diffusers' `DiTPipeline` has the published model in mind: label 1000 means no class, whatever the
transformer knows. So a transformer of fewer classes is handed to it with rows that are never named.
"""

from __future__ import annotations

import copy
from typing import Any

from torch import nn


def with_classes(dit: Any, count: int) -> Any:
    """A copy of a `DiTTransformer2DModel` whose table has so many classes, and behind them none.

    It says the same of every class that both tables have, and of none; new rows are zeros.
    """
    made = copy.deepcopy(dit)
    for block in made.transformer_blocks:
        embedder = block.norm1.emb.class_embedder
        old = embedder.embedding_table.weight.detach()
        new = old.new_zeros(count + 1, old.shape[1])
        shared = min(count, len(old) - 1)
        new[:shared], new[-1] = old[:shared], old[-1]
        embedder.embedding_table = nn.Embedding.from_pretrained(new, freeze=False)
        embedder.num_classes = count
    made.register_to_config(num_embeds_ada_norm=count)
    return made
