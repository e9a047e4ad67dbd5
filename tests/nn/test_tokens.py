"""A tokenizer of one's own captions in CLIP's layout."""

import pytest
import torch

from genkit.errors import DataError
from genkit.nn.tokens import BYTES, LEAST, learnt, packed, tokens, too_long, unpacked

TEXTS = ["a small red star left of a big blue ring", "two red stars on grey", "A Blue RING"] * 5


@pytest.fixture(scope="module")
def tokenizer():
    return learnt(TEXTS, 600, 16)[0]


def test_numbers_are_laid_out_as_clips_are(tokenizer):
    words = tokenizer.get_vocab()
    by_number = sorted(words, key=words.__getitem__)
    assert len(words) == 600 == len(set(words.values()))
    assert by_number[:3] == ["!", '"', "#"]  # as in the published vocab.json
    assert [word.removesuffix("</w>") for word in by_number[BYTES : 2 * BYTES]] == by_number[:BYTES]
    assert by_number[-2:] == ["<|startoftext|>", "<|endoftext|>"]
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (598, 599)
    assert tokenizer.model_max_length == 16


def test_captions_come_back_with_one_start_and_one_end(tokenizer):
    for text in ["a small red star", "zürich, 🍎 & 3 more!", "word" * 3]:
        (ids,) = tokens(tokenizer, [text], 64).tolist()
        assert (ids[0], ids[-1]) == (598, 599)
        assert ids.count(598) == ids.count(599) == 1
        said = tokenizer.decode(ids, skip_special_tokens=True)
        assert said.replace(" ", "") == text.lower().replace(" ", "")


def test_words_that_are_common_are_one_token(tokenizer):
    (ids,) = tokens(tokenizer, ["red"], 16).tolist()
    assert len(ids) == 3


def test_a_long_text_keeps_its_end_and_is_counted(tokenizer):
    (ids,) = tokens(tokenizer, ["red " * 200], 16).tolist()
    assert len(ids) == 16
    assert (ids[0], ids[-1]) == (598, 599)
    assert too_long(tokenizer, ["red " * 14, "red " * 15, "red"], 16) == 1


def test_short_texts_are_filled_up_with_ends(tokenizer):
    found = tokens(tokenizer, ["red", "a small red star"], 16)
    assert found.shape[1] < 16
    end = found[0].tolist().index(599)
    assert (found[0, end:] == 599).all()


def test_what_is_left_over_is_counted_and_never_used():
    few, unused = learnt(["ab ab"], LEAST + 10, 8)
    assert unused == 10 - 1  # "ab</w>" is all there is to merge
    assert len(few) == LEAST + 10
    (ids,) = tokens(few, ["ab <|unused0|>"], 64).tolist()
    assert not any("unused" in word for word in few.convert_ids_to_tokens(ids) if len(word) > 9)


def test_the_same_texts_give_the_same_tokenizer_and_bytes_give_it_back(tokenizer):
    again, _ = learnt(TEXTS, 600, 16)
    assert torch.equal(packed(again), packed(tokenizer))
    back = unpacked(packed(tokenizer))
    assert torch.equal(packed(back), packed(tokenizer))
    texts = ["a big blue ring", "größer"]
    assert torch.equal(tokens(back, texts, 16), tokens(tokenizer, texts, 16))


def test_a_saved_tokenizer_is_opened_by_transformers(tokenizer, tmp_path):
    from transformers import CLIPTokenizer

    tokenizer.save_pretrained(tmp_path)
    theirs = CLIPTokenizer.from_pretrained(tmp_path)
    found = theirs(TEXTS, truncation=True, padding=True, return_tensors="pt")["input_ids"]
    assert torch.equal(found, tokens(tokenizer, TEXTS, 16))
    assert theirs.model_max_length == 16


def test_other_bytes_hold_no_tokenizer():
    with pytest.raises(DataError, match="hold no tokenizer"):
        unpacked(torch.zeros(3, dtype=torch.uint8))
