"""Words to numbers: CLIP's byte-level byte-pair encoding, learnt from one's own captions.

Radford et al. 2021 (arXiv:2103.00020), section 2.4, after Sennrich et al. 2016 (arXiv:1508.07909):
texts are lower-cased and parted into words; the commonest pair of neighbours is merged over and
over. The numbers are laid out as CLIP's are: 256 bytes, the same at the end of a word, a token for
each merge, start, end. So the last number is always the end of a text.

Legend: B texts, L tokens of the longest of them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from genkit.errors import DataError

BYTES = 256
START, END = "<|startoftext|>", "<|endoftext|>"
PUBLISHED = 49_408  # tokens of CLIP's own vocabulary
LEAST = 2 * BYTES + 2  # tokens of a vocabulary without a single merge
_LAST = "</w>"  # marks a token that ends a word
_CHUNK = 10_000  # texts counted at a time
_LARGEST = 2  # the end token of towers, in early configs, that look for the largest number
_UNSTATED = 1_000_000  # from which on a tokenizer's longest text is that of one that states none
_NEVER = "<|unused{}|>"  # holds a number that no merge took


def learnt(texts: Iterable[str], size: int, context: int) -> tuple[Any, int]:
    """A `CLIPTokenizer` of exactly `size` tokens, and how many of them no text ever has.

    The same texts in the same order give the same tokenizer. Where they hold fewer pairs than there
    is room for, the numbers left over are never used.

    Args:
        texts: To learn from.
        size: Of the vocabulary, 514 or more.
        context: Tokens of a text at most, start and end among them.
    """
    from tokenizers import Tokenizer, models, trainers

    pattern = _tokenizer([], LEAST, context).backend_tokenizer
    raw = Tokenizer(models.BPE(end_of_word_suffix=_LAST))
    raw.normalizer, raw.pre_tokenizer = pattern.normalizer, pattern.pre_tokenizer
    # Pairs that are equally common are merged in the order of their numbers, so those at the end of
    # a word are given theirs here; the trainer would number them as it meets them, by chance.
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        initial_alphabet=_bytes(),
        end_of_word_suffix=_LAST,
        special_tokens=[each + _LAST for each in _bytes()],
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    merges = [tuple(pair) for pair in json.loads(raw.to_str())["model"]["merges"]]
    merges = merges[: size - LEAST]
    unused = size - LEAST - len({*map("".join, merges)})
    return _tokenizer(merges, size, context), unused


def tokens(tokenizer: Any, texts: Sequence[str], context: int) -> Tensor:
    """Texts as numbers (B, L) int64, L at most `context`: start, words, end, and ends to fill up.

    A text that is too long loses its last words and keeps its end.
    """
    # One thread is enough for a batch, and more would be forbidden to processes forked afterwards.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    found = tokenizer(
        list(texts), padding=True, truncation=True, max_length=context, return_tensors="pt"
    )
    ids: Tensor = found["input_ids"]
    return ids


def filled(tokenizer: Any, texts: Sequence[str], context: int) -> Tensor:
    """The same as `tokens`, every text filled up to (B, context): as diffusers reads texts."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    found = tokenizer(
        list(texts), padding="max_length", truncation=True, max_length=context, return_tensors="pt"
    )
    ids: Tensor = found["input_ids"]
    return ids


def number(ids: Sequence[int], end: int) -> int:
    """A number in int64 for a text's tokens up to the end, whatever fills them up."""
    words = ids[: ids.index(end)]
    digest = hashlib.blake2b(repr(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)


def too_long(tokenizer: Any, texts: Sequence[str], context: int) -> int:
    """How many texts have more tokens than `context`."""
    found = 0
    for start in range(0, len(texts), _CHUNK):
        part = list(texts[start : start + _CHUNK])
        lengths = tokenizer(part, truncation=False, verbose=False)["input_ids"]
        found += sum(len(each) > context for each in lengths)
    return found


def longest_read(tokenizer: Any, config: Any) -> int:
    """Tokens of a text that a tower reads at most, start and end included, as diffusers has it.

    Args:
        tokenizer: A `CLIPTokenizer`.
        config: Of the tower, a `CLIPTextConfig`.
    """
    return min(int(tokenizer.model_max_length), int(config.max_position_embeddings))


def misfit(tokenizer: Any, config: Any) -> str | None:
    """Why a tower of texts can't read what a tokenizer makes, in words, or None.

    Args:
        tokenizer: A `CLIPTokenizer`.
        config: Of the tower, a `CLIPTextConfig`.
    """
    words, known = len(tokenizer), config.vocab_size
    if words > known:
        return f"{words:,} tokens, and the tower knows {known:,}"
    said, wanted = tokenizer.eos_token_id, config.eos_token_id
    if wanted not in (said, _LARGEST):
        return f"texts end with token {said}, and the tower looks for {wanted}"
    longest, read = tokenizer.model_max_length, config.max_position_embeddings
    if read < longest < _UNSTATED:
        return f"texts of up to {longest:,} tokens, and the tower reads {read:,}"
    return None


def packed(tokenizer: Any) -> Tensor:
    """What a tokenizer of CLIP's kind knows, as bytes (n,) uint8: `unpacked` makes it again."""
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    tree = {
        "vocab": model["vocab"],
        "merges": [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]],
        "context": tokenizer.model_max_length,
    }
    return torch.frombuffer(bytearray(json.dumps(tree).encode()), dtype=torch.uint8)


def unpacked(values: Tensor) -> Any:
    """The `CLIPTokenizer` that `packed` was given.

    Raises:
        DataError: The bytes hold none.
    """
    from transformers import CLIPTokenizer

    try:
        tree = json.loads(bytes(values.cpu().tolist()))
        vocabulary, merges = tree["vocab"], [tuple(pair) for pair in tree["merges"]]
    except (ValueError, TypeError, LookupError) as error:
        raise DataError(f"these bytes hold no tokenizer ({error})") from None
    return CLIPTokenizer(
        vocabulary,
        merges,  # type: ignore[arg-type]  # it takes pairs, whatever it says
        model_max_length=tree["context"],
    )


def _tokenizer(merges: Sequence[tuple[str, ...]], size: int, context: int) -> Any:
    """The tokenizer of these merges, filled up to `size` numbers."""
    from transformers import CLIPTokenizer

    # Two merges may make one token: it keeps the number of the first.
    words = [*dict.fromkeys([*_bytes(), *(b + _LAST for b in _bytes()), *map("".join, merges)])]
    words += [_NEVER.format(i) for i in range(size - 2 - len(words))]
    vocabulary = {word: number for number, word in enumerate([*words, START, END])}
    return CLIPTokenizer(vocabulary, [*merges], model_max_length=context)  # type: ignore[list-item]


def _bytes() -> list[str]:
    """The letter that stands for each byte: those that can be seen for themselves, in order, then
    the others, as letters from 256 on (as GPT-2 writes them)."""
    seen = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    return [*map(chr, seen), *(chr(BYTES + i) for i in range(BYTES - len(seen)))]
